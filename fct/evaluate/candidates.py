"""Where the files are that may be promoted, with what they answered and how they were judged, and their baseline."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Candidate:
    """A model, its answers and its verdict on disk."""

    name: str
    model: Path
    evaluation: Path
    verdict: Path
    stage: str  # that writes the verdict


FP32 = Candidate("fp32", Path("model/model.onnx"), Path("evaluation"), Path("metrics/gate.json"), "gate")
INT8 = Candidate("int8", Path("model/model-int8.onnx"), Path("evaluation-int8"), Path("metrics/gate-int8.json"), "int8")
BASELINE = Path("model/standard.onnx")  # the same network, trained on raw images alone
