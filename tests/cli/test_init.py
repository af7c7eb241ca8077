"""`fct init` writes values that fit a folder of images into params.yaml, each with its reason."""

import re
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from PIL import Image
from ruamel.yaml import YAML

from fct import cli
from fct.check.checks import Params, check
from fct.cli.probe import SIDES
from fct.core.params import DEFAULTS, load
from fct.data.folder import build
from fct.models.backbones import build_backbone


@pytest.fixture
def project(tmp_path, monkeypatch):
    """Stand in a project with the defaults and a folder of 40 photographs."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "params.yaml").write_text(DEFAULTS.read_text())
    (tmp_path / "weights").mkdir()
    rng = np.random.default_rng(0)
    for name in ("cat", "dog"):
        (tmp_path / "photos" / name).mkdir(parents=True)
        for number in range(20):
            Image.fromarray(rng.integers(0, 256, (150, 180, 3), np.uint8)).save(f"photos/{name}/{number}.jpg")
    return tmp_path


def run(*arguments):
    done = CliRunner().invoke(cli.main, ["init", "--data", "photos", *arguments])
    return done.exit_code, done.output


def written():
    return YAML(typ="safe").load(Path("params.yaml"))


def test_without_weights_a_small_network_and_small_images(project):  # noqa: ARG001
    """Nothing pretrained: 64 pixels of 150, and a network of this project."""
    status, out = run()
    assert status == 0, out
    assert "data.folder.pixels: 64  (the median of the images' shorter sides is 150)" in out
    data, model = written()["data"], written()["model"]
    assert (data["source"], data["folder"]["path"], data["folder"]["pixels"]) == ("folder", "photos", 64)
    assert (data["fractions"]["gate"], data["folder"]["channels"]) == (0.15, 3)
    assert model["weights"] is None


@pytest.fixture
def weights():
    """Return a function that saves weights of a model."""

    def save(name):
        torch.save(build_backbone(name, width=8, classes=7, channels=3, size=64).state_dict(), "weights/some.pth")

    return save


@pytest.mark.parametrize("name", ["resnet18", "timm/tf_efficientnet_lite0"])
def test_with_weights_all_keys_fit_the_backbone(project, weights, name):  # noqa: ARG001
    """Its layers and a recipe for fine-tuning; `fct check` has nothing to say."""
    weights(name)
    status, out = run("--model", name, "--weights", "weights/some.pth")
    assert status == 0, out
    content = written()
    assert (content["model"]["name"], content["model"]["weights"]) == (name, "weights/some.pth")
    assert content["data"]["folder"]["pixels"] in SIDES
    assert content["train"]["start"] == "baseline"
    check(load(Params))


def test_weights_may_be_dvcs_link_into_its_cache(project, weights):
    """With `cache.type symlink` a file in weights/ lies elsewhere; its name counts."""
    weights("resnet18")
    (project / "cached").write_bytes((project / "weights/some.pth").read_bytes())
    (project / "weights/some.pth").unlink()
    (project / "weights/some.pth").symlink_to(project / "cached")
    status, out = run("--model", "resnet18", "--weights", "weights/some.pth")
    assert status == 0, out


@pytest.mark.parametrize("grey", [False, True])
def test_a_backbone_and_back_again_always_pass_the_check(project, grey):
    """Layers of the backbone come with it, also of grey images, and go with it."""
    if grey:
        for path in project.glob("photos/*/*.jpg"):
            Image.open(path).convert("L").save(path)
    for arguments in (["--model", "resnet18"], [], ["--model", "mobilenet_v3_small"]):
        status, out = run(*arguments)
        assert status == 0, out
        check(load(Params))
        assert len(written()["features"]["layers"]) >= 3


def test_a_pretrained_backbone_leaves_nothing_behind(project, weights):  # noqa: ARG001
    """Values for its fine-tuning, such as AdamW, do not stay when a small network follows."""
    run()
    before = written()
    weights("resnet18")
    run("--model", "resnet18", "--weights", "weights/some.pth")
    assert written()["train"]["optimiser"] == "adamw"
    run()
    assert written() == before


def test_what_cannot_be_used_is_said(project):
    """What the stage data stops at is named with its reason, and it is not told to skip it."""
    (project / "photos/empty").mkdir()
    (project / "photos/cat/inner").mkdir()
    (project / "photos/dog/notes.txt").write_text("text")
    status, out = run()
    assert status == 0
    assert "- empty/: a class without images" in out
    assert "- cat/inner: a folder inside a class" in out
    assert "- dog/notes.txt: not a JPEG" in out
    assert written()["data"]["folder"]["on_error"] == "fail"


def test_what_would_not_pass_the_check_is_not_written(project):
    """A value that does not fit those that are proposed stands in the way, and is named."""
    path = project / "params.yaml"
    path.write_text(path.read_text().replace("val: 0.08", "val: 0.8"))
    before = path.read_text()
    status, out = run()
    assert (status, "Nothing was written, because params.yaml would not pass" in out, "val + gate" in out) == (
        2,
        True,
        True,
    )
    assert path.read_text() == before


@pytest.mark.parametrize("arguments", [[], ["--dry-run"]])
def test_a_wrong_key_or_value_is_told_before_the_images_are_looked_at(project, arguments):
    """Each with its line and what to do, as `fct check` tells it."""
    path = project / "params.yaml"
    path.write_text(path.read_text().replace("  epochs: 3", "  epoch: 3"))
    told = CliRunner().invoke(cli.main, ["check"]).output
    assert re.search(r"params\.yaml, line \d+: train\.epoch: unknown key\. Did you mean 'epochs'\?", told)
    assert run(*arguments) == (2, told)


def test_a_dry_run_needs_no_params(project):
    """The package's defaults take its place."""
    (project / "params.yaml").unlink()
    status, out = run("--dry-run")
    assert (status, "params.yaml is not here" in out, "registry.name: fct-photos" in out) == (0, True, True)


def test_the_number_of_gate_images_is_that_of_the_split(project):
    """It is rounded by class: of two classes of 4 images the split takes one each, while 15 % of all are 1.2."""
    for path in project.glob("photos/*/*.jpg"):
        if int(path.stem) >= 4:
            path.unlink()
    _, out = run()
    told = int(re.search(r"\((\d+) images decide promotions", out)[1])
    splits, originals = project / "splits", project / "originals"
    splits.mkdir()
    originals.mkdir()
    assert told == build(load(Params).data, splits, originals)["counts"]["gate"]


def test_comments_and_other_values_stay(project):
    """Only proposed keys change."""
    before = (project / "params.yaml").read_text().splitlines()
    run()
    after = (project / "params.yaml").read_text().splitlines()
    assert len(before) == len(after)
    assert [line for line in before if line.startswith("  - ")] == [line for line in after if line.startswith("  - ")]
    assert sum("#" in line for line in before) == sum("#" in line for line in after)


@pytest.mark.parametrize(
    ("folder", "name"), [("photos", "fct-photos"), ("Fotos 2026", "fct-fotos-2026"), ("写真", "fct-photographs")]
)
def test_models_of_a_folder_get_a_name_of_their_own(project, folder, name):
    """It is the folder's name, in letters that every registry takes."""
    (project / "photos").rename(folder)
    done = CliRunner().invoke(cli.main, ["init", "--data", folder])
    assert (done.exit_code, written()["registry"]["name"]) == (0, name), done.output


def test_a_name_that_was_chosen_for_a_folder_stays(project):
    """A second run leaves it."""
    run()
    path = project / "params.yaml"
    path.write_text(path.read_text().replace("name: fct-photos", "name: pets"))
    status, out = run()
    assert (status, written()["registry"]["name"], "registry.name" in out) == (0, "pets", False)


def test_a_dry_run_writes_nothing(project):
    """The values are shown alone."""
    status, out = run("--dry-run")
    assert (status, "Nothing was written" in out) == (0, True)
    assert (project / "params.yaml").read_text() == DEFAULTS.read_text()


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        (["--weights", "elsewhere.pth", "--model", "resnet18"], "is not in weights/"),
        (["--weights", "weights/some.pth", "--model", "resnet18"], "of another architecture than the model"),
        (["--weights", "weights/some.pth"], "name the backbone of these weights with --model"),
        (["--model", "resnet19"], "error: --model: no model is called 'resnet19'. Nearest: resnet18"),
        (
            ["--weights", "weights/some.pth", "--model", "resnet19"],
            "error: --model: no model is called 'resnet19'. Nearest: resnet18",
        ),
        (
            ["--weights", "weights/some.pth", "--model", "timm/resnet18.a1_in1"],
            "error: --model: timm has no weights 'a1_in1' of resnet18",
        ),
        (["--model", "timm/resnet18.a1_in1"], "timm has no weights 'a1_in1' of resnet18. It has timm/resnet18.a1_in1k"),
    ],
)
def test_what_cannot_be_proposed_is_an_error(project, arguments, error):
    """params.yaml stays as it is."""
    torch.save({"weight": torch.ones(1)}, "weights/some.pth")
    torch.save({"weight": torch.ones(1)}, "elsewhere.pth")
    status, out = run(*arguments)
    assert (status, error in out) == (2, True), out
    assert (project / "params.yaml").read_text() == DEFAULTS.read_text()


def test_weights_that_are_not_finite_are_an_error(project, weights):
    """They would be tried for minutes, and found no better than chance."""
    weights("resnet18")
    state = torch.load("weights/some.pth")
    torch.save({name: value * float("nan") for name, value in state.items()}, "weights/some.pth")
    status, out = run("--model", "resnet18", "--weights", "weights/some.pth")
    assert (status, "error: --weights: weights/some.pth has values that are not finite, in conv1.weight" in out) == (
        2,
        True,
    ), out
    assert (project / "params.yaml").read_text() == DEFAULTS.read_text()


def test_a_class_that_is_too_small_is_an_error(project):
    """Each split needs an image of each class."""
    for number in range(3, 20):
        (project / f"photos/dog/{number}.jpg").unlink()
    status, out = run()
    assert (status, "the class dog has 3 of the 4 images" in out, "data.source" in out) == (2, True, False), out


def test_a_folder_without_params_is_an_error_at_once(project):
    """Nothing is looked at for minutes and then not written."""
    (project / "params.yaml").unlink()
    assert run() == (2, "error: params.yaml is not here. Run the command in the folder that has it.\n")
