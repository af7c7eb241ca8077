"""One run: train a method with one seed, measure it, keep metrics and per-image correctness.

    results/comparison/<data set>/<name>-<seed>.json   what was trained, at what cost, and what came out
                                  <name>-<seed>.npz    correct: packed bits [conditions, images] of the test split,
                                                       conditions raw, each quality, then each unseen distortion
                  trials/<name>-<trial>.json           what was trained, and its accuracy on validation images alone
                  again/<name>-<seed>.json             metrics of a second run, on another machine, moved there by hand

A run that was killed goes on from its last epoch. One whose network is still on this machine is only measured again: a
record says which commit trained it.
"""

from __future__ import annotations

import json
import platform
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch

from benchmarks.comparison.data import standing_in
from benchmarks.comparison.measure import on_test, on_validation
from benchmarks.comparison.settings import Plan, Settings, plan
from fct.core.errors import FctError
from fct.core.files import digest, write_bytes, write_json
from fct.core.locks import locked
from fct.export.onnx import export
from fct.methods.registry import METHODS
from fct.models import saved
from fct.models.device import pick_device
from fct.models.network import Network
from fct.train.assemble import identity, make_network, open_data
from fct.train.checkpoint import Checkpoint
from fct.train.estimator import fit_estimator
from fct.train.loop import Data, train

RESULTS = Path("benchmarks/results/comparison").resolve()
WEIGHTS = Path("weights")  # trained networks, in the data set's folder; where the library looks for teachers


class Trained(NamedTuple):
    """A network, and what it took."""

    path: Path
    cost: dict[str, Any]


def run(settings: Settings, dataset: str, name: str, seed: int, trial: int = 0) -> Path:
    """Train and measure; return where the metrics were written. Trials but the chosen one never see a test image."""
    path, settings = place(dataset, name, seed, trial), settings.on(dataset)
    with standing_in(settings, dataset), tempfile.TemporaryDirectory() as folder:
        planned = plan(settings, name, seed, trial)
        teacher = {"teacher": planned.method.teacher} if planned.method.wants_file else {}  # by its name, not its file
        planned = _with_teacher(settings, planned, seed)
        trained = _trained(planned)
        network, description = saved.load(trained.path)
        model = _to_measure(network, description, Path(folder) / "model.onnx")
        found = on_validation(settings, model)
        if trial == 0:
            on_images, correct = on_test(settings, model, network)
            found |= on_images
            write_bytes(path.with_suffix(".npz"), _packed(correct))
    told = {
        "dataset": dataset,
        "name": name,
        "seed": seed,
        "trial": trial,
        "method": planned.method.model_dump() | teacher,
        "model": planned.setup.model.model_dump(),
        "train": planned.setup.train.model_dump(),
        "qualities": list(planned.setup.qualities),
        "cost": {key: value for key, value in trained.cost.items() if key != "commit"},
        "commit": trained.cost["commit"],
    }
    write_json(path, told | found)
    return path


def place(dataset: str, name: str, seed: int, trial: int = 0) -> Path:
    """Return where a run's metrics are; trials but the chosen one have a folder of their own, and seed 0."""
    if trial and seed:
        raise FctError(f"trials have seed 0 (not {seed}). Leave --trial out for another seed of the chosen one.")
    if trial == 0:
        return RESULTS / dataset / f"{name}-{seed}.json"
    return RESULTS / dataset / "trials" / f"{name}-{trial}.json"


def read_correct(path: Path, conditions: int, images: int) -> np.ndarray:
    """Return bool [conditions, images] of a run's metrics file at `path`."""
    with np.load(path.with_suffix(".npz"), allow_pickle=False) as kept:
        return np.unpackbits(kept["correct"], axis=1, count=images)[:conditions].astype(bool)


def _to_measure(network: Network, description: saved.Description, path: Path) -> Path | Network:
    """Return what is measured: the network on the GPU, or where there is none its exported file at `path`."""
    device = pick_device()
    if device.type == "cuda":
        return network.to(device=device, memory_format=torch.channels_last)  # type: ignore[call-overload]  # stubs lack it
    export(network, description, path)
    return path


def machine() -> str:
    """Return what a run or a step is timed on: the processor, threads, the version of torch, and the GPU if any."""
    gpu = [torch.cuda.get_device_name()] if torch.cuda.is_available() else []
    return ", ".join([platform.machine(), f"{torch.get_num_threads()} threads", f"torch {torch.__version__}", *gpu])


def _with_teacher(settings: Settings, planned: Plan, seed: int) -> Plan:
    """Return the plan with its teacher's file, which is trained first if it is not here: the same seed's."""
    if not planned.method.wants_file:
        return planned
    teacher = _trained(plan(settings, str(planned.method.teacher), seed)).path
    return planned._replace(method=planned.method.model_copy(update={"teacher": str(teacher)}))


def _trained(planned: Plan) -> Trained:
    """Train, or go on, or find the network that the same plan gave before."""
    setup, method = planned
    data, meta = open_data(setup)
    path = WEIGHTS / f"{digest(identity(setup, method, meta))}.pt"
    with locked(path.with_suffix(".lock"), on_wait=lambda: print(f"waiting for another run, which trains {path}")):
        if not path.exists():
            _train(planned, data, meta, path)
    return Trained(path, json.loads(path.with_suffix(".json").read_text()))


def _train(planned: Plan, data: Data, meta: dict[str, Any], path: Path) -> None:
    """Write the network to `path`, and beside it what it cost."""
    setup, method = planned
    network, description = make_network(setup, method, data.train, meta)
    checkpoint = Checkpoint(identity(setup, method, meta), root=Path("checkpoints"))
    before = len((checkpoint.load() or {"history": ()})["history"])  # epochs
    commit, start = _commit(), time.perf_counter()
    history = train(network, data, method, setup.train, checkpoint=checkpoint)
    trained = time.perf_counter()
    fit_estimator(network, data, method, setup.train)
    fitted = time.perf_counter()
    taken = len(history) - before
    if taken or not path.with_suffix(".json").exists():  # else it was killed when all but the network was written
        steps = len(data.train) // setup.train.batch_size * len(history)
        cost = {
            "images_forwarded": steps * setup.train.batch_size * METHODS[method.name].VIEWS,
            "steps": steps,
            "parameters": sum(weight.numel() for weight in network.parameters()),
            "seconds": round((trained - start) * len(history) / taken + fitted - trained, 1) if taken else None,
            "machine": machine(),
            "loss": [round(each["loss"], 4) for each in history],
            "commit": commit,
        }
        write_json(path.with_suffix(".json"), cost)
    saved.save(network, description, path)
    checkpoint.forget()


def _packed(correct: np.ndarray) -> bytes:
    with tempfile.TemporaryFile() as file:
        np.savez_compressed(file, correct=np.packbits(correct, axis=1))
        file.seek(0)
        return file.read()


def _commit() -> str:
    """Return the commit of the code that runs, marked where files differ from it."""
    here = Path(__file__).parent  # where one stands, data and networks may be another checkout's
    told = subprocess.run(
        ["git", "describe", "--always", "--dirty"], cwd=here, capture_output=True, text=True, check=False
    )
    return told.stdout.strip()
