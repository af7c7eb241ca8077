"""The tracking server: reached in seconds or refused, and quiet."""

from __future__ import annotations

import logging
import os
import socket
import sqlite3
import warnings
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from fct.core.errors import FctError, UnreachableError

DEFAULT_URI = "sqlite:///mlflow.db"
DEFAULT_EXPERIMENT = "fct"
PATIENCE = 5  # seconds that a server has for its first answer
PORTS = {"postgresql": 5432, "mysql": 3306, "mssql": 1433}
QUIET = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_DISABLE_AGENT_HINT": "1",
    "MLFLOW_LOGGING_LEVEL": "WARNING",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
}


@dataclass(frozen=True)
class Server:
    """A tracking server that answered, and the experiment in it."""

    uri: str
    client: Any  # mlflow.MlflowClient
    experiment: str  # its id


def connect() -> Server:
    """Return the server that the environment names, with its experiment, made if need be.

    Raises:
        FctError: the server does not answer in seconds, or refuses.
    """
    uri = os.environ.get("MLFLOW_TRACKING_URI") or DEFAULT_URI
    name = os.environ.get("MLFLOW_EXPERIMENT_NAME") or DEFAULT_EXPERIMENT
    for variable, value in QUIET.items():
        os.environ.setdefault(variable, value)
    _reach(uri)
    with translate_errors(uri), silence_mlflow(), _impatient():
        from mlflow import MlflowClient

        # It would print a traceback of what reaches people as an `FctError`.
        logging.getLogger("mlflow.store.db.utils").setLevel(logging.CRITICAL)
        client = MlflowClient(uri)
        return Server(uri, client, _experiment(client, name))


@contextmanager
def translate_errors(uri: str) -> Iterator[None]:
    """Turn what MLflow raises into an error for people."""
    try:
        yield
    except Exception as error:
        from mlflow.exceptions import MlflowException

        if not isinstance(error, MlflowException):
            raise
        raise _refused(uri, error) from error


def _refused(uri: str, reason: BaseException) -> FctError:
    said = "it does not answer" if _is_silence(reason) else str(reason).strip().partition("\n")[0].rstrip(".")
    kind = UnreachableError if _is_silence(reason) else FctError
    message = (
        f"MLFLOW_TRACKING_URI={uri}: the tracking server cannot be used: {said}. "
        f"Start it or check the address; unset MLFLOW_TRACKING_URI to track in {DEFAULT_URI}."
    )
    password = urlsplit(uri).password
    return kind(message.replace(f":{password}@", ":***@") if password else message)


def _is_silence(error: BaseException | None) -> bool:
    """Tell whether no answer at all is what the error comes from."""
    while error is not None:
        if isinstance(error, OSError) and getattr(error, "response", None) is None:
            return True
        error = error.__cause__ or error.__context__
    return False


def _experiment(client: Any, name: str) -> str:
    from mlflow.exceptions import MlflowException

    found = client.get_experiment_by_name(name)
    if found is None:
        try:
            return str(client.create_experiment(name))
        except MlflowException:  # another process was faster, or it cannot be made
            found = client.get_experiment_by_name(name)
            if found is None:
                raise
    if found.lifecycle_stage != "active":
        raise FctError(
            f"MLFLOW_EXPERIMENT_NAME={name}: this experiment is deleted. Restore it with `mlflow experiments restore "
            f"--experiment-id {found.experiment_id}` or choose another name."
        )
    return str(found.experiment_id)


def _reach(uri: str) -> None:
    """Knock at a database's door, where MLflow would try for minutes; a server over HTTP it asks well by itself."""
    try:
        if uri.startswith("sqlite:///"):
            path = Path(uri.removeprefix("sqlite:///").partition("?")[0])
            path.parent.mkdir(parents=True, exist_ok=True)
            with closing(sqlite3.connect(path, timeout=20)) as database:  # seconds, as MLflow waits for a lock
                database.executescript("BEGIN IMMEDIATE; PRAGMA schema_version; ROLLBACK")
            return
        address = urlsplit(uri)
        port = address.port or PORTS.get(address.scheme.partition("+")[0])
        if address.hostname and port and not address.scheme.startswith("http"):
            socket.create_connection((address.hostname, port), timeout=PATIENCE).close()
    except (OSError, ValueError, sqlite3.Error) as error:
        raise _refused(uri, error) from None


@contextmanager
def _impatient() -> Iterator[None]:
    """Give the first request one try of `PATIENCE` seconds; the requests of a long training keep MLflow's many."""
    hurry = {"MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0", "MLFLOW_HTTP_REQUEST_TIMEOUT": str(PATIENCE)}
    before = {variable: os.environ.get(variable) for variable in hurry}
    os.environ.update(hurry)
    try:
        yield
    finally:
        for variable, value in before.items():
            if value is None:
                del os.environ[variable]
            else:
                os.environ[variable] = value


@contextmanager
def silence_mlflow() -> Iterator[None]:
    """Silence the warnings of MLflow's import, which are for its makers."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
