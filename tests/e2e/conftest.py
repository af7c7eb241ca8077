"""The project as its users have it, in a folder of its own, with little data: real commands, real images."""

import os
import pty
import re
import shutil
import signal
import socket
import subprocess
import sys
import termios
import time
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from ruamel.yaml import YAML

from fct.core.errors import FctError
from fct.data import fashion_mnist
from fct.data.download import mirror_folder
from fct.tracking.server import connect

REPOSITORY = Path(__file__).parents[2]
PARTS = (
    *(
        "dvc.yaml",
        "params.yaml",
        "environment.yaml",
        "images/README.md",
        "weights/README.md",
        ".dvc/config",
        ".dvcignore",
    ),
    *(".gitignore", ".dvc/.gitignore", "data/.gitignore", "data/cache/.gitignore", "model/.gitignore"),
)
CLASSES = ("Trouser", "Bag", "Ankle boot")  # easily told apart
EACH = 100  # images
PATIENCE = 240  # seconds
MADE_SMALL = {
    "data.source": "folder",
    "data.fractions": {"val": 0.1, "gate": 0.3, "test": 0.1},
    "data.folder.pixels": 28,
    "data.folder.channels": 1,
    "cache.qualities": [10, 50],
    "model.width": 8,
    "search.trials": 2,
    "search.images": 60,
    "search.epochs": 1,
    "train.epochs": 6,
    "train.batch_size": 16,
    "export.images": 30,
    "evaluate.qualities": [10, 50, 90],
    "features.images": 20,
    "features.qualities": [10, 90],
    "evaluate.unseen": ["webp", "blur"],
    "gate.0.at_least": 0.5,  # raw, of three classes
    "gate.1.at_least": 0.5,  # mean
    "gate.2.at_least": 0.4,  # worst
    "gate.3.at_least": 0.4,  # unseen
    "gate.4.at_most": 0.6,  # calibration
    "gate.7.champion": 0.1,
    "registry.name": "clothes",
    "pipeline.schedule": "0 2 * * *",
    "intake.schedule": None,
}


class Project:
    """A working copy of the project, and what a person types in it."""

    def __init__(self, folder):
        self.folder = folder
        theirs = {key: value for key, value in os.environ.items() if not re.match("MLFLOW|FCT|DVC|GIT", key)}
        self.environment = theirs | {
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
            "PYTHONPATH": str(folder),  # the console script runs this copy's code
            "DVC_NO_ANALYTICS": "1",
            "DVC_SITE_CACHE_DIR": str(folder / ".dvc/tmp/site"),  # another copy's memory of files is none of its own
            "GIT_CONFIG_GLOBAL": os.devnull,
            "MLFLOW_DISABLE_TELEMETRY": "true",
            "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",  # ten processes that no test asks for
        }

    def run(self, *command, status=0, **environment):
        """Run a command, which is to end with `status`, and return what it said on both streams together."""
        done = subprocess.run(
            command,
            cwd=self.folder,
            env=self.environment | environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        assert done.returncode == status, done.stdout
        return done.stdout

    def show(self, *command, until=lambda: False):
        """Run a command on a terminal; return its exit status and what the terminal showed.

        Where `until` comes true before it ends, it is killed with all its processes.
        """
        master, slave = pty.openpty()
        termios.tcsetwinsize(slave, (24, 120))  # rows, columns
        process = subprocess.Popen(
            command,
            cwd=self.folder,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=slave,
            stderr=slave,
            start_new_session=True,
        )
        os.close(slave)
        os.set_blocking(master, False)
        shown = b""
        try:
            while process.poll() is None and not until():
                shown += _available(master)
                time.sleep(0.005)
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
        status = process.wait()
        shown += _available(master)
        os.close(master)
        return status, shown.decode(errors="replace")

    def change(self, values):
        """Put `values`, by dotted key, into params.yaml."""
        yaml, path = YAML(), self.folder / "params.yaml"
        document = yaml.load(path)
        for key, value in values.items():
            *sections, last = key.split(".")
            section = document
            for name in sections:
                section = section[int(name) if name.isdecimal() else name]
            section[int(last) if last.isdecimal() else last] = value
        yaml.dump(document, path)

    def append(self, path, text):
        """Add lines to the end of a file."""
        with (self.folder / path).open("a") as file:
            file.write(text)

    def stale(self):
        """Return the stages that DVC would run for a reason of their own."""
        changes = YAML(typ="safe").load(self.run("dvc", "status", "--json"))
        return {name for name in changes if not name.endswith(".dvc")}

    def lock(self):
        """Return the stages of dvc.lock."""
        return YAML(typ="safe").load(self.folder / "dvc.lock")["stages"]

    def md5(self, path):
        """Return DVC's checksum of an out."""
        return next(out["md5"] for each in self.lock().values() for out in each["outs"] if out["path"] == path)

    def contents(self, *paths):
        """Return every file under `paths` with what it holds."""
        found = (file for path in paths for file in (self.folder / path).rglob("*") if file.is_file())
        return {str(file.relative_to(self.folder)): file.read_bytes() for file in found}

    def forget_training(self):
        """Lose the trained network and every memory of it; return where checkpoints will be."""
        for memory in (".dvc/cache/runs", ".fct/checkpoints"):
            shutil.rmtree(self.folder / memory)
        (self.folder / "model/model.pt").unlink()
        return self.folder / ".fct/checkpoints"

    def copy(self, folder):
        """Return a copy to change: finished like this one, with its own DVC cache and tracking database.

        What numba compiled stays valid: file times are copied too.
        """
        shutil.copytree(self.folder, folder, ignore=shutil.ignore_patterns("tmp"))
        copy = Project(folder)
        if (folder / "mlflow.db").exists():
            copy.run("python", "-m", "fct.tracking.location")  # else it would write into this project's mlruns
        return copy


def _free_port():
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


def _wait(until, patience=PATIENCE):
    """Wait for something to be true, and return it."""
    deadline = time.monotonic() + patience
    while not (found := until()):
        assert time.monotonic() < deadline
        time.sleep(0.1)
    return found


def _client():
    from prefect.client.orchestration import get_client

    return get_client(sync_client=True)


class Night:
    """`make ui` in a project, and what a person does in the UI, by the requests that the UI makes."""

    def __init__(self, project):
        self.project = project
        self.ports = {name: _free_port() for name in ("prefect", "mlflow", "optuna")}
        self.mlflow = f"http://127.0.0.1:{self.ports['mlflow']}"
        self.said = project.folder / ".fct/said.txt"
        self.command = [sys.executable, "-m", "pipelines.ui"]
        for name, port in self.ports.items():
            self.command += [f"--{name}-port", str(port)]

    @contextmanager
    def open(self):
        """Start everything, wait until it is up, and stop it with Ctrl-C."""
        from prefect.settings import PREFECT_API_AUTH_STRING, PREFECT_API_URL, temporary_settings

        self.said.parent.mkdir(exist_ok=True)
        with self.said.open("w") as said:
            process = subprocess.Popen(
                self.command,
                cwd=self.project.folder,
                env=self.project.environment,
                stdout=said,
                stderr=said,
                start_new_session=True,
            )
        try:
            _wait(lambda: process.poll() is not None or "Ctrl-C" in self.said.read_text())
            assert process.poll() is None, self.said.read_text()
            api = f"http://127.0.0.1:{self.ports['prefect']}/api"
            with temporary_settings({PREFECT_API_URL: api, PREFECT_API_AUTH_STRING: self.password()}):
                yield
        finally:
            process.send_signal(signal.SIGINT)
            process.wait(60)

    def password(self):
        """Return what Prefect asks for, as a person finds it."""
        return (self.project.folder / ".fct/ui-password").read_text().strip()

    def start(self, deployment, **parameters):
        """Start a run, as soon as the servers have registered its deployment."""
        from prefect.exceptions import ObjectNotFound

        def registered(client):
            with suppress(ObjectNotFound):
                return client.read_deployment_by_name(deployment)

        with _client() as client:
            found = _wait(lambda: registered(client))
            return client.create_flow_run_from_deployment(found.id, parameters=parameters).id

    def start_as_scheduled(self, deployment):
        """Start a run as the scheduler would: with the schedule's parameters, late by nothing."""
        with _client() as client:
            found = client.read_deployment_by_name(deployment)
            [schedule] = found.schedules
            assert schedule.active
            from prefect.states import Scheduled

            now = Scheduled(scheduled_time=datetime.now(UTC))
            made = client.create_flow_run_from_deployment(found.id, parameters=schedule.parameters, state=now)
            return made.id

    def state(self, run):
        with _client() as client:
            return client.read_flow_run(run).state

    def finish(self, run):
        """Wait for a run to end, and return its state."""
        return _wait(lambda: (state := self.state(run)).is_final() and state)

    def runs(self, flow):
        """Return the runs of a flow, newest first."""
        asked = {"flows": {"name": {"any_": [flow]}}, "sort": "EXPECTED_START_TIME_DESC"}
        with _client() as client:
            return client.request("POST", "/flow_runs/filter", json=asked).json()

    def artifact(self, key):
        """Return what the UI shows under a key: the latest data."""
        return self.latest(key)["data"]

    def latest(self, key):
        asked = {"artifacts": {"key": {"any_": [key]}}}
        with _client() as client:
            return client.request("POST", "/artifacts/latest/filter", json=asked).json()[0]

    def fct(self, *arguments):
        return self.project.run("fct", *arguments, MLFLOW_TRACKING_URI=self.mlflow)


def _available(terminal):
    shown = b""
    try:
        while chunk := os.read(terminal, 1 << 16):
            shown += chunk
    except OSError:  # nothing more for now, or for good
        return shown
    return shown


def photos():
    """Return uint8 [N, 28, 28] for each class: Fashion-MNIST's if it can be had, else noisy drawings."""
    try:
        stock = fashion_mnist.load(mirror_folder(None))
    except FctError:
        return {name: _drawn(seed) for seed, name in enumerate(CLASSES)}
    of = {name: stock.pool.labels == stock.classes.index(name) for name in CLASSES}
    return {name: stock.pool.images[is_it][:EACH, :, :, 0] for name, is_it in of.items()}


def _drawn(seed):
    random = np.random.default_rng(seed)
    rows, columns = np.mgrid[-1:1:28j, -1:1:28j]
    shape = (abs(columns) < 0.4, rows**2 + columns**2 < 0.5, rows > columns)[seed]
    noise = random.normal(0, 30, (EACH, 28, 28))
    return (shape * 160 + 40 + noise).clip(0, 255).astype(np.uint8)


def fill(folder):
    """Write a user's folder of images: most lossless and small, some JPEG and larger."""
    for name, images in photos().items():
        place = folder / name.replace(" ", "-")
        place.mkdir(parents=True)
        for number, image in enumerate(map(Image.fromarray, images)):
            if number % 5:
                image.save(place / f"{number:03}.png")
            else:
                image.resize((45, 45)).save(place / f"{number:03}.jpg", quality=80)


def clone(folder):
    """Make a clone with its own images, committed, in which nothing has run."""
    for part in PARTS:
        (folder / part).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(REPOSITORY / part, folder / part)
    halves = shutil.ignore_patterns("*.tmp.*", "*.pyc.*")  # what another worker is writing
    for package in ("fct", "pipelines"):  # with what numba compiled there
        shutil.copytree(REPOSITORY / package, folder / package, ignore=halves)
    project = Project(folder)
    project.change(MADE_SMALL)
    fill(folder / "images")
    classes = sorted(str(path.relative_to(folder)) for path in (folder / "images").iterdir() if path.is_dir())
    project.run("git", "init", "--quiet")
    project.run("git", "config", "user.name", "Ada")
    project.run("git", "config", "user.email", "ada@example.org")
    project.run("dvc", "add", "--quiet", *classes)
    project.run("git", "add", "--all")
    project.run("git", "commit", "--quiet", "--message", "Start")
    return project


@pytest.fixture(scope="session")
def fresh(tmp_path_factory):
    """Return a function that makes a clone."""
    return lambda name="clone": clone(tmp_path_factory.mktemp(name))


@pytest.fixture(scope="session")
def finished(once, tmp_path_factory):
    """Run the whole pipeline once for all tests that look at what it leaves; none of them may change it.

    Each worker has a copy, for DVC's locks and MLflow's database are of a folder. `born` is where it was run.
    """

    def build(folder):
        project = clone(folder / "project")
        (folder / "said.txt").write_text(project.run("dvc", "repro"))

    folder = once("finished", build)
    project = Project(folder / "project").copy(tmp_path_factory.mktemp("finished") / "project")
    project.born = folder / "project"
    project.said = (folder / "said.txt").read_text()
    return project


@pytest.fixture
def ran():
    """Return a function that finds the stages that `dvc repro` says it ran, in order."""
    return lambda said: re.findall(r"^Running stage '(.+)':", said, re.MULTILINE)


@pytest.fixture
def tracked(monkeypatch):
    """Return a function that opens the tracking database of a project."""

    def look(project):
        monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{project.folder}/mlflow.db")
        monkeypatch.delenv("MLFLOW_EXPERIMENT_NAME", raising=False)
        return connect()

    return look


@pytest.fixture(scope="session")
def prefect():
    """Run a Prefect server with a database of its own for all tests of flows."""
    from prefect.testing.utilities import prefect_test_harness

    with prefect_test_harness(server_startup_timeout=120):
        yield


@pytest.fixture
def stand(prefect, monkeypatch):  # noqa: ARG001 flows need it
    """Return a function that goes to a project, in which flows then run."""

    def go(project):
        monkeypatch.chdir(project.folder)
        for name in ("MLFLOW_EXPERIMENT_NAME", "FCT_PIPELINE_RUN"):
            monkeypatch.delenv(name, raising=False)
        # MLflow remembers a database by its name: one name for each project in this process.
        monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{project.folder}/mlflow.db")
        for name, value in project.environment.items():
            monkeypatch.setenv(name, value)
        return project

    return go


@pytest.fixture(scope="session")
def nights():
    """Return what opens the night shift of a project."""
    return Night


@pytest.fixture(scope="session")
def wait():
    """Return a function that waits for something to be true and returns it."""
    return _wait


@pytest.fixture
def copy(finished, tmp_path):
    """Return a copy of the finished project, to change."""
    return finished.copy(tmp_path / "copy")
