"""The sections `pipeline`, `intake` and `watch` of params.yaml, and overrides of any of its values for one run."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated, Any

from pydantic import AfterValidator, Field

from fct.check import checks
from fct.core.document import to_plain
from fct.core.errors import FctError
from fct.core.params import Name, Section, check_folder, load
from fct.core.paths import PARAMS
from fct.engine.params import ComputeParams
from fct.recipes.edit import edit_yaml
from fct.registry.params import RegistryParams

CRON_FIELDS = 5


def _check_cron(line: str) -> str:
    problem = 'this is not a line of cron, such as "0 2 * * *"'
    if len(line.split()) != CRON_FIELDS:  # Prefect would take a sixth for seconds
        raise ValueError(problem)
    _check_schedule(line, "UTC", problem)
    from cronsim import CronSim, CronSimError

    try:
        next(CronSim(line, datetime.now(UTC)))
    except (CronSimError, StopIteration):  # 30 February; Prefect takes it, and never starts a run
        raise ValueError("no such day comes; correct the day or the month") from None
    return line


def _check_timezone(name: str) -> str:
    _check_schedule("0 2 * * *", name, "this is not the name of a time zone, such as Europe/Vienna")
    return name


def _check_schedule(line: str, timezone: str, problem: str) -> None:
    from prefect.client.schemas.schedules import CronSchedule

    try:
        CronSchedule(cron=line, timezone=timezone)
    except ValueError:
        raise ValueError(problem) from None


class Scheduled(Section):
    """A flow with a schedule."""

    schedule: Annotated[str, AfterValidator(_check_cron)] | None  # null: on demand only
    timezone: Annotated[Name, AfterValidator(_check_timezone)]  # of the schedule


class PipelineParams(Scheduled):
    """The section `pipeline`: the schedule of `reproduce`, the number of stages at a time, and where runs work."""

    workers: Annotated[int, Field(ge=1, le=256)]  # stages that run at the same time
    pool: Name | None  # the work pool whose workers take the runs; null: only this machine's


class IntakeParams(Scheduled):
    """The section `intake`: where new images arrive."""

    inbox: Annotated[Path, AfterValidator(check_folder)]  # with one sub-folder per class
    quarantine: Annotated[Path, AfterValidator(check_folder)]  # for files that cannot be used, each with its reason
    min_age_seconds: Annotated[int, Field(ge=0, le=10**9)]  # since a file's last change: it may still be arriving


Share = Annotated[float, Field(ge=0, le=1)]


class MaxDistance(Section):
    """The key `watch.max_distance`: above which distance `watch` raises an event; null never does."""

    quality: Share | None
    class_: Annotated[Share | None, Field(alias="class")]


class WatchParams(Scheduled):
    """The section `watch`: what is compared with the training, and when that is an event."""

    counters: Annotated[Path, AfterValidator(check_folder)]
    days: Annotated[int, Field(ge=1, le=3660)]
    min_images: Annotated[int, Field(ge=1, le=10**9)]
    max_outside: Share
    max_distance: MaxDistance
    reproduce: bool  # whether a proposal starts `reproduce`


class Schedules(Section):
    """The sections of params.yaml that the deployments read."""

    pipeline: PipelineParams
    intake: IntakeParams
    watch: WatchParams


class Params(checks.Params, Schedules):
    """Every section of params.yaml."""

    registry: RegistryParams
    compute: ComputeParams


def apply_overrides(overrides: Mapping[str, Any], path: Path = PARAMS) -> str:
    """Return the text of params.yaml with new values for some keys. Its comments stay.

    Args:
        overrides: New values by dotted key, such as {"train.epochs": 5}, or {"gate.0.at_least": 0.8} in a list.
        path: The file.

    Raises:
        FctError: a key does not exist or a value is invalid. The message names the key.
    """
    load(Params, path)  # errors here are not due to an override
    to_plain(overrides, "overrides")
    with TemporaryDirectory() as folder:
        edited_path = Path(folder) / path.name
        try:
            edited_path.write_text(edit_yaml(path.read_text("utf-8"), overrides, name=str(path)), "utf-8")
            load(Params, edited_path)
        except FctError as error:
            raise FctError(f"overrides: {str(error).replace(str(edited_path), path.name)}") from None
        return edited_path.read_text("utf-8")
