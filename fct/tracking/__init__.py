"""What happened when, in MLflow: one run a pipeline, one nested run a stage, one nested run a search trial.

    data = tracking.datasets(SPLITS)
    with tracking.stage("train", params=told, inputs={"search": BEST}, outputs=[MODEL], datasets=data) as run:
        run.metrics({"loss": 0.3}, step=epoch)  # on the stage's run
        run.headline({"accuracy": 0.9}, step=30)  # on the stage's and on the pipeline's run
        run.plot(Path("plots/curve.png"))  # a file, on both
        with run.child("trial 3", suggested) as child:  # a run under the stage's
            child.metrics({"accuracy": 0.8})

Environment:
    MLFLOW_TRACKING_URI      the server; sqlite:///mlflow.db if unset
    MLFLOW_EXPERIMENT_NAME   the experiment; fct if unset
    FCT_PIPELINE_RUN         any id: stages with the same one share a run; `make repro` and the flows set it for each
                             of their runs; if unset, the stages of one `dvc repro` share a run

Importing this package imports nothing heavy; MLflow is imported when a stage starts. Nothing here writes to DVC's outs.
"""

from fct.tracking.content import datasets
from fct.tracking.record import close_dead_runs, stage
from fct.tracking.runs import Run

__all__ = ["Run", "close_dead_runs", "datasets", "stage"]
