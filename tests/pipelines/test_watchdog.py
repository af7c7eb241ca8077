"""No command outlives the flow run that started it."""

import subprocess
import sys
import textwrap
import time

import psutil
import pytest

from pipelines.watchdog import remaining

RUN = """
    import sys
    from pipelines.process import Commands
    from pipelines.watchdog import watchdog

    code = "import os, time; print(os.getpid(), flush=True); time.sleep(99)"
    with watchdog() as dog:
        commands = Commands({}, 1, dog)
        commands.run([sys.executable, "-c", code], lambda line: print(line, flush=True))
"""


@pytest.mark.parametrize(
    ("lines", "groups"),
    [
        (["+7\n", "+8\n", "-7\n"], {8}),
        (["+7\n", "+"], {7}),  # killed while it wrote
        (["-9\n"], set()),
        ([], set()),
    ],
)
def test_groups_that_have_not_ended_remain(lines, groups):
    """A group that has ended may be another program's by now."""
    assert remaining(lines) == groups


def test_a_killed_run_leaves_no_command():
    """After kill -9 of the run, its command ends within seconds, and so does the watchdog."""
    with subprocess.Popen([sys.executable, "-c", textwrap.dedent(RUN)], stdout=subprocess.PIPE, text=True) as run:
        command = psutil.Process(int(run.stdout.readline()))
        family = psutil.Process(run.pid).children(recursive=True)
        assert command in family
        assert len(family) == 2
        run.kill()
    deadline = time.monotonic() + 30
    while any(each.is_running() and each.status() != psutil.STATUS_ZOMBIE for each in family):
        assert time.monotonic() < deadline
        time.sleep(0.05)
