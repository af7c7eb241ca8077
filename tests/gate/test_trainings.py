"""metrics/spread.json, and the lines of the gate that need it."""

from pathlib import Path

import pytest

from fct.core.errors import FctError
from fct.evaluate.params import EvaluateParams
from fct.gate import trainings
from fct.gate.params import CheckParams
from fct.gate.trainings import NONE, Spread, Trainings

DIGEST = "0123456789abcdef"
EVALUATE = EvaluateParams(qualities=(10,), unseen=(), unseen_images=None, batch_size=1, confidence=0.95)
LINE = CheckParams(slice="raw", metric="accuracy", at_least=0.8, over="trainings")
THREE = Trainings((0, 1, 2), {"raw_accuracy": (0.8, 0.84, 0.82)}, DIGEST, EVALUATE.conditions)


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("params.yaml").write_text("gate:\n  - {slice: raw, metric: accuracy, at_least: 0.8, over: trainings}\n")


@pytest.mark.parametrize("content", [THREE, NONE], ids=["three", "none"])
def test_what_is_written_is_read(content):
    """The file has the seeds, the values and what they are of."""
    content.write()
    assert trainings.read() == content


def test_the_spread_is_that_of_single_trainings():
    """Of 0.8, 0.82 and 0.84: mean 0.82, deviation 0.02."""
    assert Spread.of((0.8, 0.84, 0.82)) == pytest.approx((0.82, 0.02, 0.8, 0.84))


def test_without_such_a_line_no_file_is_needed():
    """A gate about one training judges without metrics/spread.json."""
    assert trainings.read_for([LINE.model_copy(update={"over": "images"})], DIGEST, EVALUATE) == NONE


def test_a_line_over_trainings_gets_them():
    """The trainings on the judged images, under the judge's conditions, are taken."""
    THREE.write()
    assert trainings.read_for([LINE], DIGEST, EVALUATE) == THREE


def test_without_trainings_the_error_names_the_line_and_the_key():
    """Where spread.trainings was 0, the error says what to set."""
    NONE.write()
    with pytest.raises(FctError, match=r"line 2: gate\.0\.over: .* has none\. Set spread\.trainings"):
        trainings.read_for([LINE], DIGEST, EVALUATE)


@pytest.mark.parametrize(
    ("line", "digest", "changed", "message"),
    [
        (LINE, "another", {}, "its trainings were measured on other images or views"),
        (LINE, DIGEST, {"confidence": 0.9}, "its trainings were measured on other images or views"),
        (LINE, DIGEST, {"unseen_images": 100}, "its trainings were measured on other images or views"),
        (LINE.model_copy(update={"slice": "q10"}), DIGEST, {}, "it has no q10_accuracy"),
        (LINE.model_copy(update={"at_least": None, "at_most": 0.9}), DIGEST, {}, "it has no raw_accuracy_at_most"),
    ],
)
def test_trainings_of_something_else_are_refused(line, digest, changed, message):
    """Other images, other conditions and a line that was not measured each have an error that says what to do."""
    THREE.write()
    with pytest.raises(FctError, match=rf"metrics/spread\.json: {message}\. Make it with `dvc repro spread`"):
        trainings.read_for([line], digest, EVALUATE.model_copy(update=changed))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "is not here"),
        ("{", "is damaged"),
        ("[]", "is damaged"),
        ('{"seeds": [0, 1], "checks": {"raw_accuracy": {}}, "digest": null, "conditions": {}}', "is damaged"),
        (
            '{"seeds": [0, 1], "checks": {"a": {"values": [1]}}, "digest": null, "conditions": {}}',
            "each of the 2 seeds",
        ),
    ],
)
def test_a_bad_file_is_refused(content, message):
    """A missing or damaged file is an error that says what makes it."""
    if content is not None:
        Path("metrics").mkdir()
        Path("metrics/spread.json").write_text(content)
    with pytest.raises(FctError, match=rf"metrics/spread\.json.* {message}"):
        trainings.read()
