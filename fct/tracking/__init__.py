"""Tracking in MLflow: one run per pipeline, one nested run per stage, one nested run per search trial.

    data = tracking.datasets(SPLITS)
    with tracking.stage("train", params=params, inputs={"search": BEST}, outputs=[MODEL], datasets=data) as run:
        run.metrics({"loss": 0.3}, step=epoch)  # on the stage's run
        run.headline({"accuracy": 0.9}, step=30)  # on the runs of the stage and of the pipeline
        run.plot(Path("plots/curve.png"))  # a file, on both runs
        with run.child("trial 3", suggested) as child:  # a run below that of the stage
            child.metrics({"accuracy": 0.8})

Environment:
    MLFLOW_TRACKING_URI      the server; sqlite:///mlflow.db if unset
    MLFLOW_EXPERIMENT_NAME   the experiment; fct if unset
    FCT_PIPELINE_RUN         any id; stages with the same id share a run. `make repro` and the flows set it for each
                             of their runs. If unset, the stages of one `dvc repro` share a run

This package imports MLflow only when a stage starts. It never writes to DVC's outs.
"""

from fct.tracking.content import datasets
from fct.tracking.record import close_dead_runs, resume, stage
from fct.tracking.runs import Run

__all__ = ["Run", "close_dead_runs", "datasets", "resume", "stage"]
