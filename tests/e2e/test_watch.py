"""Uploads that are compressed harder than the training: counted by the served model, noticed by the flow `watch`."""

import base64
import io
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from urllib.error import URLError
from urllib.request import ProxyHandler, Request, build_opener

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from fct.core.files import sha256
from fct.evaluate.model import open_model
from fct.recipes.edit import edit_yaml
from fct.registry.package import _pack
from fct.serving import pyfunc
from fct.tracking.server import connect

pytestmark = [pytest.mark.e2e, pytest.mark.slow, pytest.mark.timeout(1200)]

ROOT = Path(__file__).parents[2]
COLOURS = ("red", "green", "blue")
UPLOADS = 200
PATIENCE = 600  # seconds: on a busy machine a server takes minutes to start
NEW = {"cache.qualities": [15, 20, 60]}


def free_port():
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


def request(url, body=None):
    """Return the answer to a request, as JSON."""
    asked = Request(url, None if body is None else json.dumps(body).encode(), {"Content-Type": "application/json"})
    with build_opener(ProxyHandler({})).open(asked, timeout=120) as answer:
        return json.loads(answer.read() or "null")


def answers(url):
    try:
        request(url)
    except ValueError:  # no JSON
        return True
    except (URLError, OSError):
        return False
    return True


@contextmanager
def started(command, folder, log, **environment):
    """Run a server, and kill it with all its processes at the end."""
    with (folder / log).open("w") as output:
        process = subprocess.Popen(
            command, cwd=folder, env=os.environ | environment, stdout=output, stderr=output, start_new_session=True
        )
    try:
        yield process
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


@pytest.fixture
def prefect_server(tmp_path, wait):
    """Run a Prefect server as `make ui` does, with the service that evaluates automations."""
    from prefect.settings import PREFECT_API_URL, temporary_settings

    port = free_port()
    command = [sys.executable, "-m", "prefect", "server", "start", "--host", "127.0.0.1", "--port", str(port)]
    settings = {"PREFECT_HOME": str(tmp_path / "prefect"), "PREFECT_SERVER_ANALYTICS_ENABLED": "false"}
    api = f"http://127.0.0.1:{port}/api"
    with started(command, tmp_path, "prefect.log", **settings):
        wait(lambda: answers(f"{api}/health"), PATIENCE)
        with temporary_settings({PREFECT_API_URL: api}):
            yield api


@pytest.fixture
def champion(toy, schema, colour_model, monkeypatch):
    """Stand in a project with toy splits and a champion that was trained at 20 and 60; return its ONNX file."""
    shutil.copy(schema, toy.root / "mlflow.db")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{toy.root}/mlflow.db")
    monkeypatch.delenv("MLFLOW_EXPERIMENT_NAME", raising=False)
    changes = {"cache.qualities": [20, 60], "registry.name": "colours", "watch.reproduce": True}
    text = edit_yaml((ROOT / "params.yaml").read_text(), changes, name="params.yaml")
    (toy.root / "params.yaml").write_text(text)
    path = colour_model(metadata={"fct.classes": COLOURS, "fct.qualities": [20, 60]})
    client = connect().client
    client.create_registered_model("colours")
    version = client.create_model_version("colours", f"{toy.root}/packed", tags={"fct.sha256": sha256(path)})
    client.set_registered_model_alias("colours", "champion", version.version)
    return path


@pytest.fixture
def served(champion, tmp_path):
    """Return the folder of the champion as the registry has it, with its own copy of the code."""
    example = io.BytesIO()
    Image.new("RGB", (8, 8)).save(example, "PNG")
    logged = SimpleNamespace(artifact_location=None, model_id=None)
    _pack(open_model(champion), [example.getvalue()], tmp_path / "packed", logged, None)
    return tmp_path / "packed"


def upload(quality, seed):
    pixels = np.random.default_rng(seed).integers(0, 140, (16, 16, 3), np.uint8)
    pixels[..., seed % 3] += 60
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "JPEG", quality=quality)
    return buffer.getvalue()


def counted(folder):
    """Return how many images the files of counts have."""
    files = [json.loads(path.read_text()) for path in folder.glob("*.json")]
    return sum(sum(file["counts"]["class"].values()) for file in files)


def test_every_worker_of_a_server_counts(served, wait, tmp_path):
    """`mlflow models serve` with two workers, which are killed: 200 uploads at 15 are counted."""
    url, counters = f"http://127.0.0.1:{(port := free_port())}", tmp_path / "counters"
    command = [sys.executable, "-m", "mlflow", "models", "serve", "-m", str(served), "--env-manager", "local"]
    command += ["-h", "127.0.0.1", "-p", str(port), "--workers", "2"]
    settings = {"FCT_COUNTERS": str(counters), "UVICORN_TIMEOUT_WORKER_HEALTHCHECK": str(PATIENCE)}
    with started(command, tmp_path, "serve.log", **settings):
        wait(lambda: answers(f"{url}/ping"), PATIENCE)
        for start in range(0, UPLOADS, 20):
            images = [base64.b64encode(upload(15, seed)).decode() for seed in range(start, start + 20)]
            answer = request(f"{url}/invocations", {"dataframe_records": [{"image": image} for image in images]})
            assert [row["quality"] for row in answer["predictions"]] == [15] * 20
        wait(lambda: counted(counters) == UPLOADS)


def test_uploads_below_the_training_are_noticed_and_trained(champion, prefect_server, monkeypatch, wait, tmp_path):
    """200 uploads at 15, below 20, raise an event, propose 15, and start `reproduce` with it: once, not every night."""
    from pipelines import serve
    from pipelines.params import apply_overrides
    from pipelines.watch import EVENT, watch

    def events():
        asked = {"filter": {"event": {"name": [EVENT]}}}
        return request(f"{prefect_server}/events/filter", asked)["events"]

    def runs():
        found = request(f"{prefect_server}/flow_runs/filter", {"flows": {"name": {"any_": ["reproduce"]}}})
        return [run for run in found if not run["auto_scheduled"]]

    def artifact(key):
        asked = {"artifacts": {"key": {"any_": [key]}}}
        return request(f"{prefect_server}/artifacts/latest/filter", asked)[0]["data"]

    nightly = next(each for each in serve.deployments() if each.name == "nightly")
    nightly.apply()
    monkeypatch.setenv("FCT_COUNTERS", str(tmp_path / "counters"))
    model = pyfunc._load_pyfunc(str(champion))
    model.predict(pd.DataFrame({"image": [upload(15, seed) for seed in range(UPLOADS)]}))
    model.classifier.counters.write()
    (tmp_path / "counters/2026-01-01-damaged.json").write_text("{")

    state = watch(return_state=True)
    assert state.name == "OutsideTraining", state.message
    assert "Add 15 to cache.qualities." in state.message
    assert "1 damaged files were skipped" in state.message
    assert "| `10 to 19` | 200 | 100.0% | 0.0% |" in artifact("watch")
    assert "2026-01-01-damaged.json" in artifact("watch")
    assert artifact("watch-histograms").startswith("data:image/png;base64,")

    [event] = wait(events)
    assert event["payload"]["proposals"] == [15]
    assert event["payload"]["overrides"] == NEW
    [run] = wait(runs)
    assert run["parameters"] == {"overrides": NEW}  # and no promotion
    assert "qualities: [15, 20, 60]" in apply_overrides(run["parameters"]["overrides"])

    assert watch(return_state=True).name == "OutsideTraining"
    wait(lambda: len(events()) == 2)
    assert {each["resource"]["fct.reproduce"] for each in events()} == {"true", "false"}
    assert len(runs()) == 1


@pytest.mark.usefixtures("prefect_server")
def test_few_uploads_are_too_few_to_tell(champion, tmp_path):
    """Neither an alarm nor an event; images of another model do not count."""
    from fct.serving.counters import Counters, Observation
    from pipelines.watch import watch

    for model, images in ((sha256(champion), 3), ("ab" * 32, 500)):
        counters = Counters(tmp_path / "counters", model, COLOURS, [20, 60])
        counters.add([Observation(15, "ijg", 16, "red", 0.9)] * images)
        counters.write()
    state = watch(return_state=True)
    assert state.name == "TooFewImages"
    assert "3 images in 7 days, less than 200" in state.message
    assert "images of other models: 500 by abababababab" in state.message
