"""A real tracking database for every test that wants one."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import time

import pytest

from fct.core.errors import FctError
from fct.tracking.server import connect


@pytest.fixture(scope="session")
def schema(tmp_path_factory):
    """Make MLflow's tables once: it takes seconds, a copy takes none."""
    folder = tmp_path_factory.mktemp("schema")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{folder}/mlflow.db")
        patch.setenv("MLFLOW_EXPERIMENT_NAME", "other")
        connect()
    return folder / "mlflow.db"


@pytest.fixture
def place(schema, tmp_path, monkeypatch):
    """Stand in an empty folder with a tracking database and no pipeline above."""
    shutil.copy(schema, tmp_path / "mlflow.db")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/mlflow.db")
    monkeypatch.setenv("FCT_PIPELINE_RUN", "here")
    monkeypatch.delenv("MLFLOW_EXPERIMENT_NAME", raising=False)
    return tmp_path


@pytest.fixture(scope="session")
def running_server(schema, tmp_path_factory):
    """Start a real `mlflow server` on loopback; return its address and folder."""
    folder = tmp_path_factory.mktemp("server")
    shutil.copy(schema, folder / "mlflow.db")
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port = str(one.getsockname()[1])
    command = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", port, "--workers", "1"]
    command += ["--backend-store-uri", f"sqlite:///{folder}/mlflow.db", "--artifacts-destination", str(folder / "kept")]
    with (folder / "server.log").open("w") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True)
    try:
        yield f"http://127.0.0.1:{port}", folder
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


@pytest.fixture
def server(running_server, place, monkeypatch):
    """Stand in `place`, with a real server to track to instead of a file; return the server's folder."""
    address, folder = running_server
    monkeypatch.setenv("MLFLOW_TRACKING_URI", address)
    monkeypatch.setenv("MLFLOW_EXPERIMENT_NAME", place.name)  # tests share the server
    deadline = time.monotonic() + 120  # seconds
    while True:
        try:
            connect()
        except FctError:
            assert time.monotonic() < deadline, (folder / "server.log").read_text()
            time.sleep(0.5)
        else:
            return folder
