"""The search: which pruner saves most, and whether 30 trials match the hand-tuned recipe.

    python -m benchmarks.search             # 90 minutes of one core; a run that was killed goes on
    python -m benchmarks.search --tables    # write the tables of docs/explanation/search.md from the results alone

On CIFAR-10. The first trial is the recipe `cifar10`, with a network and blocks of a quarter of its widths and batches
of 64. A network is first trained on all raw images. It is the teacher, and each trial starts from it, trains on IMAGES
images for EPOCHS epochs and is validated on a third of the 5,000 of val.

1. `curves.jsonl`: the recipe and 29 random trials, all trained to their end. Each pruner is then tried on these curves,
   in ORDERS orders of the trials: how many epochs it saves, and what it loses of the best value.
2. `trials.jsonl`: a search of 30 trials, as the stage `search` makes it, with the pruner that it has by default.
3. `fresh.jsonl`: the recipe, what the search answers and the best of the 30 whole trials, trained with seeds that no
   trial had, and measured on val and on held-out images that no choice was made on.

Data, teacher and journal are in .fct/benchmarks/cifar10; results, in benchmarks/results/search, are committed.
"""

from __future__ import annotations

import argparse
import itertools
import json
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple, cast

import numpy as np
import optuna
from optuna.pruners import BasePruner
from optuna.samplers import RandomSampler
from optuna.trial import FrozenTrial
from scipy.stats import t

from benchmarks.comparison.data import standing_in
from benchmarks.comparison.settings import read
from benchmarks.markdown import between, table
from fct import recipes
from fct.core.errors import exit_on_error
from fct.core.files import write_text
from fct.core.paths import STANDARD_PT
from fct.methods.params import STANDARD, MethodParams
from fct.models import saved
from fct.models.network import Network
from fct.models.params import ModelParams
from fct.search.params import Pruner, SearchParams
from fct.search.run import Curve, search, subsample, value_of
from fct.search.space import Space, make_space, suggest
from fct.search.study import make_pruner
from fct.splits.store import open_split
from fct.splits.views import compress_split
from fct.train.assemble import Setup, identity, make_network, open_data
from fct.train.checkpoint import Checkpoint
from fct.train.loop import Data, DivergenceError, train
from fct.train.params import TrainParams
from fct.train.validation import Validation, validate

RECIPE_ROW, ANSWER_ROW, WHOLE_ROW = "recipe", "answer of the search", "best of the whole trials"
DATASET, RECIPE, WIDTH = "cifar10", "cifar10", 8
BLOCK_WIDTH = 0.25
IMAGES, EPOCHS, TRIALS = 1_500, 9, 30
SEEDS = (1, 2, 3)
SCHEDULE = {"epochs": EPOCHS, "batch_size": 64, "learning_rate": 0.1}  # small batches, as few images give few steps
ORDERS = 100
NOT_OFFERED = "(not offered) ends what is behind the first trial"
PRUNERS = ("none", "hyperband", "successive-halving", "median")
SEARCH = SearchParams.model_validate({
    "trials": TRIALS, "images": IMAGES, "epochs": EPOCHS, "pruner": "median", "min_gain": 0.01,
    "max_raw_drop": 0.01, "seed": 0, "weight": {"low": 0.1, "high": 10.0}, "layers": None, "block_layers": None,
    "distances": ["mse", "centred-mse", "cosine"], "targets": ["teacher", "ema-teacher"],
})  # fmt: skip
RESULTS = Path("benchmarks/results/search").resolve()
PAGE = Path("docs/explanation/search.md").resolve()

Row = dict[str, Any]


class Replayed(NamedTuple):
    """What a pruner would have done with trials that were trained to their end."""

    epochs: int  # that it would have trained
    value: float  # of the best trial that it would have trained to its end


class BehindFirst(BasePruner):
    """Ends a trial that is behind the first one after any epoch: what the search did before it had pruners."""

    def prune(self, study: optuna.Study, trial: FrozenTrial) -> bool:
        """Return whether the trial is behind."""
        first, step = study.get_trials(deepcopy=False)[0], trial.last_step
        return step is not None and trial.intermediate_values[step] < first.intermediate_values.get(step, 0.0)


def replay(curves: list[list[float]], pruner: BasePruner, name: str) -> Replayed:
    """Show a pruner the values of trials after each epoch, one trial after the other. The first always ends.

    Args:
        curves: the values of each trial. One that diverged has fewer than the first.
        pruner: a new one.
        name: of the study, by which Hyperband divides the trials.
    """
    study = optuna.create_study(direction="maximize", pruner=pruner, sampler=RandomSampler(seed=0), study_name=name)
    whole, epochs, best = len(curves[0]), 0, 0.0
    for index, curve in enumerate(curves):
        trial = study.ask()
        for epoch, value in enumerate(curve, start=1):
            epochs += 1
            trial.report(value, epoch)
            if epoch < whole and trial.should_prune() and index:
                study.tell(trial, state=optuna.trial.TrialState.PRUNED)
                break
        else:
            if len(curve) < whole:
                study.tell(trial, state=optuna.trial.TrialState.PRUNED)
            else:
                study.tell(trial, curve[-1])
                best = max(best, curve[-1])
    return Replayed(epochs, best)


def main() -> None:
    """Make what is missing, and write the tables."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.search", description="What the search saves and finds.")
    parser.add_argument("--tables", action="store_true", help="train nothing")
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    if not parser.parse_args().tables:
        _train_all()
    page = PAGE.read_text()
    for name, block in tables().items():
        marks = f"<!-- {name}: written by `python -m benchmarks.search --tables` -->", f"<!-- {name} ends -->"
        page = between(page, block, marks, PAGE)
    write_text(PAGE, page)


def _train_all() -> None:
    settings = read()
    recipe = recipes.read(RECIPE).params
    model = ModelParams.model_validate(recipe["model"] | {"width": WIDTH, "normalisation": "auto"})
    schedule = settings.train.model_dump() | recipe["train"] | SCHEDULE
    setup = Setup(
        tuple(settings.cache.qualities), settings.jpeg.subsampling, model, TrainParams.model_validate(schedule)
    )
    block = recipe["method"]["block"] | {"width": BLOCK_WIDTH}
    own = {"teacher": "baseline", **recipe["method"], "block": block}
    method = MethodParams.model_validate(settings.method | own)
    with standing_in(settings, DATASET):
        _train_teacher(setup)
        setup = setup._replace(train=setup.train.model_copy(update={"start": "baseline"}))
        _record_curves(setup, method)
        result = search(setup, method, SEARCH, _silent, fresh=False)
        rows = [
            {"trial": number, "end": one.end, "method": one.method.model_dump(mode="json"), "curve": one.curve}
            for number, one in enumerate(result.tried)
        ]
        write_text(RESULTS / "trials.jsonl", "".join(json.dumps(row) + "\n" for row in rows))
        whole = MethodParams.model_validate(_best_trial(_rows(RESULTS / "curves.jsonl"))["method"])
        _train_fresh(setup, {RECIPE_ROW: method, ANSWER_ROW: result.method, WHOLE_ROW: whole})


def _train_teacher(setup: Setup) -> None:
    """Train the network that the stage `baseline` would, on all images."""
    if STANDARD_PT.exists():
        return
    data, meta = open_data(setup)
    network, description = make_network(setup, STANDARD, data.train, meta)
    checkpoint = Checkpoint(identity(setup, STANDARD, meta), root=Path("checkpoints"))
    train(network, data, STANDARD, setup.train, checkpoint=checkpoint)
    saved.save(network, description, STANDARD_PT)


def _record_curves(setup: Setup, baseline: MethodParams) -> None:
    """Train the recipe, then random trials; those that are there already are not made again."""
    path = RESULTS / "curves.jsonl"
    rows = _rows(path)
    data, meta = open_data(setup)
    space = make_space(setup.model, setup.train, baseline, SEARCH, meta)
    suggestions = itertools.chain([baseline], _random_methods(baseline, space))
    for number, method in enumerate(itertools.islice(suggestions, TRIALS)):
        if number < len(rows):
            continue
        _, curve = _train(setup, method, subsample(data, IMAGES), meta, seed=setup.train.seed)
        _append(path, {"trial": number, "method": method.model_dump(mode="json"), "curve": curve})


def _random_methods(baseline: MethodParams, space: Space) -> Iterator[MethodParams]:
    study = optuna.create_study(sampler=RandomSampler(seed=0))
    while True:
        method = suggest(study.ask(), baseline, space)
        if method is not None:
            yield method


def _train_fresh(setup: Setup, methods: dict[str, MethodParams]) -> None:
    """Train with other seeds, and measure val and held-out images."""
    path = RESULTS / "fresh.jsonl"
    values = {name: method.model_dump(mode="json") for name, method in methods.items()}
    rows = [row for row in _rows(path) if row["method"] == values.get(row["name"])]
    write_text(path, "".join(json.dumps(row) + "\n" for row in rows))
    data, meta = open_data(setup)
    data = subsample(data, IMAGES)
    held_out = open_split("test")
    views = {quality: compress_split(held_out, quality, setup.subsampling) for quality in setup.qualities}
    for seed, (name, method) in itertools.product(SEEDS, methods.items()):
        alike = [row for row in _rows(path) if (row["method"], row["seed"]) == (values[name], seed)]
        if any(row["name"] == name for row in alike):
            continue
        if alike:  # the search answers with the recipe, where no trial is better by `min_gain`
            _append(path, alike[0] | {"name": name})
            continue
        network, _ = _train(setup, method, data, meta, seed=seed)
        accuracy = {
            split.name: _accuracies(validate(network, split, compressed, precision=setup.train.precision))
            for split, compressed in ((data.val, data.val_views), (held_out, views))
        }
        _append(path, {"name": name, "seed": seed, "method": values[name]} | accuracy)


def _accuracies(found: Validation) -> tuple[float, float]:
    return found.compressed, found.raw


def _train(setup: Setup, method: MethodParams, data: Data, meta: Row, *, seed: int) -> tuple[Network, Curve]:
    """Return the network of the best epoch, and the accuracies after each; fewer if the training diverged."""
    setup = setup._replace(train=setup.train.model_copy(update={"epochs": EPOCHS, "seed": seed}))
    network, _ = make_network(setup, method, data.train, meta)
    curve: Curve = []
    with suppress(DivergenceError):
        train(
            network,
            data,
            method,
            setup.train,
            on_epoch=lambda _number, metrics: curve.append((metrics["val_compressed"], metrics["val_raw"])),
        )
    return network, curve


class _Silent:
    """An observer that records nothing."""

    id = "nowhere"

    def metrics(self, values: dict[str, float], step: int | None = None) -> None:
        """Record nothing."""


@contextmanager
def _silent(_name: str, _method: Row) -> Iterator[_Silent]:
    yield _Silent()


def tables() -> dict[str, str]:
    """Return the tables by the name of their marks in docs/explanation/search.md, as far as their results are there."""
    curves, trials, fresh = (_rows(RESULTS / f"{name}.jsonl") for name in ("curves", "trials", "fresh"))
    return {
        "pruners": _pruners_table([row["curve"] for row in curves]) if len(curves) == TRIALS else "",
        "found": _found_table(trials) if trials else "",
        "fresh": _fresh_table(fresh) if fresh else "",
    }


def _pruners_table(curves: list[Curve]) -> str:
    """Return a row a pruner: epochs saved, and accuracy lost, the mean over orders of the trials."""
    values = [
        [value_of(curve[: end + 1], curves[0] if number else [], SEARCH.max_raw_drop) for end in range(len(curve))]
        for number, curve in enumerate(curves)
    ]
    rng = np.random.default_rng(0)
    orders = [[values[0], *(values[1 + index] for index in rng.permutation(len(values) - 1))] for _ in range(ORDERS)]
    rows = []
    for title in (*PRUNERS, NOT_OFFERED):
        found = []
        for number, order in enumerate(orders):
            pruner = make_pruner(cast("Pruner", title), EPOCHS) if title in PRUNERS else BehindFirst()
            found.append(replay(order, pruner, f"order {number}"))
        whole = sum(map(len, values))
        best = max(curve[-1] for curve in values if len(curve) == EPOCHS)
        lost = np.array([best - one.value for one in found])
        saved_share = 1 - np.mean([one.epochs for one in found]) / whole
        rows.append([
            f"`{title}`" if title in PRUNERS else title,
            f"{100 * saved_share:.0f} %",
            f"{100 * (lost == 0).mean():.0f} %",
            f"{100 * lost.mean():.2f}",
            f"{100 * lost.max():.2f}",
        ])  # fmt: skip
    header = ["pruner", "epochs saved", "the best trial is found", "points lost, mean", "points lost, at most"]
    return table(header, rows)


def _found_table(trials: list[Row]) -> str:
    """Return the recipe and the answer of the search, with their scores on val."""
    ended = [row for row in trials if row["end"] == "trained"]
    best = _best_trial(ended)
    rows = [_method_row("recipe `cifar10`", trials[0]), _method_row(f"best, trial {best['trial']}", best)]
    epochs = sum(len(row["curve"]) for row in trials)
    counts = f"{len(trials)} trials, {len(ended)} trained to their end; {epochs} of {EPOCHS * len(trials)} epochs."
    header = ["", "compressed", "raw", "weight", "layers", "blocks", "distance", "target"]
    return table(header, rows) + f"\n{counts}\n"


def _best_trial(trials: list[Row]) -> Row:
    """Return the whole trial that is best on compressed images, and costs at most `max_raw_drop` of raw accuracy."""
    least = trials[0]["curve"][-1][1] - SEARCH.max_raw_drop
    whole = [row for row in trials if len(row["curve"]) == EPOCHS and row["curve"][-1][1] >= least]
    return max(whole, key=lambda row: row["curve"][-1][0])


def _method_row(title: str, row: Row) -> list[str]:
    method, (compressed, raw) = row["method"], row["curve"][-1]
    return [
        title,
        f"{100 * compressed:.2f}",
        f"{100 * raw:.2f}",
        f"{method['weight']:.3g}",
        ", ".join(method["layers"]),
        ", ".join(method["block"]["layers"]),
        method["distance"],
        method["target"],
    ]


def _fresh_table(fresh: list[Row]) -> str:
    """Return the accuracies with fresh seeds, and their paired difference."""
    columns = [(split, part) for split in ("val", "test") for part in (0, 1)]
    by_name = {
        name: np.array([[100 * row[split][part] for split, part in columns] for row in fresh if row["name"] == name])
        for name in (RECIPE_ROW, ANSWER_ROW, WHOLE_ROW)
    }
    pairs = min(map(len, by_name.values()))
    rows = [[name, *(f"{value:.2f}" for value in values[:pairs].mean(0))] for name, values in by_name.items()]
    unknown = np.full(len(columns), np.nan)  # one seed has no interval
    for name in (ANSWER_ROW, WHOLE_ROW):
        difference = by_name[name][:pairs] - by_name[RECIPE_ROW][:pairs]
        reach = t.ppf(0.975, pairs - 1) * difference.std(0, ddof=1) / np.sqrt(pairs) if pairs > 1 else unknown
        cells = (f"{m:+.2f} ± {s:.2f}" for m, s in zip(difference.mean(0), reach, strict=True))
        rows.append([f"{name}, less the recipe", *cells])
    header = ["", "val, compressed", "val, raw", "held out, compressed", "held out, raw"]
    return (
        table(header, rows)
        + f"\nMeans of {pairs} seeds that no trial had; ± is half a 95 % interval over them (Student's t).\n"
    )


def _rows(path: Path) -> list[Row]:
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def _append(path: Path, row: Row) -> None:
    """Add a line. The file is replaced as a whole, so that a kill leaves no half line."""
    path.parent.mkdir(parents=True, exist_ok=True)
    write_text(path, "".join(json.dumps(each) + "\n" for each in [*_rows(path), row]))
    print(f"{path.name}: {json.dumps(row)}", flush=True)


if __name__ == "__main__":
    with exit_on_error():
        main()
