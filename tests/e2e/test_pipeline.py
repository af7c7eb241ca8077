"""`dvc repro` from nothing to a verdict: what it leaves, what it records, and that it does nothing twice."""

import json
import platform
import re
import sys
import time

import pytest
from ruamel.yaml import YAML

from fct.cache.store import open_views
from fct.core.paths import MODEL_PT
from fct.models import saved as candidate
from fct.models.device import pick_device
from fct.splits.store import open_split
from fct.train.precision import resolve_precision
from fct.train.validation import validate

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(900)]

EXPORTS = ("export@model", "export@standard")
TRACKED = {"search", "train", "baseline", *EXPORTS, "evaluate", "features", "gate", "int8"}


@pytest.fixture
def declared(finished):
    """Return the stages that dvc.yaml declares, one for each quality and each exported network."""
    stages = YAML(typ="safe").load(finished.folder / "dvc.yaml")["stages"]
    qualities = YAML(typ="safe").load(finished.folder / "params.yaml")["cache"]["qualities"]
    cache, export = stages.pop("cache"), stages.pop("export")
    return stages | {f"cache@{quality}": cache for quality in qualities} | dict.fromkeys(EXPORTS, export)


def test_the_pipeline_ends_with_a_verdict(finished, declared, ran):
    """From a clone in which nothing has run, one command runs every stage and ends with PASS."""
    assert set(ran(finished.said)) == set(declared)
    assert "gate: PASS on 90 images" in finished.said
    assert json.loads((finished.folder / "metrics/gate.json").read_text())["verdict"] == "PASS"


def test_every_declared_out_is_there(finished, declared):
    """Each out, metric and plot of every stage exists and is in dvc.lock."""
    lock = finished.lock()
    assert set(lock) == set(declared)
    for name, entry in lock.items():
        stage = declared[name]
        kinds = (stage.get(kind, []) for kind in ("outs", "metrics", "plots"))
        assert len(entry["outs"]) == sum(map(len, kinds))
        assert all((finished.folder / out["path"]).exists() for out in entry["outs"])


def test_a_second_run_runs_nothing(finished, ran, record_property):
    """With nothing changed, no stage runs."""
    start = time.monotonic()
    said = finished.run("dvc", "repro")
    record_property("seconds", round(time.monotonic() - start, 1))
    assert ran(said) == []
    assert "up to date" in said


def test_the_training_tells_the_accuracy_of_what_it_saved(finished):
    """metrics/train.json is of model.pt with its estimator, not of the network that the epochs validated."""
    network, description = candidate.load(finished.folder / MODEL_PT)
    data = finished.folder / "data"
    val = open_split("val", data / "splits", data / "originals")
    meta = json.loads((data / "splits/meta.json").read_text())
    views = open_views(val, description.qualities, "4:2:0", source_digest=meta["digest"], cache=data / "cache")
    found = validate(network, val, views, precision=resolve_precision("auto", pick_device()))
    told = json.loads((finished.folder / "metrics/train.json").read_text())
    assert network.estimator is not None
    assert (told["val_raw"], told["val_compressed"]) == (round(found.raw, 5), round(found.compressed, 5))


@pytest.mark.slow
def test_the_same_inputs_give_the_same_lock(finished, fresh):
    """Another clone, with a DVC cache of its own, ends with dvc.lock the same to the byte."""
    other = fresh("other")
    other.run("dvc", "repro")
    assert (other.folder / "dvc.lock").read_bytes() == (finished.folder / "dvc.lock").read_bytes()


def test_outs_hold_content_only(finished, tracked):
    """No out holds a run's id, a place on this machine, its name or a date."""
    server = tracked(finished)
    runs = [run.info.run_id for run in server.client.search_runs([server.experiment])]
    host = [platform.node()] if len(platform.node()) > 5 else []  # a shorter name may be a word
    places = [str(finished.born), str(finished.folder), sys.prefix, *host]
    traces = re.compile(b"|".join([*(re.escape(each.encode()) for each in (*runs, *places)), rb"20\d\d-\d\d-\d\d"]))
    paths = [out["path"] for stage in finished.lock().values() for out in stage["outs"]]
    files = {path: each for path, each in finished.contents(*paths).items() if not path.endswith(".bin")}  # a user's
    assert len(files) > 25
    assert {path: found.group() for path, each in files.items() if (found := traces.search(each))} == {}


def test_a_pipeline_is_one_run(finished, tracked):
    """MLflow has one pipeline run with a run for each tracked stage and each trial under it, all ended well."""
    server = tracked(finished)
    runs = server.client.search_runs([server.experiment])
    (pipeline,) = [run for run in runs if run.data.tags["fct.kind"] == "pipeline"]
    stages = [run for run in runs if run.data.tags["fct.kind"] == "stage"]
    assert {run.info.run_name for run in stages} >= TRACKED
    assert {run.data.tags["mlflow.parentRunId"] for run in stages} == {pipeline.info.run_id}
    assert {run.info.status for run in runs} == {"FINISHED"}
    (search,) = [run.info.run_id for run in stages if run.info.run_name == "search"]
    children = [run for run in runs if run.data.tags["fct.kind"] == "child"]
    assert [run.data.tags["mlflow.parentRunId"] for run in children] == [search] * 2
    assert pipeline.data.tags["dirty"] == "false"


def test_the_pipeline_run_has_the_curve(finished, tracked):
    """The pipeline's run has each quality's accuracy as a step, as metrics/evaluate.json has it."""
    server = tracked(finished)
    (pipeline,) = server.client.search_runs([server.experiment], "tags.`fct.kind` = 'pipeline'")
    points = server.client.get_metric_history(pipeline.info.run_id, "accuracy_gate")
    assert [point.step for point in points] == [10, 50, 90]
    measured = json.loads((finished.folder / "metrics/evaluate.json").read_text())["gate"]
    worst = measured["worst"]["value"]
    assert min(point.value for point in points) == pytest.approx(worst, abs=1e-4)


def test_an_unreachable_server_stops_a_stage_at_its_start(copy):
    """Where MLFLOW_TRACKING_URI names no server, training has not begun when the stage fails."""
    checkpoints = copy.forget_training()
    nobody = "http://127.0.0.1:9"  # the discard service, which no one runs
    start = time.monotonic()
    said = copy.run("dvc", "repro", "--single-item", "train", status=255, MLFLOW_TRACKING_URI=nobody)
    assert time.monotonic() - start < 60  # seconds, most of them imports on a busy machine
    assert f"error: MLFLOW_TRACKING_URI={nobody}: the tracking server cannot be used" in said
    assert "Traceback" not in said
    assert not checkpoints.exists()


def test_the_spread_over_trainings_is_measured_and_kept(copy):
    """Two trainings are measured by the gate's lines. Asked again, nothing is trained, and the model stays the same."""
    copy.change({"train.epochs": 1, "evaluate.qualities": [50]})
    before = (copy.folder / "model/model.pt").read_bytes()
    said = copy.run("fct", "spread", "--seeds", "2")
    assert re.search(r"^raw_accuracy +\d\.\d{4} +\d\.\d{4}   -?\d\.\d{4} to \d\.\d{4}", said, re.MULTILINE)
    assert re.findall(r"^seed (\d)", said, re.MULTILINE) == ["0", "1"]
    again = copy.run("fct", "spread", "--seeds", "2")
    assert "seed 0" not in again
    assert "2 trainings, seeds 0 to 1" in again
    assert (copy.folder / "model/model.pt").read_bytes() == before
