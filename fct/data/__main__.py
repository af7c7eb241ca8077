"""Get the labelled images and divide them into splits: data/splits and data/originals.

python -m fct.data
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

from fct.core.errors import readable_errors
from fct.core.files import new_folder
from fct.core.params import Section, load
from fct.core.paths import ORIGINALS, SPLITS
from fct.data import cifar, fashion_mnist, folder, stock
from fct.data.download import mirror_folder
from fct.data.params import DataParams
from fct.splits.meta import table

LOADERS: dict[str, Callable[[Path | None], stock.Stock]] = {
    "fashion-mnist": fashion_mnist.load,
    "cifar-10": partial(cifar.load, cifar.CIFAR_10),
    "cifar-100": partial(cifar.load, cifar.CIFAR_100),
}


class Params(Section):
    """The sections of params.yaml that this stage reads."""

    data: DataParams


def main() -> None:
    """Write data/splits and data/originals as `params.yaml: data` says, whole or not at all."""
    with readable_errors():
        params = load(Params).data
        with new_folder(SPLITS) as splits, new_folder(ORIGINALS) as originals:
            if params.source == "folder":
                meta = folder.build(params, splits, originals)
            else:
                meta = stock.build(LOADERS[params.source](mirror_folder(params.mirror)), params, splits, originals)
        print(table(meta))


if __name__ == "__main__":
    main()
