"""Both stages as commands: what a person sees, how they end, what MLflow has afterwards."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from fct.tracking.server import connect

pytestmark = pytest.mark.e2e


@pytest.fixture
def run(workplace, schema, monkeypatch):
    """Return a function that runs a stage as DVC does, with a tracking database of its own."""
    shutil.copy(schema, workplace / "mlflow.db")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{workplace}/mlflow.db")
    monkeypatch.setenv("FCT_PIPELINE_RUN", "here")
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[2]))
    monkeypatch.delenv("MLFLOW_EXPERIMENT_NAME", raising=False)

    def stage(name):
        command = [sys.executable, "-m", f"fct.{name}"]
        return subprocess.run(command, env=os.environ, capture_output=True, text=True, check=False)

    return stage


def test_a_model_is_measured_judged_and_recorded(run, workplace):
    """A failed gate ends with status 0 and says FAIL; MLflow has the curve by quality, the checks and the picture."""
    text = (workplace / "params.yaml").read_text()
    (workplace / "params.yaml").write_text(
        text.replace("slice: worst, metric: accuracy, at_least: 0.7", "slice: worst, metric: accuracy, at_least: 0.99")
    )
    evaluated = run("evaluate")
    assert evaluated.returncode == 0, evaluated.stderr
    assert "gate: raw 90.00% (" in evaluated.stdout
    judged = run("gate")
    assert judged.returncode == 0, judged.stderr
    assert "gate: FAIL on 60 images" in judged.stdout
    assert "\033" not in judged.stdout

    server = connect()
    runs = {each.info.run_name: each for each in server.client.search_runs([server.experiment])}
    (pipeline,) = [each for name, each in runs.items() if name not in ("evaluate", "gate")]
    curve = server.client.get_metric_history(pipeline.info.run_id, "accuracy_test")
    assert [point.step for point in curve] == [5, 50, 95]
    assert (pipeline.data.metrics["gate_passed"], pipeline.data.metrics["gate_raw_accuracy_passed"]) == (0, 1)
    assert [file.path for file in server.client.list_artifacts(pipeline.info.run_id, "plots")] == ["plots/accuracy.png"]
    assert runs["gate"].data.tags["fct.verdict"] == "FAIL"


def test_what_is_wrong_is_said_without_a_traceback(run, workplace):
    """A missing model ends the stage with status 2 and one message."""
    (workplace / "model/model.onnx").unlink()
    ended = run("gate")
    assert ended.returncode == 2
    assert "error: model/model.onnx is not here." in ended.stderr
    assert "Traceback" not in ended.stderr
