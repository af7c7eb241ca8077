"""The Optuna study: its name, its search space, and how it resumes after a kill.

The storage is a journal outside DVC's outs. The study's name is a digest of everything that decides a trial's result. A
trial of other data, params, code or search space is therefore never reused.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import optuna
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import FrozenTrial, Trial, TrialState

from fct.core.files import digest
from fct.core.paths import SEARCH_JOURNAL
from fct.methods.params import MethodParams
from fct.search.params import Range, SearchParams

FINISHED = (TrialState.COMPLETE, TrialState.PRUNED)
BASELINE = "baseline"  # attribute of the trial of the method in params.yaml
NO_LAYERS = "no_layers"  # attribute of a trial without layers, which is not trained


def open_study(
    identity: dict[str, Any], params: SearchParams, *, fresh: bool, journal: Path = SEARCH_JOURNAL
) -> optuna.Study:
    """Open or create the study of `identity`.

    RUNNING trials of a killed process are marked as failed. `fresh` deletes earlier trials.
    """
    journal.parent.mkdir(parents=True, exist_ok=True)
    storage = JournalStorage(JournalFileBackend(str(journal)))
    space = params.model_dump(exclude={"trials"})  # with more trials, the study stays the same
    name = f"consistency-{digest({**identity, 'search': space})}"
    if fresh and name in optuna.get_all_study_names(storage):
        optuna.delete_study(study_name=name, storage=storage)
    study = optuna.create_study(
        study_name=name,
        storage=storage,
        direction="maximize",
        load_if_exists=True,
        pruner=optuna.pruners.NopPruner(),  # fct.search.run ends trials that are behind the baseline
    )
    for trial in study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
        study.tell(trial.number, state=TrialState.FAIL)
    return study


def finished_trials(study: optuna.Study) -> list[FrozenTrial]:
    """Return the trials that count: those that were trained to the end or pruned during training."""
    return [trial for trial in study.get_trials(deepcopy=False, states=FINISHED) if NO_LAYERS not in trial.user_attrs]


def next_trial(study: optuna.Study, baseline: MethodParams, params: SearchParams) -> Trial:
    """Return the next trial: the baseline first, then suggestions of the sampler.

    The sampler's seed depends on the number of finished trials. A study that was killed and resumed therefore makes the
    same suggestions as an uninterrupted one.
    """
    finished = study.get_trials(deepcopy=False, states=FINISHED)
    study.sampler = optuna.samplers.TPESampler(
        seed=int(digest([params.seed, len(finished)]), 16) % 2**32, n_startup_trials=4
    )
    if not finished and not study.get_trials(deepcopy=False, states=(TrialState.WAITING,)):  # queued before a kill
        study.enqueue_trial(_baseline_values(baseline, params.weight), user_attrs={BASELINE: True})
    return study.ask()


def suggest(trial: Trial, baseline: MethodParams, params: SearchParams) -> MethodParams | None:
    """Return the method of `trial`, or None if it has no layer."""
    weight = trial.suggest_float("weight", params.weight.low, params.weight.high, log=True)
    layers = [name for name in baseline.layers if trial.suggest_categorical(f"layer:{name}", [True, False])]
    distance = trial.suggest_categorical("distance", _with_value(baseline.distance, params.distances))
    target = trial.suggest_categorical("target", _with_value(baseline.target, params.targets))
    if not layers:
        trial.set_user_attr(NO_LAYERS, value=True)
        return None
    if BASELINE in trial.user_attrs:
        return baseline  # even if its weight is outside the range
    return baseline.model_copy(update={"weight": weight, "layers": layers, "distance": distance, "target": target})


def _with_value(value: str, choices: Sequence[str]) -> list[str]:
    """Return `choices`, with the baseline's value added."""
    return sorted({value, *choices})


def _baseline_values(baseline: MethodParams, weights: Range) -> dict[str, Any]:
    return {
        "weight": min(max(baseline.weight, weights.low), weights.high),
        "distance": baseline.distance,
        "target": baseline.target,
        **{f"layer:{name}": True for name in baseline.layers},
    }
