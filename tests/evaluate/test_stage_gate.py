"""The gate stage: a verdict on the file that was evaluated, and no other."""

import json
from pathlib import Path

import pytest

from fct.core.params import load
from fct.stages import evaluate, gate


@pytest.fixture
def evaluated(workplace):
    evaluate.measure(load(evaluate.Params))
    return workplace


def set_params(before, after):
    path = Path("params.yaml")
    assert before in path.read_text()
    path.write_text(path.read_text().replace(before, after))


def refused(capsys):
    """Run the gate, which must refuse to judge, and return what it says."""
    with pytest.raises(SystemExit, match="1"):
        gate.main()
    assert not Path("metrics/gate.json").exists()
    return capsys.readouterr().err


def test_a_good_model_passes(evaluated, capsys):
    """The verdict is PASS, of this file and these images, in words and in metrics/gate.json."""
    gate.main()
    found = json.loads(Path("metrics/gate.json").read_text())
    meta = json.loads(Path("evaluation/meta.json").read_text())
    assert found["verdict"] == "PASS"
    assert found["model_sha256"] == meta["model_sha256"]
    assert found["split"] == {"name": "gate", **meta["splits"]["gate"]}
    out = capsys.readouterr().out
    assert "gate: PASS" in out
    assert "\033" not in out


def test_the_accuracies_are_those_of_the_evaluation(evaluated):
    """The gate's values and intervals are the ones that the evaluation reports for the gate split."""
    checks = {check["name"]: check for check in gate.judge(load(gate.Params))["checks"]}
    metrics = json.loads(Path("metrics/evaluate.json").read_text())["gate"]
    for check, metric in (("clean", "raw"), ("mean", "mean"), ("worst", "worst")):
        for part in ("value", "low", "high"):
            assert checks[check][part] == metrics[metric][part]


def test_a_failed_gate_is_a_result(evaluated, capsys):
    """A floor that the point reaches but the bound does not gives FAIL, a verdict file, and a normal end."""
    set_params("clean: 0.7", "clean: 0.85")
    gate.main()
    found = json.loads(Path("metrics/gate.json").read_text())
    clean = found["checks"][0]
    assert clean["low"] < 0.85 < clean["value"]
    assert [check["name"] for check in found["checks"] if not check["passed"]] == ["clean"]
    assert found["verdict"] == "FAIL"
    assert "gate: FAIL" in capsys.readouterr().out


def test_the_same_inputs_give_the_same_bytes(evaluated):
    """A second run writes the same verdict."""
    gate.main()
    first = Path("metrics/gate.json").read_bytes()
    gate.main()
    assert Path("metrics/gate.json").read_bytes() == first


def test_the_test_split_has_no_say(evaluated):
    """Test only reports: without its images and predictions the verdict is the same."""
    first = gate.judge(load(gate.Params))
    Path("evaluation/test.npy").unlink()
    Path("data/splits/test/images.npy").unlink()
    assert gate.judge(load(gate.Params)) == first


def test_an_evaluation_of_another_file_is_refused(evaluated, bright, capsys):
    """A model exported after the evaluation is not judged by it."""
    bright(metadata={"fct.classes": '["dark", "bright"]', "fct.params_digest": '"new"'})
    assert "evaluation is of the model" in refused(capsys)


def test_an_export_of_another_file_is_refused(evaluated, capsys):
    """Export metrics that tell another size than the file has are of another export."""
    Path("metrics/export.json").write_text('{"parity": 0.0, "file_bytes": 7}')
    assert "file_bytes is 7, but model/model.onnx has" in refused(capsys)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (None, "metrics/export.json is not here. Make it with `dvc repro export`."),
        ("{}", "metrics/export.json is damaged (KeyError: 'parity')"),
        ("[1]", "metrics/export.json is damaged"),
        ('{"parity": NaN, "file_bytes": 7}', "parity is nan, not a finite number"),
    ],
)
def test_bad_export_metrics_are_refused(evaluated, capsys, content, said):
    """Missing or unreadable export metrics are an error that says what to do."""
    path = Path("metrics/export.json")
    path.unlink()
    if content is not None:
        path.write_text(content)
    assert said in refused(capsys)


def test_without_a_model_there_is_no_verdict(evaluated, capsys):
    """A missing model is an error, even if its evaluation is there."""
    Path("model/model.onnx").unlink()
    assert "model/model.onnx is not here" in refused(capsys)
