"""Computes how much each searched value matters, from the trials of a study."""

from __future__ import annotations

from collections.abc import Sequence

import optuna
from optuna.importance import PedAnovaImportanceEvaluator, get_param_importances
from optuna.trial import FrozenTrial, TrialState, create_trial

ENOUGH = 10  # trials; the best quarter of fewer is one or two trials, which say nothing
BEST = 0.25  # share of the trials whose values are compared with those of all


def importance_of(trials: Sequence[FrozenTrial]) -> tuple[tuple[str, float], ...]:
    """Return each searched value's share of the difference between the best quarter of the trials and all, descending.

    This is PED-ANOVA (Watanabe, Bansal and Hutter, IJCAI 2023), which needs only the order of the trials. Trials that a
    pruner ended count too: after those that were trained longer, in the order of their last value.

    Returns:
        Pairs of a name and a share; the sum is 1. There are none for fewer than ENOUGH trials.
    """
    if len(trials) < ENOUGH:
        return ()
    order = sorted(trials, key=_length_and_value)
    ranked = optuna.create_study(direction="maximize")
    for rank, trial in enumerate(order):
        ranked.add_trial(create_trial(params=trial.params, distributions=trial.distributions, value=rank))
    evaluator = PedAnovaImportanceEvaluator(target_quantile=BEST)
    shares = get_param_importances(ranked, evaluator=evaluator)
    return tuple(sorted(shares.items(), key=lambda pair: (-pair[1], pair[0])))


def _length_and_value(trial: FrozenTrial) -> tuple[float, float]:
    if trial.state is TrialState.COMPLETE:
        return float("inf"), trial.value or 0.0
    return max(trial.intermediate_values.items(), default=(0.0, 0.0))
