"""A gate that asks for less than the champion's is refused, whatever it is that it asks less of."""

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
YARDSTICK = {"confidence": 0.95, "qualities": [10, 50], "unseen": ["webp", "blur"]}
TODAY = Evidence("fp32", "ab" * 32, {}, "c0ffee", {}, LINES, YARDSTICK)


def champion(lines=LINES, conditions=YARDSTICK, precision="fp32"):
    tags = {"fct.gate": json.dumps(lines), "fct.yardstick": json.dumps(conditions), "fct.precision": precision}
    return Version("7", tags)


@pytest.mark.parametrize(
    ("lines", "conditions", "said"),
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
def test_each_way_of_asking_for_less_is_refused_by_name(lines, conditions, said):
    """A looser or a missing line, a lower confidence, and views that are left out: the error says what it is."""
    left = {name: line for name, line in (LINES | lines).items() if line is not None}
    with pytest.raises(FctError, match="less than it asked of the champion, version 7") as caught:
        refuse_weaker(champion(), replace(TODAY, lines=left, conditions=YARDSTICK | conditions))
    assert [line for line in str(caught.value).splitlines() if line.startswith("  ")] == [f"  {said}"]


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
def test_a_gate_that_asks_for_as_much_or_more_is_taken(lines, conditions):
    """The same gate, stricter lines, further lines, more confidence and more views are no less."""
    refuse_weaker(champion(), replace(TODAY, lines=LINES | lines, conditions=YARDSTICK | conditions))


def test_all_that_is_weaker_is_named_at_once():
    """A person puts everything right in one go."""
    weaker = replace(TODAY, lines={}, conditions={"confidence": 0.5, "qualities": [], "unseen": []})
    with pytest.raises(FctError) as caught:
        refuse_weaker(champion(), weaker)
    assert sum(line.startswith("  ") for line in str(caught.value).splitlines()) == len(LINES) + 1 + 2 + 2


@pytest.mark.parametrize(("then", "now"), [("fp32", "int8"), ("int8", "fp32")])
def test_lines_that_only_the_other_precision_has_are_not_missed(then, now):
    """Parity is of a file of 32 bits, the line against it of one of 8; all else is asked of both."""
    asked = LINES | {"mean_accuracy_vs_fp32": ["at least", -0.01]}
    have = {name: line for name, line in LINES.items() if name != "parity"}
    refuse_weaker(champion(asked, precision=then), replace(TODAY, precision=now, lines=have))
    with pytest.raises(FctError, match="raw_ece"):
        refuse_weaker(
            champion(asked, precision=then), replace(TODAY, precision=now, lines=have | {"raw_ece": ["at most", 1.0]})
        )


def test_parity_is_missed_between_files_of_one_precision():
    """What the champion of the same precision was asked for is asked again."""
    have = {name: line for name, line in LINES.items() if name != "parity"}
    with pytest.raises(FctError, match=r"parity: at most 0\.001 then, nothing now"):
        refuse_weaker(champion(), replace(TODAY, lines=have))


def test_a_champion_that_says_nothing_of_its_gate_asks_for_nothing():
    """A version that was registered without these tags cannot be asked for less than."""
    refuse_weaker(Version("1", {}), replace(TODAY, lines={}, conditions={**YARDSTICK, "confidence": 0.5}))


@pytest.mark.parametrize(
    "changed",
    [
        {"lines": LINES | {"raw_accuracy": ["at least", 0.8]}},
        {"conditions": YARDSTICK | {"confidence": 0.99}},
        {"verdict": {"value": 0.91}},
        {"verdict": {"digest": "other"}},
    ],
)
def test_a_version_is_told_anew_only_what_it_does_not_say(changed):
    """A proof like the one that it carries is no news; other lines, another conditions, values or images are."""

    def evidence(value=0.9, digest="split"):
        return {"verdict": "PASS", "split": {"digest": digest}, "checks": [{"name": "raw_accuracy", "value": value}]}

    proof = replace(TODAY, verdict=evidence())
    version = Version("7", proof.tags())
    assert proof.changed_tags(version) == {}
    other = replace(proof, **changed | ({"verdict": evidence(**changed["verdict"])} if "verdict" in changed else {}))
    assert other.changed_tags(version) == other.tags()
