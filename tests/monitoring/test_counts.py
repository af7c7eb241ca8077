"""Counts of several processes are added up, and damaged ones named."""

import json
from datetime import date

import pytest

from fct.core.errors import FctError
from fct.monitoring.counts import read_counts

OTHER = "cd" * 32


def test_the_counts_of_all_processes_are_added(write_counts, tmp_path):
    """Several workers of one model are one model's counts."""
    write_counts([(15, "cat"), (0, "dog")], errors=["damaged or truncated: x"])
    write_counts([(15, "cat")])
    counts = read_counts(tmp_path / "counters").models["ab" * 32]
    assert counts.by_quality == {0: 1, 15: 2}
    assert counts.values["class"] == {"cat": 2, "dog": 1}
    assert (counts.images, counts.errors, counts.files) == (3, 1, 2)
    assert counts.qualities == (20, 60)


def test_counts_of_different_models_are_kept_apart(write_counts, tmp_path):
    """What one version was asked says nothing about another one."""
    write_counts([(15, "cat")])
    write_counts([(90, "dog")] * 2, model=OTHER)
    reading = read_counts(tmp_path / "counters")
    assert {model: counts.images for model, counts in reading.models.items()} == {"ab" * 32: 1, OTHER: 2}


def test_older_days_are_left_out(write_counts, tmp_path):
    """The first day counts, the one before does not."""
    write_counts([(15, "cat")], day="2026-11-22")
    write_counts([(15, "cat")] * 2, day="2026-11-23")
    reading = read_counts(tmp_path / "counters", since=date(2026, 11, 23))
    assert reading.models["ab" * 32].images == 2


def half(text):
    return text[: len(text) // 2]


def change(**values):
    return lambda text: json.dumps(json.loads(text) | values)


def miscount(text):
    document = json.loads(text)
    document["counts"]["class"]["cat"] = 7
    return json.dumps(document)


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (half, "this is no JSON, or a part of it is missing"),
        (lambda _: "", "this is no JSON"),
        (lambda _: "\0" * 100, "this is no JSON"),
        (change(format=2), "another version of fct wrote it"),
        (change(model="ef" * 32), "its name is not that of"),
        (change(counts={}), "it counts"),
        (change(extra=1), "extra: this key is unknown"),
        (change(day=7), "day: this must be text"),
        (miscount, "its sums differ"),
    ],
)
def test_a_damaged_file_is_named_and_skipped(write_counts, tmp_path, damage, reason):
    """The others still count."""
    path = write_counts([(15, "cat")])
    path.write_text(damage(path.read_text()))
    write_counts([(15, "dog")])
    reading = read_counts(tmp_path / "counters")
    [problem] = reading.damaged
    assert problem.startswith(f"{path.name}: ")
    assert reason in problem
    assert reading.models["ab" * 32].values["class"] == {"dog": 1}


def test_half_a_write_is_no_file(write_counts, tmp_path):
    """What a killed process left beside its file is neither counted nor damaged."""
    path = write_counts([(15, "cat")])
    path.with_name(f".{path.name}").write_text("{")
    reading = read_counts(tmp_path / "counters")
    assert (reading.models["ab" * 32].images, reading.damaged) == (1, [])


def test_a_missing_folder_is_told_with_its_variable(tmp_path):
    """The person learns which folder it should be."""
    with pytest.raises(FctError, match=r"nowhere: No such file or directory\. Give the folder that FCT_COUNTERS"):
        read_counts(tmp_path / "nowhere")
