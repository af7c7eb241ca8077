"""benchmarks/params.yaml as validated objects, and what a run of it trains."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple

from pydantic import Field, ValidationError

from fct.cache.params import CacheParams
from fct.core import params
from fct.core.errors import FctError
from fct.core.params import Section
from fct.methods.params import MethodParams
from fct.methods.registry import METHODS
from fct.models.params import FeaturesParams, ModelParams
from fct.splits.params import JpegParams, Quality
from fct.train.assemble import Setup
from fct.train.params import TrainParams

PARAMS = Path(__file__).parent.parent / "params.yaml"


class Dataset(Section):
    """Where images come from and how they are divided."""

    source: Literal["fashion-mnist", "cifar-10", "cifar-100"]
    mirror: str | None
    val: float = Field(gt=0, lt=1)
    test: float = Field(gt=0, lt=1)  # where the source has no official test set
    seed: int
    model: dict[str, Any] = Field(default={})  # keys in place of `model`'s
    train: dict[str, Any] = Field(default={})  # keys in place of `train`'s


class Entry(Section):
    """A method of the comparison: what differs from the defaults, and what was tried."""

    method: dict[str, Any]
    trials: list[dict[str, Any]] = Field(min_length=1)  # keys of `method` or `train`; the first is the chosen one
    cache: dict[str, Any] = Field(default={})
    train: dict[str, Any] = Field(default={})
    model: dict[str, Any] = Field(default={})
    half: bool = False  # one view of each image, at half the compute of the others


class Ablation(Entry):
    """One choice changed of the method `of`: what is said here goes before its own, the trial before its chosen one."""

    of: str
    method: dict[str, Any] = Field(default={})
    trials: list[dict[str, Any]] = Field(default=[{}], min_length=1)


class Measured(Section):
    """What is measured of every run."""

    qualities: Annotated[tuple[Quality, ...], Field(min_length=1)]
    batch_size: int = Field(ge=1)
    features: FeaturesParams


class Claim(Section):
    """A question that a paired difference answers."""

    question: str
    method: str
    other: str | None  # None: the best of the methods without consistency, on validation images


class SummaryParams(Section):
    """The intervals: resamples of the bootstrap, confidence, seed."""

    resamples: int = Field(ge=1)
    confidence: float = Field(gt=0, lt=1)
    seed: int = Field(ge=0)


class Settings(Section):
    """The whole file."""

    datasets: dict[str, Dataset]
    jpeg: JpegParams
    cache: CacheParams
    model: ModelParams
    train: TrainParams
    method: dict[str, Any]
    measure: Measured
    methods: dict[str, Entry]
    ablations: dict[str, Ablation] = Field(default={})
    beyond: dict[str, Entry] = Field(default={})  # runs of another network and budget, in no comparison with the rest
    runs: dict[str, dict[str, list[Any]]]  # for dvc.yaml
    summary: SummaryParams
    claims: list[Claim]

    @property
    def entries(self) -> dict[str, Entry]:
        """All that can run, by name."""
        return self.methods | self.ablations | self.beyond

    def on(self, dataset: str) -> Settings:
        """Return the settings with the schedule and the network of a data set.

        Raises:
            FctError: there is no such data set, or no such key or value of `model` or `train`.
        """
        if dataset not in self.datasets:
            raise FctError(f"{PARAMS}: there is no data set {dataset!r}. Known: {', '.join(self.datasets)}.")
        own = self.datasets[dataset]
        changed = {}
        for key, values in (("model", own.model), ("train", own.train)):
            section: ModelParams | TrainParams = getattr(self, key)
            try:
                changed[key] = section.model_validate(section.model_dump() | values)
            except ValidationError as error:
                raise _impossible(f"datasets.{dataset}.{key}", error) from None
        return self.model_copy(update=changed)


class Plan(NamedTuple):
    """What one run trains."""

    setup: Setup
    method: MethodParams


def read() -> Settings:
    """Return benchmarks/params.yaml."""
    return params.read(Settings, PARAMS)


def plan(settings: Settings, name: str, seed: int, trial: int = 0) -> Plan:
    """Return the configuration of the entry `name`, of its first trial unless told another.

    Raises:
        FctError: there is no such entry or trial, or what it says is impossible.
    """
    entry = settings.entries.get(name)
    if entry is None:
        raise FctError(f"{PARAMS}: there is no entry {name!r}. Known: {', '.join(settings.entries)}.")
    if trial >= len(entry.trials):
        raise FctError(f"{PARAMS}: {name} has trials 0 to {len(entry.trials) - 1} (not {trial}).")
    tried = entry.trials[trial]
    if isinstance(entry, Ablation):
        base = settings.methods.get(entry.of)
        if base is None:
            raise FctError(f"{PARAMS}: ablations.{name}.of: there is no method {entry.of!r}.")
        tried = base.trials[0] | tried
        entry = base.model_copy(
            update={key: over(getattr(base, key), getattr(entry, key)) for key in ("method", "train", "cache", "model")}
        )
    if ambiguous := tried.keys() & TrainParams.model_fields.keys() & MethodParams.model_fields.keys():
        raise FctError(
            f"{PARAMS}: {name}.trials: {', '.join(ambiguous)} may be of `method` or of `train`. Set it there."
        )
    of_training = {key: value for key, value in tried.items() if key in TrainParams.model_fields}
    of_method = {key: value for key, value in tried.items() if key not in of_training}
    try:
        method = MethodParams.model_validate(over(settings.method, entry.method) | of_method)
        schedule = settings.train.model_dump() | entry.train | of_training | {"seed": seed}
        double = 1 if entry.half else 2 // METHODS[method.name].VIEWS
        schedule |= {key: double * schedule[key] for key in ("epochs", "batch_size")}
        setup = Setup(
            tuple(CacheParams.model_validate(settings.cache.model_dump() | entry.cache).qualities),
            settings.jpeg.subsampling,
            ModelParams.model_validate(settings.model.model_dump() | entry.model),
            TrainParams.model_validate(schedule),
        )
    except ValidationError as error:
        raise _impossible(f"{name}, trial {trial}", error) from None
    return Plan(setup, method)


def _impossible(where: str, error: ValidationError) -> FctError:
    wrong = error.errors()[0]
    key = ".".join(map(str, wrong["loc"]))
    return FctError(f"{PARAMS}: {where}: {key}: {wrong['msg']} (it is {wrong['input']!r}).")


def over(values: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    """Return `values` with `changes` in their place, key by key in a dict within as well."""
    within = {key: values[key] | each for key, each in changes.items() if isinstance(each, dict) and key in values}
    return values | changes | within
