"""Check every value of params.yaml that can be checked without data, before any other stage computes.

    python -m fct.check

Builds the network, looks for the layers that are named and loads pretrained weights, but trains nothing. Writes
metrics/check.json, on which the first stages depend. Its content is always the same, so that a changed value reruns
this stage and no other.
"""

from __future__ import annotations

from fct.check.checks import Params, check
from fct.core.errors import exit_on_error
from fct.core.files import write_json
from fct.core.params import load
from fct.core.paths import CHECK


def main() -> None:
    """Run the stage."""
    with exit_on_error():
        check(load(Params))
        write_json(CHECK, {"params.yaml": "checked"})


if __name__ == "__main__":
    main()
