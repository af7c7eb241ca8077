"""What params.yaml says about the night shift, and all that it says, for a run that changes some of it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Self

from pydantic import NonNegativeInt, PositiveInt, model_validator

from fct.cache.params import CacheParams
from fct.core.edit import edit_yaml
from fct.core.errors import FctError
from fct.core.params import Section, load
from fct.core.paths import PARAMS
from fct.data.params import DataParams
from fct.evaluate.params import EvaluateParams
from fct.export.params import ExportParams
from fct.gate.params import GateParams
from fct.int8.params import Int8Params
from fct.methods.params import MethodParams
from fct.models.params import FeaturesParams, ModelParams
from fct.registry.params import RegistryParams
from fct.search.params import SearchParams
from fct.splits.params import JpegParams
from fct.train.params import TrainParams


class Scheduled(Section):
    """Something that a schedule starts."""

    schedule: str | None  # cron; null: on demand only
    timezone: str  # of the schedule, such as Europe/Vienna

    @model_validator(mode="after")
    def _is_a_schedule(self) -> Self:
        from prefect.client.schemas.schedules import CronSchedule

        if self.schedule is not None:
            CronSchedule(cron=self.schedule, timezone=self.timezone)  # refuses what it cannot read
        return self


class PipelineParams(Scheduled):
    """The section `pipeline`: when and how wide `reproduce` runs."""

    workers: PositiveInt  # stages side by side


class IntakeParams(Scheduled):
    """The section `intake`: where new images arrive."""

    inbox: Path  # one sub-folder a class
    quarantine: Path  # where files go that cannot be used, each with its reason
    min_age_seconds: (
        NonNegativeInt  # seconds that a file must be left alone before it is taken: it may still be uploading
    )


class Schedules(Section):
    """What the deployments read of params.yaml."""

    pipeline: PipelineParams
    intake: IntakeParams


class Params(Section):
    """Every section of params.yaml."""

    data: DataParams
    jpeg: JpegParams
    cache: CacheParams
    model: ModelParams
    method: MethodParams
    search: SearchParams
    train: TrainParams
    export: ExportParams
    evaluate: EvaluateParams
    features: FeaturesParams
    gate: GateParams
    int8: Int8Params
    registry: RegistryParams
    pipeline: PipelineParams
    intake: IntakeParams


def apply_overrides(overrides: Mapping[str, Any], path: Path = PARAMS) -> str:
    """Return the text of params.yaml with other values for some keys, its comments kept.

    Args:
        overrides: New values by dotted key, such as {"train.epochs": 5}, or {"gate.0.at_least": 0.8} in a list.
        path: Of the file.

    Raises:
        FctError: a key is not there or a value is impossible; the message names the key.
    """
    load(Params, path)  # says what is wrong without any override
    with TemporaryDirectory() as folder:
        place = Path(folder) / path.name
        try:
            place.write_text(edit_yaml(path.read_text("utf-8"), overrides, name=str(path)), "utf-8")
            load(Params, place)
        except FctError as error:
            raise FctError(f"overrides: {str(error).replace(str(place), path.name)}") from None
        return place.read_text("utf-8")
