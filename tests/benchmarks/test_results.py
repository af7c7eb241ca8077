"""Results are kept in one table and one file of bits a seed, for each data set."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from benchmarks.comparison import results
from benchmarks.comparison.results import RESULTS, Results
from fct.core.errors import FctError

IMAGES = 50


@pytest.fixture
def store(tmp_path):
    return Results(tmp_path / "toy", tmp_path / "toy.lock")


def record(name="pair", seed=0, trial=0, *, repeat=False, accuracy=0.5):
    """Return what the store needs of a record: three conditions, of which one is unseen."""
    row = {"dataset": "toy", "name": name, "seed": seed, "trial": trial, "repeat": repeat}
    return row | {"test": {"raw": accuracy, "q10": accuracy}, "unseen": {"webp/1": accuracy}}


def bits(number=0):
    return np.random.default_rng(number).random((3, IMAGES)) < 0.8


def test_bits_and_record_are_read_as_they_were_saved(store):
    """Nothing is rounded, and no image or condition changes places."""
    store.save(record(accuracy=1 / 3), bits())
    (row,) = store.records()
    assert {key: value for key, value in row.items() if key != "correct"} == record(accuracy=1 / 3)
    np.testing.assert_array_equal(store.correct(row), bits())


def test_a_run_takes_the_place_of_its_earlier_one_alone(store):
    """Other seeds, trials and repeats of the same name stay."""
    others = [record(seed=1), record(trial=1), record(repeat=True)]
    for each in (record(), *others):
        store.save(each, bits() if each in {0: record(), 1: record(seed=1)}.values() else None)
    store.save(record(accuracy=0.9), bits(2))
    rows = store.records()
    assert len(rows) == 4
    assert [row["test"]["raw"] for row in rows if row["seed"] == row["trial"] == row["repeat"] == 0] == [0.9]
    by_seed = {row["seed"]: store.correct(row) for row in rows if "correct" in row}
    np.testing.assert_array_equal(by_seed[0], bits(2))
    np.testing.assert_array_equal(by_seed[1], bits())


def test_files_do_not_depend_on_the_order_of_runs(store, tmp_path):
    """Two machines that make the same runs commit the same bytes."""
    other = Results(tmp_path / "other", tmp_path / "other.lock")
    names = ["fct", "pair", "jsd"]
    for where, order in ((store, names), (other, names[::-1])):
        for name in order:
            where.save(record(name), bits(names.index(name)))
    for path in store.folder.iterdir():
        assert path.read_bytes() == (other.folder / path.name).read_bytes()


def test_runs_that_finish_at_once_lose_nothing_of_each_others(store):
    """Each reads what is there and writes it with its own under one lock."""
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda number: store.save(record(f"m{number}"), bits(number)), range(5)))
    rows = {row["name"]: row for row in store.records()}
    assert len(rows) == 5
    for number in range(5):
        np.testing.assert_array_equal(store.correct(rows[f"m{number}"]), bits(number))


def test_bits_of_another_run_are_refused(store, monkeypatch):
    """Killed between the two files, a run leaves its bits beside the old record, which names both."""
    store.save(record(), bits())
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(results, "write_text", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        store.save(record(accuracy=0.9), bits(1))
    (row,) = store.records()
    with pytest.raises(FctError, match=r"correct-0\.npz does not have the bits of toy pair, seed 0 .* run toy pair"):
        store.correct(row)


def test_bits_without_a_record_go_with_the_next_run(store):
    """Who deletes a row of the table need not touch the archive."""
    store.save(record("fct"), bits())
    store.save(record("jsd"), bits(1))
    kept = [line for line in store.table.read_text().splitlines() if "jsd" not in line]
    store.table.write_text("\n".join(kept) + "\n")
    store.save(record("pair"), bits(2))
    with np.load(store.folder / "correct-0.npz") as archive:
        assert archive.files == ["fct", "pair"]


def test_no_committed_file_is_large():
    """Git keeps every version of them for ever."""
    sizes = {path: path.stat().st_size for path in RESULTS.rglob("*.*")}
    assert max(sizes.values()) < 1_000_000, max(sizes, key=lambda path: sizes[path])
