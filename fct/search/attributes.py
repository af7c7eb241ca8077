"""The names of the attributes with which trials are marked in the study."""

BASELINE = "baseline"  # the trial of the method in params.yaml
NOT_TRAINED = "not_trained"  # a trial without layers, which is not trained and does not count
METHOD = "method"  # of a trained trial: its method
CURVE = "curve"  # of a trained trial: its compressed and raw validation accuracy after each epoch
DIVERGED = "diverged"  # of a pruned trial: whether its loss became infinite or not a number
WORKER = "worker"  # host and pid of the worker, written in its turn; a running trial without it has no worker
ATTEMPTS = "attempts"  # how many workers died with these values before
TRACKED = "tracked"  # of a trial, and of the study: the id of the run in MLflow
