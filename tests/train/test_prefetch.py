"""Items are made in advance, in order, and no more of them than the depth."""

import threading
import time

import pytest

from fct.train.prefetch import prefetch


def test_items_keep_their_order():
    """Each item is yielded once, in order. An item can be None."""
    assert list(prefetch(iter([3, None, 1]), 2)) == [3, None, 1]
    assert list(prefetch(iter([]), 2)) == []


def test_items_are_made_in_advance():
    """While one item is used, the next ones are made, up to the depth."""
    made = []

    def numbers():
        for number in range(10):
            made.append(number)
            yield number

    items = prefetch(numbers(), 2)
    assert next(items) == 0
    deadline = time.monotonic() + 10
    while len(made) < 3 and time.monotonic() < deadline:
        time.sleep(0.001)
    time.sleep(0.05)
    assert made == [0, 1, 2]
    items.close()


def test_an_error_is_raised_after_the_items_before_it():
    """The items before an error are yielded first."""

    def numbers():
        yield 1
        raise ValueError("broken")

    items = prefetch(numbers(), 2)
    assert next(items) == 1
    with pytest.raises(ValueError, match="broken"):
        next(items)


def test_the_thread_ends_with_the_generator():
    """No thread remains after the generator is closed or exhausted."""
    before = threading.active_count()
    items = prefetch(iter(range(100)), 2)
    next(items)
    items.close()
    list(prefetch(iter(range(3)), 2))
    assert threading.active_count() == before
