"""What DVC knows of the pipeline in the current folder: its stages, what each needs, which are up to date."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from fct.core.errors import FctError

if TYPE_CHECKING:
    from dvc.repo import Repo


def plan(targets: Sequence[str] = ()) -> dict[str, tuple[str, ...]]:
    """Return the stages that make `targets`, each with those it needs, in an order in which they can run.

    Args:
        targets: Names of stages (`cache` is all of `cache@10`, ...); every stage if there is none. What is under
            `dvc add` is a stage too, called by its .dvc file.

    Raises:
        FctError: dvc.yaml is broken, or there is no such target.
    """
    import networkx as nx

    with _opened() as repo:
        needs = repo.index.graph  # an edge leads from a stage to one that it needs
        chosen = {stage for target in targets for stage in repo.stage.collect(target)} if targets else set(needs)
        wanted = chosen.union(*(nx.descendants(needs, stage) for stage in chosen))
        written = {stage: place for place, stage in enumerate(needs)}  # where independent ones stand in dvc.yaml
        ordered = nx.lexicographical_topological_sort(needs.subgraph(wanted).reverse(), key=written.__getitem__)
        return {stage.addressing: tuple(each.addressing for each in needs[stage]) for stage in ordered}


def stale(stages: Sequence[str]) -> set[str]:
    """Return those of `stages` whose dependencies, params, command or outs are not as dvc.lock says."""
    with _opened() as repo:
        return {stage for stage in stages if repo.status(targets=[stage])}


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
