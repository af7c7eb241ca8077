"""Making things before they are asked for."""

from __future__ import annotations

from collections import deque
from collections.abc import Generator, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

Thing = TypeVar("Thing")


def prefetch(things: Iterator[Thing], count: int) -> Generator[Thing]:
    """Yield `things`, made in order by a thread of their own that is up to `count` of them ahead.

    An error of theirs is raised here, after the things before it.
    """
    end: Any = object()
    with ThreadPoolExecutor(1, thread_name_prefix="ahead") as thread:
        coming = deque(thread.submit(next, things, end) for _ in range(count))
        while (thing := coming.popleft().result()) is not end:
            coming.append(thread.submit(next, things, end))
            yield thing
