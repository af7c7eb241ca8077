"""Runs commands, each in its own process group, reads their output by lines, and ends whole groups.

A stage starts more processes (data loaders, a shell). A signal to the command alone would leave them running on the
GPU. Therefore the whole group gets SIGTERM: then a stage can close its run, and DVC can free its locks. After `GRACE`
seconds the group is killed.
"""

from __future__ import annotations

import codecs
import errno
import os
import pty
import re
import signal
import subprocess
import termios
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import psutil

from fct.core.errors import FctError

DELAYS = (5.0, 30.0, 120.0)  # seconds before each retry of what may succeed later
GRACE = 7.0  # seconds between SIGTERM and SIGKILL
SPARSE = 60.0  # seconds between two logged states of a progress bar
SIZE = (24, 120)  # rows and columns of the terminal that a command sees
TAIL = 40  # last lines of output that are kept
COLOUR = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


class StoppedError(FctError):
    """The flow run, and this command with it, is being stopped."""


class Watch(Protocol):
    """What is told about the process groups of commands."""

    def started(self, group: int) -> None:
        """Report a group that has started."""

    def ended(self, group: int) -> None:
        """Report a group that has ended."""


@dataclass(frozen=True)
class Ended:
    """The result of a command."""

    status: int  # its exit status; negative: the signal that ended it
    tail: tuple[str, ...]  # the last lines of its output


@dataclass
class Commands:
    """The running commands of one flow run."""

    environment: Mapping[str, str]  # added to that of this process
    workers: int  # number of commands at a time; further ones wait
    watchdog: Watch | None = None  # ends them if this process is killed
    _running: set[int] = field(default_factory=set)  # pids, which are also the ids of their groups
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _stopped: bool = False

    def __post_init__(self) -> None:
        self._slots = threading.Semaphore(self.workers)

    def run(self, command: Sequence[str], on_line: Callable[[str], object]) -> Ended:
        """Run a command to its end, and call `on_line` with each line of its output. Any thread may call this.

        Raises:
            StoppedError: `stop` was called before it ended.
        """
        with self._slots:
            ended = self._run(*self._start(command), on_line)
        if self._stopped:
            raise StoppedError(f"stopped: {' '.join(command)}")
        return ended

    def _run(self, process: subprocess.Popen[bytes], output: int, on_line: Callable[[str], object]) -> Ended:
        tail = deque[str](maxlen=TAIL)
        try:
            for line in read_lines(output):
                tail.append(line)
                on_line(line)
            os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)  # keeps its pid, and so the group's id, reserved
        finally:
            terminate(process.pid)  # children that are left, or all processes if `on_line` failed
            os.close(output)
            status = process.wait()
            with self._lock:
                self._running.discard(process.pid)
            if self.watchdog:
                self.watchdog.ended(process.pid)
        return Ended(status, tuple(tail))

    def stop(self) -> bool:
        """End every running command with all its processes within `GRACE` seconds, and start no more.

        Returns:
            Whether any command was running.
        """
        with self._lock:
            self._stopped = True
            groups = list(self._running)
        with ThreadPoolExecutor(max(1, len(groups))) as pool:  # in parallel, so that all have the same grace
            list(pool.map(terminate, groups))
        return bool(groups)

    def _start(self, command: Sequence[str]) -> tuple[subprocess.Popen[bytes], int]:
        """Start a command. Return it and the descriptor of its output."""
        with self._lock:
            if self._stopped:
                raise StoppedError(f"not started: {' '.join(command)}")
            output, terminal = _open_terminal()
            try:
                process = subprocess.Popen(
                    command,
                    env={**os.environ, **self.environment, "PYTHONUNBUFFERED": "1"},
                    stdin=subprocess.DEVNULL,
                    stdout=terminal,
                    stderr=terminal,
                    start_new_session=True,
                )
            except BaseException:
                os.close(output)
                raise
            finally:
                os.close(terminal)
            self._running.add(process.pid)
            if self.watchdog:
                self.watchdog.started(process.pid)
            return process, output


def _open_terminal() -> tuple[int, int]:
    """Return both ends of a pseudo-terminal: many programs show their progress only on a terminal, not on a pipe."""
    output, terminal = pty.openpty()
    attributes = termios.tcgetattr(terminal)
    attributes[1] &= ~termios.OPOST  # a line's end stays one character
    termios.tcsetattr(terminal, termios.TCSANOW, attributes)
    termios.tcsetwinsize(terminal, SIZE)
    return output, terminal


def output(*command: str, cwd: Path | None = None) -> str:
    """Return the output of a short command.

    Raises:
        FctError: the command failed. The message has its errors, or else its output.
    """
    process = subprocess.run(command, cwd=cwd, capture_output=True, text=True, errors="replace", check=False)
    if process.returncode:
        text = (process.stderr or process.stdout).strip()
        errors = [line for line in text.splitlines() if line.startswith(("ERROR: ", "error: ", "fatal: "))]
        raise FctError(f"`{' '.join(command)}` failed: {' '.join(errors) or text}")
    return process.stdout


def output_of_server(*command: str, warn: Callable[[str], object]) -> str:
    """Return the output of a command that needs a server. Repeat it if it fails, since the server may be restarting.

    Args:
        command: The program and its arguments.
        warn: Called with each failure before the command is repeated.

    Raises:
        FctError: the command failed each time. The message has its last output.
    """
    for delay in DELAYS:
        try:
            return output(*command)
        except FctError as error:
            warn(f"{error}. Once more in {delay:.0f} s.")
        time.sleep(delay)
    return output(*command)


def read_lines(descriptor: int) -> Iterator[str]:
    """Yield the lines of a command's output as they come, without colours and without empty lines.

    A progress bar overwrites its states with carriage returns. One state every `SPARSE` seconds becomes a line, and
    so does the last one.
    """
    decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")
    text, last_shown = "", time.monotonic()
    while chunk := _read(descriptor):
        text += decoder.decode(chunk)
        *pieces, text = re.split(r"(?<=\n)|(?<=\r)(?!\n)", text)
        for piece in pieces:
            now = time.monotonic()
            if piece.endswith("\r") and now - last_shown < SPARSE:
                continue
            if piece.endswith("\r"):
                last_shown = now
            if line := COLOUR.sub("", piece).rstrip():
                yield line
    if line := COLOUR.sub("", text).rstrip():
        yield line


def _read(descriptor: int) -> bytes:
    try:
        return os.read(descriptor, 1 << 16)
    except OSError as error:
        if error.errno == errno.EIO:  # the last process has closed the terminal
            return b""
        raise


def terminate(leader: int, *, grace: float = GRACE) -> None:
    """Ask the processes of a group to end. After `grace` seconds, kill the remaining ones and their descendants.

    Args:
        leader: The pid of the group's first process, which is also the id of the group.
        grace: Seconds to wait.
    """
    family = _with_descendants(process for process in psutil.process_iter() if _is_in(leader, process))
    _signal(leader, signal.SIGTERM)
    _wait(family, grace)
    remaining = _with_descendants(family)  # includes processes started meanwhile
    _signal(leader, signal.SIGKILL)
    for process in remaining:
        with suppress(psutil.Error):
            process.kill()


def terminate_children(parent: int, *, grace: float = GRACE) -> None:
    """Ask the children of a process to end. Return when all descendants have ended, or after `grace` seconds."""
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
    """Wait until all processes have ended, at most `grace` seconds.

    `psutil.wait_procs` cannot be used here. It takes a child's exit status from its `Popen`. It also waits until the
    parent of an ended process reads the status, which never happens in a container without an init.
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
    family = set(processes)
    for process in list(family):
        with suppress(psutil.Error):
            family.update(process.children(recursive=True))
    return family


def _is_in(group: int, process: psutil.Process) -> bool:
    try:
        return os.getpgid(process.pid) == group
    except ProcessLookupError:
        return False


def _signal(group: int, number: signal.Signals) -> None:
    with suppress(ProcessLookupError):
        os.killpg(group, number)
