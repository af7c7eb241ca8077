"""Which of our own faults the tests would notice: `make mutants`, or `python tests/mutants [WORD ...]`.

Each mutant of `tests/mutants/groups.py` is one replacement in one module. It is made in a temporary copy of the tree,
the tests that are named beside it run there, and one of them must fail. A mutant that survives is a fault that nobody
would have seen; one whose text is no longer found, or whose module the tests never load, says nothing. Both end with
status 1, and so do tests that fail without any mutant.

The packages that take long to import are imported once. Each run is a process forked from this one.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import resource
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from groups import GROUPS, Group, Mutant

REPOSITORY = Path(__file__).parents[2]
COPIED = ("fct", "tests", "pipelines", "benchmarks", "pyproject.toml", "params.yaml")
IMPORTED = (
    "numpy",
    "torch",
    "numba",
    "scipy.stats",
    "scipy.special",
    "PIL.Image",
    "pydantic",
    "onnx",
    "hypothesis",
)
LIMIT = 180  # seconds of processor time that one run may take, however busy the machine is
PLUGINS = ("pytest_timeout", "_hypothesis_pytestplugin", "xdist.plugin")  # all others cost time, randomly its order
OPTIONS = ("-x", "-q", "--import-mode=importlib", "-p", "no:cacheprovider", "-o", "addopts=")


@dataclass(frozen=True)
class Run:
    """The tests of a group, on the tree with a mutant, or as it is."""

    group: Group
    mutant: Mutant | None

    @property
    def tests(self) -> tuple[str, ...]:
        """What pytest is told to run."""
        if self.mutant:
            return self.mutant.tests or self.group.tests
        return tuple(dict.fromkeys(test for each in self.group.mutants for test in each.tests or self.group.tests))

    @property
    def title(self) -> str:
        """Return what the table calls it."""
        return self.mutant.what if self.mutant else "(no mutant)"


@dataclass(frozen=True)
class Result:
    """What came of a run."""

    word: str  # killed | survived | stale | broken; of the tree as it is: passes | broken
    why: str = ""  # the test that failed, or what is wrong
    seconds: float = 0.0  # of processor time: what others do on the machine does not count

    @property
    def is_good(self) -> bool:
        """Whether it is as it should be."""
        return self.word in ("killed", "passes")


def main() -> None:
    """Run the mutants, print a line each, and exit with 1 if one is not killed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("words", nargs="*", help="only mutants whose module or description has one of these words")
    parser.add_argument("--jobs", type=int, default=os.cpu_count(), help="runs side by side (default: all CPUs)")
    told = parser.parse_args()
    runs = list(chosen(told.words))
    if not runs:
        parser.error(f"no mutant has {' or '.join(told.words)} in its module or description")
    prepare()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("error: stopped"))  # and clear what is running
    started, results = time.monotonic(), {}
    widest = max(len(run.title) for run in runs)
    print(f"{'mutant':<{widest}}  {'module':<22} {'result':<9} seconds  by", flush=True)
    for run, result in finished(runs, told.jobs):
        results[run] = result
        module = run.group.module.removeprefix("fct.")
        print(f"{run.title:<{widest}}  {module:<22} {result.word:<9} {result.seconds:>7.1f}  {result.why}", flush=True)
    bad = [run for run, result in results.items() if not result.is_good]
    mutants = sum(run.mutant is not None for run in runs)
    killed = sum(result.word == "killed" for result in results.values())
    used = sum(result.seconds for result in results.values())
    took = f"{time.monotonic() - started:.0f} s ({used:.0f} s of processor time)"
    print(f"{killed} of {mutants} mutants were killed, in {took}.")
    for run in bad:
        print(f"not as it should be: {run.group.module}: {run.title}: {results[run].word} {results[run].why}")
    sys.exit(bool(bad))


def chosen(words: list[str]) -> Iterator[Run]:
    """Yield the runs whose module or description has one of `words`, or all; the tree as it is before its mutants."""
    for group in GROUPS:
        fits = [
            mutant
            for mutant in group.mutants
            if not words or any(word in group.module or word in mutant.what for word in words)
        ]
        if fits:
            part = Group(group.module, group.tests, tuple(fits))
            yield Run(part, None)
            yield from (Run(part, mutant) for mutant in fits)


def prepare() -> None:
    """Import what takes long, with one thread a process: runs are side by side."""
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMEXPR_NUM_THREADS"):
        os.environ[name] = "1"
    os.environ["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"
    os.environ["MLFLOW_DISABLE_TELEMETRY"] = os.environ["DO_NOT_TRACK"] = "true"
    for name in IMPORTED:
        importlib.import_module(name)
    loaded = sorted(name for name in sys.modules if name == "fct" or name.startswith("fct."))
    if loaded:
        raise SystemExit(f"error: {loaded[0]} was imported before it could be changed")


def finished(runs: list[Run], jobs: int) -> Iterator[tuple[Run, Result]]:
    """Yield each run and what came of it, as they end; `jobs` run side by side."""
    waiting, running = list(reversed(runs)), {}
    try:
        while waiting or running:
            while waiting and len(running) < jobs:
                run = waiting.pop()
                folder = Path(tempfile.mkdtemp(prefix="mutant-"))
                if wrong := make_tree(folder, run):
                    shutil.rmtree(folder)
                    yield run, Result("stale", wrong)
                else:
                    running[start(run, folder)] = run, folder
            for process, (run, folder) in list(running.items()):
                ended, status, used = os.wait4(process, os.WNOHANG)
                if ended:
                    del running[process]
                    yield run, judged(run, folder, status, used.ru_utime + used.ru_stime)
                    shutil.rmtree(folder, ignore_errors=True)
            time.sleep(0.05)
    finally:
        for process, (_, folder) in running.items():
            os.killpg(process, signal.SIGKILL)
            os.waitpid(process, 0)
            shutil.rmtree(folder, ignore_errors=True)


def make_tree(folder: Path, run: Run) -> str | None:
    """Copy the tree into `folder` and apply the mutant; return what is wrong if it does not apply."""
    missing = [test for test in run.tests if not (REPOSITORY / test.partition("::")[0]).exists()]
    if missing:
        return f"{missing[0]} is not here: name the tests that kill it in tests/mutants/groups.py"
    for name in COPIED:  # with times: what numba has compiled of an unchanged file is used again
        source, ignore = REPOSITORY / name, shutil.ignore_patterns("results", "*.json", "*.svg", "*.png")
        if source.is_dir():
            shutil.copytree(source, folder / name, ignore=ignore)
        else:
            shutil.copy2(source, folder / name)
    if run.mutant is None:
        return None
    path = module_file(folder, run.group.module)
    if path is None:
        return f"there is no module {run.group.module}: name the one that it is in now"
    text = path.read_text()
    if (times := text.count(run.mutant.old)) != 1:
        return f"its old text is there {times} times, not once: {run.mutant.old!r}"
    path.write_text(text.replace(run.mutant.old, run.mutant.new))
    return None


def module_file(folder: Path, module: str) -> Path | None:
    """Return the source of a module in the tree at `folder`, or None if there is none."""
    place = folder.joinpath(*module.split("."))
    return next((path for path in (place.with_suffix(".py"), place / "__init__.py") if path.is_file()), None)


def start(run: Run, folder: Path) -> int:
    """Run pytest in a forked process, in the copy at `folder`; return the process."""
    sys.stdout.flush()
    process = os.fork()
    if process:
        return process
    try:
        os.setsid()
        resource.setrlimit(resource.RLIMIT_CPU, (LIMIT, LIMIT))
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        output = os.open(folder / "output.txt", os.O_WRONLY | os.O_CREAT)
        os.dup2(output, 1)
        os.dup2(output, 2)
        os.chdir(folder)
        os.environ["PYTHONPATH"] = str(folder)  # for the processes that tests start
        sys.path[:] = [str(folder), *(path for path in sys.path if path and Path(path).resolve() != REPOSITORY)]
        told = _pytest(run, folder)
        (folder / "result.json").write_text(json.dumps(told))
    finally:
        sys.stdout.flush()
        os._exit(0)  # not what this process's parent would do at its end


def _pytest(run: Run, folder: Path) -> dict[str, Any]:
    import pytest

    class Watch:
        failed: str | None = None

        def pytest_runtest_logreport(self, report: Any) -> None:
            if report.failed and self.failed is None:
                self.failed = report.nodeid

    watch = Watch()
    scratch = f"--basetemp={folder / 'scratch'}"
    marks = ("-m", "not slow and not system", "-W", "ignore::pytest.PytestUnknownMarkWarning")
    plugins = [each for name in PLUGINS if _is_here(name) for each in ("-p", name)]
    code = int(pytest.main([*OPTIONS, *plugins, *marks, scratch, *run.tests], plugins=[watch]))
    module = sys.modules.get(run.group.module)
    loaded = module is not None and Path(str(module.__file__)).is_relative_to(folder)
    return {"code": code, "failed": watch.failed, "loaded": loaded}


def judged(run: Run, folder: Path, status: int, seconds: float) -> Result:
    """Return what a run that ended with `status` says."""
    try:
        told = json.loads((folder / "result.json").read_text())
    except FileNotFoundError:
        why = f"it ran for more than {LIMIT} s" if seconds > LIMIT - 1 else f"the process died (status {status})"
        return Result("killed" if run.mutant else "broken", why, seconds)
    if told["code"] not in (0, 1) or (run.mutant is None and told["code"]):
        return Result("broken", told["failed"] or _last_lines(folder), seconds)
    if not told["loaded"]:
        return Result("broken", "these tests do not load the module", seconds)
    if run.mutant is None:
        return Result("passes", "", seconds)
    if told["code"] == 0:
        return Result("survived", f"all of {' '.join(run.tests)}", seconds)
    return Result("killed", told["failed"].rpartition("/")[2], seconds)


def _is_here(name: str) -> bool:
    return importlib.util.find_spec(name.partition(".")[0]) is not None


def _last_lines(folder: Path) -> str:
    return " | ".join((folder / "output.txt").read_text(errors="replace").split("\n")[-6:])[-400:]


if __name__ == "__main__":
    main()
