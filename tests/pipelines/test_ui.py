"""What `make ui` starts, and how it asks what it started."""

import os
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest
from filelock import FileLock

from fct.core.errors import FctError
from fct.tracking.proxy import without_proxy


class Healthy(BaseHTTPRequestHandler):
    """Answers every request with true."""

    def do_GET(self):
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b"true")

    def log_message(self, *_):
        pass


@pytest.fixture
def healthy():
    server = HTTPServer(("127.0.0.1", 0), Healthy)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server.server_port
    server.shutdown()
    server.server_close()


def test_a_proxy_is_never_asked_for_loopback(healthy, tmp_path, monkeypatch):
    """A server of this machine counts as up, although the proxy of the environment answers nothing."""
    from pipelines.ui import Service

    for name in ("http_proxy", "HTTP_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    address = f"http://127.0.0.1:{healthy}"
    service = Service("prefect", (), address, address, "true", tmp_path / "lock")
    with FileLock(service.lock):
        assert service.is_up()


def test_what_is_started_does_not_ask_a_proxy_for_loopback(monkeypatch):
    """Every server and flow run gets NO_PROXY, and what a person excluded stays excluded."""
    from pipelines.ui import _environment, services

    monkeypatch.setenv("NO_PROXY", "registry.example")
    monkeypatch.delenv("no_proxy", raising=False)
    *servers, _ = services(prefect=1, mlflow=2, optuna=3, password="a:b")
    environment = _environment(servers, "a:b")
    assert environment["NO_PROXY"] == environment["no_proxy"] == "registry.example,127.0.0.1,localhost,::1"


def test_where_nothing_is_proxied_nothing_changes():
    """A star stays alone: some programs compare it with the whole value."""
    assert without_proxy({"no_proxy": "*"}) == {"no_proxy": "*", "NO_PROXY": "*"}


def test_the_password_is_on_no_command_line():
    """Every user of the machine can read command lines."""
    from pipelines.ui import services

    started = services(prefect=1, mlflow=2, optuna=3, password="fct:secret")
    assert not [word for service in started for word in service.command if "secret" in word]
    assert "secret" not in repr(started)
    assert "secret" not in str(os.environ)


@pytest.mark.usefixtures("place")
def test_a_full_disk_is_said_before_any_server_starts(monkeypatch):
    """Servers without space end without a word of their own."""
    import errno

    from pipelines import ui

    def refuse(**_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(ui, "TemporaryFile", refuse)
    with pytest.raises(FctError, match="The disk is full: "):
        ui._check_space()
