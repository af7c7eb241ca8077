"""CIFAR-10 and CIFAR-100: 60,000 colour images of 32 x 32 pixels (Krizhevsky 2009), in their binary distributions.

A mirror may hold the archive, or the folder that it unpacks to. The folder may lack the official test file. Then the
test split is held out of the training images, and `meta.json` says so.
"""

from __future__ import annotations

import tarfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from fct.core import files
from fct.core.errors import FctError
from fct.data.dataset import Dataset, LabelledImages
from fct.data.download import PublishedFile, fetch

PIXELS = 3 * 32 * 32  # bytes of one image: its red, green and blue planes


@dataclass(frozen=True)
class Distribution:
    """A binary distribution: an archive of files, each a row of records of label bytes and pixels."""

    archive: PublishedFile
    inside: str  # folder in the archive
    train: Mapping[str, str]  # file name: published MD5
    test: Mapping[str, str]
    label_bytes: int  # per record; the last one is the class
    classes: tuple[str, ...] | str  # names of the classes, or the file that holds them


CIFAR_10 = Distribution(
    PublishedFile(
        "cifar-10-binary.tar.gz",
        "cifar-10",
        "https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz",
        "c32a1d4ab5d03f1284b67883e8d87530",
    ),
    "cifar-10-batches-bin",
    {
        "data_batch_1.bin": "5dd7e06a14cb22eb9f671a540d1b7c25",
        "data_batch_2.bin": "5ea93a67294ea407fff1d09f752e9692",
        "data_batch_3.bin": "942cd6a4bcdd0dd3c604fbe906cb4421",
        "data_batch_4.bin": "ae636b3ba5c66a11e91e8cb52e771fcb",
        "data_batch_5.bin": "53f37980c15c3d472c316c40844f3f0d",
    },
    {"test_batch.bin": "803d5f7f4d78ea53de84dbe85f74fb6d"},
    label_bytes=1,
    classes=("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"),
)
CIFAR_100 = Distribution(
    PublishedFile(
        "cifar-100-binary.tar.gz",
        "cifar-100",
        "https://www.cs.toronto.edu/~kriz/cifar-100-binary.tar.gz",
        "03b5dce01913d631647c71ecec9e9cb8",
    ),
    "cifar-100-binary",
    {"train.bin": "6172c7755cfe09b2fe270c85cebc1b15"},
    {"test.bin": "4499cfba6c016c1be1438163640a0898"},
    label_bytes=2,  # the coarse class, then the fine one
    classes="fine_label_names.txt",
)


def load(distribution: Distribution, mirror: Path | None) -> Dataset:
    """Return the data set from `mirror`, the cache or the publisher's server.

    Raises:
        FctError: the data set cannot be found or downloaded, or a file is not the published one.
    """
    unpacked = mirror / distribution.inside if mirror else None
    if unpacked and unpacked.is_dir():
        return _parse(distribution, _read_folder(distribution, unpacked), unpacked)
    (archive,) = fetch([distribution.archive], mirror)
    return _parse(distribution, _read_archive(distribution, archive), archive)


def _file_names(distribution: Distribution) -> list[str]:
    """Return the names of all files of the distribution that are needed."""
    names = [distribution.classes] if isinstance(distribution.classes, str) else []
    return [*distribution.train, *distribution.test, *names]


def _read_folder(distribution: Distribution, folder: Path) -> dict[str, bytes]:
    contents = {}
    for name in _file_names(distribution):
        path = folder / name
        if not path.is_file():
            if name in distribution.test:
                continue
            raise FctError(
                f"{path} is not here. Unpack {distribution.archive.name} again, or put the archive next to the folder."
            )
        expected = {**distribution.train, **distribution.test}.get(name)
        actual = files.md5(path)
        if expected and actual != expected:
            raise FctError(f"{path}: its MD5 is {actual}, the published one is {expected}. Copy or unpack it again.")
        contents[name] = path.read_bytes()
    return contents


def _read_archive(distribution: Distribution, archive: Path) -> dict[str, bytes]:
    """Return the contents of the needed files. Nothing is unpacked, so a member's name cannot overwrite a file."""
    paths = {f"{distribution.inside}/{name}": name for name in _file_names(distribution)}
    contents = {}
    try:
        with tarfile.open(archive, "r:gz") as members:
            for member in members:
                name = paths.get(member.name)
                content = members.extractfile(member) if name and member.isreg() else None
                if name and content:
                    contents[name] = content.read()
    except (tarfile.TarError, EOFError, OSError, zlib.error) as error:
        raise FctError(f"{archive}: not a readable archive: {error}. Delete it, and it is downloaded again.") from None
    missing = sorted(path for path, name in paths.items() if name not in contents)
    if missing:
        raise FctError(f"{archive} does not contain {', '.join(missing)}. Delete it, and it is downloaded again.")
    return contents


def _parse(distribution: Distribution, contents: Mapping[str, bytes], source: Path) -> Dataset:
    classes = distribution.classes
    if isinstance(classes, str):
        classes = tuple(contents[classes].decode("ascii", "replace").split())
    test = {name: contents[name] for name in distribution.test if name in contents}
    train = {name: contents[name] for name in distribution.train}
    return Dataset(
        classes,
        pool=_records(distribution, train, len(classes), source),
        test=_records(distribution, test, len(classes), source) if test else None,
    )


def _records(distribution: Distribution, blobs: Mapping[str, bytes], classes: int, source: Path) -> LabelledImages:
    size = distribution.label_bytes + PIXELS
    for name, blob in blobs.items():
        if not blob or len(blob) % size:
            raise FctError(
                f"{source}: {name} has {len(blob)} bytes, which is not a multiple of {size}, the size of a record."
            )
    rows = np.concatenate([np.frombuffer(blob, np.uint8).reshape(-1, size) for blob in blobs.values()])
    labels = rows[:, distribution.label_bytes - 1].astype(np.int64)
    if labels.max() >= classes:
        raise FctError(f"{source}: a label is {labels.max()}, but there are only {classes} classes.")
    planes = rows[:, distribution.label_bytes :].reshape(-1, 3, 32, 32)
    return LabelledImages(np.ascontiguousarray(planes.transpose(0, 2, 3, 1)), labels)
