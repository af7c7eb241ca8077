"""Thresholds allow for the uncertainty that the gate will have, with as many images as its slices have."""

import json

import numpy as np
import pytest

from fct.cli.thresholds import propose_thresholds
from fct.evaluate.intervals import proportion
from fct.splits.store import write_split

CORRECT = np.arange(100) >= 20  # of each hundred images


@pytest.fixture
def project(tmp_path, monkeypatch, bright):
    """Stand in a project whose `standard` is right about 80 of 100 images, however they are blurred."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "data/splits").mkdir(parents=True)
    for name, count in (("val", 200), ("gate", 800)):
        labels = np.arange(count) // 100 % 2
        images = np.full((count, 8, 8, 1), 20, np.uint8) + (labels * 200).astype(np.uint8)[:, None, None, None]
        told = np.where(np.tile(CORRECT, count // 100), labels, 1 - labels)
        write_split(tmp_path / "data/splits" / name, images, told, np.full(count, 100))
    (tmp_path / "data/splits/meta.json").write_text(json.dumps({"classes": ["dark", "bright"], "digest": "0"}))
    (tmp_path / "data/originals").mkdir()
    (tmp_path / "data/originals/meta.json").write_text('{"native": false}')
    bright().rename(tmp_path / "model/standard.onnx")
    return tmp_path


def propose(project, piece, unseen_images):
    """Return the threshold of the one line of the gate."""
    (project / "params.yaml").write_text(
        'jpeg: {subsampling: "4:2:0"}\n'
        f"evaluate: {{qualities: [50], unseen: [blur], unseen_images: {unseen_images}, batch_size: 16,\n"
        "           confidence: 0.95}\n"
        f"gate: [{{slice: {piece}, metric: accuracy, at_least: 0.5}}]\n"
    )
    (found,) = propose_thresholds()
    return found.threshold


def threshold(images):
    """Return the threshold for 80 right answers of 100 on so many images."""
    low = proportion(np.tile(CORRECT, images // 100), 0.95).low
    return pytest.approx(np.floor(100 * (low - 0.01)) / 100)


@pytest.mark.parametrize("piece", ["unseen", "worst-unseen", "blur"])
def test_unseen_distortions_are_judged_on_the_gates_sample(project, piece):
    """The gate measures them on 100 images, as val does, however many images it has."""
    assert threshold(100) != threshold(400)
    assert propose(project, piece, 100) == threshold(100)


@pytest.mark.parametrize(("piece", "unseen_images"), [("raw", 100), ("unseen", "null")])
def test_without_a_sample_all_images_of_the_gate_count(project, piece, unseen_images):
    """It has 800, and val has 200."""
    assert propose(project, piece, unseen_images) == threshold(800)


def test_a_standard_that_guesses_is_told(project, capsys):
    """Thresholds below chance would let any model pass."""
    propose(project, "raw", 100)
    assert not capsys.readouterr().err
    labels = np.load(project / "data/splits/val/labels.npy")
    np.save(project / "data/splits/val/labels.npy", 1 - labels)
    propose(project, "raw", 100)
    assert "standard.onnx: accuracy on 200 raw images is 0.2, no better than chance (0.5)" in capsys.readouterr().err


def test_a_threshold_below_chance_is_told(project, capsys):
    """58 right answers of 100 are sure to be better than chance on the 200 raw images, not on a sample of them."""
    labels = np.load(project / "data/splits/val/labels.npy")
    labels[[*range(20, 42), *range(120, 142)]] = 1 - labels[[*range(20, 42), *range(120, 142)]]
    np.save(project / "data/splits/val/labels.npy", labels)
    propose(project, "raw", 100)
    assert not capsys.readouterr().err
    assert propose(project, "unseen", 100) < 0.5
    assert capsys.readouterr().err == (
        "warning: gate.0.at_least: below chance (0.5), where a model that guesses may pass. Ask for more.\n"
    )
