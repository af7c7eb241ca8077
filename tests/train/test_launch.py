"""The stage `train` in several processes: it ends as one training, and whatever is killed, nothing is left."""

import json
import os
import shutil
import sqlite3
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import psutil
import pytest
import torch

from fct.core import params
from fct.core.document import parse, to_plain
from fct.models import saved

REPOSITORY = Path(__file__).parents[2]
PROCESSES = 2
SOON = 30  # seconds in which a stage fails after one of its processes was killed
GONE = 10  # seconds after which no process of a killed stage is left
PATIENCE = 900  # seconds for a run, on a very busy machine

pytestmark = pytest.mark.timeout(2 * PATIENCE)


class Stage:
    """The stage `train` in a folder of its own, with tiny data."""

    def __init__(self, toy, folder, schema, **changed):
        self.folder = folder
        shutil.copytree(toy.root / "data", folder / "data")
        shutil.copy(schema, folder / "mlflow.db")
        shutil.copy(REPOSITORY / "environment.yaml", folder)
        content = to_plain(parse(REPOSITORY / "params.yaml"), "params.yaml")
        setup = toy.setup(processes=PROCESSES, batch_size=25, **changed)
        content["train"] = setup.train.model_dump()
        content["model"] = setup.model.model_dump()
        content["cache"]["qualities"] = list(toy.qualities)
        (folder / "params.yaml").write_text(params.to_yaml(content))
        (folder / "search").mkdir()
        best = {"trial": 0, "method": toy.method(target="ema-teacher").model_dump()}
        (folder / "search/best.yaml").write_text(params.to_yaml(best))

    def start(self, *command, **environment):
        """Start the stage; its output goes to a file."""
        self.output = self.folder / "output"
        inherited = {name: value for name, value in os.environ.items() if name != "FCT_PIPELINE_RUN"}
        inherited |= {"PYTHONPATH": str(REPOSITORY), "OMP_NUM_THREADS": "1"}
        inherited |= {"MLFLOW_TRACKING_URI": f"sqlite:///{self.folder}/mlflow.db"}
        with self.output.open("wb") as output:
            self.process = subprocess.Popen(
                [sys.executable, *(command or ("-m", "fct.train"))], cwd=self.folder, env=inherited | environment,
                stdout=output, stderr=output,
            )  # fmt: skip
        return self.process

    def run(self):
        try:
            assert self.start().wait(PATIENCE) == 0, self.output.read_text()
        finally:
            self.process.kill()
        return self

    def wait_for_epoch(self, process):
        """Return the processes of the training when its first checkpoint is there."""
        deadline = time.monotonic() + PATIENCE
        while not list(self.folder.rglob("last.pt")):
            assert process.poll() is None, self.output.read_text()
            assert time.monotonic() < deadline
            time.sleep(0.1)
        ranks = psutil.Process(process.pid).children(recursive=True)
        assert len(ranks) == PROCESSES
        return sorted(ranks, key=lambda rank: rank.environ()["RANK"])

    @property
    def weights(self):
        return saved.load(self.folder / "model/model.pt")[0].state_dict()


@pytest.fixture
def stage(built_toy, tmp_path, schema):
    """Make the stage, of 40 epochs, so that there is time to kill something."""
    stage = Stage(built_toy, tmp_path, schema, epochs=40)
    yield stage
    stage.process.kill()


@pytest.fixture(scope="module")
def uninterrupted(built_toy, tmp_path_factory, schema):
    """Return the stage after a run of 40 epochs."""
    return Stage(built_toy, tmp_path_factory.mktemp("uninterrupted"), schema, epochs=40).run()


def are_equal(first, second):
    return first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)


def is_gone(process):
    """Return whether a process has ended; in a container, nobody may ask for its exit status."""
    with suppress(psutil.NoSuchProcess):
        return process.status() == psutil.STATUS_ZOMBIE
    return True


@pytest.mark.e2e
def test_two_processes_end_as_one_training(built_toy, tmp_path, schema):
    """One of them prints, saves and tracks; nothing is printed twice."""
    stage = Stage(built_toy, tmp_path, schema, epochs=2).run()
    output = stage.output.read_text()
    assert output.count("validation accuracy") == 1
    assert "Warning" not in output
    assert json.loads((tmp_path / "metrics/train.json").read_text())["val_raw"] > 0
    assert len((tmp_path / "plots/training.csv").read_text().splitlines()) == 3
    assert all(torch.isfinite(value).all() for value in stage.weights.values())
    with sqlite3.connect(tmp_path / "mlflow.db") as database:
        runs = database.execute("SELECT name, status FROM runs").fetchall()
    assert sorted(runs) == [("pipeline", "FINISHED"), ("train", "FINISHED")]


@pytest.mark.slow
@pytest.mark.parametrize("rank", range(PROCESSES))
def test_a_killed_process_ends_the_stage_and_a_rerun_gives_the_same_weights(stage, uninterrupted, rank):
    """The error names the process; no other process is left; the next run goes on, to the same weights to the bit."""
    process = stage.start()
    ranks = stage.wait_for_epoch(process)
    ranks[rank].kill()
    assert process.wait(SOON) == 75
    output = stage.output.read_text()
    sentence = f"error: Process {rank} of the 2 processes of the training was killed by SIGKILL"
    assert output.count("error:") == output.count(sentence) == 1
    assert "Traceback" not in output
    assert all(is_gone(each) for each in ranks)
    assert not (stage.folder / "model/model.pt").exists()
    assert are_equal(stage.run().weights, uninterrupted.weights)


@pytest.mark.slow
def test_a_killed_launcher_leaves_no_process(stage, uninterrupted):
    """The system ends its processes with it, and the lock is free for the next run."""
    process = stage.start()
    ranks = stage.wait_for_epoch(process)
    process.kill()
    process.wait()
    deadline = time.monotonic() + GONE
    while not all(is_gone(each) for each in ranks):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert are_equal(stage.run().weights, uninterrupted.weights)


@pytest.mark.slow
def test_torchrun_gives_the_same_weights_and_its_processes_end_with_it(stage, uninterrupted):
    """Started by another launcher, the stage joins its processes; killed with kill -9, torchrun leaves none."""
    torchrun = "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2", "-m", "fct.train"
    process = stage.start(*torchrun, GLOO_SOCKET_IFNAME="lo")
    ranks = stage.wait_for_epoch(process)
    process.kill()
    process.wait()
    deadline = time.monotonic() + GONE
    while not all(is_gone(each) for each in ranks):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    process = stage.start(*torchrun, GLOO_SOCKET_IFNAME="lo")
    assert process.wait(PATIENCE) == 0, stage.output.read_text()
    assert stage.output.read_text().count("validation accuracy") == 1
    assert are_equal(stage.weights, uninterrupted.weights)


SCRIPT = """
import json
import os
from fct.core.errors import FailedModelError, exit_on_error
from fct.train.launch import run_training
from fct.train.params import TrainParams

def body(group):
    if group.rank in {ranks}:
        raise FailedModelError("the images are too dark")
    {other}

with exit_on_error():
    run_training(TrainParams.model_validate(json.load(open("train.json"))), body)
"""


WAITS = "group.first(None)"
ABORTS = "os.abort()"  # as torch does when a connection breaks


@pytest.mark.e2e
@pytest.mark.parametrize(
    ("ranks", "other", "error"),
    [
        ((1,), WAITS, "error: In process 1 of the 2 processes of the training: the images are too dark\n"),
        ((1,), ABORTS, "error: In process 1 of the 2 processes of the training: the images are too dark\n"),
        ((0, 1), WAITS, "error: the images are too dark\n"),
    ],
    ids=["one", "one-and-the-other-aborts", "all"],
)
def test_an_error_is_printed_once(built_toy, tmp_path, ranks, other, error):
    """An error of all processes is that of the first; one of another process says whose it is."""
    (tmp_path / "train.json").write_text(json.dumps(built_toy.setup(processes=2).train.model_dump()))
    (tmp_path / "script.py").write_text(SCRIPT.format(ranks=ranks, other=other))
    environment = os.environ | {"PYTHONPATH": str(REPOSITORY)}
    done = subprocess.run(
        [sys.executable, "script.py"], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
    )
    assert done.stderr == error
    assert done.returncode == 1
