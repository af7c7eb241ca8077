"""A comparison on a small folder of photographs."""

import numpy as np
from PIL import Image

from benchmarks.comparison.settings import Dataset, read

SETTINGS = read()


def photographs(folder, *, images=8, seed=0):
    """Save smooth images of two classes and several sizes."""
    rng = np.random.default_rng(seed)
    for label, name in enumerate(("cat", "dog")):
        (folder / name).mkdir(parents=True)
        for number in range(images):
            small = rng.integers(0, 128, (4, 4, 3), np.uint8) + np.uint8(127 * label)
            image = Image.fromarray(small).resize((40 + number, 32), Image.Resampling.BICUBIC)
            image.save(folder / name / f"{number}.jpg", quality=90)


def settings(*, official=None, shrink=1, **changed):
    """Return the comparison with one data set of photographs, at one quality."""
    folder = {"path": "pets", "repository": "https://pets", "pixels": 16, "official": official, "shrink": shrink}
    values = {"source": "folder", "mirror": None, "folder": folder, "val": 0.25, "test": 0.25, "seed": 0} | changed
    cache = SETTINGS.cache.model_copy(update={"qualities": [10]})
    return SETTINGS.model_copy(update={"datasets": {"pets": Dataset.model_validate(values)}, "cache": cache})
