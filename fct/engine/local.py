"""Tasks in threads of this process."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

import joblib

from fct.core.bounded import bounded_map
from fct.engine.base import call

Item = TypeVar("Item")
Result = TypeVar("Result")
AHEAD = 4  # tasks for each thread that are in progress, or wait for the order


class Threads:
    """Runs tasks in threads. Image codecs, numpy and compiled code release the interpreter's lock."""

    name = "threads"

    def __init__(self, cores: int | None = None) -> None:
        self.cores = cores or joblib.cpu_count()  # that this process can use

    def map(
        self, function: Callable[..., Result], items: Iterable[Item], *, threaded: bool = False
    ) -> Generator[Result]:
        """Yield `function(item)` for each item: `fct.engine.base.Engine.map`."""
        if threaded:
            for item in items:
                yield call(function, item, self.cores)
            return
        pool = ThreadPoolExecutor(self.cores, thread_name_prefix="engine")
        try:
            yield from bounded_map(
                lambda item: pool.submit(function, item), Future.result, items, depth=self.cores * AHEAD
            )
        finally:
            pool.shutdown(cancel_futures=True)
