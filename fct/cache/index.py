"""Remove the caches of qualities that params.yaml no longer names, and list those it does.

    python -m fct.cache.index

DVC leaves the folder of a removed matrix item behind; without this stage it would count as an input of training.
"""

from __future__ import annotations

import shutil

from fct.cache.params import CacheParams
from fct.cache.store import stale_folders
from fct.core import params
from fct.core.errors import exit_on_error
from fct.core.files import write_json
from fct.core.params import Section
from fct.core.paths import CACHE


class Params(Section):
    """What this stage reads of params.yaml."""

    cache: CacheParams


def main() -> None:
    """Write data/cache/index.json."""
    with exit_on_error():
        qualities = params.load(Params).cache.qualities
        for name in stale_folders(qualities):
            shutil.rmtree(CACHE / name)
            print(f"removed {CACHE / name}: params.yaml does not name it any more")
        write_json(CACHE / "index.json", {"qualities": qualities})


if __name__ == "__main__":
    main()
