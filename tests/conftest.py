"""What tests of several packages stand on: a real tracking database, and a tiny data set with its caches."""

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import textwrap
import time
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType

import dvc  # noqa: F401  # its log handlers keep the stderr of the first import: one that no test closes
import numpy as np
import pytest
from filelock import FileLock
from hypothesis import settings

from fct.cache import store
from fct.cache.build import Folders, build_cache
from fct.core.errors import FctError
from fct.core.files import atomic_folder, write_json
from fct.methods.params import MethodParams
from fct.splits.store import open_split, write_split
from fct.tracking.server import connect

pytest_plugins = ["tests.onnx_models", "tests.postgres", "tests.s3"]

ROOT = Path(__file__).parents[1]
# For workers and the processes that tests start. Networks and images of tests are so small that more threads only wait
# for one another. glibc gives back the memory of a large network only where its tensors are mapped one by one.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("MALLOC_MMAP_THRESHOLD_", str(1 << 20))  # bytes
settings.register_profile("shared", deadline=None)  # a busy machine stops any example for a while
settings.load_profile("shared")
FIRST = ("prefect", "mlflow")  # groups that take longest: workers begin with them, so that short files fill the end

with suppress(ImportError):  # else tests run in one process
    from xdist.scheduler import LoadFileScheduling

    class FileScheduling(LoadFileScheduling):
        """Give a worker a whole file, so that one alone imports and sets up what it needs, or a group of files.

        The group is looked for in the text: with pytest 9, xdist's own `--dist loadgroup` does not see the mark.
        """

        def _split_scope(self, nodeid):
            path = super()._split_scope(nodeid)
            found = re.search(r'^pytestmark = .*xdist_group\("(\w+)"\)', (ROOT / path).read_text(), re.MULTILINE)
            return found[1] if found else path

    @pytest.hookimpl(optionalhook=True)
    def pytest_xdist_make_scheduler(config, log):
        return FileScheduling(config, log) if config.getoption("dist") == "loadfile" else None


def pytest_collection_modifyitems(items):
    """Let workers begin with the groups that take longest, then with real stages; all else stays in random order."""

    def place(item):
        group = item.get_closest_marker("xdist_group")
        if group and group.args[0] in FIRST:
            return FIRST.index(group.args[0])
        return len(FIRST) + (item.path.parent.name != "e2e")

    if "PYTEST_XDIST_WORKER" in os.environ:
        items.sort(key=place)


@pytest.fixture(scope="session")
def once(tmp_path_factory):
    """Return a function that makes a folder for all workers of this run: the first that needs it makes it."""

    def make(name, build):
        base = tmp_path_factory.getbasetemp()
        folder = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / name
        made = folder / "made"
        with FileLock(f"{folder}.lock"):
            if not made.exists():
                shutil.rmtree(folder, ignore_errors=True)  # what a failed attempt left
                folder.mkdir()
                build(folder)
                made.touch()
        return folder

    return make


@pytest.fixture(scope="session")
def schema(once):
    """Make MLflow's tables once: it takes seconds, a copy takes none."""

    def build(folder):
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{folder}/mlflow.db")
            patch.setenv("MLFLOW_EXPERIMENT_NAME", "other")
            connect()

    return once("schema", build) / "mlflow.db"


@pytest.fixture
def place(schema, tmp_path, monkeypatch):
    """Stand in an empty folder with a tracking database and no pipeline above."""
    shutil.copy(schema, tmp_path / "mlflow.db")
    monkeypatch.chdir(tmp_path)
    uri = f"sqlite:///{tmp_path}/mlflow.db"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    monkeypatch.setenv("FCT_PIPELINE_RUN", "here")
    monkeypatch.delenv("MLFLOW_EXPERIMENT_NAME", raising=False)
    yield tmp_path
    for kind in ("tracking", "model_registry"):  # MLflow keeps the engine of each database for ever: 5 MB a test
        module = sys.modules.get(f"mlflow.store.{kind}.sqlalchemy_store")
        if module and (engine := module.SqlAlchemyStore._engine_map.pop(uri, None)):
            engine.dispose()
            engine.clear_compiled_cache()


@pytest.fixture(scope="session")
def running_server(schema, tmp_path_factory):
    """Start a real `mlflow server` on loopback; return its address and folder."""
    folder = tmp_path_factory.mktemp("server")
    shutil.copy(schema, folder / "mlflow.db")
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port = str(one.getsockname()[1])
    command = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", port, "--workers", "1"]
    command += ["--backend-store-uri", f"sqlite:///{folder}/mlflow.db", "--artifacts-destination", str(folder / "kept")]
    environment = os.environ | {
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"
    }  # ten processes that nothing here asks for
    with (folder / "server.log").open("w") as log:
        process = subprocess.Popen(command, env=environment, stdout=log, stderr=log, start_new_session=True)
    try:
        yield f"http://127.0.0.1:{port}", folder
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


@pytest.fixture
def server(running_server, place, monkeypatch):
    """Stand in `place`, with a real server to track to instead of a file; return the server's folder."""
    address, folder = running_server
    monkeypatch.setenv("MLFLOW_TRACKING_URI", address)
    monkeypatch.setenv("MLFLOW_EXPERIMENT_NAME", place.name)  # tests share the server
    return wait_for_server(folder)


def wait_for_server(folder):
    """Wait until the tracking server of the environment answers; return its folder."""
    deadline = time.monotonic() + 120  # seconds
    while True:
        try:
            connect()
        except FctError:
            assert time.monotonic() < deadline, (folder / "server.log").read_text()
            time.sleep(0.2)
        else:
            return folder


@dataclass(frozen=True)
class Toy:
    """A tiny data set on disk, in the folder that the test stands in: RGB, 16 pixels, two cached qualities."""

    root: Path
    digest: str = "0123456789abcdef"
    qualities: tuple[int, ...] = (20, 60)
    subsampling: str = "4:2:0"

    def split(self, name):
        return open_split(name, self.root / "data/splits", self.root / "data/originals")

    def views(self, name="train", qualities=qualities, **changed):
        checked = {"subsampling": self.subsampling, "source_digest": self.digest} | changed
        return store.open_views(self.split(name), qualities, cache=self.root / "data/cache", **checked)

    def build_cache(self, quality, **changed):
        """Write the cache of one quality; return its manifest."""
        options = {"subsampling": self.subsampling, "source_digest": self.digest, "shard_mib": 256} | changed
        return build_cache(quality, folders=Folders.of(self.root), **options)

    def method(self, **changed):
        """Parameters of a method, fct-r unless said otherwise."""
        told = {"name": "fct-r", "probability": 0.5, "weight": 0.3, "layers": ["stage1", "stage3"]}
        told |= {"distance": "centred-mse", "target": "raw-detached", "noise": 0, "teacher": "baseline"}
        block = {"layers": ["stage1", "stage3"], "width": 0.5, "quality": "film"}
        told |= {"block": block | {"consistency": "after", "unknown_quality": "bypass"}}
        told |= {"match": "logits", "schedule": "constant", "ema_momentum": 0.9, "projection": "none"}
        told |= {"matched_views": "compressed", "batch_norm": "shared"}
        told |= {"prediction_weight": 0, "hidden_quality": 0}
        return MethodParams.model_validate(told | changed)

    def setup(self, model="resnet8", of_model=MappingProxyType({}), **changed):
        """All else that decides a training: three epochs of four steps, unless said otherwise."""
        from fct.models.params import ModelParams
        from fct.train.assemble import Setup
        from fct.train.params import TrainParams

        told = {"seed": 0, "epochs": 3, "patience": 10, "batch_size": 24, "learning_rate": 0.1, "momentum": 0.9}
        told |= {"start": "weights", "accumulate": 1, "balance": "none", "freeze": [], "optimiser": "sgd"}
        told |= {"rate_schedule": "one-cycle", "warm_up": 0.2, "layer_decay": 1.0, "clip_norm": None, "ema": None}
        told |= {
            "weight_decay": 5e-4,
            "crop_padding": 2,
            "flip": True,
            "crops": "shared",
            "cutout": 0,
            "label_smoothing": 0.0,
            "resized_crop": None,
            "colour_jitter": 0.0,
            "policy": "none",
            "erasing": 0.0,
            "mixup": 0.0,
            "cutmix": 0.0,
            "quality_sampler": "uniform",
            "views": "cache",
            "precision": "fp32",
            "processes": 1,
            "sync_batch_norm": False,
        }
        small = ModelParams.model_validate(
            {"name": model, "width": 8, "stem": "own", "weights": None, "flip_tta": False, "normalisation": "images"}
            | of_model
        )
        return Setup(self.qualities, self.subsampling, small, TrainParams.model_validate(told | changed))


@pytest.fixture(scope="session")
def built_toy(once):
    """Make the tiny data set and its caches once: the class is the colour of a bright half, over noise."""
    return Toy(once("toy", lambda folder: build_toy(Toy(folder))))


def build_toy(toy):
    rng = np.random.default_rng(0)
    with atomic_folder(toy.root / "data/splits") as splits:
        for name, count in {"train": 96, "val": 48, "gate": 30, "test": 30}.items():
            labels = rng.permutation(np.arange(count) % 3)
            images = rng.integers(0, 140, (count, 16, 16, 3), np.uint8)
            images[np.arange(count), :8, :, labels] += 60
            write_split(splits / name, images, labels, rng.choice([100, 100, 100, 75], count))
        meta = {"classes": ["red", "green", "blue"], "size": 16, "channels": 3, "digest": toy.digest}
        write_json(splits / "meta.json", meta)
    write_json(toy.root / "data/originals/meta.json", {"native": False})
    for quality in toy.qualities:
        toy.build_cache(quality)


@pytest.fixture
def toy(built_toy, tmp_path, monkeypatch):
    """Stand in a folder with a copy of the tiny data set."""
    shutil.copytree(built_toy.root / "data", tmp_path / "data")
    monkeypatch.chdir(tmp_path)
    return replace(built_toy, root=tmp_path)


@pytest.fixture
def killed(tmp_path):
    """Run Python code in a process of its own that must end by its own SIGKILL."""

    def run(code):
        command = [sys.executable, "-c", textwrap.dedent(code)]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
        assert done.returncode == -signal.SIGKILL, done.stderr

    return run


@pytest.fixture(scope="session")
def scenes():
    """Make a split of small images whose class shows: a bright half, left, right or upper, under noise."""
    from fct.images.tables import UNKNOWN_QUALITY
    from fct.splits.store import Split

    def make(name="train", count=96, size=16, channels=3, seed=0):
        rng = np.random.default_rng(seed)
        labels = np.arange(count) % 3
        images = rng.integers(0, 90, (count, size, size, channels), dtype=np.uint8)
        half = size // 2
        for label, region in enumerate([np.s_[:, :, :half], np.s_[:, :, half:], np.s_[:, :half]]):
            images[labels == label] = _brighter(images[labels == label], region)
        return Split(name, images, labels.astype(np.int64), np.full(count, UNKNOWN_QUALITY, np.int64), None)

    return make


def _brighter(images, region):
    images = images.copy()
    images[region] += 120
    return images


@pytest.fixture
def flipped_bits():
    """Return a generator that writes an array's file again for each bit of its header, with this bit flipped."""

    def flip(path):
        whole = path.read_bytes()
        for bit in range(128 * 8):
            content = bytearray(whole)
            content[bit // 8] ^= 1 << bit % 8
            path.write_bytes(content)
            yield bit

    return flip
