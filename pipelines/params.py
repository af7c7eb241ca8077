"""The sections `pipeline` and `intake` of params.yaml, and overrides of any of its values for one run."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated, Any, Self

from pydantic import AfterValidator, Field, model_validator

from fct.check import checks
from fct.core.document import to_plain
from fct.core.errors import FctError
from fct.core.params import Name, Section, check_folder, load
from fct.core.paths import PARAMS
from fct.engine.params import ComputeParams
from fct.recipes.edit import edit_yaml
from fct.registry.params import RegistryParams


class Scheduled(Section):
    """A flow with a schedule."""

    schedule: Name | None  # cron; null: on demand only
    timezone: Name  # of the schedule, such as Europe/Vienna

    @model_validator(mode="after")
    def _is_a_schedule(self) -> Self:
        from prefect.client.schemas.schedules import CronSchedule

        if self.schedule is not None:
            CronSchedule(cron=self.schedule, timezone=self.timezone)  # raises ValueError if it is not valid
        return self


class PipelineParams(Scheduled):
    """The section `pipeline`: the schedule of `reproduce` and the number of stages at a time."""

    workers: Annotated[int, Field(ge=1, le=256)]  # stages that run at the same time


class IntakeParams(Scheduled):
    """The section `intake`: where new images arrive."""

    inbox: Annotated[Path, AfterValidator(check_folder)]  # with one sub-folder per class
    quarantine: Annotated[Path, AfterValidator(check_folder)]  # for files that cannot be used, each with its reason
    min_age_seconds: Annotated[int, Field(ge=0, le=10**9)]  # since a file's last change: it may still be arriving


class Schedules(Section):
    """The sections of params.yaml that the deployments read."""

    pipeline: PipelineParams
    intake: IntakeParams


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
