"""Things are made ahead, in order, and no more of them than asked."""

import threading
import time

import pytest

from fct.train.prefetch import prefetch


def test_all_come_in_order():
    """Every thing comes once, in order, None among them."""
    assert list(prefetch(iter([3, None, 1]), 2)) == [3, None, 1]
    assert list(prefetch(iter([]), 2)) == []


def test_a_few_are_made_before_they_are_asked_for():
    """While one is in use the next are made; no more than wanted."""
    made = []

    def things():
        for number in range(10):
            made.append(number)
            yield number

    coming = prefetch(things(), 2)
    assert next(coming) == 0
    deadline = time.monotonic() + 10
    while len(made) < 3 and time.monotonic() < deadline:
        time.sleep(0.001)
    time.sleep(0.05)
    assert made == [0, 1, 2]
    coming.close()


def test_an_error_comes_in_its_turn():
    """What was made before it is still given."""

    def things():
        yield 1
        raise ValueError("broken")

    coming = prefetch(things(), 2)
    assert next(coming) == 1
    with pytest.raises(ValueError, match="broken"):
        next(coming)


def test_the_thread_ends_with_its_user():
    """Closed early, or used up, no thread stays behind."""
    before = threading.active_count()
    coming = prefetch(iter(range(100)), 2)
    next(coming)
    coming.close()
    list(prefetch(iter(range(3)), 2))
    assert threading.active_count() == before
