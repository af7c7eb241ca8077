"""Make items in advance, in a thread."""

from __future__ import annotations

from collections import deque
from collections.abc import Generator, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

import torch

Item = TypeVar("Item")


def prefetch(iterator: Iterator[Item], depth: int, *, device: torch.device | None = None) -> Generator[Item]:
    """Yield the items of `iterator` in order. A thread makes up to `depth` of them in advance.

    An error of the iterator is raised here, after the items before it. If `device` is a GPU, it is the thread's current
    one: a new thread would begin with the first GPU, and take memory there.
    """
    end: Any = object()

    def choose_gpu() -> None:
        if device is not None and device.type == "cuda":
            torch.cuda.set_device(device)

    with ThreadPoolExecutor(1, thread_name_prefix="prefetch", initializer=choose_gpu) as thread:
        pending = deque(thread.submit(next, iterator, end) for _ in range(depth))
        while (item := pending.popleft().result()) is not end:
            pending.append(thread.submit(next, iterator, end))
            yield item
