"""What DVC knows of the pipeline in the current folder: its stages, what each needs, which are up to date."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from fct.core.errors import FctError

if TYPE_CHECKING:
    from dvc.repo import Repo

DAG = "dvc.yaml"
BUSY = ("Unable to acquire lock", "is busy, it is being blocked by")  # DVC's words
PAUSE = 1.0  # seconds between two looks at a lock


def plan(targets: Sequence[str] = ()) -> dict[str, tuple[str, ...]]:
    """Return the stages that make `targets`, each with those it needs, in an order in which they can run.

    Args:
        targets: Names of stages (`cache` is all of `cache@10`, ...); all of dvc.yaml if there is none. What is under
            `dvc add` is a stage too, called by its .dvc file, where another one needs it.

    Raises:
        FctError: dvc.yaml is broken, or there is no such target.
    """
    import networkx as nx

    with _opened() as repo:
        needs = repo.index.graph  # an edge leads from a stage to one that it needs
        chosen = {stage for target in targets or [DAG] for stage in repo.stage.collect(target)}
        wanted = chosen.union(*(nx.descendants(needs, stage) for stage in chosen))
        written = {stage: place for place, stage in enumerate(needs)}  # where independent ones stand in dvc.yaml
        ordered = nx.lexicographical_topological_sort(needs.subgraph(wanted).reverse(), key=written.__getitem__)
        return {stage.addressing: tuple(each.addressing for each in needs[stage]) for stage in ordered}


def stale(stages: Sequence[str], on_wait: Callable[[str], object] = print) -> set[str]:
    """Return those of `stages` whose dependencies, params, command or outs are not as dvc.lock says.

    Waits where another DVC process works on one of them; `on_wait` is told once what DVC says of it.
    """
    with _opened() as repo:
        return {stage for stage in stages if _is_stale(repo, stage, on_wait)}


def is_busy(said: str) -> bool:
    """Tell from DVC's words whether another of its processes was faster."""
    return any(words in said for words in BUSY)


def _is_stale(repo: Repo, stage: str, on_wait: Callable[[str], object]) -> bool:
    from dvc.lock import LockError

    waited = False
    while True:
        try:
            return bool(repo.status(targets=[stage]))
        except LockError as error:
            if not is_busy(str(error)):
                raise
            if not waited:
                on_wait(f"waiting, for DVC says: {error}")
            waited = True
            time.sleep(PAUSE)


@contextmanager
def _opened() -> Iterator[Repo]:
    """Open DVC's repository, waiting for its lock where another DVC process holds it."""
    from dvc.exceptions import DvcException
    from dvc.repo import Repo

    try:
        with Repo(_wait_for_lock=True) as repo:
            yield repo
    except DvcException as error:
        raise FctError(f"DVC: {error}") from error
