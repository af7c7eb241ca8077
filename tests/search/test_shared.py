"""`fct search` with real trainings by several processes, a real PostgreSQL and a real MLflow store."""

import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
from optuna.trial import TrialState
from ruamel.yaml import YAML

from fct.core import environment
from fct.core.params import to_yaml
from fct.search.attributes import WORKER
from fct.tracking.server import connect
from tests.engine.nodes import ENVIRONMENT, cluster

pytestmark = [pytest.mark.e2e, pytest.mark.slow, pytest.mark.timeout(1200)]
ROOT = Path(__file__).parents[2]
TRIALS = 8
EPOCHS = 40  # so that a trial takes seconds, and no worker runs all while others start


@pytest.fixture
def project(toy, schema, database, monkeypatch):
    """Stand in a project with the tiny data set; return a function that starts `fct search`."""
    shutil.copy(schema, "mlflow.db")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{toy.root}/mlflow.db")
    monkeypatch.delenv("MLFLOW_EXPERIMENT_NAME", raising=False)
    monkeypatch.setenv("FCT_PIPELINE_RUN", "here")
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    environment.write()
    params = YAML(typ="safe").load(ROOT / "params.yaml")
    params["cache"]["qualities"] = list(toy.qualities)
    params["train"] = toy.setup().train.model_dump()
    params["method"] = toy.method().model_dump()
    params["search"] |= {"images": 48, "targets": ["raw"], "trials": TRIALS, "epochs": EPOCHS, "pruner": "none"}
    Path("params.yaml").write_text(to_yaml(params))
    processes = []

    def start(*arguments, **environment):
        command = [sys.executable, "-m", "fct", "search", *arguments]
        environment = os.environ | environment
        with Path(f"log-{len(processes)}").open("w") as log:
            processes.append(subprocess.Popen(command, env=environment, stdout=log, stderr=log, start_new_session=True))
        return processes[-1]

    yield start, database
    for process in processes:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def logs():
    return "\n".join(path.read_text() for path in sorted(Path().glob("log-*")))


def read_trials(url):
    import optuna

    from fct.search.storage import PatientStorage

    storage = PatientStorage(url)
    (name,) = optuna.get_all_study_names(storage)
    trials = optuna.load_study(study_name=name, storage=storage).trials
    storage.engine.dispose()
    return trials


def pids_with_a_trial(url):
    """Return the processes that run a trial now. It makes no tables, so it may look before the search has begun."""
    from fct.core.database import connect

    query = "SELECT value_json FROM trial_user_attributes JOIN trials USING (trial_id) WHERE key = %s AND state = %s"
    with connect(url) as connection:
        if connection.execute("SELECT to_regclass('trial_user_attributes')").fetchone() == (None,):
            return set()
        rows = connection.execute(query, (WORKER, "RUNNING")).fetchall()
    return {int(worker.strip('"').rpartition(":")[2]) for (worker,) in rows}


def check_all_is_closed(url):
    """Check that the budget is kept and nothing runs, in Optuna and in MLflow."""
    states = [trial.state for trial in read_trials(url)]
    assert states.count(TrialState.COMPLETE) == TRIALS
    assert TrialState.RUNNING not in states
    server = connect()
    assert server.client.search_runs([server.experiment], "attributes.status = 'RUNNING'") == []
    finished = server.client.search_runs([server.experiment], "tags.`fct.kind` = 'child' and status = 'FINISHED'")
    assert len(finished) == TRIALS


def test_two_processes_search_and_one_finds_it_done(project):
    """The files are those of the stage. A further run trains nothing and writes the same."""
    start, url = project
    assert start("--workers", "2").wait(600) == 0, logs()
    check_all_is_closed(url)
    best = Path("search/best.yaml").read_text()
    assert len({trial.user_attrs["worker"] for trial in read_trials(url)}) == 2
    Path("search/best.yaml").unlink()
    assert start().wait(400) == 0, logs()
    assert Path("search/best.yaml").read_text() == best
    assert start("--join").wait(400) == 0, logs()


def test_ray_places_the_workers(project):
    """Each is a task of a cluster on this machine, in a process of its own."""
    start, url = project
    params = Path("params.yaml").read_text()
    Path("params.yaml").write_text(
        params.replace("engine: local", "engine: ray").replace("address: auto", "address: local")
    )
    assert start("--workers", "2").wait(600) == 0, logs()
    check_all_is_closed(url)
    assert len({trial.user_attrs["worker"] for trial in read_trials(url)}) == 2


def test_the_workers_of_a_ray_node_that_dies_go_on_elsewhere(project):
    """Each worker runs on a node of its own. A node dies with its trial: the search is finished on the others."""
    start, url = project
    with cluster(3) as nodes:
        params = Path("params.yaml").read_text()
        params = params.replace("engine: local", "engine: ray").replace("address: auto", f"address: {nodes.address}")
        Path("params.yaml").write_text(params)
        main = start("--workers", "2", **ENVIRONMENT)
        deadline = time.monotonic() + 600
        while len(seen := _nodes_at_work(nodes, url)) < 2 or nodes.nodes[0] in seen[:1]:
            assert main.poll() is None, logs()
            assert time.monotonic() < deadline, logs()
            time.sleep(0.2)
        seen[0].kill()
        assert main.wait(900) == 0, logs()
        check_all_is_closed(url)
    assert TrialState.FAIL in [trial.state for trial in read_trials(url)]


def _nodes_at_work(nodes, url):
    """Return the nodes whose workers have a trial now, the head last: it must live on."""
    pids = pids_with_a_trial(url)
    at_work = [node for node in nodes.nodes if pids & {process.pid for process in node.processes()}]
    return sorted(at_work, key=lambda node: node is nodes.nodes[0])


def test_killed_workers_leave_nothing_open(project):
    """One that joined and one that `fct search` started are killed in their trials; others finish the search."""
    start, url = project
    main = start("--workers", "2")
    deadline = time.monotonic() + 400
    while not pids_with_a_trial(url):
        assert time.monotonic() < deadline, logs()
        time.sleep(0.2)
    joined = start("--join")
    while len(pids := pids_with_a_trial(url)) < 2 or joined.pid not in pids:
        assert time.monotonic() < deadline, logs()
        time.sleep(0.05)
    joined.kill()
    psutil.Process(random.choice(sorted(pids - {joined.pid}))).kill()
    assert main.wait(600) == 0, logs()
    assert "another one takes its place" in logs()
    check_all_is_closed(url)


def test_a_killed_search_takes_its_workers_with_it(project):
    """No orphan trains on; the next run finishes the search."""
    start, url = project
    main = start("--workers", "2")
    deadline = time.monotonic() + 400
    while "trial 1:" not in logs():
        assert time.monotonic() < deadline, logs()
        time.sleep(0.2)
    workers = psutil.Process(main.pid).children(recursive=True)
    main.kill()
    main.wait()
    _, alive = psutil.wait_procs(workers, timeout=20)
    assert [one for one in alive if one.status() != psutil.STATUS_ZOMBIE] == []
    assert start("--workers", "2").wait(600) == 0, logs()
    check_all_is_closed(url)


def test_there_must_be_a_search_to_join(project):
    """The error says how to start one, and that the same command may succeed later."""
    start, _ = project
    assert start("--join").wait(400) == 75
    assert "has no search with this commit, params.yaml and data. Start one with `fct search`" in logs()


def test_many_workers_need_a_database(project, monkeypatch):
    """One sentence, without a traceback."""
    monkeypatch.delenv("FCT_DATABASE_URL")
    start, _ = project
    assert start("--workers", "2").wait(60) == 2
    assert "2 workers need a PostgreSQL database. Set FCT_DATABASE_URL" in logs()
