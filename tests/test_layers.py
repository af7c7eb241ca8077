"""`fct layers` shows what a model is made of, in the words that params.yaml takes."""

import shutil
from pathlib import Path

import pytest
from click.testing import CliRunner

from fct.cli import main


@pytest.fixture
def told(tmp_path, monkeypatch):
    """Run the command in a folder with the repository's params.yaml; return its lines."""
    shutil.copy(Path(__file__).parents[1] / "params.yaml", tmp_path)
    monkeypatch.chdir(tmp_path)

    def run(*arguments):
        done = CliRunner().invoke(main, ["layers", *arguments])
        assert done.exit_code == 0, done.output
        return done.output.splitlines()

    return run


def test_the_model_of_params_is_listed(told):
    """Without a name: shapes at 32 pixels in colour where there are no data, parameters, and the cost of a block."""
    stage = next(line.split() for line in told() if line.startswith("stage2 "))
    assert stage == ["stage2", "Sequential", "16", "x", "16", "x", "16", "3,680", "624"]


def test_two_levels_are_shown_unless_all_are_asked_for(told):
    """The outer ones are what one chooses from; --all names every module."""
    few, every = told("resnet18"), told("resnet18", "--all")
    assert any(line.startswith("layer1.0 ") for line in few)
    assert not any(line.startswith("layer1.0.conv1") for line in few)
    assert any(line.startswith("layer1.0.conv1 ") for line in every)


def test_tokens_and_what_gives_none(told):
    """A transformer's layers show tokens by channels; an output that is no tensor has neither shape nor block."""
    lines = {line.split()[0]: line.split() for line in told("vit_b_32", "--all", "--size", "32")}
    assert lines["encoder.layers.encoder_layer_0"][2:5] == ["2", "x", "768"]
    assert lines["encoder.layers.encoder_layer_0.self_attention"][2] == "-"
    assert lines["encoder.layers.encoder_layer_0.self_attention"][-1] == "-"


def test_grey_images_of_another_size(told):
    """--size and --channels say what the images are like."""
    assert (
        next(line.split() for line in told("--size", "28", "--channels", "1") if line.startswith("stage1 "))[2] == "8"
    )


def test_an_unknown_model_is_answered_with_the_nearest(told):
    """Status 1, and names that exist."""
    told()
    done = CliRunner().invoke(main, ["layers", "resnet17"])
    assert done.exit_code == 1
    assert "Nearest: resnet" in done.output
