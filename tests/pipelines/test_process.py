"""The commands of a flow run: their output and their end."""

import os
import subprocess
import sys
import threading
import time
from functools import partial
from pathlib import Path

import psutil
import pytest

from fct.core.errors import FctError
from pipelines import process
from pipelines.process import Commands, StoppedError, read_lines

STUBBORN = (
    "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('ready', flush=True); time.sleep(99)"
)


def ends_soon(child):
    """Return whether a killed process is gone, or waits for its parent, within five seconds: a kill takes its time."""
    deadline = time.monotonic() + 5
    while child.is_running() and child.status() != psutil.STATUS_ZOMBIE:
        if time.monotonic() > deadline:
            return False
        time.sleep(0.01)
    return True


@pytest.fixture
def read_chunks():
    """Return a function that gives the lines of what a command would have written."""

    def read_all(*chunks):
        source, sink = os.pipe()
        for chunk in chunks:
            os.write(sink, chunk)
        os.close(sink)
        try:
            return list(read_lines(source))
        finally:
            os.close(source)

    return read_all


def test_lines_come_without_colours_and_blanks(read_chunks):
    """Colours and empty lines of the output are left out."""
    assert read_chunks(b"\x1b[31merror:\x1b[0m no\n\n  more\n") == ["error: no", "  more"]


def test_a_line_may_come_in_pieces(read_chunks):
    """A line or a character that two reads split stays whole."""
    whole = "läuft\n".encode()
    assert read_chunks(whole[:2], whole[2:], b"last") == ["läuft", "last"]


def test_of_a_progress_bar_only_its_end_is_a_line(read_chunks):
    """A bar that lasts a second leaves one line, not hundreds."""
    assert read_chunks(b"\r10%\r50%\r99%\r100%\n", b"done\n") == ["100%", "done"]


def test_a_long_progress_bar_shows_where_it_is(read_chunks, monkeypatch):
    """A bar that runs for long gives a line now and then."""
    monkeypatch.setattr(process, "SPARSE", 0)
    assert read_chunks(b"10%\r50%\r100%\n") == ["10%", "50%", "100%"]


@pytest.fixture
def commands():
    """Give commands that are ended after the test."""
    commands = Commands({"COLOUR": "blue"}, workers=2)
    yield commands
    commands.stop()


def test_a_command_returns_its_lines_and_its_status(commands):
    """Both output streams are read, in order, and the command has the environment of the run."""
    lines = []
    code = "import os, sys; print(os.environ['COLOUR']); print('no', file=sys.stderr); sys.exit(3)"
    ended = commands.run([sys.executable, "-c", code], lines.append)
    assert (ended.status, lines, ended.tail) == (3, ["blue", "no"], ("blue", "no"))


def test_no_more_commands_run_at_once_than_there_are_workers():
    """With one worker, commands of two threads run one after the other."""
    commands, seen = Commands({}, workers=1), []
    code = "import time; print('in', flush=True); time.sleep(0.3); print('out')"
    threads = [threading.Thread(target=commands.run, args=([sys.executable, "-c", code], seen.append)) for _ in "ab"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert seen == ["in", "out", "in", "out"]


def start(commands, code, outcome):
    """Run a command in a thread; return the thread after the first output of the command."""
    ready = threading.Event()

    def run():
        try:
            commands.run([sys.executable, "-c", code], lambda _: ready.set())
        except StoppedError as error:
            outcome.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    assert ready.wait(20)
    return thread


def test_stopping_ends_a_command_with_its_children(commands):
    """The children of a command end with it, so that none stays on the GPU."""
    code = "import subprocess, time; p = subprocess.Popen(['sleep', '99']); print(p.pid, flush=True); time.sleep(99)"
    outcome = []
    thread = start(commands, code, outcome)
    before = {child for child in psutil.Process().children(recursive=True) if child.name() == "sleep"}
    assert before
    commands.stop()
    thread.join(10)
    assert [type(error) for error in outcome] == [StoppedError]
    assert all(map(ends_soon, before))


def test_a_child_in_a_session_of_its_own_is_ended_too(commands, monkeypatch):
    """A child that left the group gets no SIGTERM; it is killed after the grace."""
    monkeypatch.setattr(process, "terminate", partial(process.terminate, grace=0.5))
    code = (
        "import subprocess, time; subprocess.Popen(['sleep', '99'], start_new_session=True); "
        "print('ready', flush=True); time.sleep(99)"
    )
    thread = start(commands, code, [])
    [command] = [child for child in psutil.Process().children() if code in child.cmdline()]
    [child] = command.children()
    commands.stop()
    thread.join(10)
    assert ends_soon(child)


def test_a_command_that_does_not_end_is_killed(commands, monkeypatch):
    """A command that ignores SIGTERM is killed after the grace."""
    monkeypatch.setattr(process, "terminate", partial(process.terminate, grace=0.5))
    outcome = []
    thread = start(commands, STUBBORN, outcome)
    start_time = time.monotonic()
    commands.stop()
    thread.join(10)
    assert outcome
    assert time.monotonic() - start_time < 5


def test_after_a_stop_nothing_starts(commands):
    """A command that comes after a stop is refused."""
    commands.stop()
    with pytest.raises(StoppedError, match="not started"):
        commands.run(["true"], print)


def test_children_end_before_their_parent():
    """Children end while their parent runs on: flow runs still need the process that serves them."""
    code = "import subprocess; subprocess.run(['sleep', '99']); print('outlived', flush=True); input()"
    with subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as parent:
        while not psutil.Process(parent.pid).children():
            time.sleep(0.01)
        process.terminate_children(parent.pid)
        assert parent.stdout.readline() == b"outlived\n"
        assert parent.poll() is None


def test_a_command_shows_its_progress(commands, monkeypatch):
    """Progress bars are drawn on a terminal alone; a state of one becomes a line, and then none for a while."""
    monkeypatch.setattr(process, "SPARSE", 0.5)
    code = (
        "import time\nfrom tqdm import tqdm\n"
        "for _ in tqdm(range(20), desc='epochs', disable=None, mininterval=0.01): time.sleep(0.1)"
    )
    lines = []
    ended = commands.run([sys.executable, "-c", code], lines.append)
    assert ended.status == 0
    assert 2 <= len([line for line in lines if line.startswith("epochs:")]) <= 6
    assert "100%" in lines[-1]


def test_progress_is_a_line_a_minute():
    """A training of twenty minutes is not silent in Prefect's log, and does not flood it."""
    assert process.SPARSE == 60


def test_lines_of_a_command_end_as_it_ended_them(commands):
    """A terminal would add carriage returns, and a table would be taken for a progress bar."""
    lines = []
    commands.run([sys.executable, "-c", "print('a\\nb\\n' * 3)"], lines.append)
    assert lines == ["a", "b"] * 3


def test_a_command_that_cannot_start_leaves_nothing_open(commands):
    """Neither end of its terminal stays with this process."""
    before = len(list(Path("/proc/self/fd").iterdir()))
    with pytest.raises(FileNotFoundError):
        commands.run(["/no/such/program"], print)
    assert len(list(Path("/proc/self/fd").iterdir())) == before


def test_a_command_that_needs_a_server_is_repeated(tmp_path, monkeypatch):
    """It succeeds once the server is back, and each failure before is a warning."""
    monkeypatch.setattr(process, "DELAYS", (0.01, 0.01))
    code = "import pathlib, sys; log = pathlib.Path(sys.argv[1]); log.open('a').write('x'); print(log.read_text())"
    code += "; sys.exit('down' if len(log.read_text()) < int(sys.argv[2]) else 0)"
    warnings = []
    command = [sys.executable, "-c", code, str(tmp_path / "log")]
    assert process.output_of_server(*command, "3", warn=warnings.append) == "xxx\n"
    assert len(warnings) == 2
    assert all("down" in warning for warning in warnings)
    with pytest.raises(FctError, match="down"):
        process.output_of_server(*command, "9", warn=warnings.append)
