"""What a flow makes of a command that changes the registry."""

import pytest


@pytest.mark.parametrize(
    ("status", "line", "completed"),
    [
        (0, "toy: version 2 is registered and is champion now.", True),
        (1, "toy: version 2 is registered and stays challenger: it may be worse than the champion.", True),
        (1, "error: model/model.onnx: the verdict is FAIL; nothing is registered.", False),
        (75, "error: toy: another host was faster: version 3 is champion, not 2.", False),
    ],
)
def test_a_model_that_stays_challenger_is_a_result(status, line, completed):
    """Status 1 fails the run where the command refused, and not where it registered a challenger."""
    from pipelines.flows import _state_of
    from pipelines.process import Ended

    state = _state_of(Ended(status, tuple(line.split("\n"))))
    assert state.is_completed() == completed
    assert line.removeprefix("error: ") in state.message


def test_a_full_disk_fails_a_run_in_one_line(monkeypatch):
    """The state names the place instead of showing a traceback."""
    import errno
    import logging

    from pipelines import errors

    @errors.fail_with_message
    def write():
        raise OSError(errno.ENOSPC, "No space left on device", "/data/params.yaml")

    monkeypatch.setattr(errors, "get_run_logger", lambda: logging.getLogger("run"))
    state = write()
    assert state.is_failed()
    assert state.message == "The disk is full: /data/params.yaml. Free some space, then run the same again."


@pytest.mark.parametrize(("statuses", "last"), [([0], 0), ([75, 75, 0], 0), ([1], 1), ([75, 75, 75, 75], 75)])
def test_a_promotion_is_repeated_while_a_server_restarts(monkeypatch, statuses, last):
    """The exit status 75 says that the command may succeed later. After three repetitions it counts."""
    import logging
    from types import SimpleNamespace

    from pipelines import flows
    from pipelines.process import Ended

    monkeypatch.setattr(flows, "get_run_logger", lambda: logging.getLogger("run"))
    monkeypatch.setattr(flows, "DELAYS", (0, 0, 0))
    left = list(statuses)
    commands = SimpleNamespace(run=lambda *_: Ended(left.pop(0), ()))
    assert flows._run_until_answered(commands, ["fct", "promote"]).status == last
    assert left == []
