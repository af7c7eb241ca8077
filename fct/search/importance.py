"""How much each searched value matters, from the trials of a study."""

from __future__ import annotations

from collections.abc import Sequence

import optuna
from optuna.importance import PedAnovaImportanceEvaluator, get_param_importances
from optuna.trial import FrozenTrial, TrialState, create_trial

ENOUGH = 10  # trials; of fewer the best quarter is one or two, which say nothing
BEST = 0.25  # share of the trials whose values are compared with those of all


def importance_of(trials: Sequence[FrozenTrial]) -> tuple[tuple[str, float], ...]:
    """Return each searched value's share of what divides the best quarter of the trials from all, descending.

    This is PED-ANOVA (Watanabe, Bansal and Hutter, IJCAI 2023), which needs the trials' order alone. Trials that a
    pruner ended count too, behind those that were trained longer, by their last value.

    Returns:
        Pairs of a name and a share; the sum is 1. They are empty for fewer than ENOUGH trials.
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
