"""Delete the caches of qualities that are no longer in params.yaml, and list the others.

    python -m fct.cache.index

DVC keeps the folder of a removed matrix item. Without this stage it would count as an input of the training.
"""

from __future__ import annotations

import shutil

from fct.cache.params import CacheParams
from fct.cache.store import stale_folders
from fct.core import params
from fct.core.errors import exit_on_error
from fct.core.files import write_json
from fct.core.params import Section
from fct.core.paths import CACHE, CACHE_INDEX


class Params(Section):
    """The sections of params.yaml that this stage reads."""

    cache: CacheParams


def main() -> None:
    """Delete stale folders and write data/cache/index.json."""
    with exit_on_error():
        qualities = params.load(Params).cache.qualities
        for name in stale_folders(qualities):
            shutil.rmtree(CACHE / name)
            print(f"deleted {CACHE / name}: its quality is not in params.yaml any more")
        write_json(CACHE_INDEX, {"qualities": qualities})


if __name__ == "__main__":
    main()
