"""Commands that end as a whole: each in a process group of its own, its output read line by line.

A stage starts processes of its own (data loaders, a shell); a signal to the command alone would leave them at work on
the GPU. So a group is asked to end (SIGTERM: a stage closes its run, DVC frees its locks) and, past `GRACE`, killed.
"""

from __future__ import annotations

import codecs
import os
import re
import signal
import subprocess
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from fct.core.errors import FctError

GRACE = 7.0  # seconds between asking a group to end and killing it
SPARSE = 15.0  # seconds between two states of one progress bar
TAIL = 40  # lines kept for what is made of them afterwards
COLOUR = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


class StoppedError(FctError):
    """The flow run is being stopped, and this command with it."""


@dataclass(frozen=True)
class Ended:
    """How a command ended."""

    status: int  # its exit status; negative: the signal that ended it
    tail: tuple[str, ...]  # the last lines that it said


@dataclass
class Commands:
    """The commands at work for one flow run."""

    environment: Mapping[str, str]  # on top of this process's
    workers: int  # how many run side by side; the others wait
    _running: set[int] = field(default_factory=set)  # pids, which are their groups' too
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _stopped: bool = False

    def __post_init__(self) -> None:
        self._slots = threading.Semaphore(self.workers)

    def run(self, command: Sequence[str], say: Callable[[str], object]) -> Ended:
        """Run a command to its end, from any thread; `say` gets each line of its output.

        Raises:
            StoppedError: `stop` was called before it ended.
        """
        with self._slots:
            ended = self._run(self._start(command), say)
        if self._stopped:
            raise StoppedError(f"stopped: {' '.join(command)}")
        return ended

    def _run(self, process: subprocess.Popen[bytes], say: Callable[[str], object]) -> Ended:
        output, tail = process.stdout, deque[str](maxlen=TAIL)
        assert output is not None  # it is a pipe
        try:
            for line in read_lines(output.fileno()):
                tail.append(line)
                say(line)
            os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)  # its pid stays taken, and so the group's
        finally:
            terminate(process.pid)  # a child that outlived it, or all of them if `say` failed
            output.close()
            status = process.wait()
            with self._lock:
                self._running.discard(process.pid)
        return Ended(status, tuple(tail))

    def stop(self) -> bool:
        """End every command at work, with all its processes, within `GRACE` seconds, and start no more.

        Returns:
            Whether there was any.
        """
        with self._lock:
            self._stopped = True
            groups = list(self._running)
        with ThreadPoolExecutor(max(1, len(groups))) as pool:  # side by side, so that all have the same time
            list(pool.map(terminate, groups))
        return bool(groups)

    def _start(self, command: Sequence[str]) -> subprocess.Popen[bytes]:
        with self._lock:
            if self._stopped:
                raise StoppedError(f"not started: {' '.join(command)}")
            process = subprocess.Popen(
                command,
                env={**os.environ, **self.environment, "PYTHONUNBUFFERED": "1"},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
            self._running.add(process.pid)
            return process


def output(*command: str, cwd: Path | None = None) -> str:
    """Return what a short command prints.

    Raises:
        FctError: it failed; its own words say why.
    """
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, errors="replace", check=False)
    if done.returncode:
        raise FctError(f"`{' '.join(command)}` failed: {(done.stderr or done.stdout).strip()}")
    return done.stdout


def read_lines(descriptor: int) -> Iterator[str]:
    """Yield the lines of a command's output as they come, without colours and empty ones.

    A progress bar writes its states over each other, parted by carriage returns: of these one every `SPARSE` seconds is
    a line, and the last one is.
    """
    decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")
    text, shown = "", time.monotonic()
    while chunk := os.read(descriptor, 1 << 16):
        text += decoder.decode(chunk)
        *whole, text = re.split(r"(?<=\n)|(?<=\r)(?!\n)", text)
        for piece in whole:
            now = time.monotonic()
            if piece.endswith("\r") and now - shown < SPARSE:
                continue
            if piece.endswith("\r"):
                shown = now
            if line := COLOUR.sub("", piece).rstrip():
                yield line
    if line := COLOUR.sub("", text).rstrip():
        yield line


def terminate(leader: int, *, grace: float = GRACE) -> None:
    """Ask the processes of a group to end; kill what is left of them and of their descendants after `grace` seconds.

    Args:
        leader: The pid of the group's first process, which is the group's number too.
        grace: Seconds.
    """
    family = _with_descendants(each for each in psutil.process_iter() if _is_in(leader, each))
    _signal(leader, signal.SIGTERM)
    _wait(family, grace)
    left = _with_descendants(family)  # what they started meanwhile is among them
    _signal(leader, signal.SIGKILL)
    for process in left:
        with suppress(psutil.Error):
            process.kill()


def terminate_children(parent: int, *, grace: float = GRACE) -> None:
    """Ask what a process started to end; return when that and its descendants have, or after `grace` seconds."""
    try:
        children = psutil.Process(parent).children()
    except psutil.Error:
        return
    family = _with_descendants(children)
    for child in children:
        with suppress(psutil.Error):
            child.terminate()
    _wait(family, grace)


def _wait(family: Iterable[psutil.Process], grace: float) -> None:
    """Wait until all have ended, or `grace` seconds.

    `psutil.wait_procs` does not serve: it takes the exit status of a child away from its `Popen`, and waits for a
    process that has ended until its parent asks for the status, which in a container without an init nobody does.
    """
    deadline = time.monotonic() + grace
    while any(map(_is_at_work, family)) and time.monotonic() < deadline:
        time.sleep(0.05)


def _is_at_work(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.Error:
        return False


def _with_descendants(processes: Iterable[psutil.Process]) -> set[psutil.Process]:
    found = set(processes)
    for process in list(found):
        with suppress(psutil.Error):
            found.update(process.children(recursive=True))
    return found


def _is_in(group: int, process: psutil.Process) -> bool:
    try:
        return os.getpgid(process.pid) == group
    except ProcessLookupError:
        return False


def _signal(group: int, number: signal.Signals) -> None:
    with suppress(ProcessLookupError):
        os.killpg(group, number)
