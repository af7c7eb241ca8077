"""DVC's view of the pipeline in the current folder: its stages, the stages each one needs, and which are up to date."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from fct.core.errors import FctError

if TYPE_CHECKING:
    from dvc.repo import Repo

DAG = "dvc.yaml"
BUSY = ("Unable to acquire lock", "is busy, it is being blocked by")  # parts of DVC's messages
PAUSE = 1.0  # seconds between two looks at a lock


def plan(targets: Sequence[str] = ()) -> dict[str, tuple[str, ...]]:
    """Return the stages that make `targets`, each with the stages it needs, in an executable order.

    Args:
        targets: Names of stages; `cache` means all of `cache@10`, ... Empty means all of dvc.yaml. Data under `dvc add`
            that a stage needs are a stage too, named by their .dvc file.

    Raises:
        FctError: dvc.yaml is invalid, or there is no such target.
    """
    import networkx as nx

    with _open_repo() as repo:
        needs = repo.index.graph  # an edge leads from a stage to one that it needs
        chosen = {stage for name in targets or [DAG] for stage in repo.stage.collect(target(name))}
        required = chosen.union(*(nx.descendants(needs, stage) for stage in chosen))
        position = {stage: index for index, stage in enumerate(needs)}  # in dvc.yaml, for independent stages
        ordered = nx.lexicographical_topological_sort(needs.subgraph(required).reverse(), key=position.__getitem__)
        return {stage.addressing: tuple(need.addressing for need in needs[stage]) for stage in ordered}


def stale(stages: Sequence[str], on_wait: Callable[[str], object] = print) -> set[str]:
    """Return those of `stages` whose dependencies, params, command or outs differ from dvc.lock.

    If another DVC process works on one of them, wait for it, and call `on_wait` once with DVC's message.
    """
    with _open_repo() as repo:
        return {stage for stage in stages if _is_stale(repo, stage, on_wait)}


def require_cached(stages: Iterable[str]) -> None:
    """Check that the outs of `stages` are whole in DVC's cache. After a run on a full disk they may not be.

    For an out that is a folder, `dvc repro` then writes dvc.lock all the same and ends with status 0. A push would
    leave out what the cache lacks, and end with status 0 too.

    Raises:
        FctError: names the outs that the cache lacks.
    """
    with _open_repo() as repo:
        made = [out for stage in repo.index.stages if stage.addressing in stages for out in stage.outs]
        lost = [out.def_path for out in made if out.use_cache and out.hash_info and out.changed_cache()]
    if lost:
        raise FctError(
            f"{', '.join(lost)}: DVC could not put them into its cache, as its messages above say. They are in this "
            "folder, but a push would leave them out. Free space on the cache's disk, and run `dvc commit --force`."
        )


def target(stage: str) -> str:
    """Return the name by which DVC's commands find a stage.

    For DVC, a colon separates a file from a stage in it. It ignores a stage's name after a .dvc file, so a colon at the
    end protects the colons in the name of a folder such as `ratio 16:9`.
    """
    return f"{stage}:data" if stage.endswith(".dvc") and ":" in stage and "@" not in stage else stage


def is_busy(message: str) -> bool:
    """Return whether a message of DVC says that another DVC process holds a lock."""
    return any(part in message for part in BUSY)


def _is_stale(repo: Repo, stage: str, on_wait: Callable[[str], object]) -> bool:
    from dvc.lock import LockError

    waited = False
    while True:
        try:
            return bool(repo.status(targets=[target(stage)]))
        except LockError as error:
            if not is_busy(str(error)):
                raise
            if not waited:
                on_wait(f"waiting for another DVC process: {error}")
            waited = True
            time.sleep(PAUSE)


@contextmanager
def _open_repo() -> Iterator[Repo]:
    """Open DVC's repository. Wait if another DVC process holds its lock."""
    from dvc.exceptions import DvcException
    from dvc.repo import Repo

    try:
        with Repo(_wait_for_lock=True) as repo:
            yield repo
    except DvcException as error:
        raise FctError(f"DVC: {error}") from error
