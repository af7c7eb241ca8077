"""The same DAG through Prefect: what it runs, what it shows, what it refuses."""

import json
import os
import re
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from PIL import Image
from prefect.client.orchestration import get_client
from prefect.concurrency.sync import concurrency

from pipelines.flows import promote, reproduce, rollback, search

pytestmark = [pytest.mark.e2e, pytest.mark.flows, pytest.mark.timeout(900), pytest.mark.xdist_group("prefect")]


@pytest.fixture(scope="session")
def artifacts():
    """Return a function that gives what the UI shows under a key: the latest data."""

    def of(key):
        with get_client(sync_client=True) as client:
            found = client.request(
                "POST", "/artifacts/latest/filter", json={"artifacts": {"key": {"any_": [key]}}}
            ).json()
        data = found[0]["data"]
        return json.loads(data) if found[0]["type"] == "table" else data

    return of


@pytest.fixture(scope="session")
def tasks():
    """Return a function that gives the state's name of each task of the latest flow run."""

    def of():
        with get_client(sync_client=True) as client:
            [run] = client.request("POST", "/flow_runs/filter", json={"sort": "START_TIME_DESC", "limit": 1}).json()
            asked = {"flow_runs": {"id": {"any_": [run["id"]]}}}
            deadline = time.monotonic() + 30  # task runs reach the server as events, a little later
            while time.monotonic() < deadline:
                runs = client.request("POST", "/task_runs/filter", json=asked).json()
                if runs and all(each["state_name"] not in {"Pending", "Running"} for each in runs):
                    break
                time.sleep(0.2)
            return {each["name"]: each["state_name"] for each in runs}

    return of


def test_a_run_leaves_what_dvc_repro_leaves(fresh, finished, stand):
    """From nothing to a verdict, with independent stages side by side: the same dvc.lock to the byte."""
    project = stand(fresh("flow"))
    state = reproduce(return_state=True)
    assert (state.name, state.message[:10]) == ("Completed", "gate: PASS")
    assert project.lock() == finished.lock()
    assert project.contents("metrics", "plots") == finished.contents("metrics", "plots")


def test_what_is_up_to_date_is_cached_and_starts_nothing(copy, stand, tasks, monkeypatch):
    """A finished project runs no process; the UI says cached at every stage, the tracked folders included."""
    stand(copy)
    monkeypatch.setattr(subprocess.Popen, "__init__", None)
    state = reproduce(return_state=True)
    assert re.search(r"\b0 of \d+ stages ran", state.message)
    assert set(tasks().values()) == {"Cached"}
    assert {"images/Bag.dvc", "cache@10", "gate"} <= set(tasks())


def test_only_what_changed_runs(copy, stand, tasks, artifacts):
    """Another threshold reruns the verdicts alone; the gate's is shown, and a FAIL promotes nothing but is no crash."""
    stand(copy).change({"gate.2.at_least": 0.99999})
    state = reproduce(promote=True, return_state=True)
    assert (state.type.value, state.name) == ("COMPLETED", "GateFailed")
    assert "FAIL (worst_accuracy); nothing is promoted, the champion stays" in state.message
    assert {stage for stage, name in tasks().items() if name != "Cached"} == {"check", "spread", "gate", "int8"}
    assert "FAIL" in artifacts("verdict")
    assert "| worst_accuracy |" in artifacts("verdict")
    outcomes = {row["stage"]: row["outcome"] for row in artifacts("stages")}
    assert (outcomes["gate"], outcomes["train"]) == ("ran", "cached")
    assert "nothing is registered" in copy.run("fct", "status")


def test_a_target_runs_with_what_it_needs_alone(copy, stand, tasks):
    """A run may stop half way down the DAG."""
    stand(copy)
    reproduce(targets=["cache"], return_state=True)
    assert {"data", "cache@10", "cache@50"} <= set(tasks())
    assert "train" not in tasks()


def test_an_unknown_target_is_named(copy, stand):
    """A typing mistake starts nothing, and no traceback tells of it."""
    stand(copy)
    state = reproduce(targets=["trian"], return_state=True)
    assert state.is_failed()
    assert "trian" in state.message
    assert "Traceback" not in state.message


def test_a_stage_that_fails_says_why_and_stops_what_needs_it(copy, stand, tasks):
    """The stage's own words are the run's, at once; stages that do not need it go on."""
    project = stand(copy)
    (project.folder / "images/Bag/000.png").write_bytes(b"no image")
    state = reproduce(return_state=True)
    assert state.is_failed()
    assert "images: cannot use" in state.message
    assert "Bag/000.png: not a" in state.message
    assert tasks()["data"] == "Failed"
    assert tasks()["train"] == "NotReady"
    assert tasks()["cache-index"] == "Cached"


HOLDER = """
import os, sys, time
from pathlib import Path
import psutil
from dvc.repo import Repo

def is_at_work():
    for process in psutil.process_iter(["cwd", "cmdline"]):
        if process.info["cwd"] == os.getcwd() and (process.info["cmdline"] or [])[-2:] == ["-m", "fct.features"]:
            return True
    return False

while not is_at_work():
    time.sleep(0.05)
with Repo(_wait_for_lock=True).lock:
    Path(sys.argv[1]).touch()
    while is_at_work():
        time.sleep(0.05)
    time.sleep(5)  # seconds; DVC by itself waits for three
"""


def test_a_lock_held_by_another_costs_nothing(copy, stand, tmp_path):
    """While another DVC process holds the lock longer than DVC's patience, a finished stage waits and is kept."""
    project = stand(copy)
    project.append("fct/features/__main__.py", "\n")
    with subprocess.Popen([sys.executable, "-c", HOLDER, tmp_path / "held"], env=project.environment) as other:
        state = reproduce(targets=["features"], return_state=True)
        assert other.wait() == 0
    assert (tmp_path / "held").exists()
    assert re.search(r"\b1 of \d+ stages ran", state.message)
    assert "features" not in project.stale()


def test_changed_params_leave_the_users_tree_alone(copy, stand, artifacts):
    """A run with overrides works in a clone; its params, dvc.lock and metrics are a branch; no clone stays.

    Nor does the clone of a run that was killed.
    """
    project = stand(copy)
    (project.folder / ".fct/clones/killed/fct").mkdir(parents=True)
    before = project.contents(".")
    before = {
        path: content for path, content in before.items() if not path.startswith((".git/", ".fct/", ".dvc/", "mlflow"))
    }
    state = reproduce(overrides={"gate.2.at_least": 0.99999}, return_state=True)
    assert state.name == "GateFailed"
    after = project.contents(".")
    assert {path: after[path] for path in before} == before
    [branch] = project.run("git", "branch", "--list", "fct/*", "--format", "%(refname:short)").split()
    changed = project.run("git", "diff", "--name-only", "HEAD", branch).split()
    assert {"params.yaml", "metrics/gate.json"} <= set(changed)
    assert not [path for path in changed if path.startswith(("fct/", "images/"))]
    assert "at_least: 0.99999" in project.run("git", "show", f"{branch}:params.yaml")
    assert branch in artifacts("branch")
    assert not list((project.folder / ".fct/clones").iterdir())


def test_a_runs_name_is_no_path(copy, stand):
    """Whatever a person calls a run, its clone and its branch are where they belong."""
    project = stand(copy)
    state = reproduce.with_options(flow_run_name="../../try 5: epochs")(
        overrides={"pipeline.workers": 1}, return_state=True
    )
    assert re.search(r"\b0 of \d+ stages ran", state.message)  # nor is it an error that there is nothing new to commit
    assert project.run("git", "branch", "--list", "fct/*", "--format", "%(refname:short)").split() == [
        "fct/try-5-epochs"
    ]


def test_a_promotion_needs_a_verdict(copy, stand):
    """Targets that leave out the gate decide nothing, and are not silently taken for a yes."""
    stand(copy)
    state = reproduce(targets=["train"], promote=True, return_state=True)
    assert state.is_failed()
    assert "promote: the targets train leave out gate" in state.message


def test_images_put_into_the_tracked_folder_are_part_of_the_promotion(copy, stand):
    """The commit that a champion names holds the version of the data that it was trained on."""
    project = stand(copy)
    Image.new("L", (30, 30), 77).save(project.folder / "images/Bag/new.png")
    state = reproduce(promote=True, return_state=True)
    assert state.is_completed(), state.message
    assert "images/Bag.dvc" in project.run("git", "show", "--name-only", "--format=", "HEAD")


@pytest.mark.parametrize(
    ("overrides", "message"),
    [({"gate.wrost": 1}, "gate.wrost: there is no such key"), ({"train.epochs": 0}, "train.epochs")],
)
def test_impossible_overrides_start_nothing(copy, stand, overrides, message):
    """A wrong key or value is refused before there is a clone or a branch."""
    project = stand(copy)
    state = reproduce(overrides=overrides, return_state=True)
    assert state.is_failed()
    assert message in state.message
    assert not project.run("git", "branch", "--list", "fct/*")


def test_more_trials_go_on_with_the_same_study(copy, stand, artifacts):
    """`search` runs the trials that are missing, and leaves params.yaml and best.yaml as they are."""
    project = stand(copy)
    best = (project.folder / "search/best.yaml").read_bytes()
    state = search(trials=3, return_state=True)
    assert state.is_completed()
    assert (project.folder / "search/best.yaml").read_bytes() == best
    assert "trial:" in artifacts("best")
    journal = (project.folder / ".fct/search.journal").read_text()
    assert len(set(re.findall(r'"study_name":"([^"]+)"', journal))) == 1  # no other study was begun
    assert "trials: 3" in project.run(
        "git", "show", f"{project.run('git', 'branch', '--list', 'fct/*').strip()}:params.yaml"
    )


@pytest.mark.slow
@pytest.mark.usefixtures("database")
def test_more_trials_are_shared_by_workers(copy, stand, tracked):
    """Two processes run the trials of one study in PostgreSQL; each trial is a run of MLflow, and all have ended."""
    import optuna

    from fct.search.attributes import NOT_TRAINED
    from fct.search.storage import PatientStorage

    project = stand(copy)
    state = search(trials=10, workers=2, return_state=True)
    assert state.is_completed(), state.message
    storage = PatientStorage(os.environ["FCT_DATABASE_URL"])
    (name,) = optuna.get_all_study_names(storage)
    trials = optuna.load_study(study_name=name, storage=storage).trials
    storage.engine.dispose()
    trials = [trial for trial in trials if NOT_TRAINED not in trial.user_attrs]  # without layers
    assert len(trials) == 10
    assert {trial.state.name for trial in trials} <= {"COMPLETE", "PRUNED"}  # one that diverges is pruned
    assert len({trial.user_attrs["worker"] for trial in trials}) == 2
    server = tracked(project)
    assert server.client.search_runs([server.experiment], "attributes.status = 'RUNNING'") == []
    children = server.client.search_runs([server.experiment], "tags.`fct.kind` = 'child'")
    assert len(children) == 10 + 2  # those of the pipeline before


def test_promotion_and_rollback_follow_the_rules_of_the_commands(copy, stand, tracked, artifacts):
    """PASS registers and crowns; there is nothing to roll back to; a FAIL is refused with its checks."""
    project = stand(copy)
    state = promote(why="a test", return_state=True)
    assert "clothes: version 1 is registered and is champion now." in state.message
    assert "champion   version 1" in artifacts("registry")
    assert "a test" in artifacts("registry")
    assert tracked(project).client.get_model_version_by_alias("clothes", "champion").version == 1
    state = rollback(return_state=True)
    assert "there is no previous champion" in state.message
    project.change({"gate.2.at_least": 0.99999})
    reproduce(return_state=True)
    state = promote(return_state=True)
    assert state.is_failed()
    assert "the verdict is FAIL; nothing is registered" in state.message
    assert "worst_accuracy" in state.message


def test_promotions_of_other_hosts_are_waited_for(copy, stand):
    """While another run of the same Prefect server changes the registry, a promotion waits for its turn."""
    stand(copy)
    with get_client(sync_client=True) as client:
        client.upsert_global_concurrency_limit_by_name("registry-clothes", 1)
    with ThreadPoolExecutor(1) as pool:
        with concurrency("registry-clothes", strict=True):
            promotion = pool.submit(promote, return_state=True)
            with pytest.raises(TimeoutError):
                promotion.result(timeout=8)  # seconds
            assert "nothing is registered" in copy.run("fct", "status")
        assert "is champion now" in promotion.result(timeout=120).message


def test_one_run_is_one_run_in_mlflow(copy, stand, tracked):
    """Stages that Prefect starts side by side share the pipeline's run, named by the flow run's id."""
    project = stand(copy)
    project.change({"features.images": 15, "evaluate.batch_size": 210})
    reproduce(return_state=True)
    server = tracked(project)
    runs = server.client.search_runs([server.experiment], "tags.`fct.kind` = 'pipeline'", order_by=["start_time DESC"])
    stages = server.client.search_runs([server.experiment], f"tags.`mlflow.parentRunId` = '{runs[0].info.run_id}'")
    assert {run.data.tags["fct.stage"] for run in stages} >= {"features", "evaluate", "gate"}
    assert runs[0].info.status == "FINISHED"
