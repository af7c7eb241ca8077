"""The engine that params.yaml names."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from fct.engine.base import Engine
from fct.engine.local import Threads
from fct.engine.params import ComputeParams


@contextmanager
def open_engine(compute: ComputeParams | None, *, reads: Sequence[Path] = (), writes: Path) -> Iterator[Engine]:
    """Yield the engine. Before any work, check that all machines share the folders.

    Args:
        compute: the section of params.yaml; None for threads.
        reads: folders that tasks read.
        writes: a folder that tasks may write into. It is created.

    Raises:
        FctError: Ray is not installed or not running, or a node does not share a folder. The message names both.
    """
    if compute is None or compute.engine == "local":
        yield Threads()
        return
    from fct.engine.cluster import connect

    with connect(compute.address, reads, writes) as cluster:
        yield cluster
