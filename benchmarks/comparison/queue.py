"""Make missing runs in several processes, for a limited time: a night, or the minutes that a GPU is lent for."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Sequence

import joblib

from fct.core.signals import signals_as_exceptions

COMMAND = (sys.executable, "-m", "benchmarks.comparison", "run", "--missing")
THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS")
PAUSE = 0.5  # seconds between two looks at the processes
GRACE = 20.0  # seconds to end after a signal


def run_queue(what: Sequence[str], processes: int, minutes: float | None) -> int:
    """Make missing runs until none is left or the time is over, and return the first exit status that is not 0.

    What the processes are in the middle of then goes on from its last epoch at the next call. Each process has its
    share of the cores, unless the environment says how many threads one has.

    Args:
        what: a data set, or a data set and a method; nothing for all.
        processes: that work at a time. They take runs that no other is making.
        minutes: after which they are ended; None for no limit.
    """
    share = str(max(1, joblib.cpu_count() // processes))
    environment = dict.fromkeys(THREADS, share) | os.environ
    deadline = time.monotonic() + 60 * minutes if minutes is not None else float("inf")
    with signals_as_exceptions():
        workers = [subprocess.Popen([*COMMAND, *what], env=environment) for _ in range(processes)]
        try:
            while any(worker.poll() is None for worker in workers) and time.monotonic() < deadline:
                time.sleep(PAUSE)
        finally:
            ended = {worker.pid for worker in workers if worker.poll() is None}
            for worker in workers:
                worker.terminate()
            for worker in workers:
                _wait(worker)
    return next((worker.returncode for worker in workers if worker.returncode and worker.pid not in ended), 0)


def _wait(worker: subprocess.Popen[bytes]) -> None:
    try:
        worker.wait(GRACE)
    except subprocess.TimeoutExpired:
        worker.kill()
        worker.wait()
