"""What a step of each method takes, against `pair`'s in the same minute: `python -m benchmarks.comparison cost`.

Runs of the comparison share their machine with other work, so their own times say little. Here steps of all methods are
taken in turn, on the same images, and each round gives a ratio.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tqdm import tqdm

from benchmarks.comparison.budget import COST, COST_OF
from benchmarks.comparison.data import standing_in
from benchmarks.comparison.run import WEIGHTS, machine
from benchmarks.comparison.settings import CONTROL, Settings, plan
from fct.core.files import write_json
from fct.models import saved
from fct.train.assemble import make_network, open_data
from fct.train.loop import Training

ROUNDS = 15
WARM_UP = 2  # rounds that do not count
TEACHER = Path("untrained.pt")  # in `weights`: what a teacher knows does not change what it costs


def measure(settings: Settings) -> Path:
    """Time every method, and write the ratios of its time an image forwarded."""
    times: dict[str, list[float]] = {}
    with standing_in(settings, COST_OF):
        trainings = {name: _training(settings, name) for name in settings.methods}
        for number in tqdm(range(WARM_UP + ROUNDS), desc="rounds", disable=None):
            for name, (training, batches, images) in trainings.items():
                start = time.perf_counter()
                training.step(batches[number % len(batches)])
                if torch.cuda.is_available():
                    torch.cuda.synchronize()
                if number >= WARM_UP:
                    times.setdefault(name, []).append((time.perf_counter() - start) / images)
    control = np.array(times[CONTROL])
    write_json(
        COST,
        {
            "machine": machine(),
            "rounds": ROUNDS,
            "microseconds": {name: round(float(np.median(each)) * 1e6, 1) for name, each in times.items()},
            "against_pair": {name: round(float(np.median(each / control)), 3) for name, each in times.items()},
        },
    )
    return COST


def _training(settings: Settings, name: str) -> tuple[Training, list[Any], int]:
    """Return a training of an entry, some of its batches, and the images that it forwards with gradients a step."""
    setup, method = plan(settings, name, 0)
    data, meta = open_data(setup)
    if method.needs_teacher_file:
        teacher, description = make_network(*plan(settings, str(method.teacher), 0), data.train, meta)
        saved.save(teacher, description, WEIGHTS / TEACHER)
        method = method.model_copy(update={"teacher": str(WEIGHTS / TEACHER)})
    network, _ = make_network(setup, method, data.train, meta)
    training = Training(network, data, method, setup.train)
    network.train()
    stream = training.batches(0)
    batches = [next(stream) for _ in range(2)]
    stream.close()
    return training, batches, setup.train.batch_size * method.views_per_image
