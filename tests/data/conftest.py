"""Folders of small images in all file formats."""

import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fct.core.files import atomic_folder
from fct.data import folder
from fct.data.params import DataParams
from fct.splits import store


@dataclass
class Own:
    """A user's folder of images, and the folder that the stage writes to."""

    root: Path
    here: Path

    def add(self, name, seed=None, size=(30, 20), mode="RGB", **options):
        """Save an image of random pixels as `name`, in the format of the suffix."""
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        seed = zlib.crc32(name.encode()) if seed is None else seed
        pixels = np.random.default_rng(seed).integers(0, 256, (size[1], size[0], 3), np.uint8)
        Image.fromarray(pixels).convert(mode).save(path, **options)
        return path

    def params(self, **changed):
        own = {"path": str(self.root), "pixels": 16, "keep": 1.0, "channels": 3, "on_error": "fail"} | changed
        fractions = {"val": 0.1, "gate": 0.1, "test": 0.2}
        return DataParams.model_validate(
            {"source": "folder", "mirror": None, "seed": 0, "fractions": fractions, "folder": own}
        )

    def build(self, **changed):
        splits, originals = self.here / "splits", self.here / "originals"
        with atomic_folder(splits) as s, atomic_folder(originals) as o:
            meta = folder.build(self.params(**changed), s, o)
        return meta, {name: store.open_split(name, splits, originals) for name in store.NAMES}


@pytest.fixture
def own(tmp_path):
    return Own(tmp_path / "images", tmp_path)


@pytest.fixture
def good(own):
    """Two classes of ten images, in all formats and many sizes."""
    kinds = ("jpg", "png", "webp", "bmp", "tif")
    for label in ("cat", "dog"):
        for i in range(10):
            own.add(f"{label}/{i}.{kinds[i % 5]}", size=(17 + i, 40 - i))
    return own
