"""A damaged cache is found, and rebuilt by the command that is said."""

import re
import shlex

import pytest

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600)]


def flip(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def cut(path):
    path.write_bytes(path.read_bytes()[:-1])


@pytest.mark.parametrize("harm", [flip, cut])
def test_a_damaged_cache_is_found_and_rebuilt(copy, finished, harm):
    """One flipped bit, or one byte less: the doctor names the file and a command, after which all is whole."""
    assert "whole" in copy.run("fct", "doctor")
    harm(copy.folder / "data/cache/q50/train-00000.npy")
    said = copy.run("fct", "doctor", status=1)
    (command,) = re.findall(r"cache at quality 50: data/cache/q50/train-00000\.npy is damaged .*`(.*)`", said)
    copy.run(*shlex.split(command))
    findings = [
        line for line in copy.run("fct", "doctor").splitlines() if not line.startswith("disk:")
    ]  # names folders
    assert not [line for line in findings if "damaged" in line]
    assert copy.contents("data/cache/q50") == finished.contents("data/cache/q50")


def test_a_cache_that_was_cut_short_is_never_trained_on(copy):
    """Opening it is enough to know; the error names the command that rebuilds it."""
    copy.forget_training()
    cut(copy.folder / "data/cache/q50/train-00000.npy")
    said = copy.run("python", "-m", "fct.train", status=2)
    assert "data/cache/q50 is damaged" in said
    assert "dvc repro --force --single-item cache@50" in said
    assert "Traceback" not in said


def test_a_file_that_was_not_verified_is_not_there(copy):
    """An export whose logits differ by more than is allowed leaves nothing that `fct predict` could use."""
    copy.change({"export.tolerance": 1e-12})
    assert "does not compute the same as the network" in copy.run("dvc", "repro", "export@model", status=255)
    assert not (copy.folder / "model/model.onnx").exists()
