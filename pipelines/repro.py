"""Run `dvc repro`, and show the progress, the time left, and the time and memory that each stage took.

    python -m pipelines.repro [STAGE]...     # all stages, unless some are named

The first estimate uses the times of the last runs here, or else those of a reference run in reference.json, which had
the images and the network of params.yaml as delivered. Stages that have ended correct the estimate. To measure
reference.json anew, run the whole pipeline on an idle machine and copy .fct/stage-seconds.json over it.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

import psutil
from pydantic import NonNegativeFloat, RootModel, ValidationError

from fct.core import environment
from fct.core.document import parse
from fct.core.errors import exit_on_error
from fct.core.files import write_json
from fct.core.params import Section, load
from fct.core.paths import PARAMS, STAGE_SECONDS
from fct.engine.params import ComputeParams
from fct.registry.params import RegistryParams
from pipelines import graph

REFERENCE = Path(__file__).with_name("reference.json")
REFERENCE_OF = {("data", "source"): "fashion-mnist", ("model", "name"): "speednet"}  # other values take other times
SAMPLE_EVERY = 0.5  # seconds between two looks at the memory
TRUSTED = 10.0  # seconds of stages that must have ended before they correct the estimate
BEGINS = re.compile(r"Running stage '(.+)':")
IS_LEFT_OUT = re.compile(r"Stage '(.+)' (?:didn't change|is cached)")
ENDS = "Updating lock file"


class Seconds(RootModel[dict[str, NonNegativeFloat]]):
    """Seconds that each stage took."""


@dataclass
class Progress:
    """The stages of one run: which of them are to run, their expected times, and the times they took."""

    planned: list[str]  # the stages to run, in an executable order
    expected: Mapping[str, float]  # seconds
    spent: dict[str, float] = field(default_factory=dict)  # seconds

    def left(self) -> float | None:
        """Return the seconds that the stages yet to run will take, or None if one of them never ran before."""
        ahead = [stage for stage in self.planned if stage not in self.spent]
        if any(stage not in self.expected for stage in ahead):
            return None
        known = [stage for stage in self.spent if stage in self.expected]
        should, did = (sum(seconds[stage] for stage in known) for seconds in (self.expected, self.spent))
        pace = did / should if should and did > TRUSTED else 1.0
        return pace * sum(self.expected[stage] for stage in ahead)

    def heading(self, stage: str) -> str:
        """Return the text to show when `stage` begins."""
        if stage not in self.planned:
            self.planned.append(stage)
        left = self.left()
        time_left = "" if left is None else f", about {spell(left)} left"
        return f"[{self.planned.index(stage) + 1} of {len(self.planned)}{time_left}]"

    def leave_out(self, stage: str) -> None:
        """Remove a stage from the plan that does not need to run after all."""
        if stage in self.planned:
            self.planned.remove(stage)


class Memory:
    """The most memory that a process and its descendants have had at one time, sampled while the block runs."""

    def __init__(self, pid: int) -> None:
        self._process = psutil.Process(pid)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self.peak = 0  # bytes

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def reset(self) -> int:
        """Return the peak since the last call, in bytes."""
        peak, self.peak = self.peak, 0
        return peak

    def _watch(self) -> None:
        while not self._stop.wait(SAMPLE_EVERY):
            self.peak = max(self.peak, self._now())

    def _now(self) -> int:
        total = 0
        with suppress(psutil.Error):
            for process in [self._process, *self._process.children(recursive=True)]:
                with suppress(psutil.Error):  # it has ended meanwhile
                    total += process.memory_info().rss
        return total


class _Params(Section):
    """Sections that no stage checks: where work is done, and the name for `fct promote` at the end."""

    compute: ComputeParams
    registry: RegistryParams


def main() -> None:
    """Run `dvc repro`, and end with its status."""
    with exit_on_error():
        load(_Params, with_defaults=("compute",))
        environment.write()
        sys.exit(run(sys.argv[1:]))


def run(targets: Sequence[str]) -> int:
    """Run `dvc repro` for some stages, or all, and return its status. Keep the stages' times for the next estimate.

    Raises:
        FctError: DVC ended with status 0, and yet its cache lacks what the stages made.
    """
    order = graph.plan(targets)
    planned = list(_with_what_follows(order, graph.stale(list(order))))
    progress = Progress(planned, _read(STAGE_SECONDS) or _reference())
    begin = time.perf_counter()
    status = _run(["dvc", "repro", *targets], progress)
    if progress.spent:
        print(f"{len(progress.spent)} of {len(order)} stages ran, in {spell(time.perf_counter() - begin)}")
    if status:
        print("The stages that ended are kept: the same command continues after them.")
    else:
        graph.require_cached(progress.spent)
    return status


def _run(command: Sequence[str], progress: Progress) -> int:
    variables = {"FCT_PIPELINE_RUN": str(uuid.uuid4())} | os.environ | {"PYTHONUNBUFFERED": "1"}
    with (
        subprocess.Popen(command, stdout=subprocess.PIPE, text=True, errors="replace", env=variables) as process,
        _signals_go_to(process),
        Memory(process.pid) as memory,
    ):
        stage, since = "", 0.0

        def end() -> None:
            if stage:
                progress.spent[stage] = round(time.perf_counter() - since, 1)
                write_json(STAGE_SECONDS, _read(STAGE_SECONDS) | {stage: progress.spent[stage]})
                print(f"{stage}: {spell(progress.spent[stage])}, at most {memory.reset() / 2**30:.1f} GiB")

        for line in process.stdout or ():
            begins, left_out = BEGINS.match(line), IS_LEFT_OUT.match(line)
            if line.startswith(ENDS) or begins or left_out:  # DVC is silent about a lock that stays as it is
                end()
                stage = ""
            if begins:
                stage, since = begins[1], time.perf_counter()
                memory.reset()
                print(progress.heading(stage), end=" ")
            elif left_out:
                progress.leave_out(left_out[1])
            print(line, end="", flush=True)
        status = process.wait()
        if status == 0:
            end()
        return status


@contextmanager
def _signals_go_to(process: subprocess.Popen[str]) -> Iterator[None]:
    """Wait for the process after Ctrl-C, which the process gets too, and pass SIGTERM on to it."""
    handlers = {signal.SIGINT: lambda *_: None, signal.SIGTERM: lambda *_: process.terminate()}
    before = {number: signal.signal(number, handler) for number, handler in handlers.items()}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _with_what_follows(order: Mapping[str, Sequence[str]], stale: set[str]) -> Iterator[str]:
    """Yield the stages that are stale, or come after one that is."""
    will_run: set[str] = set()
    for stage, needs in order.items():
        if stage in stale or will_run.intersection(needs):
            will_run.add(stage)
            yield stage


def _reference() -> dict[str, float]:
    """Return the times of the reference run, if params.yaml has its images and its network."""
    content = parse(PARAMS) if PARAMS.exists() else {}
    is_alike = all(content.get(section, {}).get(key) == value for (section, key), value in REFERENCE_OF.items())
    return _read(REFERENCE) if is_alike else {}


def _read(path: Path) -> dict[str, float]:
    """Return the times in the file at `path`. They are only a forecast: return none if it is missing or damaged."""
    try:
        return Seconds.model_validate_json(path.read_bytes()).root
    except (OSError, ValidationError):
        return {}


def spell(seconds: float) -> str:
    """Return a time in words.

    Example:
        >>> spell(7.4), spell(192.0)
        ('7 s', '3 min 12 s')
    """
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"


if __name__ == "__main__":
    main()
