"""The `spread` section of params.yaml, and all sections that the stage reads."""

from __future__ import annotations

from pydantic import Field, field_validator

from fct.cache.params import CacheParams
from fct.core.params import Section
from fct.evaluate.params import EvaluateParams
from fct.gate.params import GateParams
from fct.models.params import ModelParams
from fct.splits.params import JpegParams
from fct.train.params import TrainParams


class SpreadParams(Section):
    """The section `spread`: how often the chosen configuration is trained."""

    trainings: int = Field(ge=0, le=100)  # with train.seed and the seeds after it

    @field_validator("trainings")
    @classmethod
    def _check_several(cls, trainings: int) -> int:
        if trainings == 1:
            raise ValueError("one training shows no difference; choose 0 for none, or at least 2")
        return trainings


class Params(Section):
    """The sections of params.yaml that the stage reads. This module imports no torch, since 0 trainings need none."""

    jpeg: JpegParams
    cache: CacheParams
    model: ModelParams
    train: TrainParams
    evaluate: EvaluateParams
    gate: GateParams
    spread: SpreadParams
