"""A training step of one process against that of several, which share the batch and the cores or the GPUs.

    python -m benchmarks.processes       # takes turns, prints the ratio, writes benchmarks/results/processes.json

One process uses all cores, and each of several its part of them. On GPUs, one process uses one GPU.
"""

from __future__ import annotations

import itertools
import json
import os
import platform
import statistics
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch

from benchmarks.speed.measure import photographs
from fct.core import params
from fct.core.errors import exit_on_error
from fct.core.files import write_text
from fct.images.tables import UNKNOWN_QUALITY
from fct.models import backbones
from fct.models.device import pick_device
from fct.models.network import Network
from fct.search.__main__ import Params
from fct.splits.store import Split
from fct.splits.views import compress_split
from fct.train.batches import Cached
from fct.train.group import ALONE, Group
from fct.train.launch import run_training
from fct.train.loop import Data, Training
from fct.train.params import TrainParams

RESULTS = Path(__file__).parent / "results/processes.json"
PROCESSES = 2
NETWORK, WIDTH, BATCH = "resnet8", 16, 128
LAYERS = ["stage1", "stage2", "stage3"]
QUALITIES = (10, 50, 90)
IMAGES, SIZE = 1024, 32
ROUNDS, UNTIMED, TIMED = 5, 1, 4  # steps


def schedule() -> TrainParams:
    """Return the schedule of both subjects."""
    changed = {"processes": PROCESSES, "batch_size": BATCH, "epochs": 1000, "learning_rate": 0.01, "precision": "fp32"}
    return params.load(Params).train.model_copy(update=changed)


def make_training(data: Data, group: Group) -> Training:
    torch.manual_seed(0)
    backbone = backbones.build_backbone(NETWORK, width=WIDTH, classes=10, channels=3, size=SIZE)
    network = Network(backbone, mean=[0.5] * 3, std=[0.25] * 3, layers=LAYERS)
    network.to(device=pick_device(), memory_format=torch.channels_last)  # type: ignore[call-overload]
    network.train()
    own = {"name": "fct", "layers": LAYERS, "target": "raw-detached", "matched_views": "compressed"}  # needs no teacher
    method = params.load(Params).method.model_copy(update=own)
    return Training(network, data, method, schedule(), group=group)


def make_data() -> Data:
    images = photographs(IMAGES, SIZE)
    labels = np.random.default_rng(0).integers(0, 10, IMAGES)
    split = Split("train", images, labels, np.full(IMAGES, UNKNOWN_QUALITY), None)
    return Data(split, Cached({quality: compress_split(split, quality, "4:2:0") for quality in QUALITIES}), split, {})


def measure(group: Group) -> None:
    """Take turns, round after round, so that a machine whose speed drifts drifts for both."""
    data, cores = make_data(), len(os.sched_getaffinity(0))
    subjects = {"together": make_training(data, group)}
    if group.leads:
        subjects["alone"] = make_training(data, ALONE)
    steps = {name: _steps(training) for name, training in subjects.items()}
    times: dict[str, list[float]] = {"alone": [], "together": []}
    for _, name in itertools.product(range(ROUNDS), times):
        torch.set_num_threads(cores if name == "alone" else max(1, cores // PROCESSES))
        group.first(None)  # the others wait while the first one works alone
        if name in steps:
            for _ in itertools.islice(steps[name], UNTIMED):
                pass
            begun = time.perf_counter()
            for _ in itertools.islice(steps[name], TIMED):
                pass
            times[name].append((time.perf_counter() - begun) / TIMED)
    if group.leads:
        _write(times, cores)


def _steps(training: Training) -> Iterator[None]:
    """Take a step each time."""
    for number in itertools.count():
        for batch in training.batches(number):
            training.step(batch)
            if training.device.type == "cuda":
                torch.cuda.synchronize()
            yield


def _write(times: dict[str, list[float]], cores: int) -> None:
    ratios = [alone / together for alone, together in zip(times["alone"], times["together"], strict=True)]
    result = {
        "machine": platform.machine(),
        "device": torch.cuda.get_device_name() if torch.cuda.is_available() else "CPU",
        "cores": cores,
        "load": [round(load, 1) for load in os.getloadavg()],
        "torch": torch.__version__,
        "network": f"{NETWORK}, width {WIDTH}",
        "batch_size": BATCH,
        "processes": PROCESSES,
        "step_ms": {name: round(statistics.median(values) * 1e3, 1) for name, values in times.items()},
        "times_as_fast": round(statistics.median(ratios), 2),
        "rounds": [round(ratio, 2) for ratio in ratios],
    }
    write_text(RESULTS, json.dumps(result, indent=2) + "\n")
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    with exit_on_error():
        run_training(schedule(), measure)
