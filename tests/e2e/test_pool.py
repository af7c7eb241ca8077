"""Runs in a work pool: a worker takes a clean clone, works, and pushes data and a branch; dead runs are closed."""

import socket
from contextlib import suppress

import httpx
import pytest
from prefect.settings import PREFECT_API_URL, temporary_settings

from tests.team import Team, started

pytestmark = [pytest.mark.e2e, pytest.mark.flows, pytest.mark.slow, pytest.mark.timeout(1500)]


def is_up(api):
    """Tell whether the server answers."""
    with suppress(httpx.HTTPError):
        return httpx.get(f"{api}/health").status_code == 200
    return False


@pytest.fixture
def team(finished, tmp_path, wait):
    """Return a project that names a pool. What it has made is on the servers."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    api = f"http://127.0.0.1:{port}/api"
    project = finished.copy(tmp_path / "ada")
    team = Team(project, tmp_path, {"PREFECT_API_URL": api, "MLFLOW_TRACKING_URI": f"sqlite:///{tmp_path}/mlflow.db"})
    team.share(str(tmp_path / "store"))
    server = ("prefect", "server", "start", "--host", "127.0.0.1", "--port", str(port))
    with started(server, tmp_path / "prefect", team.environment), temporary_settings({PREFECT_API_URL: api}):
        wait(lambda: is_up(api))
        yield team


def test_a_worker_pulls_runs_promotes_and_pushes(team, wait):
    """A run with another value leaves a branch with its dvc.lock, whose data anyone can pull, and a champion."""
    team.deploy()
    with team.host("host"):
        run = team.start(overrides={"features.images": 40}, promote=True)
        ended = wait(lambda: team.ended(run), 900)
    assert ended.state.is_completed(), ended.state.message
    assert "up to date" in team.pulled(run)
    status = team.project.run("fct", "status", MLFLOW_TRACKING_URI=team.environment["MLFLOW_TRACKING_URI"])
    assert "champion" in status


def test_a_run_that_was_killed_is_closed_and_the_next_one_completes(team, wait):
    """A power cut ends worker and run. The run is marked as crashed, and its place in the queue is free again."""
    team.deploy(60)  # seconds; a run gives a sign of life every 30
    with team.host("host"):
        run = team.start(overrides={"train.learning_rate": 0.11})
        wait(lambda: (now := team.read(run).state).is_running() or now.is_final(), 300)
    state = wait(lambda: team.ended(run), 300).state
    assert (state.name, "no sign of life" in state.message) == ("Crashed", True)
    with team.host("another"):
        run = team.start()
        ended = wait(lambda: team.ended(run), 900)
    assert ended.state.is_completed(), ended.state.message
