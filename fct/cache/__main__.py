"""Compress the train and val splits at one quality.

    python -m fct.cache --quality 30

There is one DVC stage per quality, so adding a quality computes only that one.
"""

from __future__ import annotations

import time

import click

from fct.cache import store
from fct.core import params
from fct.core.errors import FctError, exit_on_error
from fct.core.params import Section
from fct.splits.params import JpegParams
from fct.splits.store import open_split, read_meta


class Params(Section):
    """The sections of params.yaml that this stage reads."""

    jpeg: JpegParams


@click.command()
@click.option("--quality", type=int, required=True, help="JPEG quality of the views.")
def main(quality: int) -> None:
    """Compress the train and val splits at QUALITY into data/cache."""
    with exit_on_error():
        start = time.perf_counter()
        subsampling = params.load(Params).jpeg.subsampling
        if not 1 <= quality <= 100:  # dvc.yaml passes the items of the list unchecked
            raise FctError(f"{params.location('cache', 'qualities')}: a JPEG quality is 1 to 100 (it is {quality}).")
        splits = [open_split(name) for name in store.SPLITS]
        manifest = store.build_cache(splits, quality, subsampling, source_digest=read_meta()["digest"])
        images, seconds = sum(manifest["images"].values()), time.perf_counter() - start
        print(f"quality {quality}: {images:,} images in {seconds:.1f} s, {images / seconds:,.0f} images/s")


if __name__ == "__main__":
    main()
