"""Hosts take turns to change the champion: real PostgreSQL, MLflow on it, and a process and a working copy a host."""

import os
import signal
import subprocess
import sys
import time
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import pytest

from fct import registry
from fct.core.database import connect as connect_database
from fct.core.database import sqlalchemy_url
from fct.core.locks import lock_key
from fct.registry.promotion import WAITING
from fct.tracking.server import connect
from tests.conftest import wait_for_server
from tests.test_registry import EQUAL, GOOD, settle

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]
PROMOTE = "from fct.cli import main; main(['promote'])"
HOLD = """
import time
from fct.core.params import load
from fct.registry.promotion import NameParams, _open_registry
with _open_registry(load(NameParams).registry):
    print("in", flush=True)
    time.sleep(600)
"""


@dataclass
class Host:
    """A working copy of its own, and a command that runs in it."""

    folder: Path

    def start(self, code):
        self.said = self.folder / ".fct-said"
        with self.said.open("w") as file:
            self.process = subprocess.Popen(
                [sys.executable, "-c", code], cwd=self.folder, stdout=file, stderr=file, start_new_session=True
            )
        return self

    def wait_for(self, text):
        deadline = time.monotonic() + 120
        while text not in self.said.read_text():
            assert self.process.poll() is None, self.said.read_text()
            assert time.monotonic() < deadline, self.said.read_text()
            time.sleep(0.05)

    def end(self):
        self.process.wait(240)
        return self.said.read_text()


@pytest.fixture
def hosts(database, postgres, tmp_path, monkeypatch):
    """Return two hosts with a promotable model each, equally good ones. MLflow keeps its tables in PostgreSQL."""
    assert os.environ["FCT_DATABASE_URL"] == database
    monkeypatch.setenv("MLFLOW_DISABLE_TELEMETRY", "true")
    for role in ("AUTHOR", "COMMITTER"):
        monkeypatch.setenv(f"GIT_{role}_NAME", "Ada")
        monkeypatch.setenv(f"GIT_{role}_EMAIL", "ada@example.org")
    tables = sqlalchemy_url(postgres.make_database(f"mlflow_{time.time_ns()}"))
    from pipelines.stack.postgres import free_port

    port = free_port()
    command = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port), "--workers", "1"]
    command += ["--artifacts-destination", str(tmp_path / "kept")]
    environment = os.environ | {"MLFLOW_BACKEND_STORE_URI": tables, "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
    with (tmp_path / "server.log").open("w") as log:
        server = subprocess.Popen(command, env=environment, stdout=log, stderr=log, start_new_session=True)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{port}")
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[2]))
    both = [Host(tmp_path / name) for name in ("one", "other")]
    try:
        for host, signs in zip(both, (GOOD, EQUAL), strict=True):
            host.folder.mkdir()
            monkeypatch.chdir(host.folder)
            settle(host.folder, signs)
        wait_for_server(tmp_path)
        yield both
    finally:
        for host in both:
            if hasattr(host, "process") and host.process.poll() is None:
                os.killpg(host.process.pid, signal.SIGKILL)
                host.process.wait()
        os.killpg(server.pid, signal.SIGKILL)
        server.wait()


def test_two_hosts_that_promote_at_once_take_turns(hosts, database):
    """One champion, one history; the second is told who was faster, and compares its model with that champion."""
    with closing(connect_database(database)) as connection:
        connection.execute("SELECT pg_advisory_lock(%s)", (lock_key("registry of toy"),))
        for host in hosts:
            host.start(PROMOTE)
        for host in hosts:
            host.wait_for(WAITING)
    said = [host.end() for host in hosts]
    assert [host.process.returncode for host in hosts] == [0, 0], said
    _, events, state = registry.history()
    assert [(event.what, event.version, event.before) for event in events] == [
        ("promoted", "1", None),
        ("promoted", "2", "1"),
    ]
    assert state.is_proven
    aliases = connect().client.get_registered_model("toy").aliases
    assert {alias: int(number) for alias, number in aliases.items()} == {"champion": 2, "challenger": 2, "previous": 1}
    told = ["toy: version 1 became champion meanwhile" in words for words in said]
    assert sorted(told) == [False, True], said


def test_the_turn_of_a_killed_host_is_free_at_once(hosts):
    """A host dies by kill -9 in its turn, and the one that waits goes on."""
    holder, waiting = hosts
    holder.start(HOLD).wait_for("in\n")
    waiting.start(PROMOTE).wait_for(WAITING)
    time.sleep(1)
    assert waiting.process.poll() is None
    os.killpg(holder.process.pid, signal.SIGKILL)
    began = time.monotonic()
    said = waiting.end()
    print(f"promoted {time.monotonic() - began:.1f} s after the kill")
    assert waiting.process.returncode == 0, said
    _, events, state = registry.history()
    assert [event.version for event in events] == ["1"]
    assert state.is_proven
