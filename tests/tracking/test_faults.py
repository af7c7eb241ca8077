"""What is wrong with a tracking server is told apart, and the message says the true cause."""

import errno
import os
import re
import socket
import sqlite3
import ssl
import subprocess
import threading

import pytest

from fct.core.errors import FctError, UnreachableError
from fct.tracking.faults import diagnose
from fct.tracking.server import connect, translate_errors

pytestmark = pytest.mark.xdist_group("mlflow")  # one server for all


def wrapped(error):
    """Return the error as requests and MLflow pass it on: as the cause of another one."""
    outer = RuntimeError("API request failed")
    outer.__cause__ = error
    return outer


@pytest.mark.parametrize(
    ("error", "problem", "temporary"),
    [
        (ConnectionRefusedError(errno.ECONNREFUSED, "Connection refused"), "nothing listens at this address", True),
        (TimeoutError("timed out"), "does not answer in time", True),
        (socket.gaierror(-2, "Name or service not known"), "its name is unknown here", True),
        (ConnectionResetError(errno.ECONNRESET, "Connection reset by peer"), "does not answer .*reset by peer", True),
        (PermissionError(errno.EACCES, "Permission denied", "mlflow.db"), "mlflow.db may not be used", False),
        (OSError(errno.ENOSPC, "No space left on device", "mlruns/1"), "the disk is full: mlruns/1", False),
        (ssl.SSLCertVerificationError("self-signed certificate"), "its certificate is not accepted", False),
        (sqlite3.OperationalError("database or disk is full"), "the disk is full", False),
        (sqlite3.OperationalError("attempt to write a readonly database"), "may not be written to", False),
        (sqlite3.OperationalError("unable to open database file"), "cannot be opened", False),
        (sqlite3.OperationalError("database is locked"), "has locked it for too long", True),
        (ValueError("API 403: you may not"), "API 403: you may not", False),
    ],
)
def test_each_cause_is_told_by_its_name(error, problem, temporary):
    """Only what may pass by itself is worth another try."""
    for seen in (error, wrapped(error)) if not isinstance(error, ValueError) else (error,):
        fault = diagnose(seen)
        assert re.search(problem, fault.problem), fault
        assert fault.temporary is temporary


def test_a_server_that_is_silent_is_not_one_that_is_missing(place, monkeypatch):  # noqa: ARG001
    """A port that takes a connection and answers nothing is a time-out, said within seconds."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{silent.getsockname()[1]}")
        with pytest.raises(UnreachableError, match="does not answer in time"):
            connect()


def test_a_certificate_that_is_not_accepted_is_named(place, monkeypatch):
    """A server with a certificate of its own is there, and says so."""
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", "key", "-out", "certificate"]
    subprocess.run([*command, "-days", "2", "-subj", "/CN=localhost"], cwd=place, check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(place / "certificate", place / "key")
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def greet():
            while True:
                try:
                    client, _ = listening.accept()
                    context.wrap_socket(client, server_side=True).close()
                except ssl.SSLError:
                    continue
                except OSError:  # the test has ended
                    return

        threading.Thread(target=greet, daemon=True).start()
        monkeypatch.setenv("MLFLOW_TRACKING_URI", f"https://localhost:{listening.getsockname()[1]}")
        with pytest.raises(FctError, match="its certificate is not accepted") as caught:
            connect()
        listening.shutdown(socket.SHUT_RDWR)
    assert not isinstance(caught.value, UnreachableError)


def test_loopback_is_asked_without_the_proxy(running_server, place, monkeypatch):  # noqa: ARG001
    """A proxy of the environment that answers nothing does not hide the server on this machine."""
    from tests.conftest import wait_for_server

    address, folder = running_server
    monkeypatch.setenv("MLFLOW_TRACKING_URI", address)
    wait_for_server(folder)
    for name in ("http_proxy", "HTTP_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    assert connect().uri == address


def test_a_folder_that_does_not_exist_is_named_and_not_made(place, monkeypatch):
    """It may be mistyped, and an empty database would hide all that the right one has."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{place}/mistyped/mlflow.db")
    with pytest.raises(FctError, match=r"the folder .*mistyped does not exist\. Create it, or correct the path\."):
        connect()
    assert not (place / "mistyped").exists()


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_that_may_not_be_written_is_named(place, monkeypatch):
    """It is not called a server that does not answer."""
    (place / "closed").mkdir(mode=0o500)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{place}/closed/mlflow.db")
    with pytest.raises(FctError, match="cannot be opened"):
        connect()


def test_a_full_disk_while_a_file_is_attached_is_one_line():
    """The error of a copy names its file, and is no traceback."""
    with pytest.raises(FctError, match=r"The disk is full: mlruns/plot\.svg"), translate_errors("sqlite:///x"):
        raise OSError(errno.ENOSPC, "No space left on device", "mlruns/plot.svg")
