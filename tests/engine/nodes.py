"""A Ray cluster of several nodes on this machine, each with its own processes."""

import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import psutil

ROOT = Path(__file__).parents[2]
PORTS = ("metrics-export", "dashboard-agent-listen", "dashboard-agent-grpc", "runtime-env-agent")
HEAD = "127.0.0.2"
STORE = 100 << 20  # bytes of each node's object store
ENVIRONMENT = {  # of nodes and of commands that connect to them
    "RAY_AUTH_MODE": "token",  # Ray listens on all addresses, and would run any code of anyone
    "RAY_AUTH_TOKEN": secrets.token_hex(32),
    "RAY_USAGE_STATS_ENABLED": "0",
    "OMP_NUM_THREADS": "1",
    "PYTHONPATH": str(ROOT),
    "RAY_raylet_start_wait_time_s": "200",
    "RAY_agent_register_timeout_ms": "200000",
}


@dataclass
class Node:
    """One node: `ray start --block` and its children."""

    process: subprocess.Popen

    def processes(self):
        with suppress(psutil.NoSuchProcess):
            parent = psutil.Process(self.process.pid)
            return [parent, *parent.children(recursive=True)]
        return []

    def kill(self):
        """End all processes of the node at once, as a power cut does."""
        doomed = self.processes()
        for each in doomed:
            with suppress(psutil.NoSuchProcess):
                each.send_signal(signal.SIGSTOP)  # none sees another die
        for each in doomed:
            with suppress(psutil.NoSuchProcess):
                each.kill()
        self.process.wait()


@dataclass
class Cluster:
    """A cluster on loopback."""

    address: str
    folder: Path
    nodes: list[Node] = field(default_factory=list)

    def start(self, *options, before=()):
        """Start a node and wait for it. `before` is a command that runs it."""
        command = [*before, sys.executable, "-m", "ray.scripts.scripts", "start", "--block", "--disable-usage-stats"]
        host = f"127.0.0.{len(list(self.folder.glob('*.log'))) + 2}"  # Ray replaces 127.0.0.1 by this machine's address
        command += [f"--node-ip-address={host}", f"--object-store-memory={STORE}", "--num-cpus=1", *options]
        command += [f"--{name}-port={free_port(host)}" for name in PORTS]
        log = self.folder / f"{host}.log"
        with log.open("w") as output:
            process = subprocess.Popen(
                command, env=os.environ | ENVIRONMENT, stdout=output, stderr=output, start_new_session=True
            )
        self.nodes.append(Node(process))
        deadline = time.monotonic() + 240  # seconds
        while "Ray runtime started" not in log.read_text():
            assert process.poll() is None, log.read_text()
            assert time.monotonic() < deadline, log.read_text()
            time.sleep(0.1)
        return self.nodes[-1]


def free_port(host):
    """Return a free port. Ray's own choice comes in a file, for which a node waits only 15 s on a busy machine."""
    with socket.socket() as free:
        free.bind((host, 0))
        return free.getsockname()[1]


@contextmanager
def cluster(count):
    """Yield a cluster of `count` nodes with one core each. Afterwards nothing of it is left."""
    folder = Path(tempfile.mkdtemp(prefix="ray", dir="/tmp"))  # short, because paths of sockets are limited
    port = free_port(HEAD)
    made = Cluster(f"{HEAD}:{port}", folder)
    try:
        made.start("--head", f"--port={port}", "--include-dashboard=false", f"--temp-dir={folder}")
        for _ in range(count - 1):
            made.start(f"--address={made.address}")
        yield made
    finally:
        for node in reversed(made.nodes):
            node.kill()
        shutil.rmtree(folder, ignore_errors=True)
