"""The Optuna study: what it is called, what it may try, and how it goes on after a kill.

The storage is a journal outside DVC's outs. The study's name digests all that decides a trial's result, so a trial made
under other data, params, code or search space is never reused.
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

DONE = (TrialState.COMPLETE, TrialState.PRUNED)
BASELINE = "baseline"  # attribute of the trial that tries params.yaml's own method
NO_LAYERS = "no_layers"  # attribute of a trial that chose no layer and so was not trained


def open_study(
    identity: dict[str, Any], params: SearchParams, *, fresh: bool, journal: Path = SEARCH_JOURNAL
) -> optuna.Study:
    """Open the study of `identity`, or make it.

    Trials that a killed process left RUNNING are marked failed. `fresh` forgets earlier trials.
    """
    journal.parent.mkdir(parents=True, exist_ok=True)
    storage = JournalStorage(JournalFileBackend(str(journal)))
    space = params.model_dump(exclude={"trials"})  # more trials go on with the same study
    name = f"consistency-{digest({**identity, 'search': space})}"
    if fresh and name in optuna.get_all_study_names(storage):
        optuna.delete_study(study_name=name, storage=storage)
    study = optuna.create_study(
        study_name=name,
        storage=storage,
        direction="maximize",
        load_if_exists=True,
        pruner=optuna.pruners.NopPruner(),  # a trial ends early by the baseline's pace, which fct.search.run knows
    )
    for trial in study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
        study.tell(trial.number, state=TrialState.FAIL)
    return study


def finished_trials(study: optuna.Study) -> list[FrozenTrial]:
    """Return the trials that count: trained to the end, or pruned while training."""
    return [trial for trial in study.get_trials(deepcopy=False, states=DONE) if NO_LAYERS not in trial.user_attrs]


def next_trial(study: optuna.Study, baseline: MethodParams, params: SearchParams) -> Trial:
    """Ask for a trial: the baseline first, then what the sampler suggests.

    The sampler is seeded anew from the number of trials done before, so that a study that was killed and taken up again
    suggests what it would have suggested.
    """
    done = study.get_trials(deepcopy=False, states=DONE)
    study.sampler = optuna.samplers.TPESampler(
        seed=int(digest([params.seed, len(done)]), 16) % 2**32, n_startup_trials=4
    )
    if not done and not study.get_trials(deepcopy=False, states=(TrialState.WAITING,)):  # one that a kill left behind
        study.enqueue_trial(_values(baseline, params.weight), user_attrs={BASELINE: True})
    return study.ask()


def suggest(trial: Trial, baseline: MethodParams, params: SearchParams) -> MethodParams | None:
    """Return the method that `trial` tries, or None if it chooses no layer at all."""
    weight = trial.suggest_float("weight", params.weight.low, params.weight.high, log=True)
    layers = [name for name in baseline.layers if trial.suggest_categorical(f"layer:{name}", [True, False])]
    distance = trial.suggest_categorical("distance", _with(baseline.distance, params.distances))
    target = trial.suggest_categorical("target", _with(baseline.target, params.targets))
    if not layers:
        trial.set_user_attr(NO_LAYERS, value=True)
        return None
    if BASELINE in trial.user_attrs:
        return baseline  # also where its weight lies outside the range searched
    return baseline.model_copy(update={"weight": weight, "layers": layers, "distance": distance, "target": target})


def _with(value: str, choices: Sequence[str]) -> list[str]:
    """Return `choices` with the baseline's own value among them."""
    return sorted({value, *choices})


def _values(baseline: MethodParams, searched: Range) -> dict[str, Any]:
    return {
        "weight": min(max(baseline.weight, searched.low), searched.high),
        "distance": baseline.distance,
        "target": baseline.target,
        **{f"layer:{name}": True for name in baseline.layers},
    }
