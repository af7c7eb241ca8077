"""Thresholds of the gate follow from what the network without robustness does."""

import re

import pytest
from ruamel.yaml import YAML

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600)]


def lines(project):
    return YAML(typ="safe").load(project.folder / "params.yaml")["gate"]


def test_accuracy_calibration_and_size_follow_from_standard(copy):
    """Lines of accuracy come below what `standard` has on validation images, of ece and the size above; others stay."""
    before = lines(copy)
    out = copy.run("fct", "thresholds")
    has = {name: float(value) for name, value in re.findall(r"^(\w+) +standard has ([\d.]+)", out, re.MULTILINE)}
    after = lines(copy)
    assert {"raw_accuracy", "mean_accuracy", "mean_ece", "file_mib"} <= has.keys()
    for old, new in zip(before, after, strict=True):
        if new["metric"] == "accuracy" and "at_least" in new:
            assert 0 <= new["at_least"] < has[f"{new['slice']}_accuracy"]
        elif new["metric"] == "ece":
            assert has[f"{new['slice']}_ece"] < new["at_most"] <= 1
        elif new["metric"] == "file_mib":
            assert has["file_mib"] < new["at_most"] < 1.5 * has["file_mib"]
        else:
            assert new == old


def test_a_dry_run_changes_nothing(copy):
    """It shows the thresholds alone."""
    before = (copy.folder / "params.yaml").read_text()
    assert "Nothing was written" in copy.run("fct", "thresholds", "--dry-run")
    assert (copy.folder / "params.yaml").read_text() == before


def test_without_the_network_it_says_how_to_make_it(copy):
    """The export of `standard` is a stage of its own."""
    (copy.folder / "model/standard.onnx").unlink()
    assert "dvc repro export@standard" in copy.run("fct", "thresholds", status=2)
