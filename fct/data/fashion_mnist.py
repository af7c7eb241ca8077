"""Fashion-MNIST: 60,000 + 10,000 greyscale images of clothes, 28 x 28 pixels, ten classes (arXiv:1708.07747)."""

from __future__ import annotations

import gzip
import struct
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fct.core.errors import FctError
from fct.data.dataset import Dataset, LabelledImages
from fct.data.debian import unpack
from fct.data.download import Fallback, PublishedFile, fetch

CLASSES = (
    "T-shirt/top",
    "Trouser",
    "Pullover",
    "Dress",
    "Coat",
    "Sandal",
    "Shirt",
    "Sneaker",
    "Bag",
    "Ankle boot",
)
SERVER = "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com"  # has no https; checksums verify the files
PACKAGE = "dataset-fashion-mnist"
INSIDE = "usr/share/datasets/fashion-mnist"
# name: (published MD5, MD5 of the decompressed content). Debian compresses the same content again.
FILES = {
    "train-images-idx3-ubyte": ("8d4fb7e6c68d591d4c3dfef9ec88bf0d", "f4a8712d7a061bf5bd6d2ca38dc4d50a"),
    "train-labels-idx1-ubyte": ("25c81989df183df01b3e8a0aad5dffbe", "9018921c3c673c538a1fc5bad174d6f9"),
    "t10k-images-idx3-ubyte": ("bef4ecab320f06d8554ea6380940ec79", "8181f5470baa50b63fa0f6fddb340f0a"),
    "t10k-labels-idx1-ubyte": ("bb300cfdad3c16e7a12a480ee83cd310", "15d484375f8d13e6eb1aabb0c3f46965"),
}


def load(mirror: Path | None, server: str = SERVER) -> Dataset:
    """Return the data set from `mirror`, the cache, `server` or Debian's package.

    Raises:
        FctError: none of these sources has the files.
    """
    fallback = Fallback(f"Debian's package {PACKAGE}", partial(unpack, PACKAGE, INSIDE))
    train_images, train_labels, test_images, test_labels = map(read_idx, fetch(published(server), mirror, fallback))
    return Dataset(
        CLASSES,
        pool=LabelledImages(train_images[..., None], train_labels.astype(np.int64)),
        test=LabelledImages(test_images[..., None], test_labels.astype(np.int64)),
    )


def published(server: str = SERVER) -> list[PublishedFile]:
    """Return the four published files."""
    return [
        PublishedFile(f"{name}.gz", "fashion-mnist", f"{server}/{name}.gz", md5, content_md5)
        for name, (md5, content_md5) in FILES.items()
    ]


def read_idx(path: Path) -> NDArray[np.uint8]:
    """Read a gzipped IDX file of bytes: a magic number, the shape, the values (yann.lecun.com/exdb/mnist)."""
    try:
        content = gzip.decompress(path.read_bytes())
        zero, kind, dimensions = struct.unpack_from(">HBB", content)
        shape = struct.unpack_from(f">{dimensions}I", content, 4)
        if (zero, kind) != (0, 8):
            raise FctError(f"{path}: not an IDX file of bytes.")
        return np.frombuffer(content, np.uint8, offset=4 + 4 * dimensions).reshape(shape)
    except (OSError, EOFError, struct.error, ValueError) as error:
        raise FctError(f"{path}: not a gzipped IDX file: {error}. Delete it, and it is downloaded again.") from None
