"""What params.yaml says about the night shift, and all that it says, for a run that changes some of it."""

from __future__ import annotations

from collections.abc import Mapping
from io import StringIO
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Self

from pydantic import NonNegativeInt, PositiveInt, model_validator
from ruamel.yaml import YAML

from fct import recipes
from fct.cache.params import CacheParams
from fct.core.errors import FctError
from fct.core.params import Section
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
    settle: NonNegativeInt  # seconds that a file must be left alone before it is taken: it may still be uploading


class Schedules(Section):
    """What the deployments read of params.yaml."""

    pipeline: PipelineParams
    intake: IntakeParams


class Params(Section):
    """Every section of params.yaml."""

    recipe: recipes.Name
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


def changed(overrides: Mapping[str, Any], path: Path = PARAMS) -> str:
    """Return the text of params.yaml with other values for some keys, its comments kept.

    Args:
        overrides: New values by dotted key, such as {"train.epochs": 5}, or {"gate.0.at_least": 0.8} in a list.
        path: Of the file.

    Raises:
        FctError: a key is not there, a value is impossible, or a recipe is in force that sets the key; the message
            names the key.
    """
    recipes.load(Params, path)  # says what is wrong without any override
    yaml = YAML()  # round trip: keeps comments
    yaml.preserve_quotes, yaml.width = True, 4096  # columns: breaks no line
    yaml.representer.add_representer(type(None), lambda to, _: to.represent_scalar("tag:yaml.org,2002:null", "null"))
    document = yaml.load(path.read_text())
    for key, value in overrides.items():
        *sections, last = key.split(".")
        section: Any = document
        for name in sections:
            section = _keys(section).get(name)
        places = _keys(section)
        if last not in places:
            beside = (sections, places) if places else ([], document)
            known = ", ".join(".".join([*beside[0], name]) for name in beside[1])
            raise FctError(f"overrides: {key}: there is no such key in {path}. Known: {known}.")
        section[int(last) if isinstance(section, list) else last] = value
    stream = StringIO()
    yaml.dump(document, stream)
    with TemporaryDirectory() as folder:
        place = Path(folder) / path.name
        place.write_text(stream.getvalue())
        try:
            read = recipes.load(Params, place)
        except FctError as error:
            raise FctError(f"overrides: {str(error).replace(str(place), path.name)}") from None
    if read.recipe is not None:
        _check_effect(overrides, read.recipe)
    return stream.getvalue()


def _keys(section: Any) -> Mapping[str, Any]:
    """Return what is in a section or a list by the names that a dotted key has for it: a list's are 0, 1, ..."""
    if isinstance(section, list):
        return {str(place): each for place, each in enumerate(section)}
    return section if isinstance(section, Mapping) else {}


def _check_effect(overrides: Mapping[str, Any], recipe: str) -> None:
    """Refuse overrides that change nothing, since the recipe takes their place."""
    named = {f"{section}.{key}" for section, values in recipes.read(recipe).params.items() for key in values}
    for key in overrides:
        if key in named or key.rpartition(".")[0] in named:
            raise FctError(f"overrides: {key}: the recipe {recipe} sets it. Override recipe with null too.")
