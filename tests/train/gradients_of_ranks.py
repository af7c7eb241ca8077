"""One of the processes that compute the gradient of each variant. The first also computes it alone, and compares.

    RANK=0 WORLD_SIZE=2 FCT_TRAIN_STORE=/tmp/store python tests/train/gradients_of_ranks.py variants.json errors.json

It stands in the folder of a toy data set. The errors are relative: the norm of the difference by that of the gradient.
"""

import json
import sys
from contextlib import closing
from pathlib import Path

import torch

from fct.core.paths import STANDARD_PT
from fct.methods.params import MethodParams
from fct.models import saved
from fct.models.params import ModelParams
from fct.train.assemble import Setup, make_network, open_data
from fct.train.group import ALONE, joined
from fct.train.loop import Training
from fct.train.params import TrainParams


def gradient(setup, method, group, progress):
    """Return the gradient, [N], of the first step of a training, from which norms are frozen, at some progress."""
    data, meta = open_data(setup, group)
    network, _ = make_network(setup, method, data.train, meta)
    for block in network.blocks.values() if network.blocks else ():
        torch.nn.init.normal_(block.expand.weight, std=0.1)  # it starts at zero
    training = Training(network, data, method, setup.train, group=group)
    training.steps_taken = int(progress * setup.train.epochs * training.steps) // 2 * 2
    network.train()
    for module in training.frozen:
        module.eval()
    found = []

    def keep(optimiser, _args, _kwargs):
        weights = [weight for group in optimiser.param_groups for weight in group["params"]]
        found.append(torch.cat([weight.grad.flatten().clone() for weight in weights]))

    training.optimiser.register_step_pre_hook(keep)
    with closing(training.batches(0)) as batches:
        while not found:
            training.step(next(batches))
    return found[0]


def main(variants, errors):
    """Compare the gradients of all variants; write an error for each."""
    torch.set_num_threads(1)
    measured = {}
    described = json.loads(Path(variants).read_text())
    first = TrainParams.model_validate(next(iter(described.values()))["train"])
    with joined(first) as group:
        for name, variant in described.items():
            setup = Setup(
                (20, 60),
                "4:2:0",
                ModelParams.model_validate(variant["model"]),
                TrainParams.model_validate(variant["train"]),
            )
            method = MethodParams.model_validate(variant["method"])
            if not STANDARD_PT.exists() and group.leads:  # the teacher
                torch.manual_seed(1)
                data, meta = open_data(setup)
                network, description = make_network(
                    setup._replace(train=setup.train.model_copy(update={"seed": 9})),
                    method.model_copy(update={"name": "standard"}),
                    data.train,
                    meta,
                )
                saved.save(network, description)
                saved.save(network, description, STANDARD_PT)
            group.first(None)
            together = gradient(setup, method, group, variant["progress"])
            if group.leads:
                alone = gradient(setup, method, ALONE, variant["progress"])
                measured[name] = float((together - alone).norm() / alone.norm())
    if measured:
        Path(errors).write_text(json.dumps(measured))


if __name__ == "__main__":
    main(*sys.argv[1:])
