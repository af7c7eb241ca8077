"""Compress the train and val splits at one quality.

    python -m fct.cache --quality 30

There is one DVC stage per quality, so adding a quality computes only that one. The first stage that runs also builds
what the stages of other missing qualities need, because each original is then decoded only once.
"""

from __future__ import annotations

import time

import click

from fct.cache.build import build_cache
from fct.cache.params import CacheParams
from fct.core import params
from fct.core.errors import FctError, exit_on_error
from fct.core.params import Section
from fct.engine.params import read_compute
from fct.splits.params import JpegParams
from fct.splits.store import read_meta


class Params(Section):
    """The sections of params.yaml that this stage reads.

    Of `cache` only `shard` decides what it writes, so the stage depends on that key alone. `qualities` says what other
    stages will need.
    """

    jpeg: JpegParams
    cache: CacheParams


@click.command()
@click.option("--quality", type=int, required=True, help="JPEG quality of the views.")
def main(quality: int) -> None:
    """Compress the train and val splits at QUALITY into data/cache."""
    with exit_on_error():
        start = time.perf_counter()
        sections = params.load(Params)
        if not 1 <= quality <= 100:  # dvc.yaml passes the items of the list unchecked
            raise FctError(f"{params.location('cache.qualities')}: a JPEG quality is 1 to 100 (it is {quality}).")
        manifest = build_cache(
            quality,
            sections.jpeg.subsampling,
            source_digest=read_meta()["digest"],
            shard_mib=sections.cache.shard,
            ahead=sections.cache.qualities,
            compute=read_compute(),
        )
        images, seconds = sum(manifest["images"].values()), time.perf_counter() - start
        print(f"quality {quality}: {images:,} images in {seconds:.1f} s")


if __name__ == "__main__":
    main()
