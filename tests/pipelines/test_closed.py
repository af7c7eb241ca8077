"""A run that the server has closed stops."""

import logging
import threading
from contextlib import nullcontext
from uuid import uuid4

import httpx
import pytest
from prefect.exceptions import Abort

from pipelines import closed

RUN = uuid4()


@pytest.fixture
def states(monkeypatch):
    """Give the answers of the server, which the test fills: names of final states, None, or errors."""
    answers = []

    def answer(_client, _run):
        found = answers[0] if len(answers) == 1 else answers.pop(0)
        if isinstance(found, Exception):
            raise found
        return found

    monkeypatch.setattr(closed, "_final_state", answer)
    monkeypatch.setattr(closed, "get_client", lambda **_: nullcontext())
    monkeypatch.setattr(closed, "get_run_logger", lambda: logging.getLogger("run"))
    return answers


def test_a_closed_run_publishes_nothing(states):
    """The check before a push or a promotion ends the run, and says why."""
    states.append("Crashed")
    with pytest.raises(Abort, match="closed this run as Crashed"):
        closed.check(RUN)


def test_a_run_at_work_goes_on(states):
    """While the server shows a run at work, nothing happens."""
    states.append(None)
    closed.check(RUN)
    with closed.watched(RUN, stop=lambda: pytest.fail("stopped"), every=0.01):
        threading.Event().wait(0.1)


def test_a_closed_run_stops_its_commands_in_their_middle(states):
    """The watch finds it, even after the server did not answer for a while. The error of the block gives way."""
    states.extend([None, httpx.ConnectError("down"), "Crashed"])
    stopped = threading.Event()

    def work():
        with closed.watched(RUN, stop=stopped.set, every=0.01):
            assert stopped.wait(20)
            raise ValueError

    with pytest.raises(Abort):
        work()
