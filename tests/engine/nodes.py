"""A Ray cluster of several nodes on this machine, each with its own processes."""

import os
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

STORE = 100 << 20  # bytes of each node's object store
ENVIRONMENT = {"RAY_USAGE_STATS_ENABLED": "0", "OMP_NUM_THREADS": "1", "RAY_raylet_start_wait_time_s": "200"}


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

    def start(self, *options, cwd="/"):
        command = [sys.executable, "-m", "ray.scripts.scripts", "start", "--block", "--disable-usage-stats"]
        command += ["--node-ip-address=127.0.0.1", f"--object-store-memory={STORE}", "--num-cpus=1", *options]
        log = self.folder / f"node-{len(self.nodes)}.log"
        with log.open("w") as output:
            process = subprocess.Popen(
                command, cwd=cwd, env=os.environ | ENVIRONMENT, stdout=output, stderr=output, start_new_session=True
            )
        self.nodes.append(Node(process))
        deadline = time.monotonic() + 240  # seconds
        while "Ray runtime started" not in log.read_text():
            assert process.poll() is None, log.read_text()
            assert time.monotonic() < deadline, log.read_text()
            time.sleep(0.1)
        return self.nodes[-1]


@contextmanager
def cluster(count):
    """Yield a cluster of `count` nodes with one core each. Afterwards nothing of it is left."""
    folder = Path(tempfile.mkdtemp(prefix="ray", dir="/tmp"))  # short, because paths of sockets are limited
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    made = Cluster(f"127.0.0.1:{port}", folder)
    try:
        made.start("--head", f"--port={port}", "--include-dashboard=false", f"--temp-dir={folder}")
        for _ in range(count - 1):
            made.start(f"--address={made.address}")
        yield made
    finally:
        for node in reversed(made.nodes):
            node.kill()
        shutil.rmtree(folder, ignore_errors=True)
