"""A linear classifier on a backbone's features says what a size is worth before anything is trained."""

import numpy as np
import pytest
import torch
from PIL import Image

from fct.cli import probe as module
from fct.cli.probe import Probed, choose, describe, format_probed, probe
from fct.core.errors import FctError
from fct.models.backbones import build_backbone
from fct.models.params import ModelParams


@pytest.fixture
def photos(tmp_path, monkeypatch):
    """Stand in a folder with 60 photographs, half of them with fine stripes that a few pixels do not show."""
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    for name in ("plain", "striped"):
        (tmp_path / "photos" / name).mkdir(parents=True)
        for number in range(30):
            pixels = np.full((128, 128, 3), 128.0) + rng.normal(0, 8, (1, 1, 3))
            if name == "striped":
                pixels += 60 * np.where(np.arange(128) % 4 < 2, 1, -1)[None, :, None]
            Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(f"photos/{name}/{number:02}.png")
    (tmp_path / "weights").mkdir()
    torch.manual_seed(0)
    torch.save(build_backbone("resnet18", width=8, classes=7, channels=3, size=64).state_dict(), "weights/some.pth")
    return tmp_path / "photos"


def resnet18():
    values = {"name": "resnet18", "width": 8, "stem": "own", "weights": "weights/some.pth", "normalisation": "auto"}
    return ModelParams.model_validate(values | {"flip_tta": False})


def test_a_difference_that_the_features_show_is_found(photos):
    """At 128 pixels even random weights tell stripes from none."""
    found = list(probe(photos, resnet18(), 128, 3, epochs=2))
    assert [each.side for each in found] == [64, 96, 128]
    assert found[-1].raw > 0.9
    assert all(each.hours > 0 for each in found)
    assert {each.chance for each in found} == {0.5}


def test_labels_without_a_pattern_are_near_chance(photos, monkeypatch):
    """No row is in both halves: what the classifier was fitted to is not what it is tried on."""
    monkeypatch.setattr(module, "_features", lambda _backbone, images, *_: noise[: len(images)])
    noise = np.random.default_rng(0).normal(size=(60, 500))
    assert all(0.2 < each.raw < 0.8 for each in probe(photos, resnet18(), 64, 3, epochs=2))


def test_a_folder_of_damaged_files_is_refused(photos):
    """There is nothing to look at."""
    for path in photos.glob("*/*.png"):
        path.write_bytes(b"damaged")
    with pytest.raises(FctError, match="0 of 30 files that were looked at in the class plain"):
        list(probe(photos, resnet18(), 64, 3, epochs=2))


def test_as_many_images_of_each_class_are_looked_at(photos, monkeypatch):
    """A class of few files has all of them in the trial, and each half has both classes."""
    monkeypatch.setattr(module, "IMAGES", 20)
    for number in range(6, 30):
        (photos / f"striped/{number:02}.png").unlink()
    found = next(probe(photos, resnet18(), 64, 3, epochs=2))
    assert (found.images, found.chance) == (10 + 6, 10 / 16)


def test_of_many_classes_only_some_are_tried(photos, monkeypatch):
    """The damaged file is in the last of three classes, which is left out."""
    monkeypatch.setattr(module, "CLASSES", 2)
    (photos / "tailless").mkdir()
    (photos / "tailless/damaged.png").write_bytes(b"")
    assert next(probe(photos, resnet18(), 64, 3, epochs=2)).images == 60


def test_the_smallest_of_equally_good_sizes_is_chosen():
    """Two points are within what 800 images leave open, five are not; with 200 images five are too."""
    raw = {64: 0.70, 96: 0.73, 128: 0.75}
    assert choose([Probed(side, 800, accuracy, 0.6, 10, 0.1) for side, accuracy in raw.items()]).side == 96
    assert choose([Probed(side, 200, accuracy, 0.6, 10, 0.1) for side, accuracy in raw.items()]).side == 64


def test_the_size_of_the_weights_is_tried_where_no_other_fits(photos):
    """A ViT's positions are of one size, here above one and a half times that of the images."""
    name = "timm/vit_tiny_patch16_224"
    torch.save(build_backbone(name, width=8, classes=7, channels=3, size=224).state_dict(), "weights/vit.pth")
    model = resnet18().model_copy(update={"name": name, "weights": "weights/vit.pth"})
    assert [each.side for each in probe(photos, model, 64, 3, epochs=2)] == [224]


def test_weights_of_another_architecture_are_refused(photos):
    """No size helps."""
    model = resnet18().model_copy(update={"name": "resnet34"})
    with pytest.raises(FctError, match="of another architecture"):
        list(probe(photos, model, 64, 3, epochs=2))


def test_a_size_that_takes_too_long_is_not_chosen():
    """The best of those that can be trained in time; the smallest where none can."""
    probed = [
        Probed(64, 800, 0.70, 0.6, 0.5, 0.1),
        Probed(96, 800, 0.80, 0.6, 1.1, 0.1),
        Probed(128, 800, 0.90, 0.6, 2.0, 0.1),
    ]
    assert [choose(probed, hours).side for hours in (0.1, 1, 1.5, 2, 3)] == [64, 64, 96, 128, 128]


def test_what_a_longer_training_could_bring_is_said():
    """With the size, the accuracy, the time and the option; without a larger size nothing is said."""
    small, large = Probed(64, 800, 0.70, 0.6, 0.5, 0.1), Probed(128, 800, 0.90, 0.6, 2.0, 0.1)
    assert "128 pixels would start from 90%, but take 2.0 h: see --hours." in describe(small, large)
    assert "--hours" not in describe(large, large)


def test_the_table_has_accuracies_and_the_time_of_the_trainings():
    """One line a size."""
    probed = [Probed(64, 800, 0.7, 0.612, 0.25, 0.1), Probed(96, 800, 0.8, 0.7, 1.5, 0.1)]
    assert [line.split() for line in format_probed(probed).splitlines()[1:]] == [
        ["64", "70.0%", "61.2%", "15", "min"],
        ["96", "80.0%", "70.0%", "1.5", "h"],
    ]


@pytest.mark.parametrize(("compressed", "little"), [(0.60, False), (0.78, True)])
def test_what_to_expect_is_said_with_numbers(compressed, little):
    """What JPEG costs, whether that is more than chance, and that training adds little to what the size gives."""
    chosen = Probed(96, 800, 0.80, compressed, 1, 0.1)
    said = describe(chosen, chosen)
    assert said.startswith(f"At 96 pixels quality 10 costs {100 * (0.80 - compressed):.1f} points.")
    assert ("within chance" in said) == little
    assert "the 80% on raw images" in said


@pytest.mark.parametrize(("raw", "is_chance"), [(0.40, True), (0.50, True), (0.53, True), (0.54, False)])
def test_what_is_no_better_than_chance_is_said(raw, is_chance):
    """The user looks for the fault in the weights, and is not told what a training adds."""
    chosen = Probed(64, 800, raw, 0.5, 1, 0.5)
    said = describe(chosen, chosen)
    assert (f"no better than chance: {raw:.0%} on raw images, where the largest class is 50%" in said) == is_chance
    assert ("Check that the file has trained weights" in said) == is_chance
    assert ("model.normalisation" in said) == is_chance
    assert ("Training usually adds some points" in said) != is_chance


def test_to_all_images_nothing_can_be_added():
    """At 100% the sentence about what training adds is left out."""
    chosen = Probed(64, 800, 1.0, 1.0, 1, 0.5)
    assert describe(chosen, chosen) == (
        "At 64 pixels quality 10 costs 0.0 points. That is within chance: robustness has little to gain here."
    )
