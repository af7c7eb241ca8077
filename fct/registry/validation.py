"""A second check of a verdict: MLflow compares the bound of each check with its threshold."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import Any

from fct.core.errors import FctError


def confirm_with_mlflow(verdict: Mapping[str, Any]) -> str:
    """Check a verdict with `mlflow.validate_evaluation_results`.

    Args:
        verdict: in the format of metrics/gate.json.

    Returns:
        The version of MLflow that confirmed the verdict, for a tag.

    Raises:
        FctError: MLflow fails a check that the verdict passes. The message names the check.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # from its imports
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
        raise FctError(
            f"The verdict says PASS, but MLflow's validation does not: {error}. Run `dvc repro gate`."
        ) from None
    return f"mlflow {mlflow.__version__}"
