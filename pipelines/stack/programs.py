"""Programs that run on after `make stack`, and are found again without a file of pids: their environment has a mark.

Every process that a program starts inherits the mark, so none is overlooked, not even after kill -9 of its parent.
"""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from http.client import HTTPException
from pathlib import Path
from urllib.request import Request

import psutil

from fct.core.errors import FctError
from pipelines.access import opener
from pipelines.process import terminate

MARK = "FCT_STACK_PROGRAM"  # environment variable of every process of a program
PATIENCE = 600  # seconds for a program to start; the first start makes its tables
ANSWER = 5  # seconds to wait for an answer
TAIL = 15  # last lines of a log that an error shows
LAUNCHED: list[subprocess.Popen[bytes]] = []  # kept, for Python warns of a forgotten process, and these are to run on
FOREIGN = ("AWS_", "FCT_", "MLFLOW_", "PREFECT_")  # variables of the person's shell that are not for the servers


@dataclass(frozen=True)
class Program:
    """A server program, its settings, and how to see that it works."""

    name: str
    command: tuple[str, ...]
    environment: Mapping[str, str] = field(repr=False)  # it holds secrets
    address: str  # for a person
    health: str  # URL that answers when it is up
    answer: str  # text in that answer
    folder: Path  # of the whole stack; it has the log
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    prepare: Callable[[], None] = lambda: None  # before a start
    finish: Callable[[], None] = lambda: None  # once it answers; repeated freely
    litter: tuple[Path, ...] = ()  # files elsewhere that it leaves

    @property
    def log(self) -> Path:
        """The file with its output."""
        return self.folder / f"{self.name}.log"

    def is_up(self) -> bool:
        """Return whether a process of this program runs, and the program answers."""
        return bool(self.processes()) and self._answers()

    def processes(self) -> list[psutil.Process]:
        """Return the program's processes, those whose parent has died too."""
        return [process for process in psutil.process_iter() if self._is_of(process)]

    def start(self) -> None:
        """Start the program if it is not up, and wait until it works. What is left of a dead one is ended first.

        Raises:
            FctError: it does not start. The message has the end of its log.
        """
        if not self.is_up():
            self.stop()
            self.prepare()
            self._wait(self._launch())
        self.finish()

    def stop(self) -> None:
        """End all processes of the program: with SIGTERM, and after some seconds with SIGKILL."""
        processes = self.processes()
        for leader in {os.getpgid(process.pid) for process in processes if process.is_running()}:
            terminate(leader)
        for process in processes:
            _kill(process)
        for path in self.litter:
            with suppress(OSError):  # another user's
                path.unlink()

    def _launch(self) -> subprocess.Popen[bytes]:
        kept = {name: value for name, value in os.environ.items() if not name.startswith(FOREIGN)}
        with self.log.open("ab") as log:
            process = subprocess.Popen(
                self.command,
                env={**kept, **self.environment, MARK: self._mark},
                cwd=self.folder,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # it runs on, and Ctrl-C does not reach it
            )
        LAUNCHED.append(process)
        return process

    def _wait(self, process: subprocess.Popen[bytes]) -> None:
        deadline = time.monotonic() + PATIENCE
        while not self._answers():
            if process.poll() is not None or time.monotonic() > deadline:
                raise FctError(f"{self.name} did not start. The end of {self.log}:\n{self._last_lines()}")
            time.sleep(0.2)

    def _answers(self) -> bool:
        try:
            request = Request(self.health, headers=dict(self.headers))  # noqa: S310 a URL of ours
            with opener().open(request, timeout=ANSWER) as answer:
                return self.answer in answer.read(1 << 16).decode(errors="replace")
        except (OSError, HTTPException):
            return False

    @property
    def _mark(self) -> str:
        return f"{self.folder}:{self.name}"

    def _is_of(self, process: psutil.Process) -> bool:
        try:
            return process.environ().get(MARK) == self._mark and process.status() != psutil.STATUS_ZOMBIE
        except (psutil.Error, OSError):  # it has ended, or belongs to another user
            return False

    def _last_lines(self) -> str:
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-TAIL:])


def _kill(process: psutil.Process) -> None:
    try:
        process.kill()
        process.wait(PATIENCE)
    except psutil.Error:
        return
