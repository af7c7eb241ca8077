"""Tasks in threads of one process."""

import threading
import time

import pytest

from fct.core.errors import FctError
from fct.engine.local import AHEAD, Threads


def test_results_come_in_the_order_of_the_items():
    """A task that takes longer than later ones does not lose its place."""

    def slow_first(item):
        time.sleep(0.05 * (item == 0))
        return item * 2

    assert list(Threads(3).map(slow_first, range(20))) == [item * 2 for item in range(20)]


def test_items_are_taken_only_as_they_are_needed():
    """A consumer that stops early leaves most items alone."""
    taken = []

    def items():
        for item in range(1000):
            taken.append(item)
            yield item

    results = Threads(2).map(str, items())
    assert next(results) == "0"
    results.close()
    assert len(taken) == 2 * AHEAD


def test_a_task_with_threads_of_its_own_runs_alone():
    """It runs in the calling thread and may use all cores."""
    seen = list(Threads(3).map(lambda _, threads: (threads, threading.current_thread()), [0, 1], threaded=True))
    assert seen == [(3, threading.main_thread())] * 2


def test_an_error_of_a_task_is_raised():
    """What a task raises reaches the caller as it is."""

    def refuse(item):
        raise FctError(f"no {item}")

    with pytest.raises(FctError, match=r"^no 7$"):
        list(Threads(2).map(refuse, [7]))
