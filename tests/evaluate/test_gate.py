"""Each check of the gate, and the verdict they make."""

import io
import json

import pytest

from fct.evaluate import gate
from fct.evaluate.intervals import Estimate, Summary
from fct.evaluate.params import GateParams

THRESHOLDS = GateParams(clean=0.8, mean=0.7, worst=0.6, parity=0.001, file_mib=2.0)


def judged(*, raw=0.9, mean=0.9, worst=0.9, parity=0.0, file_bytes=1000, margin=0.0):
    """Return the checks by name for accuracies with an interval of ± `margin`."""
    around = (Estimate(value, value - margin, value + margin) for value in (raw, mean, worst))
    clean, over, low = around
    measured = Summary(clean, {5: low}, over, low, 5)
    checks = gate.judge(measured, parity=parity, file_bytes=file_bytes, thresholds=THRESHOLDS)
    return {check.name: check for check in checks}


@pytest.mark.parametrize(
    ("name", "measured", "at", "better", "worse"),
    [
        ("clean", "raw", 0.8, 0.8001, 0.7999),
        ("mean", "mean", 0.7, 0.7001, 0.6999),
        ("worst", "worst", 0.6, 0.6001, 0.5999),
        ("parity", "parity", 0.001, 0.0009, 0.0011),
        ("file_mib", "file_bytes", 2 << 20, (2 << 20) - 1, (2 << 20) + 1),
    ],
)
def test_a_check_passes_at_its_threshold_and_on_its_better_side(name, measured, at, better, worse):
    """At the threshold and beyond it a check passes, just short of it it fails, and no other check is touched."""
    assert judged(**{measured: at})[name].passed
    assert judged(**{measured: better})[name].passed
    assert [check.name for check in judged(**{measured: worse}).values() if not check.passed] == [name]


@pytest.mark.parametrize(
    ("name", "measured", "value"), [("clean", "raw", 0.82), ("mean", "mean", 0.72), ("worst", "worst", 0.62)]
)
def test_an_accuracy_must_reach_its_floor_on_the_bound(name, measured, value):
    """A point above the floor fails where the interval reaches below it, and passes where it does not."""
    assert not judged(**{measured: value}, margin=0.03)[name].passed
    assert judged(**{measured: value}, margin=0.01)[name].passed


def test_exact_quantities_are_their_own_bounds():
    """Parity and file size carry no interval."""
    checks = judged(parity=0.0005, file_bytes=1 << 20, margin=0.05)
    assert checks["parity"].estimate == Estimate(0.0005, 0.0005, 0.0005)
    assert checks["file_mib"].estimate == Estimate(1.0, 1.0, 1.0)


def made(**measured):
    checks = list(judged(**measured).values())
    return gate.verdict(checks, model_sha256="ab" * 32, images=4800, digest="0123456789abcdef", confidence=0.95)


def test_the_verdict_is_the_contract():
    """The verdict has exactly the agreed keys, and survives JSON unchanged."""
    found = made(margin=0.01)
    assert json.loads(json.dumps(found, allow_nan=False)) == found
    assert {key: found[key] for key in found if key != "checks"} == {
        "verdict": "PASS",
        "model_sha256": "ab" * 32,
        "split": {"name": "gate", "images": 4800, "digest": "0123456789abcdef"},
        "confidence": 0.95,
    }
    assert [check["name"] for check in found["checks"]] == ["clean", "mean", "worst", "parity", "file_mib"]
    assert found["checks"][0] == {
        "name": "clean",
        "value": 0.9,
        "low": pytest.approx(0.89),
        "high": pytest.approx(0.91),
        "threshold": 0.8,
        "direction": "at least",
        "passed": True,
    }
    assert found["checks"][3]["direction"] == found["checks"][4]["direction"] == "at most"


def test_one_failed_check_fails_the_verdict():
    """All checks must pass."""
    assert made(parity=1.0)["verdict"] == "FAIL"


def test_the_metrics_are_numbers():
    """A tracking server gets each check's value, and 1 or 0 for what passed."""
    found = gate.metrics(made(parity=1.0))
    assert (found["gate_passed"], found["gate_parity_passed"], found["gate_clean_passed"]) == (0, 0, 1)
    assert (found["gate_clean"], found["gate_parity"]) == (0.9, 1.0)


def test_the_table_says_every_check_in_words():
    """Without colour the table has plain words only: a line a check, the failed one marked, and the verdict."""
    lines = gate.table(made(worst=0.5, margin=0.01), colour=False).splitlines()
    assert len(lines) == 7
    assert lines[1].split() == ["clean", "0.9", "0.8900", "to", "0.9100", "at", "least", "0.8", "PASS"]
    assert lines[3].endswith("at least 0.6     FAIL")
    assert lines[-1] == "gate: FAIL on 4,800 images, model abababababab"


def test_the_table_colours_pass_and_fail():
    """With colour PASS is green and FAIL is red."""
    text = gate.table(made(worst=0.5), colour=True)
    assert text.count("\033[32mPASS\033[0m") == 4
    assert text.count("\033[31mFAIL\033[0m") == 2  # the check and the verdict


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_colour_is_for_terminals_that_allow_it(monkeypatch):
    """A terminal gets colour unless NO_COLOR is set; a file or pipe never does."""
    monkeypatch.delenv("NO_COLOR", raising=False)
    assert gate.wants_colour(Terminal())
    assert not gate.wants_colour(io.StringIO())
    monkeypatch.setenv("NO_COLOR", "1")
    assert not gate.wants_colour(Terminal())
