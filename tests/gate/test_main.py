"""The gate stage: a verdict on the file that was evaluated, and no other."""

import json
from pathlib import Path

import pytest

from fct.core.errors import FctError
from fct.core.params import load
from fct.evaluate import __main__ as evaluate
from fct.gate import __main__ as gate
from fct.gate.trainings import NONE, Trainings

pytestmark = pytest.mark.usefixtures("evaluated")


@pytest.fixture
def evaluated(workplace):
    evaluate.measure(load(evaluate.Params))
    return workplace


def judge():
    return gate.judge_model(load(gate.Params))


def checks():
    return {check["name"]: check for check in judge()["checks"]}


def set_params(before, after):
    path = Path("params.yaml")
    assert before in path.read_text()
    path.write_text(path.read_text().replace(before, after))


def test_a_good_model_passes():
    """The verdict is PASS, of this file and these images, and stands in metrics/gate.json."""
    verdict = judge()
    meta = json.loads(Path("evaluation/meta.json").read_text())
    assert verdict["verdict"] == "PASS"
    assert verdict["model_sha256"] == meta["model_sha256"]
    assert verdict["split"] == {"name": "gate", **meta["splits"]["gate"]}
    assert json.loads(Path("metrics/gate.json").read_text()) == verdict


def test_the_accuracies_are_those_of_the_evaluation():
    """The gate's values and intervals are the ones that the evaluation reports for the gate split."""
    verdict = checks()
    metrics = json.loads(Path("metrics/evaluate.json").read_text())["gate"]
    for check, metric in (("raw_accuracy", "raw"), ("mean_accuracy", "mean"), ("worst_accuracy", "worst")):
        for part in ("value", "low", "high"):
            assert verdict[check][part] == metrics[metric][part]


def test_the_confidence_moves_the_bound_not_the_value():
    """With more confidence asked for, the same predictions have lower bounds, and the verdict says which it was."""
    before = checks()
    set_params("confidence: 0.95", "confidence: 0.99")
    verdict = judge()
    assert verdict["confidence"] == 0.99
    for check in verdict["checks"][:3]:
        assert check["low"] < before[check["name"]]["low"]
        assert check["value"] == before[check["name"]]["value"]


def test_a_failed_gate_is_a_result():
    """A floor that the point reaches but the bound does not gives FAIL and a verdict file like any other."""
    set_params("slice: raw, metric: accuracy, at_least: 0.7", "slice: raw, metric: accuracy, at_least: 0.85")
    verdict = judge()
    clean = verdict["checks"][0]
    assert clean["low"] < 0.85 < clean["value"]
    assert [check["name"] for check in verdict["checks"] if not check["passed"]] == ["raw_accuracy"]
    assert verdict["verdict"] == "FAIL"
    assert json.loads(Path("metrics/gate.json").read_text()) == verdict


def test_a_line_about_a_champion_is_left_to_the_promotion():
    """The stage knows no registry: of six lines it judges five."""
    assert len(checks()) == 5


@pytest.mark.parametrize(
    ("name", "problem"),
    [
        ("q10", "'q10' is not measured"),
        ("webp", "'webp' is not measured"),
        ("wrost", "there is no slice 'wrost'. Did you mean 'worst'"),
    ],
)
def test_a_slice_that_was_not_measured_is_refused(name, problem):
    """The line, the slice, and what there is instead."""
    set_params("slice: worst", f"slice: {name}")
    with pytest.raises(FctError, match=rf"params\.yaml, line 7: gate\.2\.slice: {problem}"):
        judge()


def test_latency_is_measured_where_it_is_asked_for():
    """Milliseconds of one image, on this machine, with an interval."""
    set_params("  - {metric: parity", "  - {metric: latency_ms, at_most: 1000}\n  - {metric: parity")
    verdict = checks()["latency_ms"]
    assert 0 < verdict["low"] <= verdict["value"] <= verdict["high"] < 1000


def test_the_same_inputs_give_the_same_bytes():
    """A second run writes the same verdict."""
    judge()
    first = Path("metrics/gate.json").read_bytes()
    judge()
    assert Path("metrics/gate.json").read_bytes() == first


def test_the_test_split_has_no_say():
    """Test only reports: without its images and predictions the verdict is the same."""
    first = judge()
    Path("evaluation/test.npy").unlink()
    Path("data/splits/test/images.npy").unlink()
    assert judge() == first


def test_an_evaluation_of_another_file_is_refused(bright):
    """A model exported after the evaluation is not judged by it."""
    bright(metadata={"fct.classes": '["dark", "bright"]', "fct.params_digest": '"new"'})
    with pytest.raises(FctError, match="evaluation is about the model"):
        judge()
    assert not Path("metrics/gate.json").exists()


def test_an_export_of_another_file_is_refused():
    """Export metrics that tell another size than the file has are of another export."""
    Path("metrics/export-model.json").write_text('{"parity": 0.0, "file_bytes": 7}')
    with pytest.raises(FctError, match=r"file_bytes is 7, but model/model\.onnx has"):
        judge()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, r"metrics/export-model\.json is not here\. Make it with `dvc repro export@model`\."),
        ("{}", r"metrics/export-model\.json is damaged \(KeyError: 'parity'\)"),
        ("[1]", r"metrics/export-model\.json is damaged"),
        ('{"parity": NaN, "file_bytes": 7}', "parity is nan, not a finite number"),
    ],
)
def test_bad_export_metrics_are_refused(content, message):
    """Missing or unreadable export metrics are an error that says what to do."""
    path = Path("metrics/export-model.json")
    path.unlink()
    if content is not None:
        path.write_text(content)
    with pytest.raises(FctError, match=message):
        judge()


def test_without_a_model_there_is_no_verdict():
    """A missing model is an error, even if its evaluation is there."""
    Path("model/model.onnx").unlink()
    with pytest.raises(FctError, match=r"model/model\.onnx is not here"):
        judge()


def ask_for_trainings():
    set_params(
        "  - {metric: parity", "  - {slice: raw, metric: accuracy, at_least: 0.7, over: trainings}\n  - {metric: parity"
    )


def write_trainings(*values):
    split = json.loads(Path("evaluation/meta.json").read_text())["splits"]["gate"]
    conditions = load(gate.Params).evaluate.conditions
    Trainings(tuple(range(len(values))), {"raw_accuracy": values}, split["digest"], conditions).write()


@pytest.mark.parametrize(("values", "verdict"), [((0.85, 0.86, 0.87), "PASS"), ((0.6, 0.8, 1.0), "FAIL")])
def test_a_line_over_trainings_is_about_their_mean(values, verdict):
    """A configuration whose trainings agree passes; one whose trainings differ much fails with a mean as good."""
    ask_for_trainings()
    write_trainings(*values)
    judged = checks()
    assert judged["raw_accuracy_over_trainings"]["value"] == pytest.approx(sum(values) / 3)
    assert judged["raw_accuracy"]["passed"]
    assert judge()["verdict"] == verdict


def test_without_trainings_such_a_line_is_an_error():
    """The error names the key that says how many trainings there are, and no verdict is written."""
    ask_for_trainings()
    NONE.write()
    with pytest.raises(FctError, match=r"gate\.3\.over: .* has none\. Set spread\.trainings in params\.yaml"):
        judge()
    assert not Path("metrics/gate.json").exists()


@pytest.mark.usefixtures("place")
def test_a_verdict_about_one_training_says_so(capsys):
    """The command's last line says what the verdict does not cover, unless a line is over trainings."""
    gate.main()
    assert capsys.readouterr().out.splitlines()[-1] == "about one training: `fct spread` shows how much others differ"
    ask_for_trainings()
    write_trainings(0.85, 0.86, 0.87)
    gate.main()
    assert capsys.readouterr().out.splitlines()[-1].startswith("gate: PASS")
