"""The night shift as a user has it: servers, schedules, cancellation, and one story from new images to a rollback."""

import shutil
import socket
import time
import urllib.request

import numpy as np
import psutil
import pytest
from PIL import Image
from prefect.client.orchestration import get_client
from prefect.states import Cancelling

pytestmark = [pytest.mark.e2e, pytest.mark.flows, pytest.mark.timeout(900)]  # the first test waits for the pipeline


def at_work(folder):
    """Return the processes of stages that work in a folder."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.cwd().startswith(str(folder)) and "fct." in " ".join(process.cmdline()):
                found.append(process)
        except psutil.Error:
            continue
    return found


@pytest.fixture(scope="module")
def endless(finished, tmp_path_factory):
    """Return a project whose next training would last for hours."""
    project = finished.copy(tmp_path_factory.mktemp("endless") / "project")
    project.change({"train.epochs": 100_000, "train.patience": 100_000})
    project.run("dvc", "freeze", "baseline")  # else it may be the one that trains
    project.run("git", "commit", "--all", "--quiet", "--message", "Long")
    return project


@pytest.fixture(scope="module")
def night(endless, nights):
    """Run all servers of one project for the tests of this module that leave them as they are."""
    night = nights(endless)
    with night.open():
        yield night


def is_training(server):
    """Tell whether MLflow has seen an epoch of a training that is running."""
    query = "tags.`fct.stage` = 'train' and attributes.status = 'RUNNING'"
    return any(run.data.metrics for run in server.client.search_runs([server.experiment], query))


def test_cancelling_ends_the_training_and_frees_everything(night, endless, tracked, wait):
    """Within seconds no process is left, DVC's locks are free, and MLflow says KILLED; nothing half-made stays."""
    server = tracked(endless)
    run = night.start("reproduce/nightly")
    wait(lambda: is_training(server))
    with get_client(sync_client=True) as client:
        client.set_flow_run_state(run, Cancelling())
    wait(lambda: not at_work(endless.folder), 20)  # ten on an idle machine; another worker shares this one
    assert night.finish(run).name == "Cancelled"
    assert "train:" in endless.run("dvc", "status")
    endless.run("dvc", "repro", "--single-item", "cache-index")  # three seconds are DVC's patience with a lock
    assert not list(endless.folder.glob("model/*.pt.*"))
    runs = server.client.search_runs([server.experiment], "tags.`fct.stage` = 'train'", order_by=["start_time DESC"])
    assert runs[0].info.status == "KILLED"
    pipeline = server.client.get_run(runs[0].data.tags["mlflow.parentRunId"])
    assert pipeline.info.status == "KILLED"


@pytest.mark.slow
def test_ctrl_c_in_the_servers_ends_the_run_at_work_first(endless, nights, tmp_path, tracked, wait):
    """Whoever closes the terminal leaves no training on the GPU, and no run that says RUNNING for ever."""
    project = endless.copy(tmp_path / "another")
    night = nights(project)
    with night.open():
        server = tracked(project)
        night.start("reproduce/nightly")
        wait(lambda: is_training(server))
    assert not at_work(project.folder)
    assert not [port for port in night.ports.values() if answers(port)]
    running = server.client.search_runs([server.experiment], "attributes.status = 'RUNNING'")
    assert not running


def test_servers_are_reused(night):
    """A second start finds what runs, says where, and starts nothing."""
    said = night.project.run(*night.command)
    assert said.count("was already running") == 4
    for port in night.ports.values():
        assert f"http://127.0.0.1:{port}" in said


def test_the_schedule_makes_runs(night, wait):
    """Prefect's scheduler has planned the next night, so that a run starts by itself."""
    planned = wait(lambda: [run for run in night.runs("reproduce") if run["auto_scheduled"]], 120)
    assert {run["state_type"] for run in planned} == {"SCHEDULED"}


def test_a_taken_port_is_named(night):
    """Another program on a port is an error that says how to choose another one."""
    with socket.create_server(("127.0.0.1", 0)) as other:
        taken = other.getsockname()[1]
        said = night.project.run(*night.command, "--optuna-port", str(taken), status=2)
    assert f"optuna cannot have the port {taken}: Address already in use, by something other" in said
    assert f"--optuna-port {taken + 1}" in said


def test_the_search_is_on_its_dashboard(night):
    """The study of the project is there to look at."""
    with urllib.request.urlopen(f"http://127.0.0.1:{night.ports['optuna']}/api/studies") as answer:
        assert b"consistency-" in answer.read()


def answers(port):
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def photograph(seed, label, place, *, quality):
    """Write a JPEG of some size whose class shows: a bright shape over noise."""
    random = np.random.default_rng(seed)
    size = int(random.integers(28, 60))
    rows, columns = np.mgrid[-1 : 1 : size * 1j, -1 : 1 : size * 1j]
    shape = (abs(columns) < 0.4, rows**2 + columns**2 < 0.5, rows > columns)[label]
    pixels = shape * 150 + 50 + random.normal(0, 30, (size, size))
    place.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(place, quality=quality)


KINDS = ("bar", "disc", "half")


@pytest.fixture
def users(fresh):
    """Return a project with a user's own folder: JPEGs of mixed sizes and qualities, tracked by DVC."""
    project = fresh("users")
    for kind in (project.folder / "images").iterdir():
        if kind.is_dir():
            shutil.rmtree(kind)
            kind.with_name(f"{kind.name}.dvc").unlink()
    for number in range(180):
        place = project.folder / f"images/{KINDS[number % 3]}/{number}.jpg"
        photograph(number, number % 3, place, quality=60 + number % 36)
    project.change({"gate.7.champion": 0.9, "intake.min_age_seconds": 0, "train.epochs": 8})
    project.run("dvc", "add", "--quiet", *(f"images/{kind}" for kind in KINDS))
    project.run("git", "add", "--all")
    project.run("git", "commit", "--quiet", "--message", "My images")
    return project


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_the_story(users, nights):
    """A folder of JPEGs, a nightly schedule, new images, a promotion, a refusal, and in the morning a rollback."""
    night = nights(users)
    begun = time.monotonic()
    with night.open():
        # The first night: everything runs, and what passes is promoted.
        state = night.finish(night.start_as_scheduled("reproduce/nightly"))
        assert state.name == "Completed", state.message
        assert "version 1 is registered and is champion now" in state.message

        # New images arrive: two good ones, one of a very low quality, one that is none.
        inbox = users.folder / "inbox"
        for number, quality in ((1000, 80), (1001, 70), (1002, 4)):
            photograph(number, number % 3, inbox / KINDS[number % 3] / f"{number}.jpg", quality=quality)
        (inbox / "bar/broken.jpg").write_bytes(b"\xff\xd8\xff, and no more")
        state = night.finish(night.start("intake/inbox"))
        assert state.name == "OutsideTrainedQualities", state.message
        assert "3 taken, 1 to quarantine" in state.message
        assert "1 of 3 new images have a JPEG quality below 10" in night.artifact("inbox")
        assert (users.folder / "quarantine/bar/broken.jpg.reason.txt").exists()
        assert "Add 3 images" in users.run("git", "log", "--format=%s")

        # That started the next run, which recomputes what the data touch and no more.
        state = night.finish(night.runs("reproduce")[0]["id"])
        assert "version 2 is registered and is champion now" in state.message
        assert '"cache-index", "outcome": "cached"' in night.artifact("stages")
        assert '"train", "outcome": "ran"' in night.artifact("stages")

        # A night on which the model is not good enough: refused, and the champion stays.
        users.change({"gate.2.at_least": 0.99999})
        users.run("git", "commit", "--all", "--quiet", "--message", "Ask for more")
        state = night.finish(night.start_as_scheduled("reproduce/nightly"))
        assert state.name == "GateFailed"
        assert "FAIL (worst_accuracy); nothing is promoted, the champion stays" in state.message
        assert "**failed**" in night.artifact("verdict")
        assert "champion   version 2" in night.fct("status")

        # In the morning: three runs to compare in MLflow, and one command back to the first model.
        address = f"{night.mlflow}/api/2.0/mlflow/runs/search"
        asked = b'{"experiment_ids": ["1"], "filter": "tags.`fct.kind` = \'pipeline\'"}'
        request = urllib.request.Request(address, asked, {"Content-Type": "application/json"})
        with urllib.request.urlopen(request) as answer:
            assert answer.read().count(b'"run_name":') == 3
        assert "/runs/" in night.artifact("mlflow")
        assert "version 1 is champion again" in night.fct("rollback", "--why", "the new one confuses discs")
    print(f"the story took {time.monotonic() - begun:.0f} s")
