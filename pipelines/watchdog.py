"""Ends the commands of a flow run that was killed, and so could not end them itself.

    python -m pipelines.watchdog     # a flow run starts it; it ends with the run

A flow run writes the process groups of its commands to this process's input. The input ends with the run, even after
kill -9. Then the groups that are left get SIGTERM, and after some seconds SIGKILL: no training stays on the GPU while
the next run begins.
"""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import IO

from pipelines.process import terminate

STARTED, ENDED = "+", "-"


@dataclass
class Watchdog:
    """The flow run's end of the watchdog. Its process starts with the first command: a run without any starts none."""

    _process: subprocess.Popen[str] | None = None
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def started(self, group: int) -> None:
        """Report a process group that must not outlive this process."""
        self._write(STARTED, group)

    def ended(self, group: int) -> None:
        """Report that all processes of a group have ended."""
        self._write(ENDED, group)

    def close(self) -> None:
        """Let the watchdog end."""
        if self._process:
            with suppress(OSError):
                _input(self._process).close()
            self._process.wait()

    def _write(self, event: str, group: int) -> None:
        with self._lock:
            if self._process is None:
                self._process = subprocess.Popen(
                    [sys.executable, "-m", "pipelines.watchdog"],
                    stdin=subprocess.PIPE,
                    text=True,
                    start_new_session=True,  # a signal to the run's process group does not reach it
                )
            with suppress(OSError):  # someone killed the watchdog: the run goes on without it
                _input(self._process).write(f"{event}{group}\n")
                _input(self._process).flush()


def _input(process: subprocess.Popen[str]) -> IO[str]:
    assert process.stdin
    return process.stdin


@contextmanager
def watchdog() -> Iterator[Watchdog]:
    """Yield a watchdog for the commands of the block."""
    dog = Watchdog()
    try:
        yield dog
    finally:
        dog.close()


def remaining(lines: Iterable[str]) -> set[int]:
    """Return the groups that have started and not ended when the lines end."""
    groups: set[int] = set()
    for line in lines:
        event, group = line[:1], line[1:].strip()
        if not group.isdecimal():  # a line cut off by a kill
            continue
        if event == STARTED:
            groups.add(int(group))
        else:
            groups.discard(int(group))
    return groups


def main() -> None:
    """Wait for the end of the flow run, then end the groups that it has left."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)  # it ends with its run alone
    groups = remaining(sys.stdin)
    with ThreadPoolExecutor(max(1, len(groups))) as pool:  # in parallel, so that all have the same grace
        list(pool.map(terminate, groups))


if __name__ == "__main__":
    main()
