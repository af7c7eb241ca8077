"""From a folder of photographs to a table."""

import pytest

from benchmarks.comparison import data, figures, results, run, summary, tables
from benchmarks.comparison.pending import report
from benchmarks.comparison.records import read_runs
from benchmarks.comparison.settings import Measured, RunGroup, RunId
from benchmarks.comparison.trials import read_trials
from tests.benchmarks.photographs import SETTINGS, photographs, settings

UNSEEN = ["webp", "double", "decode-fast"]


@pytest.fixture
def comparison(tmp_path, monkeypatch):
    """Return settings of two methods on a small folder, and keep all that they make in the test's folder."""
    monkeypatch.setattr(data, "ROOT", tmp_path / "root")
    monkeypatch.setattr(run, "ROOT", tmp_path / "root")
    monkeypatch.setattr(results, "RESULTS", tmp_path / "results")
    monkeypatch.setattr(results, "LOCKS", tmp_path / "locks")
    monkeypatch.setenv("FCT_DATA_MIRROR", str(tmp_path / "mirror"))
    photographs(tmp_path / "mirror/pets")
    methods = {
        "standard": {"method": {"name": "standard"}, "train": {"start": "weights"}, "trials": [{}]},
        "fct": {"method": {"name": "fct", "target": "teacher"}, "trials": [{"weight": 1.0}, {"weight": 3.0}]},
    }
    small = settings(
        methods=methods,
        model={"name": "resnet8", "width": 4},
        train={"start": "baseline", "epochs": 1, "batch_size": 4, "learning_rate": 0.01},
        method={"layers": ["stage3"]},
    )
    measure = SETTINGS.measure.model_dump() | {"unseen": UNSEEN, "batch_size": 8}
    measure["features"] |= {"layers": ["stage3"], "images": 4, "qualities": [10]}
    runs = {"pets": RunGroup(dataset="pets", names=["standard", "fct"], seeds=[0, 1])}
    changed = {"measure": Measured.model_validate(measure), "runs": runs}
    return small.model_copy(update=changed)


def test_a_table_is_made_while_runs_are_missing(comparison, tmp_path):
    """Of two methods with two seeds one run is there: it is measured at every condition, and stands in the tables."""
    run.run(comparison, RunId("pets", "fct", 0))
    (record,) = results.results_of("pets").records()
    assert set(record["test"]) == {"raw", *(f"q{quality}" for quality in comparison.measure.qualities)}
    assert set(record["unseen"]) == {f"{name}/{severity}" for name in UNSEEN for severity in (1, 2, 3)}
    assert record["settings"]["start"] == record["settings"]["teacher"]
    assert [line.partition(":")[2] for line in report(comparison)] == [
        " pets standard, seed 0",
        " pets standard, seed 1",
        " pets fct, seed 1",
    ]
    own = comparison.on("pets")
    runs = {"pets": read_runs("pets")}
    told = {"pets": summary.summarise(runs["pets"], own)}
    document = tables.document(comparison, runs, told, {"pets": read_trials("pets", runs["pets"])}, {})
    assert "| other codecs | other decoders |" in document
    assert "Of one seed, so without intervals" in document
    assert "| `fct` | 1 |" in document
    assert "[" not in document.partition("| `fct` | 1 |")[2].partition("\n")[0]
    figures.draw("pets", runs["pets"], told["pets"], own, tmp_path)
    figures.draw_tradeoff("pets", runs["pets"], told["pets"], tmp_path)
    assert len(list(tmp_path.glob("comparison-pets*.png"))) == 2


def test_a_trial_never_sees_a_test_image(comparison):
    """It begins with the network of `standard` as the others do, and validation images alone are measured."""
    run.run(comparison, RunId("pets", "fct", 0, 1))
    (record,) = results.results_of("pets").records()
    assert set(record["validation"]) == {"raw", "q10"}
    assert not record.keys() & {"test", "unseen"}
