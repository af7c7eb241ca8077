"""Whatever dies during a run of a work pool: Prefect tells the truth, and the next run completes.

A real stack of a team runs: PostgreSQL, SeaweedFS, MLflow and Prefect. `-s` shows what each test counted.
"""

import hashlib
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import psutil
import pytest
from prefect.client.orchestration import get_client
from prefect.settings import PREFECT_API_AUTH_STRING, PREFECT_API_URL, temporary_settings
from prefect.states import Scheduled

from pipelines.access import authorization
from tests.s3 import free_values
from tests.team import Team

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.flows,
    pytest.mark.slow,
    pytest.mark.timeout(1500),
    pytest.mark.xdist_group("faults"),
]
LATEST = 600  # seconds in which a run ends
SOON = 60  # seconds without a sign of life after which a run counts as dead; runs give one every 30 seconds
GATE = {"gate.2.at_least": 0.41}  # runs the stages check and gate anew; a champion of it allows no weaker gate
STAGE = "-m fct.gate"
TIDY = {
    "runs that Prefect shows at work": 0,
    "stages that Prefect shows at work": 0,
    "runs that MLflow shows at work": 0,
    "champions": 1,
    "orphans": 0,
    "clones left": 0,
    "damaged files in the cache": 0,
    "temporary files in the cache": 0,
}


class Service:
    """A server of the stack, to kill and to start again."""

    def __init__(self, service, kill):
        self.service, self.kill = service, kill

    def start(self):
        self.service.start()


@pytest.fixture(scope="module")
def stack():
    """Start the servers of a team; return them by name, and the environment of their clients."""
    from pipelines.stack.services import services

    folder = Path(tempfile.mkdtemp(prefix="fct-stack-"))
    folder.chmod(0o755)  # root's PostgreSQL is not root's
    values = free_values(folder)
    groups = services(values, folder)
    found = {service.name: service for group in groups for service in group}
    try:
        for service in found.values():
            service.start()
        kills = {name: lambda service=service: end(service.processes()) for name, service in found.items()}
        kills["postgres"] = lambda: found["postgres"].open_server().kill()
        yield {name: Service(found[name], kills[name]) for name in found}, values
    finally:
        for service in reversed(found.values()):
            service.stop()
        subprocess.run(["rm", "-rf", str(folder)], check=True)


def end(processes):
    """End processes with SIGKILL, as a power cut would."""
    for process in processes:
        with suppress(psutil.Error):
            process.kill()
    psutil.wait_procs(processes, timeout=20)


@pytest.fixture(scope="module")
def team(stack, finished, tmp_path_factory):
    """Return a team for all tests of this module: runs leave branches, and never change the shared one."""
    _, values = stack
    folder = tmp_path_factory.mktemp("team")
    clients = {name: value for name, value in values.items() if name.startswith(("AWS_", "MLFLOW_T", "PREFECT_API_"))}
    clients["FCT_DATABASE_URL"] = values["FCT_DATABASE_URL"]
    team = Team(finished.copy(folder / "ada"), folder, clients)
    team.share("s3://dvc/team", endpointurl=values["AWS_ENDPOINT_URL"])
    with temporary_settings(
        {
            PREFECT_API_URL: values["PREFECT_API_URL"],
            PREFECT_API_AUTH_STRING: values["PREFECT_API_AUTH_STRING"],
        }
    ):
        team.deploy()
        with team.host("first") as host:  # the first champion
            assert finish(team, team.start(promote=True)).state.is_completed(), host.log()
        yield team


@pytest.fixture
def shield(team):
    """Return a function that sets after how many seconds without a sign of life a run counts as dead."""
    yield team.deploy
    team.deploy()


@pytest.fixture(autouse=True)
def services(stack):
    """Have every server up before and after each test."""
    found, _ = stack
    yield found
    for service in found.values():
        service.start()


def finish(team, run, patience=LATEST):
    """Wait for the end of a run, and return it."""
    deadline = time.monotonic() + patience
    while True:
        with suppress(Exception):  # the server may be restarting
            if found := team.ended(run):
                return found
        assert time.monotonic() < deadline, team.read(run).state
        time.sleep(0.5)


def ask(team, path, body=None):
    """Return MLflow's answer."""
    login = f"{team.environment['MLFLOW_TRACKING_USERNAME']}:{team.environment['MLFLOW_TRACKING_PASSWORD']}"
    address = f"{team.environment['MLFLOW_TRACKING_URI']}/api/2.0/mlflow/{path}"
    headers = {"Content-Type": "application/json", **authorization(login)}
    with urlopen(Request(address, body and json.dumps(body).encode(), headers)) as answer:
        return json.load(answer)


def champions(team):
    """Return the number of the champion as a list, or an empty one."""
    try:
        found = ask(team, "registered-models/alias?name=clothes&alias=champion")
    except HTTPError:
        return []
    return [found["model_version"]["version"]]


def open_in_mlflow(team):
    experiment = ask(team, "experiments/get-by-name?experiment_name=fct")["experiment"]["experiment_id"]
    asked = {"experiment_ids": [experiment], "filter": "attributes.status = 'RUNNING'"}
    return ask(team, "runs/search", asked).get("runs", [])


def damaged(cache):
    """Return files of DVC's cache whose content is not what their name says."""
    files = [path for path in cache.rglob("files/md5/??/*") if path.is_file() and path.suffix != ".tmp"]
    assert files
    return [
        path
        for path in files
        if hashlib.md5(path.read_bytes(), usedforsecurity=False).hexdigest()
        != f"{path.parent.name}{path.name}".removesuffix(".dir")
    ]


def count(team, host):
    """Count what a fault may leave behind, once the host's worker has ended."""
    cache = host.home / ".cache/fct"
    counts = {
        "runs that Prefect shows at work": len(team.open_runs()),
        "stages that Prefect shows at work": len(team.open_stages()),
        "runs that MLflow shows at work": len(open_in_mlflow(team)),
        "champions": len(champions(team)),
        "orphans": len(host.orphans()),
        "clones left": host.clones(),
        "damaged files in the cache": len(damaged(cache)),
        "temporary files in the cache": len(list(cache.rglob("*.tmp"))),
    }
    print(counts)
    return counts


def next_run(team, wait, name):
    """Let the next run complete on a host, and count what is left then."""
    with team.host(name) as host:
        ended = finish(team, team.start())
        assert ended.state.is_completed(), ended.state.message
        stop_worker(host, wait)
    return count(team, host)


def stop_worker(host, wait):
    """End the worker alone, once it has done its part for the last run, so that all that is left is an orphan."""
    with suppress(AssertionError):
        wait(lambda: host.clones() == 0, 20)
    host.worker.kill()
    host.worker.wait()
    assert host.orphans() == []


@contextmanager
def frozen(host, wait, word=STAGE):
    """Let a process of a run wait while the block runs, so that what dies there dies in its middle."""
    process = wait(lambda: host.freeze(word), LATEST)
    try:
        yield process
    finally:
        with suppress(psutil.NoSuchProcess):
            process.resume()


def test_no_run_outlives_its_worker(team, wait):
    """The worker is killed during a stage. Its run ends as crashed at once, and the next run removes its clone."""
    with team.host("killed-worker") as host:
        run = team.start(overrides=GATE)
        with frozen(host, wait):
            host.worker.kill()
        assert finish(team, run, 60).state.name == "Crashed"
        host.worker.wait()
        assert host.orphans() == []
        assert host.clones() == 1
    assert next_run(team, wait, "killed-worker") == TIDY


def test_no_stage_outlives_its_run(team, wait):
    """The process of a run is killed during a stage. The worker says so at once, and the stage's processes end."""
    with team.host("killed-run") as host:
        run = team.start(overrides=GATE)
        with frozen(host, wait):
            [process] = host.runs()
            process.kill()
            ended = finish(team, run)
            assert ended.state.name == "Crashed"
            assert "Process exited with status code" in ended.state.message
            wait(lambda: not host.processes(STAGE), 20)
    assert next_run(team, wait, "killed-run") == TIDY


def test_a_killed_training_goes_on_in_the_next_run_of_its_host(team, wait, shield):
    """A power cut during a training costs one epoch: the next run on this host does not begin with the first."""
    shield(SOON)
    longer = {"targets": ["baseline"], "overrides": {"train.epochs": 30, "train.patience": 30}}
    with team.host("training") as host:
        run = team.start(**longer)
        wait(lambda: list((host.home / ".cache/fct/checkpoints").glob("*/last.pt")), LATEST)
        host.kill()
        assert "epoch 1/30" in host.log()
    assert finish(team, run).state.name == "Crashed"
    with team.host("training") as host:
        before = len(host.log())
        ended = finish(team, team.start(**longer))
        assert ended.state.is_completed(), ended.state.message
        assert "epoch 1/30" not in host.log()[before:]
        stop_worker(host, wait)
    assert count(team, host) == TIDY


def test_a_run_that_never_started_is_closed(team, wait, shield):
    """The host dies between taking a run and starting it. The run is closed as crashed, and its place is free."""
    shield(SOON)
    with team.host("pending") as host:
        run = team.start(overrides=GATE)
        wait(lambda: (now := team.read(run).state).is_pending() and now, LATEST)
        host.kill()
        assert team.read(run).state.is_pending()
    ended = finish(team, run)
    assert (ended.state.name, "never started" in ended.state.message) == ("Crashed", True)
    assert next_run(team, wait, "pending") == TIDY


@pytest.mark.parametrize(
    ("name", "during"),
    [
        ("prefect", STAGE),
        ("postgres", STAGE),
        ("mlflow", STAGE),
        ("s3", "dvc pull"),
        ("s3", "dvc push"),
        ("postgres", "fct promote"),
        ("mlflow", "fct promote"),
    ],
)
def test_a_run_outlives_the_restart_of_a_server(team, services, wait, name, during):
    """A server is killed and comes back. The run completes, its data are whole, and there is one champion."""
    place = f"{name}-{during.split()[-1]}"
    with team.host(place) as host:
        run = team.start(overrides=GATE, promote=name != "s3")
        with frozen(host, wait, during):
            services[name].kill()
        time.sleep(5)  # the run meets the dead server
        services[name].start()
        ended = finish(team, run)
        assert ended.state.is_completed(), ended.state.message
        assert "up to date" in team.pulled(run)
        stop_worker(host, wait)
    assert count(team, host) == TIDY


def test_a_run_goes_on_long_after_the_restart_of_prefect(team, services, wait, shield):
    """The restart loses neither the run's place in the queue nor its signs of life: nothing ends it later."""
    shield(120)
    with team.host("lease") as host:
        run = team.start(overrides=GATE)
        with frozen(host, wait):
            lease = team.read(run).state.state_details.deployment_concurrency_lease_id
            services["prefect"].kill()
            services["prefect"].start()
            time.sleep(200)
            with get_client(sync_client=True) as client:
                client.renew_concurrency_lease(lease_id=lease, lease_duration=300)  # as Prefect does each four minutes
        ended = finish(team, run)
        assert ended.state.is_completed(), ended.state.message
        stop_worker(host, wait)
    assert count(team, host) == TIDY


@contextmanager
def small_disk(folder, mebibytes):
    """Mount a small disk on a folder while the block runs."""
    if os.geteuid() != 0:
        pytest.skip("only root may mount a small disk")
    folder.mkdir(parents=True, exist_ok=True)
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={mebibytes}m", "tmpfs", str(folder)], capture_output=True, check=False
    )
    if done.returncode:
        pytest.skip(f"this machine mounts nothing: {done.stderr.decode()}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


def fill_up(path):
    """Write a file that leaves no space."""
    with path.open("wb", buffering=0) as file, suppress(OSError):
        while True:
            file.write(bytes(1 << 12))


@pytest.mark.parametrize("place", [".cache", "tmp"])
def test_a_full_disk_is_one_sentence_and_damages_nothing(team, wait, place):
    """The disk of the cache or of the clones is full during a run. The run fails, and says so. Then there is space."""
    name = f"full{place}"
    with small_disk(team.folder / name / place, 200) as disk:
        with team.host(name) as host:
            run = team.start(overrides={"evaluate.qualities": [10, 50, 89]})
            with frozen(host, wait, "-m fct.evaluate"):
                fill_up(disk / "ballast")
            ended = finish(team, run)
            assert ended.state.is_failed()
            assert "evaluate" in ended.state.message
            assert re.search("No space left on device|The disk is full", ended.state.message), ended.state.message
            (disk / "ballast").unlink()
            stop_worker(host, wait)
        assert next_run(team, wait, name) == TIDY


HOLD = """
import filelock, sys, time
lock = filelock.FileLock(sys.argv[1])
lock.acquire()
print("held", flush=True)
time.sleep(999)
"""


def test_a_run_waits_for_another_run_of_its_host(team, wait):
    """Another process has the lock of the host. The run waits, says so, and goes on when the other one is killed."""
    with team.host("locked") as host:
        lock = host.home / ".cache/fct/running.lock"
        lock.parent.mkdir(parents=True)
        with subprocess.Popen([sys.executable, "-c", HOLD, str(lock)], stdout=subprocess.PIPE) as other:
            try:
                assert other.stdout.readline() == b"held\n"
                run = team.start(overrides=GATE)
                wait(lambda: "waiting for another run of this project to end" in host.log(), LATEST)
                assert team.read(run).state.is_running()
            finally:
                other.kill()
        assert finish(team, run).state.is_completed()
        stop_worker(host, wait)
    assert count(team, host) == TIDY


def test_a_promotion_waits_for_another_host(team, wait):
    """Another host has the lock of the registry in PostgreSQL. The promotion waits for its connection to end."""
    import psycopg

    from fct.core.locks import lock_key

    with (
        team.host("registry") as host,
        psycopg.connect(team.environment["FCT_DATABASE_URL"], autocommit=True) as other,
    ):
        other.execute("SELECT pg_advisory_lock(%s)", (lock_key("registry of clothes"),))
        run = team.start(overrides=GATE, promote=True)
        wait(lambda: host.processes("fct promote"), LATEST)
        time.sleep(20)
        assert team.read(run).state.is_running()
        other.close()
        assert finish(team, run).state.is_completed()
        stop_worker(host, wait)
    assert count(team, host) == TIDY


def test_of_two_schedules_at_one_minute_one_waits(team, wait):
    """Two runs are due at the same time, on two hosts. They work one after the other, and there is one champion."""
    due = Scheduled(scheduled_time=datetime.now(UTC))
    with team.host("left") as left, team.host("right") as right:
        runs = [team.start(state=due, overrides=GATE, promote=True) for _ in "ab"]
        most = 0
        deadline = time.monotonic() + LATEST
        while not all(team.ended(run) for run in runs):
            most = max(most, sum(team.read(run).state.is_running() for run in runs))
            assert time.monotonic() < deadline
            time.sleep(0.5)
        assert most == 1
        messages = [team.read(run).state.message for run in runs]
        assert all(team.read(run).state.is_completed() for run in runs), messages
        for host in (left, right):
            stop_worker(host, wait)
    used = [host for host in (left, right) if (host.home / ".cache/fct").exists()]
    assert [count(team, host) for host in used] == [TIDY] * len(used)


def test_a_host_that_slept_for_a_minute_goes_on(team, wait):
    """A minute is less than the three after which a run counts as dead: it completes, and nobody calls it crashed."""
    with team.host("slept") as host:
        run = team.start(overrides=GATE, promote=True)
        wait(lambda: host.processes(STAGE), LATEST)
        host.suspend()
        time.sleep(60)
        host.resume()
        ended = finish(team, run)
        assert ended.state.is_completed(), ended.state.message
        with get_client(sync_client=True) as client:
            names = {state.name for state in client.read_flow_run_states(run)}
        assert "Crashed" not in names
        assert "up to date" in team.pulled(run)
        stop_worker(host, wait)
    assert count(team, host) == TIDY


def test_a_run_that_was_closed_while_its_host_slept_stops(team, wait, shield):
    """The host sleeps for too long, and the run is closed. When it wakes, the run stops, and publishes nothing."""
    shield(SOON)
    with team.host("overslept") as host:
        run = team.start(overrides=GATE, promote=True)
        wait(lambda: host.processes(STAGE), LATEST)
        host.suspend()
        ended = finish(team, run)
        assert (ended.state.name, "no sign of life" in ended.state.message) == ("Crashed", True)
        branch = team.project.run("git", "ls-remote", team.origin, f"fct/{ended.name}")
        time.sleep(60)
        host.resume()
        wait(lambda: not host.processes("prefect.engine"), 90)
        assert team.read(run).state.name == "Crashed"
        assert team.project.run("git", "ls-remote", team.origin, f"fct/{ended.name}") == branch
        stop_worker(host, wait)
    assert next_run(team, wait, "overslept") == TIDY
