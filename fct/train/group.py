"""The processes that train one network together. Each has its own images of every batch.

A launcher says by environment variables which process this is: the one of `fct.train.launch`, or torchrun, Kubernetes'
training operator, Ray Train. `docs/how-to/beyond/training.md` has them all.

The gradients are those of one process with the whole batch, apart from rounding, if the network has no batch norms. A
batch norm sees only the images of its process, unless `train.sync_batch_norm` is on.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch import distributed as dist

from fct.core.errors import TRY_AGAIN, FctError
from fct.core.params import location
from fct.train.params import TrainParams

RANK, SIZE, LOCAL_RANK = "RANK", "WORLD_SIZE", "LOCAL_RANK"  # set by all launchers
STORE = "FCT_TRAIN_STORE"  # set by our own launcher: a file in which the processes of one host find each other

Value = TypeVar("Value")


class LostProcessError(FctError):
    """Another process of the training has ended. The same command may succeed later."""

    status = TRY_AGAIN


@dataclass(frozen=True)
class Group:
    """The processes of a training, and the place of this one among them."""

    rank: int = 0
    size: int = 1
    is_ours: bool = False  # joined here, so that it is ended here; Ray Train ends what it has joined

    @property
    def leads(self) -> bool:
        """Whether this process saves, tracks and prints for all."""
        return self.rank == 0

    @property
    def handle(self) -> dist.ProcessGroup:
        """What torch calls the group. There is none for one process."""
        return cast("dist.ProcessGroup", dist.group.WORLD)

    def places(self, count: int) -> NDArray[np.int64]:
        """Return the places in a batch of `count` images of those that this process has."""
        return np.arange(self.rank, count, self.size)

    def sum(self, values: Tensor) -> Tensor:
        """Return the sum of a tensor over all processes. It may change the tensor."""
        if self.size > 1:
            dist.all_reduce(values)
        return values

    def first(self, value: Value) -> Value:
        """Return the first process's value in all processes."""
        if self.size == 1:
            return value
        values = [value if self.leads else None]
        dist.broadcast_object_list(values, src=0)
        return cast("Value", values[0])

    def end(self) -> None:
        """Leave the group. All processes do so at about the same time; the first one may then go on alone."""
        if self.is_ours and dist.is_initialized():
            dist.destroy_process_group()

    def check_same(self, digest: str) -> None:
        """Check that all processes have the digest of this one.

        Raises:
            FctError: another process is about to train something else.
        """
        if self.size == 1:
            return
        digests: list[str] = [""] * self.size
        dist.all_gather_object(digests, digest)
        others = [str(rank) for rank, other in enumerate(digests) if other != digests[0]]
        if others:
            raise FctError(
                f"The processes {', '.join(others)} of the training have other data, params, code or packages than "
                "process 0. Give all of them the same commit, the same data (`dvc pull`) and the same environment."
            )

    def average_statistics(self, network: nn.Module) -> None:
        """Replace the running statistics of batch norms by their means over the processes."""
        if self.size == 1:
            return
        norms = [module for module in network.modules() if isinstance(module, nn.modules.batchnorm._BatchNorm)]  # noqa: SLF001  # the base of all batch norms
        values = [
            values for norm in norms for values in (norm.running_mean, norm.running_var) if values is not None
        ]  # not num_batches_tracked, which is the same in all
        if not values:
            return
        means = self.sum(torch.cat([each.flatten().float() for each in values])) / self.size
        for value, mean in zip(values, torch.split(means, [each.numel() for each in values]), strict=True):
            value.copy_(mean.view_as(value))


ALONE = Group()


def rank_of_environment() -> tuple[int, int] | None:
    """Return the rank of this process and the number of processes, if a launcher has set them.

    Raises:
        FctError: only one of the variables is set, or they are no such numbers.
    """
    if RANK not in os.environ and SIZE not in os.environ:
        return None
    try:
        rank, size = int(os.environ[RANK]), int(os.environ[SIZE])
    except (KeyError, ValueError):
        rank, size = -1, 0
    if not 0 <= rank < size:
        values = ", ".join(f"{name}={os.environ.get(name, '(not set)')}" for name in (RANK, SIZE))
        raise FctError(
            f"The environment has {values}. A launcher such as torchrun sets both: {SIZE} is the number of processes, "
            f"{RANK} is from 0 to {SIZE} - 1. Unset both to train without a launcher."
        )
    return rank, size


@contextmanager
def joined(params: TrainParams) -> Iterator[Group]:
    """Join the processes that the environment names, or stay alone if it names none.

    In all processes but the first, `print` is silent.

    Raises:
        FctError: the environment does not fit `params`, or this process cannot have a GPU of its own.
        LostProcessError: another process ended in the meantime.
    """
    rank, size = rank_of_environment() or (0, 1)
    if size != params.processes:
        raise FctError(
            f"{location('train.processes')} is {params.processes}, but the launcher started {size} ({SIZE}). The "
            "number decides the weights, so it is a parameter: make both the same."
        )
    if size == 1:
        yield ALONE
        return
    _choose_gpu()
    group = Group(rank, size, is_ours=not dist.is_initialized())
    try:
        if group.is_ours:
            _initialise(rank, size)
        with Path(os.devnull).open("w") as nowhere, redirect_stdout(nowhere) if rank else nullcontext():
            yield group
            group.end()
    except RuntimeError as error:
        if not _is_about_connection(error):
            raise
        raise LostProcessError(
            f"Process {rank} of the training lost the connection to another one, which has probably ended: see its "
            "output. Run the command again: the training goes on after its last epoch."
        ) from None


def _choose_gpu() -> None:
    """Make the GPU of this process the current one. A launcher may show each process only its own."""
    count = torch.cuda.device_count()
    if count > 1:
        local = int(os.environ.get(LOCAL_RANK, os.environ[RANK]))
        if local >= count:
            raise FctError(
                f"{location('train.processes')}: each process needs a GPU of its own, and this host shows {count}, but "
                f"{LOCAL_RANK} is {local}. Start at most {count} processes on this host."
            )
        torch.cuda.set_device(local)


def _initialise(rank: int, size: int) -> None:
    backend = "nccl" if torch.cuda.is_available() else "gloo"
    try:
        if store := os.environ.get(STORE):
            dist.init_process_group(backend, init_method=Path(store).as_uri(), rank=rank, world_size=size)
        else:
            dist.init_process_group(backend)  # MASTER_ADDR and MASTER_PORT say where
    except ValueError as error:
        raise FctError(f"The launcher's environment is not complete: {error}") from None


def _is_about_connection(error: RuntimeError) -> bool:
    return isinstance(error, dist.DistError) or "gloo" in str(error)
