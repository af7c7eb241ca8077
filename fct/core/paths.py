"""All paths of a working copy, relative to the folder of params.yaml."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

PARAMS = Path("params.yaml")
DVC_YAML = Path("dvc.yaml")
DVC_LOCK = Path("dvc.lock")
ENVIRONMENT = Path("environment.yaml")

# checks
CHECK = Path("metrics/check.json")  # says that params.yaml was checked

# data
SPLITS = Path("data/splits")
ORIGINALS = Path("data/originals")
CACHE = Path("data/cache")
CACHE_INDEX = CACHE / "index.json"
WEIGHTS = Path("weights")  # pretrained weights and teachers, which the user puts there

# search and training
BEST_METHOD = Path("search/best.yaml")
SEARCH_CSV = Path("plots/search.csv")
IMPORTANCE_CSV = Path("plots/importance.csv")
MODEL_PT = Path("model/model.pt")
STANDARD_PT = Path("model/standard.pt")  # the same network, trained on raw images only
BASELINE_METRICS = Path("metrics/baseline.json")
TRAIN_METRICS = Path("metrics/train.json")
TRAINING_CSV = Path("plots/training.csv")

# exported models
MODEL_ONNX = Path("model/model.onnx")
STANDARD_ONNX = Path("model/standard.onnx")
INT8_ONNX = Path("model/model-int8.onnx")

# measurements and verdicts
EVALUATION = Path("evaluation")
EVALUATION_INT8 = Path("evaluation-int8")
EVALUATE_METRICS = Path("metrics/evaluate.json")
ACCURACY_CSV = Path("plots/accuracy.csv")
ACCURACY_PNG = Path("plots/accuracy.png")
FEATURES_METRICS = Path("metrics/features.json")
DISTORTION_CSV = Path("plots/distortion.csv")
SPREAD_METRICS = Path("metrics/spread.json")
VERDICT = Path("metrics/gate.json")
VERDICT_INT8 = Path("metrics/gate-int8.json")
REPORT = Path("report.html")

# state of this machine, not in git or DVC
STATE = Path(".fct")
CACHE_BUILD = STATE / "cache-build"  # finished shards of caches that are being built
CACHE_BUILD_LOCK = STATE / "cache-build.lock"  # held by the process that builds caches
CHECKPOINTS = STATE / "checkpoints"
SEARCH_JOURNAL = STATE / "search.journal"
TRAINING_LOCK = STATE / "training.lock"
REGISTRY_LOCK = STATE / "registry.lock"
TRACKING_LOCK = STATE / "tracking.lock"  # held while a process joins, leaves or cleans up a pipeline's run
RUNNING_LOCK = STATE / "running.lock"  # held by the active flow run
SERVING_LOCK = STATE / "serving.lock"  # held by the process that serves the deployments
KNOWN_IMAGES = STATE / "known-images.json"  # the fingerprints of the data set's images, for intake
CLONES = STATE / "clones"
SPREAD = STATE / "spread"  # what trainings for the spread measured
STAGE_SECONDS = STATE / "stage-seconds.json"  # what each stage took when it last ran
LOGS = STATE / "logs"
PREFECT_HOME = STATE / "prefect"  # this project's own database and settings of Prefect
RUN_REPORT = STATE / "report.html"  # of the last flow run


def export_metrics(model: Path) -> Path:
    """Return the file of metrics for the export of an ONNX file, such as model/model.onnx."""
    return Path(f"metrics/export-{model.stem}.json")


@dataclass(frozen=True)
class Candidate:
    """An exported model that can be promoted, with its predictions and its verdict."""

    precision: str  # fp32 | int8
    model: Path
    evaluation: Path
    verdict: Path
    stage: str  # the one that writes the verdict


FP32 = Candidate("fp32", MODEL_ONNX, EVALUATION, VERDICT, "gate")
INT8 = Candidate("int8", INT8_ONNX, EVALUATION_INT8, VERDICT_INT8, "int8")
