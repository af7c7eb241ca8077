"""Results in order, with a limit on the work that is in progress."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterable
from typing import TypeVar

Item = TypeVar("Item")
Handle = TypeVar("Handle")
Result = TypeVar("Result")


def bounded_map(
    submit: Callable[[Item], Handle], wait: Callable[[Handle], Result], items: Iterable[Item], *, depth: int
) -> Generator[Result]:
    """Yield the result of each item, in the order of the items.

    Args:
        submit: starts the work on an item.
        wait: returns its result, once there is one.
        items: taken only as they are needed.
        depth: most items that are in progress, or finished and not yet yielded.
    """
    pending: deque[Handle] = deque()
    for item in items:
        pending.append(submit(item))
        if len(pending) >= depth:
            yield wait(pending.popleft())
    while pending:
        yield wait(pending.popleft())
