"""The values of several trainings of one configuration: the contract between the stages `spread` and `gate`.

metrics/spread.json has the seeds, a digest of the gate split, and the conditions of the measurement. For each value in
a line of the gate it has mean, deviation and the values of the trainings, in the order of the seeds. Without trainings
it has no seeds and no values.
"""

from __future__ import annotations

import json
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, Self

from fct.core.errors import FctError
from fct.core.files import write_json
from fct.core.params import location
from fct.core.paths import SPREAD_METRICS
from fct.evaluate.params import EvaluateParams
from fct.gate.params import CheckParams

REMEDY = "Make it with `dvc repro spread`."


class Spread(NamedTuple):
    """The differences of one value between trainings."""

    mean: float
    deviation: float  # standard deviation of single trainings
    lowest: float
    highest: float

    @classmethod
    def of(cls, values: Sequence[float]) -> Self:
        """Return the spread of the values of at least 2 trainings."""
        return cls(statistics.fmean(values), statistics.stdev(values), min(values), max(values))


@dataclass(frozen=True)
class Trainings:
    """The values of several trainings of one configuration on the gate split."""

    seeds: tuple[int, ...]
    values: Mapping[str, tuple[float, ...]]  # by `CheckParams.value_name`, in the order of the seeds
    digest: str | None  # of the gate split; None without trainings
    conditions: Mapping[str, Any]  # `EvaluateParams.conditions`

    def write(self, path: Path = SPREAD_METRICS) -> None:
        """Write the file."""
        checks = {}
        for name, values in self.values.items():
            spread = Spread.of(values)
            checks[name] = {"mean": spread.mean, "deviation": spread.deviation, "values": list(values)}
        write_json(
            path,
            {"seeds": list(self.seeds), "checks": checks, "digest": self.digest, "conditions": dict(self.conditions)},
        )

    def is_of(self, digest: str, conditions: Mapping[str, Any]) -> bool:
        """Return whether the trainings were measured on the split with this digest under these conditions."""
        return self.digest == digest and self.conditions == conditions


NONE = Trainings((), {}, None, {})


def read(path: Path = SPREAD_METRICS) -> Trainings:
    """Read the file.

    Raises:
        FctError: the file is missing or damaged.
    """
    try:
        content = json.loads(path.read_text())
        seeds = tuple(int(seed) for seed in content["seeds"])
        values = {name: tuple(map(float, check["values"])) for name, check in content["checks"].items()}
        trainings = Trainings(seeds, values, content["digest"], content["conditions"])
    except FileNotFoundError:
        raise FctError(f"{path} is not here. {REMEDY}") from None
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise FctError(f"{path} is damaged ({type(error).__name__}: {error}). {REMEDY}") from None
    if any(len(of_line) != len(seeds) for of_line in values.values()):
        raise FctError(f"{path} is damaged: it does not have a value for each of the {len(seeds)} seeds. {REMEDY}")
    return trainings


def read_for(lines: Sequence[CheckParams], digest: str, params: EvaluateParams) -> Trainings:
    """Read what the lines of the gate `over: trainings` need; without such a line, read nothing.

    Args:
        lines: the lines of the gate.
        digest: the digest of the gate split.
        params: the conditions of the measurement.

    Raises:
        FctError: the file is missing or damaged, has fewer than 2 trainings, or is about other images, views or lines.
    """
    over = {index: line for index, line in enumerate(lines) if line.over == "trainings"}
    if not over:
        return NONE
    trainings = read()
    if len(trainings.seeds) < 2:
        raise FctError(
            f"{location(f'gate.{min(over)}.over')}: such a line needs at least 2 trainings, but {SPREAD_METRICS} has "
            f"{len(trainings.seeds) or 'none'}. Set spread.trainings in params.yaml to at least 2 and run `dvc repro`."
        )
    missing = [line.value_name for line in over.values() if line.value_name not in trainings.values]
    if missing or not trainings.is_of(digest, params.conditions):
        problem = f"it has no {missing[0]}" if missing else "its trainings were measured on other images or views"
        raise FctError(f"{SPREAD_METRICS}: {problem}. {REMEDY}")
    return trainings
