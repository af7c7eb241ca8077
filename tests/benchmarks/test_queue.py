"""Several processes make missing runs for a limited time."""

import os
import signal
import subprocess
import sys
import time

import pytest
from click.testing import CliRunner

from benchmarks.comparison import queue
from benchmarks.comparison.__main__ import main


@pytest.fixture
def command(monkeypatch):
    """Return a function that lets each process run a line of Python instead."""
    return lambda line: monkeypatch.setattr(queue, "COMMAND", (sys.executable, "-c", line))


def test_all_processes_work_and_get_what_is_asked_for(command, tmp_path):
    """Each is told the data set and the method, and has its share of the cores."""
    folder = str(tmp_path)
    command(
        "import os, sys, pathlib; told = ' '.join(sys.argv[1:]) + os.environ['OMP_NUM_THREADS'];"
        f"pathlib.Path({folder!r}, str(os.getpid())).write_text(told)"
    )
    assert queue.run_queue(["cifar10", "fct"], 3, None) == 0
    told = [path.read_text() for path in tmp_path.iterdir()]
    assert len(told) == 3
    assert all(each.startswith("cifar10 fct") and each[-1].isdigit() for each in told)


def test_the_environments_threads_go_before_the_share(command, tmp_path, monkeypatch):
    """Who sets them knows the machine."""
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    command(f"import os, pathlib; pathlib.Path({str(tmp_path / 'told')!r}).write_text(os.environ['OMP_NUM_THREADS'])")
    queue.run_queue([], 1, None)
    assert (tmp_path / "told").read_text() == "7"


def test_they_are_ended_when_the_time_is_over(command):
    """That is no failure: the next call goes on."""
    command("import time; time.sleep(600)")
    begin = time.monotonic()
    assert queue.run_queue([], 2, 0.02) == 0
    assert time.monotonic() - begin < 60


def test_a_process_that_ignores_the_signal_is_killed(command, monkeypatch):
    """After its grace."""
    monkeypatch.setattr(queue, "GRACE", 0.5)
    command("import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(600)")
    assert queue.run_queue([], 1, 0.03) == 0


def test_they_end_with_the_queue(tmp_path):
    """A queue that is told to end does not leave processes behind that train on for hours."""
    pid = tmp_path / "pid"
    worker = f"import os, pathlib, time; pathlib.Path({str(pid)!r}).write_text(str(os.getpid())); time.sleep(600)"
    command = (sys.executable, "-c", worker)
    waiting = f"from benchmarks.comparison import queue; queue.COMMAND = {command!r}; queue.run_queue([], 1, None)"
    started = subprocess.Popen([sys.executable, "-c", waiting])
    while not (pid.exists() and pid.read_text()):
        time.sleep(0.05)
    started.terminate()
    assert started.wait(60) == 128 + signal.SIGTERM
    with pytest.raises(ProcessLookupError):
        os.kill(int(pid.read_text()), 0)


def test_a_failure_is_the_status(command):
    """Those that went well do not hide it."""
    command("import os; raise SystemExit(3)")
    assert queue.run_queue([], 2, None) == 3


@pytest.mark.parametrize("option", [["--processes", "2"], ["--minutes", "1"]])
def test_a_single_run_takes_no_time_limit(option):
    """It is named by its own arguments."""
    result = CliRunner().invoke(main, ["run", "cifar10", "fct", *option])
    assert result.exit_code == 2
    assert "belong to --missing" in result.output
