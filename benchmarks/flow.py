"""What Prefect costs on top of DVC, with a server up: per stage that runs, and for a run in which nothing changed.

    python -m benchmarks.flow            # prints a table, the median of ROUNDS

A pipeline of its own in a temporary folder: STAGES in a chain, each of which writes one line, so that all the time is
DVC's and Prefect's own. DVC by itself runs each stage as the flow does, `dvc repro --single-item`, one after the other.
"""

from __future__ import annotations

import os
import platform
import shutil
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable
from contextlib import chdir
from pathlib import Path

from fct.core.errors import exit_on_error
from pipelines.stage import command

STAGES = 10
ROUNDS = 5
REPOSITORY = Path(__file__).parents[1]


def make(folder: Path) -> None:
    """Make the pipeline: stage i writes what stage i - 1 wrote, and the seed."""
    lines = ["stages:"]
    for number in range(STAGES):
        needs = f"out{number - 1}" if number else "seed"
        lines += [
            f"  s{number}:",
            f"    cmd: cp {needs} out{number}",
            f"    deps: [{needs}]",
            f"    outs: [out{number}]",
        ]
    (folder / "dvc.yaml").write_text("\n".join(lines))
    shutil.copy(REPOSITORY / "params.yaml", folder)
    for words in (["git", "init", "--quiet"], ["dvc", "init", "--quiet"]):
        subprocess.run(words, cwd=folder, check=True)


def by_dvc() -> None:
    """Run each stage as the flow does."""
    for number in range(STAGES):
        subprocess.run(command(f"s{number}"), check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def by_prefect() -> None:
    """Run the flow, which must end well."""
    from pipelines.flows import reproduce

    state = reproduce(return_state=True)
    if not state.is_completed():
        raise RuntimeError(state.message)


def seconds(run: Callable[[], None], *, changed: bool) -> float:
    """Time one run, after which nothing is stale; before it all stages are, or none."""
    if changed:
        Path("seed").write_text(os.urandom(8).hex())
    begun = time.perf_counter()
    run()
    return time.perf_counter() - begun


def measure() -> dict[str, float]:
    """Return what a stage and a run take, in seconds."""
    os.environ |= {"PREFECT_LOGGING_LEVEL": "ERROR", "DVC_NO_ANALYTICS": "1", "MLFLOW_DISABLE_TELEMETRY": "true"}
    from prefect.testing.utilities import prefect_test_harness

    with tempfile.TemporaryDirectory() as folder, chdir(folder), prefect_test_harness(server_startup_timeout=120):
        make(Path(folder))
        seconds(by_prefect, changed=True)  # imports, MLflow's database
        pairs = [(seconds(by_dvc, changed=True), seconds(by_prefect, changed=True)) for _ in range(ROUNDS)]
        cached = [seconds(by_prefect, changed=False) for _ in range(ROUNDS)]
    dvc, prefect = (statistics.median(times) for times in zip(*pairs, strict=True))
    return {
        "DVC by itself": round(dvc, 2),
        "the flow": round(prefect, 2),
        "more for each stage": round(statistics.median((flow - alone) / STAGES for alone, flow in pairs), 2),
        "nothing to do": round(statistics.median(cached), 2),
    }


def main() -> None:
    """Measure and print."""
    found = measure()
    dvc, prefect, more = found["DVC by itself"], found["the flow"], found["more for each stage"]
    print(f"{platform.machine()}, {os.cpu_count()} cores, {STAGES} stages in a chain, median of {ROUNDS}")
    print(f"DVC by itself      {dvc:6.1f} s")
    print(f"the flow           {prefect:6.1f} s, {prefect / dvc:.2f} times, {more:.2f} s a stage more")
    print(f"nothing to do      {found['nothing to do']:6.1f} s")


if __name__ == "__main__":
    with exit_on_error():
        main()
