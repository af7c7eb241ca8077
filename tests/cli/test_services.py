"""`fct doctor --services` says of each configured service whether it can be used, and never shows a password."""

import socket
import threading
import time
from contextlib import contextmanager
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest
from click.testing import CliRunner

from fct.cli import main, services

SECRET = "s3cr3t-word"


@pytest.fixture(autouse=True)
def _nowhere(tmp_path, monkeypatch):
    """Stand in a DVC project without a remote, with nothing configured."""
    from dvc.repo import Repo

    Repo.init(str(tmp_path), no_scm=True).close()
    monkeypatch.chdir(tmp_path)
    for name in ("MLFLOW_TRACKING_URI", "PREFECT_API_URL", "FCT_DATABASE_URL", "RAY_ADDRESS"):
        monkeypatch.delenv(name, raising=False)


def doctor():
    return CliRunner().invoke(main, ["doctor", "--services"])


@contextmanager
def answering(status, *, date=None, text="{}"):
    """Run a server that answers every request in the same way; yield its address."""

    class Answer(BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response_only(status)
            self.send_header("Date", date or formatdate(usegmt=True))
            self.end_headers()
            self.wfile.write(text.encode())

        def log_message(self, *arguments):
            pass

    server = HTTPServer(("127.0.0.1", 0), Answer)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()


def test_what_is_not_set_is_no_fault():
    """One machine needs none of the services; its disk and GPU are shown."""
    result = doctor()
    assert result.exit_code == 0, result.output
    assert result.stdout.count("not set") == 5
    assert "GB are free here" in result.stdout
    assert "GPU: " in result.stdout


def test_a_database_that_works_is_described(database):
    """Its version, the right to make tables, and the clock; not its password."""
    result = doctor()
    assert result.exit_code == 0, result.output
    line = next(line for line in result.stdout.splitlines() if line.startswith("FCT_DATABASE_URL"))
    assert "PostgreSQL 1" in line
    assert "may make tables, no tables of Optuna" in line
    assert "clocks agree" in line
    assert database.partition("://")[2].partition(":")[2].partition("@")[0] not in result.output


def test_a_database_without_rights_is_a_fault(database, postgres, monkeypatch):
    """A user that may connect and make no tables is told what to grant."""
    from contextlib import closing

    from fct.core.database import connect

    name = database.rpartition("/")[2]
    with closing(connect(postgres.url(name))) as connection:
        connection.execute(f"CREATE ROLE guest_{name} LOGIN PASSWORD '{SECRET}'")
        connection.execute(f"GRANT CONNECT ON DATABASE {name} TO guest_{name}")
    monkeypatch.setenv("FCT_DATABASE_URL", postgres.url(name, f"guest_{name}", SECRET))
    result = doctor()
    assert result.exit_code == 1
    assert "GRANT CREATE ON SCHEMA public" in result.stdout
    assert SECRET not in result.output


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("FCT_DATABASE_URL", f"postgresql://fct:{SECRET}@127.0.0.1:9/fct"),
        ("MLFLOW_TRACKING_URI", f"http://fct:{SECRET}@127.0.0.1:9"),
        ("MLFLOW_TRACKING_URI", f"https://fct:{SECRET}@mlflow:port"),
        ("MLFLOW_TRACKING_URI", f"https://fct:a@{SECRET}@mlflow:port"),
        ("PREFECT_API_URL", f"http://fct:{SECRET}@127.0.0.1:9/api"),
        ("PREFECT_API_URL", "127.0.0.1:4200/api"),
        ("RAY_ADDRESS", "127.0.0.1:9"),
        ("RAY_ADDRESS", "head:port"),
        ("RAY_ADDRESS", "head"),
    ],
)
def test_a_service_that_is_away_is_a_fault(monkeypatch, variable, value):
    """The line names the variable, and shows no password; the exit status is 1."""
    monkeypatch.setenv(variable, value)
    result = doctor()
    assert result.exit_code == 1
    assert f"{variable}: FAILED: " in result.stdout
    assert SECRET not in result.output


def test_a_server_that_refuses_names_the_variables(monkeypatch):
    """A wrong password is told apart from a server that is away."""
    with answering(401) as address:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", address)
        monkeypatch.setenv("MLFLOW_TRACKING_USERNAME", "fct")
        monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", SECRET)
        result = doctor()
    assert result.exit_code == 1
    assert "refuses (HTTP status 401). Set MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD" in result.stdout
    assert SECRET not in result.output


def test_a_clock_that_differs_is_a_fault(monkeypatch):
    """The seconds and the direction are said."""
    with answering(200, date=formatdate(time.time() - 100, usegmt=True), text='"3.8.8"') as address:
        monkeypatch.setenv("PREFECT_API_URL", address)
        result = doctor()
    assert result.exit_code == 1
    assert "s ahead of the server's" in result.stdout


def test_a_server_that_never_answers_ends_within_seconds(monkeypatch):
    """A firewall that drops requests, or a server that hangs, does not hold the other checks up."""
    monkeypatch.setattr(services, "ANSWER", 0.5)
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        monkeypatch.setenv("PREFECT_API_URL", f"http://127.0.0.1:{silent.getsockname()[1]}/api")
        began = time.monotonic()
        result = doctor()
    assert result.exit_code == 1
    assert "does not answer" in result.stdout
    assert time.monotonic() - began < services.LIMIT


def test_a_tracking_server_that_works_is_described(running_server, monkeypatch):
    """MLflow's version and the right to write to the experiment are said, and the experiment stays as it is."""
    from mlflow import MlflowClient

    address, _ = running_server
    monkeypatch.setenv("MLFLOW_TRACKING_URI", address)
    monkeypatch.setattr(services, "LIMIT", 240)  # it still starts, and other tests keep the machine busy
    monkeypatch.setattr(services, "ANSWER", 60)
    deadline = time.monotonic() + 240
    while doctor().exit_code and time.monotonic() < deadline:
        time.sleep(0.5)
    monkeypatch.setenv("MLFLOW_EXPERIMENT_NAME", "not-there")
    assert "is not there yet" in doctor().stdout
    client = MlflowClient(address)
    client.create_experiment("doctored")
    monkeypatch.setenv("MLFLOW_EXPERIMENT_NAME", "doctored")
    result = doctor()
    assert result.exit_code == 0, result.output
    assert "may write to the experiment doctored, clocks agree" in result.stdout
    assert client.search_runs([client.get_experiment_by_name("doctored").experiment_id]) == []
