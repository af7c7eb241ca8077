"""Commands at work for a flow run: their output, their end."""

import os
import subprocess
import sys
import threading
import time
from functools import partial

import psutil
import pytest

from pipelines import process
from pipelines.process import Commands, StoppedError, read_lines

STUBBORN = (
    "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('ready', flush=True); time.sleep(99)"
)


@pytest.fixture
def read():
    """Return a function that gives the lines of what a command would have written."""

    def parts(*chunks):
        source, sink = os.pipe()
        for chunk in chunks:
            os.write(sink, chunk)
        os.close(sink)
        try:
            return list(read_lines(source))
        finally:
            os.close(source)

    return parts


def test_lines_come_without_colours_and_blanks(read):
    """What a terminal would colour or space out is plain text in a log."""
    assert read(b"\x1b[31merror:\x1b[0m no\n\n  more\n") == ["error: no", "  more"]


def test_a_line_may_come_in_pieces(read):
    """Neither a line nor a character is torn by where a read ends."""
    whole = "läuft\n".encode()
    assert read(whole[:2], whole[2:], b"last") == ["läuft", "last"]


def test_of_a_progress_bar_only_its_end_is_a_line(read):
    """A bar that lasts a second leaves one line, not hundreds."""
    assert read(b"\r10%\r50%\r99%\r100%\n", b"done\n") == ["100%", "done"]


def test_a_long_progress_bar_shows_where_it_is(read, monkeypatch):
    """A bar that lasts has a line now and then."""
    monkeypatch.setattr(process, "SPARSE", 0)
    assert read(b"10%\r50%\r100%\n") == ["10%", "50%", "100%"]


@pytest.fixture
def commands():
    """Give commands that are ended whatever happens."""
    made = Commands({"COLOUR": "blue"}, workers=2)
    yield made
    made.stop()


def test_a_command_says_its_lines_and_its_status(commands):
    """Both streams are heard, in order, with the environment of the run."""
    said = []
    code = "import os, sys; print(os.environ['COLOUR']); print('no', file=sys.stderr); sys.exit(3)"
    ended = commands.run([sys.executable, "-c", code], said.append)
    assert (ended.status, said, ended.tail) == (3, ["blue", "no"], ("blue", "no"))


def test_no_more_commands_run_at_once_than_there_are_workers():
    """The limit of params.yaml holds, whoever starts them."""
    commands, seen = Commands({}, workers=1), []
    code = "import time; print('in', flush=True); time.sleep(0.3); print('out')"
    threads = [threading.Thread(target=commands.run, args=([sys.executable, "-c", code], seen.append)) for _ in "ab"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert seen == ["in", "out", "in", "out"]


def start(commands, code, outcome):
    """Run a command in a thread; return the thread once the command has said something."""
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
    """What a stage started is ended with it: nothing stays on the GPU."""
    code = "import subprocess, time; p = subprocess.Popen(['sleep', '99']); print(p.pid, flush=True); time.sleep(99)"
    outcome = []
    thread = start(commands, code, outcome)
    before = {each for each in psutil.Process().children(recursive=True) if each.name() == "sleep"}
    assert before
    commands.stop()
    thread.join(10)
    assert [type(each) for each in outcome] == [StoppedError]
    assert not [each for each in before if each.is_running() and each.status() != psutil.STATUS_ZOMBIE]


def test_a_child_in_a_session_of_its_own_is_ended_too(commands, monkeypatch):
    """What left the command's group, and so hears nothing of the request, is killed when the time is up."""
    monkeypatch.setattr(process, "terminate", partial(process.terminate, grace=0.5))
    code = (
        "import subprocess, time; subprocess.Popen(['sleep', '99'], start_new_session=True); "
        "print('ready', flush=True); time.sleep(99)"
    )
    thread = start(commands, code, [])
    [command] = [each for each in psutil.Process().children() if code in each.cmdline()]
    [child] = command.children()
    commands.stop()
    thread.join(10)
    assert not child.is_running() or child.status() == psutil.STATUS_ZOMBIE


def test_what_does_not_end_is_killed(commands, monkeypatch):
    """A command that ignores the request has its seconds and no more."""
    monkeypatch.setattr(process, "terminate", partial(process.terminate, grace=0.5))
    outcome = []
    thread = start(commands, STUBBORN, outcome)
    begun = time.monotonic()
    commands.stop()
    thread.join(10)
    assert outcome
    assert time.monotonic() - begun < 5


def test_after_a_stop_nothing_starts(commands):
    """A task that comes late starts no process."""
    commands.stop()
    with pytest.raises(StoppedError, match="not started"):
        commands.run(["true"], print)


def test_children_end_before_their_parent():
    """A server of flow runs is told only after its runs have ended: they still need it."""
    code = "import subprocess; subprocess.run(['sleep', '99']); print('outlived', flush=True); input()"
    with subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as parent:
        while not psutil.Process(parent.pid).children():
            time.sleep(0.01)
        process.terminate_children(parent.pid)
        assert parent.stdout.readline() == b"outlived\n"
        assert parent.poll() is None
