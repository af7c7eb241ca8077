"""MLflow's own opinion of a verdict: the bound of each check against its threshold."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import Any

from fct.core.errors import FctError


def validated(verdict: Mapping[str, Any]) -> str:
    """Hold a verdict's checks against their thresholds with `mlflow.validate_evaluation_results`.

    Args:
        verdict: as metrics/gate.json has it.

    Returns:
        What to note with the version: which MLflow found the same.

    Raises:
        FctError: MLflow finds a check short of its threshold that the verdict lets pass; it names it.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of its imports
        import mlflow
        from mlflow.models import MetricThreshold
        from mlflow.models.evaluation import EvaluationResult
        from mlflow.models.evaluation.validation import ModelValidationFailedException

    bounds, thresholds = {}, {}
    for check in verdict["checks"]:
        at_least = check["direction"] == "at least"
        bounds[check["name"]] = check["low" if at_least else "high"]
        thresholds[check["name"]] = MetricThreshold(  # type: ignore[no-untyped-call]
            threshold=check["threshold"], greater_is_better=at_least
        )
    result: Any = EvaluationResult(bounds, {}, run_id="")  # type: ignore[no-untyped-call]
    try:
        mlflow.validate_evaluation_results(thresholds, result)
    except ModelValidationFailedException as error:
        raise FctError(f"the verdict says PASS, MLflow's validation does not: {error}. Run `dvc repro gate`.") from None
    return f"mlflow {mlflow.__version__}"
