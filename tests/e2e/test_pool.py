"""Runs in a work pool: a worker takes a clean clone, works, and pushes data and a branch; dead runs are closed."""

import socket
import subprocess
import sys
from contextlib import contextmanager, suppress
from datetime import timedelta

import httpx
import psutil
import pytest
from prefect.client.orchestration import get_client
from prefect.events.schemas.automations import AutomationCore
from prefect.settings import PREFECT_API_URL, temporary_settings

pytestmark = [pytest.mark.e2e, pytest.mark.flows, pytest.mark.slow, pytest.mark.timeout(1500)]


@contextmanager
def started(command, folder, environment):
    """Run a program while the block runs; then kill it with its children, as a power cut would."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "log.txt").open("w") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", *command],
            cwd=folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    try:
        yield process
    finally:
        with suppress(psutil.NoSuchProcess):
            for each in [*psutil.Process(process.pid).children(recursive=True), psutil.Process(process.pid)]:
                each.kill()
        process.wait()


class Team:
    """A project whose repository, data and tracking are shared, and a Prefect server."""

    def __init__(self, project, folder):
        self.project, self.folder = project, folder
        with socket.create_server(("127.0.0.1", 0)) as probe:
            port = probe.getsockname()[1]
        self.api = f"http://127.0.0.1:{port}/api"
        self.server = ("prefect", "server", "start", "--host", "127.0.0.1", "--port", str(port))
        self.environment = project.environment | {
            "PREFECT_API_URL": self.api,
            "PREFECT_HOME": str(folder / "prefect"),
            "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
            "DO_NOT_TRACK": "1",
            "PREFECT_WORKER_QUERY_SECONDS": "2",
            "MLFLOW_TRACKING_URI": f"sqlite:///{folder}/mlflow.db",
        }

    def is_up(self):
        """Tell whether the server answers."""
        with suppress(httpx.HTTPError):
            return httpx.get(f"{self.api}/health").status_code == 200
        return False

    def host(self, name):
        """Run a worker as on a host that has the packages, and nothing of the project."""
        home = self.folder / name
        home.mkdir()
        environment = {key: value for key, value in self.environment.items() if key != "PYTHONPATH"}
        return started(
            ("prefect", "worker", "start", "--pool", "gpus"), home / "work", environment | {"HOME": str(home)}
        )

    def deploy(self, patience):
        """Register the deployments; a run without a sign of life counts as dead after some seconds."""
        said = self.project.run(sys.executable, "-m", "pipelines.deploy", **self.environment)
        assert "prefect worker start --pool gpus" in said
        with get_client(sync_client=True) as client:
            for automation in client.read_automations():
                short = automation.trigger.model_copy(update={"within": timedelta(seconds=patience)})
                core = AutomationCore(name=automation.name, trigger=short, actions=automation.actions)
                client.update_automation(automation.id, core)

    def start(self, **parameters):
        """Start a run of `reproduce`."""
        with get_client(sync_client=True) as client:
            found = client.read_deployment_by_name("reproduce/nightly")
            return client.create_flow_run_from_deployment(found.id, parameters=parameters).id

    def read(self, run):
        """Return a run as the UI shows it."""
        with get_client(sync_client=True) as client:
            return client.read_flow_run(run)

    def ended(self, run):
        """Return a run that has ended, or None."""
        found = self.read(run)
        return found if found.state.is_final() else None


@pytest.fixture
def team(finished, tmp_path, wait):
    """Return a project that names a pool. What it has made is on the servers."""
    project = finished.copy(tmp_path / "ada")
    project.change({"pipeline.pool": "gpus"})
    branch = project.run("git", "rev-parse", "--abbrev-ref", "HEAD").strip()
    origin = tmp_path / "origin.git"
    project.run("git", "init", "--bare", "--quiet", f"--initial-branch={branch}", str(origin))
    project.run("git", "remote", "add", "origin", f"file://{origin}")
    project.run("dvc", "remote", "add", "--default", "store", str(tmp_path / "store"))
    project.run("git", "add", "--all")
    project.run("git", "commit", "--quiet", "--message", "Use a pool and a remote")
    project.run("git", "push", "--quiet", "origin", branch)
    project.run("dvc", "push", "--quiet")
    team = Team(project, tmp_path)
    with (
        started(team.server, tmp_path / "prefect", team.environment),
        temporary_settings({PREFECT_API_URL: team.api}),
    ):
        wait(team.is_up)
        yield team


def test_a_worker_pulls_runs_promotes_and_pushes(team, wait):
    """A run with another value leaves a branch with its dvc.lock, whose data anyone can pull, and a champion."""
    team.deploy(120)
    with team.host("host"):
        run = team.start(overrides={"features.images": 40}, promote=True)
        ended = wait(lambda: team.ended(run), 900)
    assert ended.state.is_completed(), ended.state.message
    other = team.folder / "bob"
    origin = f"file://{team.folder}/origin.git"
    team.project.run("git", "clone", "--quiet", "--branch", f"fct/{ended.name}", origin, str(other))
    for command in (["dvc", "pull", "--quiet"], ["dvc", "status"]):
        said = subprocess.run(
            command, cwd=other, env=team.project.environment, capture_output=True, text=True, check=True
        ).stdout
    assert "up to date" in said
    status = team.project.run("fct", "status", MLFLOW_TRACKING_URI=team.environment["MLFLOW_TRACKING_URI"])
    assert "champion" in status


def test_a_run_that_was_killed_is_closed_and_the_next_one_completes(team, wait):
    """A power cut ends worker and run. The run is marked as crashed, and its place in the queue is free again."""
    team.deploy(20)
    with team.host("host"):
        run = team.start(overrides={"train.learning_rate": 0.11})
        wait(lambda: (now := team.read(run).state).is_running() or now.is_final(), 300)
    state = wait(lambda: team.ended(run), 300).state
    assert (state.name, "no sign of life" in state.message) == ("Crashed", True)
    with team.host("another"):
        run = team.start()
        ended = wait(lambda: team.ended(run), 900)
    assert ended.state.is_completed(), ended.state.message
