"""The Optuna study: its name, its pruner, and how it resumes after a kill.

The storage is a journal outside DVC's outs. The study's name is a digest of everything that decides a trial's result. A
trial of other data, params, code or search space is therefore never reused.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import optuna
from optuna.pruners import BasePruner, HyperbandPruner, MedianPruner, NopPruner, SuccessiveHalvingPruner
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import FrozenTrial, Trial, TrialState

from fct.core.files import digest
from fct.core.paths import SEARCH_JOURNAL
from fct.methods.params import MethodParams
from fct.search.params import Pruner, SearchParams
from fct.search.space import BASELINE, Space, baseline_values

FINISHED = (TrialState.COMPLETE, TrialState.PRUNED)
NOT_TRAINED = "not_trained"  # attribute of a trial without layers, which is not trained and does not count
STARTUP_TRIALS = 4  # random trials before the sampler has learnt anything
KEPT = 3  # hyperband and successive halving continue one of this many trials at each comparison


def open_study(
    identity: dict[str, Any], params: SearchParams, *, fresh: bool, journal: Path = SEARCH_JOURNAL
) -> optuna.Study:
    """Open or create the study of `identity`. `fresh` deletes earlier trials."""
    journal.parent.mkdir(parents=True, exist_ok=True)
    storage = JournalStorage(JournalFileBackend(str(journal)))
    space = params.model_dump(exclude={"trials"})  # with more trials, the study stays the same
    name = f"consistency-{digest({**identity, 'search': space})}"
    if fresh and name in optuna.get_all_study_names(storage):
        optuna.delete_study(study_name=name, storage=storage)
    return optuna.create_study(
        study_name=name,
        storage=storage,
        direction="maximize",
        load_if_exists=True,
        pruner=make_pruner(params.pruner, params.epochs),
    )


def make_pruner(name: Pruner, epochs: int) -> BasePruner:
    """Return the pruner, which ends bad trials by their values after each of at most `epochs` epochs."""
    if name == "hyperband":
        return HyperbandPruner(min_resource=1, max_resource=epochs, reduction_factor=KEPT)
    if name == "successive-halving":
        return SuccessiveHalvingPruner(min_resource=1, reduction_factor=KEPT)
    if name == "median":
        return MedianPruner(n_startup_trials=STARTUP_TRIALS)
    return NopPruner()


def finished_trials(study: optuna.Study) -> list[FrozenTrial]:
    """Return the trials that count: those that were trained to the end or pruned during training."""
    return [trial for trial in study.get_trials(deepcopy=False, states=FINISHED) if NOT_TRAINED not in trial.user_attrs]


def next_trial(study: optuna.Study, baseline: MethodParams, params: SearchParams, space: Space) -> Trial:
    """Return the next trial: the baseline first, then suggestions of the sampler.

    The sampler's seed depends on the number of finished trials. A trial of a killed process is returned again, under
    its own number, since Hyperband groups trials by number. A study that was killed and resumed therefore makes the
    same choices as an uninterrupted one.
    """
    finished = study.get_trials(deepcopy=False, states=FINISHED)
    study.sampler = optuna.samplers.TPESampler(
        seed=int(digest([params.seed, len(finished)]), 16) % 2**32, n_startup_trials=STARTUP_TRIALS
    )
    if killed := study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
        return Trial(study, killed[0]._trial_id)  # noqa: SLF001  # Optuna has no public name for it
    if not finished and not study.get_trials(deepcopy=False, states=(TrialState.WAITING,)):  # queued before a kill
        study.enqueue_trial(baseline_values(baseline, space), user_attrs={BASELINE: True})
    return study.ask()
