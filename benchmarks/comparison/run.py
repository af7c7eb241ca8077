"""Runs: train a method with one seed, measure it, keep its record and which images it classifies correctly.

A run that was killed goes on from its last epoch. One whose network is still on this machine is only measured again: a
record says which commit trained it. To renew one, remove its network (or all of .fct/benchmarks/<data set>/weights)
first. Records depend on settings, not on the library's code, whose every edit would call for days of training.
"""

from __future__ import annotations

import json
import platform
import tempfile
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, NamedTuple

import torch

from benchmarks.comparison.data import ROOT, standing_in
from benchmarks.comparison.measure import on_test, on_validation
from benchmarks.comparison.pending import why_pending
from benchmarks.comparison.probes import probe
from benchmarks.comparison.results import results_of
from benchmarks.comparison.settings import STANDARD, Plan, RunId, Settings, all_runs, plan, resolve
from fct.core.errors import FctError
from fct.core.files import digest, write_json, write_text
from fct.core.locks import locked
from fct.export.onnx import export
from fct.models import saved
from fct.models.device import pick_device
from fct.models.network import Network
from fct.train.aids import BASELINE
from fct.train.assemble import identity, make_network, open_data
from fct.train.checkpoint import Checkpoint
from fct.train.estimator import fit_estimator
from fct.train.loop import Data, train
from fct.vcs import git

WEIGHTS = Path("weights")  # trained networks, in the data set's folder; where the library looks for teachers


class Trained(NamedTuple):
    """A network, and what it took."""

    path: Path
    cost: dict[str, Any]


class _BusyError(Exception):
    """Another process makes this run."""


def run_missing(settings: Settings, dataset: str | None = None, name: str | None = None) -> int:
    """Make the runs that are missing or stale, one after the other, and return how many.

    Those that another process is making at the time are left to it.

    Args:
        settings: what `runs` asks for.
        dataset: runs on this data set alone.
        name: runs of this method or ablation alone.

    Raises:
        FctError: there is none of the data set and method, or some failed. All others are made nevertheless.
    """
    asked = [run for run in all_runs(settings) if dataset in {None, run.dataset} and name in {None, run.name}]
    if not asked:
        raise FctError(f"No run of benchmarks/params.yaml is of {dataset} {name or ''}. See `runs` there.")
    made, failed = 0, []
    for number, each in enumerate(asked, start=1):
        results = results_of(each.dataset)
        if (why := why_pending(settings, each, results)) is None:
            continue
        print(f"{number} of {len(asked)}, {why}", flush=True)
        try:
            with _alone(each, on_wait=_give_way):
                if why_pending(settings, each, results):  # else another process has made it just now
                    _run(settings, each, repeat=False)
                    made += 1
        except _BusyError:
            print("another process makes it", flush=True)
        except FctError as error:
            print(f"{each} failed: {error}", flush=True)
            failed.append(f"{each}: {error}")
    if failed:
        raise FctError(f"{len(failed)} of {len(asked)} runs failed, the first of them {failed[0]}")
    return made


def run(settings: Settings, which: RunId, *, repeat: bool = False) -> Path:
    """Make one run, whether its result is there or not; return the table that its record is in.

    Args:
        settings: what it is made with.
        which: trials but the chosen one have seed 0, and never see a test image.
        repeat: keep the record beside the first one's, without bits: the same run on another machine.

    Raises:
        FctError: there is no such run, or it cannot be trained.
    """
    if which.trial and (which.seed or repeat):
        raise FctError(
            f"trials have seed 0 (not {which.seed}) and are not repeated. Leave --trial out for the chosen one."
        )
    with _alone(which, on_wait=lambda: print(f"waiting for another process, which makes {which}")):
        return _run(settings, which, repeat=repeat)


def _alone(which: RunId, on_wait: Callable[[], object]) -> AbstractContextManager[None]:
    """Let one process at a time make a run."""
    lock = ROOT / "locks" / f"{which.dataset}-{which.name}-{which.seed}-{which.trial}.lock"
    lock.parent.mkdir(parents=True, exist_ok=True)
    return locked(lock, on_wait=on_wait)


def _give_way() -> None:
    raise _BusyError


def _run(settings: Settings, which: RunId, *, repeat: bool) -> Path:
    """Train and measure, and save the record."""
    dataset, name, seed, trial = which
    resolved, own, correct = resolve(settings, which), settings.on(dataset), None
    with standing_in(own, dataset), tempfile.TemporaryDirectory() as folder:
        trained = _trained(with_networks(own, plan(own, name, seed, trial), seed))
        network, description = saved.load(trained.path)
        model = _to_measure(network, description, Path(folder) / "model.onnx")
        found = on_validation(own, model)
        if own.measure.probes and not (repeat or trial):
            found["probes"] = probe(own, network)
        if trial == 0:
            on_images, correct = on_test(own, model, network)
            found |= on_images
    record = {
        "dataset": dataset,
        "name": name,
        "seed": seed,
        "trial": trial,
        "repeat": repeat,
        "settings": resolved,
        "cost": {key: value for key, value in trained.cost.items() if key != "commit"},
        "commit": trained.cost["commit"],
    }
    results = results_of(dataset)
    results.save(record | found, None if repeat else correct)
    return results.table


def _to_measure(network: Network, description: saved.Description, path: Path) -> Path | Network:
    """Return what is measured: the network on the GPU, or where there is none its exported file at `path`."""
    device = pick_device()
    if device.type == "cuda":
        network.to(device=device, memory_format=torch.channels_last)  # type: ignore[call-overload]  # stubs lack it
        return network
    export(network, description, path)
    return path


def machine() -> str:
    """Return what a run or a step is timed on: the architecture, threads, the version of torch, and the GPU if any."""
    gpu = [torch.cuda.get_device_name()] if torch.cuda.is_available() else []
    return ", ".join([platform.machine(), f"{torch.get_num_threads()} threads", f"torch {torch.__version__}", *gpu])


def with_networks(settings: Settings, planned: Plan, seed: int) -> Plan:
    """Return the plan with the files of its teacher and of the network that it starts from, of the same seed.

    They are trained first where they are not here.
    """
    setup, method = planned
    if setup.train.start == BASELINE:
        model = setup.model.model_copy(update={"weights": _network(settings, STANDARD, seed)})
        setup = setup._replace(model=model, train=setup.train.model_copy(update={"start": "weights"}))
    if method.needs_teacher_file:
        method = method.model_copy(update={"teacher": _network(settings, str(method.teacher), seed)})
    return Plan(setup, method)


def trained_network(settings: Settings, name: str, seed: int) -> Network:
    """Return the network of an entry, trained first where it is not here. The settings are those of a data set."""
    return saved.load(Path(_network(settings, name, seed)))[0].eval()


def _network(settings: Settings, name: str, seed: int) -> str:
    """Return the file of the network of an entry."""
    return str(_trained(with_networks(settings, plan(settings, name, seed), seed)).path)


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
    checkpoint = Checkpoint(identity(setup, method, meta), root=Path("checkpoints"), keep=None)
    before = len((checkpoint.load() or {"history": ()})["history"])  # epochs
    begun = path.with_suffix(".commit")
    if not (before and begun.exists()):  # one that goes on is of the commit at which it began
        write_text(begun, _commit())
    start = time.perf_counter()
    history = train(network, data, method, setup.train, checkpoint=checkpoint)
    trained = time.perf_counter()
    fit_estimator(network, data, method, setup.train)
    fitted = time.perf_counter()
    taken = len(history) - before
    if taken or not path.with_suffix(".json").exists():  # else it was killed when all but the network was written
        steps = len(data.train) // setup.train.batch_size * len(history)
        cost = {
            "images_forwarded": steps * setup.train.batch_size * method.views_per_image,
            "steps": steps,
            "parameters": sum(weight.numel() for weight in network.parameters()),
            "seconds": round((trained - start) * len(history) / taken + fitted - trained, 1) if taken else None,
            "machine": machine(),
            "loss": [round(each["loss"], 4) for each in history],
            "commit": begun.read_text(),
        }
        write_json(path.with_suffix(".json"), cost)
    saved.save(network, description, path)
    checkpoint.forget()


def _commit() -> str:
    """Return the commit of the code that runs, marked where the code differs from it; results may."""
    here = str(Path(__file__).parent)  # where one stands, data and networks may be another checkout's
    code = ("--", ":/", ":(top,exclude)benchmarks/results")
    changed = git.run("-C", here, "status", "--porcelain", "--untracked-files=no", *code)
    return (git.run("-C", here, "rev-parse", "--short", "HEAD") or "").strip() + ("-dirty" if changed else "")
