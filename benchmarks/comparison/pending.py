"""Which runs are missing, and which records were made with other settings than benchmarks/params.yaml has now."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from benchmarks.comparison.results import Record, Results, datasets, id_of, results_of
from benchmarks.comparison.settings import PARAMS, RunId, Settings, all_runs, resolve
from fct.core.errors import FctError


def why_pending(settings: Settings, run: RunId, results: Results) -> str | None:
    """Return why a run has to be made, on one line; None if its result is there."""
    record = results.find(run)
    if record is None:
        return f"missing: {run}"
    if changed := difference(settings, record):
        return f"stale: {run}: {changed}"
    try:
        if not run.trial:
            results.correct(record)
    except FctError:
        return f"stale: {run}: its bits in correct-{run.seed}.npz are not those of its record"
    return None


def difference(settings: Settings, record: Record) -> str | None:
    """Return the first setting that the record's run had another value of; None if it had them all."""
    try:
        now = resolve(settings, id_of(record))
    except FctError as error:
        return str(error)
    return _first_difference(record["settings"], now)


def report(settings: Settings) -> Iterator[str]:
    """Yield a line for each run that is missing or stale, and for each record that no entry of `runs` asks for."""
    wanted = dict.fromkeys(all_runs(settings))
    for run in wanted:
        if why := why_pending(settings, run, results_of(run.dataset)):
            yield why
    for dataset in datasets():
        results = results_of(dataset)
        for record in results.records():
            if id_of(record) not in wanted:
                yield f"not asked for: {id_of(record)}: delete its row of {results.table}, or name it in `runs`"
            elif record["repeat"] and (changed := difference(settings, record)):
                yield f"stale: {id_of(record)}, repeated: {changed}"


def check_current(settings: Settings, records: Iterable[Record]) -> None:
    """Refuse records of other settings: their numbers would stand under a name that now means something else.

    Raises:
        FctError: at least one is stale; it names the first few.
    """
    stale = [f"{id_of(record)}: {changed}" for record in records if (changed := difference(settings, record))]
    if stale:
        more = f" And {len(stale) - 3} more: `python -m benchmarks.comparison status`." if len(stale) > 3 else ""
        raise FctError(
            f"{PARAMS} has changed since these runs: {'; '.join(stale[:3])}.{more} "
            "Put the values back, or run `python -m benchmarks.comparison run --missing`."
        )


def _first_difference(then: Any, now: Any, key: str = "") -> str | None:
    if isinstance(then, dict) and isinstance(now, dict):
        both = (
            _first_difference(then.get(each), now.get(each), f"{key}.{each}") for each in dict.fromkeys([*then, *now])
        )
        return next(filter(None, both), None)
    return None if then == now else f"{key.lstrip('.')} was {then!r}, is {now!r}"
