"""What is missing or stale is told by name."""

import numpy as np
import pytest

from benchmarks.comparison import pending, results
from benchmarks.comparison.pending import check_current, difference, report, why_pending
from benchmarks.comparison.results import Results, datasets, results_of
from benchmarks.comparison.settings import RunGroup, RunId, read, resolve
from fct.core.errors import FctError

RUNS = {
    "methods": RunGroup(dataset="cifar10", names=["pair", "fct-own"]),
    "trials": RunGroup(dataset="cifar10", names=["pair"], trials=[1]),
}
SETTINGS = read().model_copy(update={"runs": RUNS})


def changed(section, name, key, **values):
    """Return the settings with other values in one key of one method or data set."""
    entries = dict(getattr(SETTINGS, section))
    entries[name] = entries[name].model_copy(update={key: values or None})
    return SETTINGS.model_copy(update={section: entries})


def record(name="pair", seed=0, trial=0, *, repeat=False):
    run = RunId("cifar10", name, seed, trial)
    row = run._asdict() | {"repeat": repeat, "settings": resolve(SETTINGS, run)}
    return row | {"test": {"raw": 1.0}, "unseen": {}}


@pytest.fixture
def store(tmp_path, monkeypatch):
    monkeypatch.setattr(results, "RESULTS", tmp_path)
    monkeypatch.setattr(results, "LOCKS", tmp_path / "locks")
    return results_of("cifar10")


def test_no_committed_record_is_of_other_settings():
    """No run, trial or repeat of an earlier configuration stands under a name that now means another."""
    settings = read()
    stale = {
        str(results.id_of(row)): difference(settings, row) for name in datasets() for row in results_of(name).records()
    }
    assert {run: why for run, why in stale.items() if why} == {}


def test_what_is_not_there_is_missing(store):
    """Of two runs and a trial one is there: the others are named, in the order of `runs`."""
    store.save(record(), np.ones((1, 8), bool))
    assert list(report(SETTINGS)) == ["missing: cifar10 fct-own, seed 0", "missing: cifar10 pair, trial 1"]


def test_a_record_of_other_settings_is_stale(store):
    """The line names the run, the first key that differs and both values."""
    store.save(record(), np.ones((1, 8), bool))
    now = changed("methods", "pair", "train", epochs=13)
    assert next(report(now)) == "stale: cifar10 pair, seed 0: train.epochs was 12, is 13"


@pytest.mark.parametrize(
    ("section", "name", "key", "values", "stale"),
    [
        ("methods", "pair", "train", {"epochs": 13}, {"pair"}),
        ("methods", "standard", "train", {"epochs": 13}, {"fct-own"}),  # its teacher
        ("datasets", "cifar10", "train", {"epochs": 13}, {"pair", "fct-own"}),
        ("datasets", "cifar10", "mirror", {}, set()),
        ("datasets", "fashion-mnist", "train", {"epochs": 13}, set()),
    ],
)
def test_a_change_touches_the_runs_that_depend_on_it(section, name, key, values, stale):
    """A teacher's settings are those of its pupils too; where images are downloaded from decides nothing."""
    now = changed(section, name, key, **values)
    assert {run for run in ("pair", "fct-own") if difference(now, record(run))} == stale


def test_a_change_of_standard_touches_what_starts_from_it():
    """Its network is where the training begins; that a data set is somewhere else now touches nothing."""
    settings = read()
    flowers = settings.datasets["flowers"]
    rows = [
        run._asdict() | {"settings": resolve(settings, run)}
        for run in (RunId("flowers", name, 0) for name in ("standard", "pair"))
    ]
    longer = flowers.methods["standard"].model_copy(update={"train": {"start": "weights", "epochs": 9}})
    for change, stale in (
        ({"methods": flowers.methods | {"standard": longer}}, [True, True]),
        ({"mirror": "/elsewhere"}, [False, False]),
        ({"folder": flowers.folder.model_copy(update={"path": "elsewhere"})}, [False, False]),
        ({"folder": flowers.folder.model_copy(update={"pixels": 64})}, [True, True]),
    ):
        now = settings.model_copy(
            update={"datasets": settings.datasets | {"flowers": flowers.model_copy(update=change)}}
        )
        assert [difference(now, row) is not None for row in rows] == stale


def test_a_change_of_what_is_measured_leaves_trials_as_they_are():
    """They never see a test image."""
    measure = SETTINGS.measure.model_copy(update={"qualities": (5, 10)})
    now = SETTINGS.model_copy(update={"measure": measure})
    assert "measured.qualities" in difference(now, record())
    assert difference(now, record(trial=1)) is None


def test_bits_of_another_run_make_it_stale(store):
    """It was killed between the bits and the record, and `run --missing` mends it."""
    run = RunId("cifar10", "pair", 0)
    store.save(record(), np.ones((1, 8), bool))
    assert why_pending(SETTINGS, run, store) is None
    other = Results(store.folder.parent / "other", store.lock)
    other.save(record(), np.zeros((1, 8), bool))
    (other.folder / "correct-0.npz").replace(store.folder / "correct-0.npz")
    assert why_pending(SETTINGS, run, store) == (
        "stale: cifar10 pair, seed 0: its bits in correct-0.npz are not those of its record"
    )


def test_a_record_that_no_run_asks_for_is_named(store):
    """A trial that was taken out of the file would stand in the tables for ever; the line says what to do."""
    store.save(record(trial=2))
    assert "delete its row of" in list(report(SETTINGS))[-1]


def test_a_repeated_run_may_be_stale_as_well(store):
    """It is held against the first one, which is not made of the new settings either."""
    store.save(record(repeat=True))
    now = changed("methods", "pair", "train", epochs=13)
    assert list(report(now))[-1] == "stale: cifar10 pair, seed 0, repeated: train.epochs was 12, is 13"


def test_tables_are_not_made_of_stale_records():
    """The error names the file, the first few runs, and what to do."""
    now = changed("datasets", "cifar10", "train", epochs=13)
    records = [record(seed=seed) for seed in range(5)]
    with pytest.raises(FctError, match=r"params\.yaml has changed .* seed 0: train\.epochs was 12, is 13; .* 2 more"):
        check_current(now, records)
    check_current(SETTINGS, records)


def test_a_record_of_an_entry_that_is_gone_is_stale():
    """The reason is that of the settings, which name the entry."""
    methods = {name: entry for name, entry in SETTINGS.methods.items() if name != "pair"}
    now = SETTINGS.model_copy(update={"methods": methods})
    assert "there is no entry 'pair'" in pending.difference(now, record())
