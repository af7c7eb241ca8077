"""What every engine can do."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable
from typing import Any, Protocol, TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


class Engine(Protocol):
    """Runs a function on many items. The results do not depend on the engine."""

    name: str  # for messages

    def map(
        self, function: Callable[..., Result], items: Iterable[Item], *, threaded: bool = False
    ) -> Generator[Result]:
        """Yield `function(item)` for each item, in the order of the items.

        A task may run twice, because a machine can die after its work. It must therefore write files atomically.

        Args:
            function: a function of a module, or a `functools.partial` of one. A Ray cluster copies its arguments.
            items: taken only as they are needed.
            threaded: whether the function also takes `threads`, the number of threads that it may use. This machine
                then runs one task at a time on all cores. A cluster runs a task on each core.

        Raises:
            FctError: machines died again and again, or the function raised it.
        """


def call(function: Callable[..., Result], item: Any, threads: int | None) -> Result:
    """Return the result of one task. `threads` is None for a function without that argument."""
    return function(item) if threads is None else function(item, threads=threads)
