"""The evaluate stage: outs that follow from content alone."""

import csv
import hashlib
import json
from pathlib import Path

import numpy as np
import pytest

from fct.core.errors import FctError
from fct.core.params import load
from fct.evaluate import __main__ as evaluate

pytestmark = pytest.mark.usefixtures("workplace")

OUTS = ("evaluation", "metrics/evaluate.json", "plots")


def outs():
    """Return the digest of every file the stage writes."""
    files = [path for out in OUTS for path in (sorted(Path(out).rglob("*")) if Path(out).is_dir() else [Path(out)])]
    return {str(path): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def test_the_outs_are_the_contract():
    """Predictions of both splits, what they are of, metrics, table and picture."""
    evaluate.measure(load(evaluate.Params))
    assert set(outs()) == {
        "evaluation/gate-confidence.npy",
        "evaluation/gate.npy",
        "evaluation/meta.json",
        "evaluation/test-confidence.npy",
        "evaluation/test.npy",
        "metrics/evaluate.json",
        "plots/accuracy.csv",
        "plots/accuracy.png",
    }
    meta = json.loads(Path("evaluation/meta.json").read_text())
    assert meta["model_sha256"] == hashlib.sha256(Path("model/model.onnx").read_bytes()).hexdigest()
    assert meta["views"] == ["raw", "q5", "q50", "q95", *(f"blur/{severity}" for severity in range(1, 6))]
    assert {name: split["images"] for name, split in meta["splits"].items()} == {"gate": 60, "test": 40}
    predicted = np.load("evaluation/gate.npy")
    assert (predicted.shape, predicted.dtype) == ((9, 60), np.int64)


def test_the_numbers_are_those_of_the_predictions():
    """Six of 60 and of 40 labels are wrong, so the model that sees dark and bright is right on the others."""
    evaluate.measure(load(evaluate.Params))
    metrics = json.loads(Path("metrics/evaluate.json").read_text())
    assert metrics["gate"]["raw"]["value"] == pytest.approx(54 / 60)
    assert metrics["test"]["raw"]["value"] == pytest.approx(34 / 40)
    with Path("plots/accuracy.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["quality"] for row in rows] == ["5", "50", "95"]
    assert np.mean([float(row["gate"]) for row in rows]) == pytest.approx(metrics["gate"]["mean"]["value"], abs=1e-6)
    worst = min(rows, key=lambda row: float(row["test"]))
    assert metrics["test"]["worst"]["quality"] == int(worst["quality"])


def test_the_same_inputs_give_the_same_bytes():
    """A second run writes every file anew with the same content."""
    evaluate.measure(load(evaluate.Params))
    first = outs()
    evaluate.measure(load(evaluate.Params))
    assert outs() == first


def test_a_model_of_other_classes_is_refused(bright):
    """Classes of the same number in another order are another model; the error names both, and nothing is written."""
    bright(metadata={"fct.classes": '["bright", "dark"]'})
    with pytest.raises(FctError, match="its classes are bright, dark; the data have dark, bright"):
        evaluate.measure(load(evaluate.Params))
    assert not any(Path(out).exists() for out in OUTS)


def test_without_a_model_the_error_says_what_makes_it():
    """A missing model is an error for people."""
    Path("model/model.onnx").unlink()
    with pytest.raises(FctError, match=r"model/model\.onnx is not here\. Make it with `dvc repro export@model`\."):
        evaluate.measure(load(evaluate.Params))


def test_the_stage_reads_its_sections_only():
    """The stage sees the sections jpeg and evaluate, and no others."""
    assert set(load(evaluate.Params).model_dump()) == {"jpeg", "evaluate"}
