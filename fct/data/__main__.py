"""Get labelled images and divide them into splits: write data/splits and data/originals.

python -m fct.data
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

from fct.core.errors import exit_on_error
from fct.core.files import atomic_folder
from fct.core.params import Section, load
from fct.core.paths import ORIGINALS, SPLITS
from fct.data import cifar, dataset, fashion_mnist, folder
from fct.data.download import mirror_folder
from fct.data.params import DataParams
from fct.engine.params import read_compute
from fct.splits.meta import format_meta
from fct.splits.store import open_split

LOADERS: dict[str, Callable[[Path | None], dataset.Dataset]] = {
    "fashion-mnist": fashion_mnist.load,
    "cifar-10": partial(cifar.load, cifar.CIFAR_10),
    "cifar-100": partial(cifar.load, cifar.CIFAR_100),
}


class Params(Section):
    """The sections of params.yaml that this stage reads."""

    data: DataParams


def main() -> None:
    """Write data/splits and data/originals, as `params.yaml: data` says. Both folders appear whole or not at all."""
    with exit_on_error():
        params = load(Params).data
        with atomic_folder(SPLITS) as splits, atomic_folder(ORIGINALS) as originals:
            if params.source == "folder":
                meta = folder.build(params, splits, originals, compute=read_compute())
            else:
                meta = dataset.build(LOADERS[params.source](mirror_folder(params.mirror)), params, splits, originals)
        print(format_meta(meta))
        size = sum(open_split(name).images.nbytes for name in ("train", "val"))
        print(f"Each quality of params.yaml: cache.qualities will take {size / 2**20:,.1f} MiB of disk.")


if __name__ == "__main__":
    main()
