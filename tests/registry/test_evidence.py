"""A gate that is weaker than the champion's is refused, in whichever point it is weaker."""

import json
from dataclasses import replace

import pytest

from fct.core.errors import FctError
from fct.registry.evidence import Evidence, refuse_weaker
from fct.registry.versions import Version

LINES = {
    "raw_accuracy": ["at least", 0.7],
    "raw_ece": ["at most", 0.1],
    "parity": ["at most", 0.001],
    "mean_accuracy_vs_champion": ["at least", -0.01],
}
CONDITIONS = {"confidence": 0.95, "qualities": [10, 50], "unseen": ["webp", "blur"]}
TODAY = Evidence("fp32", "ab" * 32, {}, "c0ffee", {}, LINES, CONDITIONS)


def champion(lines=LINES, conditions=CONDITIONS, precision="fp32"):
    tags = {"fct.gate": json.dumps(lines), "fct.yardstick": json.dumps(conditions), "fct.precision": precision}
    return Version("7", tags)


@pytest.mark.parametrize(
    ("lines", "conditions", "message"),
    [
        ({"raw_accuracy": ["at least", 0.69]}, {}, "raw_accuracy: at least 0.7 then, at least 0.69 now"),
        ({"raw_ece": ["at most", 0.11]}, {}, "raw_ece: at most 0.1 then, at most 0.11 now"),
        ({"raw_ece": None}, {}, "raw_ece: at most 0.1 then, nothing now"),
        (
            {"mean_accuracy_vs_champion": ["at least", -0.02]},
            {},
            "mean_accuracy_vs_champion: at least -0.01 then, at least -0.02 now",
        ),
        ({}, {"confidence": 0.9}, "evaluate.confidence: 0.95 then, 0.9 now"),
        ({}, {"qualities": [50]}, "evaluate.qualities: 10 then, not now"),
        ({}, {"unseen": ["webp"]}, "evaluate.unseen: blur then, not now"),
    ],
)
def test_each_way_to_be_weaker_is_refused_by_name(lines, conditions, message):
    """The error names a looser or missing line, a lower confidence, and views that are left out."""
    remaining = {name: line for name, line in (LINES | lines).items() if line is not None}
    with pytest.raises(FctError, match="weaker than the one that the champion, version 7, passed") as caught:
        refuse_weaker(champion(), replace(TODAY, lines=remaining, conditions=CONDITIONS | conditions))
    assert [line for line in str(caught.value).splitlines() if line.startswith("  ")] == [f"  {message}"]


@pytest.mark.parametrize(
    ("lines", "conditions"),
    [
        ({}, {}),
        ({"raw_accuracy": ["at least", 0.71], "raw_ece": ["at most", 0.09]}, {}),
        ({"worst_accuracy": ["at least", 0.5]}, {}),
        ({}, {"confidence": 0.99}),
        ({}, {"qualities": [5, 50, 10], "unseen": ["avif", "blur", "webp"]}),
    ],
)
def test_an_equal_or_stricter_gate_is_accepted(lines, conditions):
    """The same gate, stricter lines, more lines, more confidence and more views are accepted."""
    refuse_weaker(champion(), replace(TODAY, lines=LINES | lines, conditions=CONDITIONS | conditions))


def test_every_weaker_point_is_named_at_once():
    """One error names every point, so that a person can correct all of them."""
    weaker = replace(TODAY, lines={}, conditions={"confidence": 0.5, "qualities": [], "unseen": []})
    with pytest.raises(FctError) as caught:
        refuse_weaker(champion(), weaker)
    assert sum(line.startswith("  ") for line in str(caught.value).splitlines()) == len(LINES) + 1 + 2 + 2


@pytest.mark.parametrize(("then", "now"), [("fp32", "int8"), ("int8", "fp32")])
def test_lines_that_only_the_other_precision_has_are_not_missed(then, now):
    """Only 32-bit files have parity and trainings, only 8-bit ones the line against fp32; all other lines both have."""
    champion_lines = LINES | {
        "mean_accuracy_vs_fp32": ["at least", -0.01],
        "raw_accuracy_over_trainings": ["at least", 0.7],
    }
    lines = {name: line for name, line in LINES.items() if name != "parity"}
    refuse_weaker(champion(champion_lines, precision=then), replace(TODAY, precision=now, lines=lines))
    with pytest.raises(FctError, match="raw_ece"):
        refuse_weaker(
            champion(champion_lines, precision=then),
            replace(TODAY, precision=now, lines=lines | {"raw_ece": ["at most", 1.0]}),
        )


def test_a_line_over_trainings_counts_as_any_other():
    """A champion that was judged over trainings demands it again of a file of the same precision."""
    lines = LINES | {"raw_accuracy_over_trainings": ["at least", 0.7]}
    with pytest.raises(FctError, match=r"raw_accuracy_over_trainings: at least 0\.7 then, nothing now"):
        refuse_weaker(champion(lines), TODAY)


def test_parity_is_missed_between_files_of_one_precision():
    """A champion of the same precision that was judged on parity demands parity again."""
    lines = {name: line for name, line in LINES.items() if name != "parity"}
    with pytest.raises(FctError, match=r"parity: at most 0\.001 then, nothing now"):
        refuse_weaker(champion(), replace(TODAY, lines=lines))


def test_a_champion_without_a_recorded_gate_accepts_any():
    """No gate is weaker than that of a version without these tags."""
    refuse_weaker(Version("1", {}), replace(TODAY, lines={}, conditions={**CONDITIONS, "confidence": 0.5}))


@pytest.mark.parametrize(
    "changed",
    [
        {"lines": LINES | {"raw_accuracy": ["at least", 0.8]}},
        {"conditions": CONDITIONS | {"confidence": 0.99}},
        {"verdict": {"value": 0.91}},
        {"verdict": {"digest": "other"}},
    ],
)
def test_tags_change_only_with_the_proof(changed):
    """The same proof changes no tag; other lines, conditions, values or images do."""

    def evidence(value=0.9, digest="split"):
        return {"verdict": "PASS", "split": {"digest": digest}, "checks": [{"name": "raw_accuracy", "value": value}]}

    proof = replace(TODAY, verdict=evidence())
    version = Version("7", proof.tags())
    assert proof.changed_tags(version) == {}
    other = replace(proof, **changed | ({"verdict": evidence(**changed["verdict"])} if "verdict" in changed else {}))
    assert other.changed_tags(version) == other.tags()
