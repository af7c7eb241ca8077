"""Checks of params.yaml that need no data: whether its sections fit each other."""

from __future__ import annotations

import io
from contextlib import redirect_stdout
from typing import Any

from fct.cache.params import CacheParams
from fct.core.errors import FctError
from fct.core.params import Section, location
from fct.data.params import DataParams
from fct.evaluate.params import EvaluateParams
from fct.export.params import ExportParams
from fct.gate.checks import refuse_unmeasured_slices
from fct.gate.params import GateParams
from fct.int8.params import Int8Params
from fct.methods.params import MethodParams
from fct.models.params import FeaturesParams, ModelParams
from fct.search.params import SearchParams
from fct.splits.params import JpegParams
from fct.spread.params import SpreadParams
from fct.train.params import NOT_ONLINE, TrainParams


class Params(Section):
    """The sections of params.yaml that the stages read."""

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
    spread: SpreadParams
    gate: GateParams
    int8: Int8Params


def check(params: Params) -> None:
    """Check that the sections fit each other, and that the files of weights are here and fit the network.

    Raises:
        FctError: the sections do not fit each other, or a file of weights is missing or does not fit. The message lists
            every problem.
    """
    problems = []
    checks = (
        _check_gate,
        _check_views,
        _check_unseen,
        _check_search,
        _check_weights,
        _check_teacher,
        _check_network,
    )
    for find in checks:
        try:
            find(params)
        except FctError as error:
            problems.append(str(error))
    if problems:
        raise FctError("\n       ".join(dict.fromkeys(problems)))


def _check_gate(params: Params) -> None:
    refuse_unmeasured_slices(params.gate, params.evaluate)
    for index, line in enumerate(params.gate):
        if line.over == "trainings" and params.spread.trainings < 2:
            raise FctError(
                f"{location(f'gate.{index}.over')}: a line over trainings needs at least 2 trainings. Set "
                "spread.trainings."
            )


def _check_views(params: Params) -> None:
    if params.train.views == "online" and params.data.source == "folder":
        raise FctError(f"{location('train.views')}: {NOT_ONLINE}")


def _check_unseen(params: Params) -> None:
    from fct.evaluate.sweep import refuse_colours

    refuse_colours(params.evaluate.unseen, params.data.channels)


def _check_search(params: Params) -> None:
    from fct.search.space import is_searched, make_space

    if is_searched(params.method, params.search):
        make_space(params.model, params.train, params.method, params.search, _meta(params))


def _check_weights(params: Params) -> None:
    from fct.models.backbones import build_backbone
    from fct.models.normalisation import normalisation
    from fct.models.weights import find_weights, load_pretrained

    model = params.model
    if model.weights is not None:
        path = find_weights(model.weights, "model.weights")
        backbone = build_backbone(
            model.name,
            width=model.width,
            classes=2,  # `load_pretrained` takes weights of any number of classes
            channels=params.data.channels,
            size=params.data.pixels,
            stem=model.stem,
        )
        with redirect_stdout(io.StringIO()):  # the stage baseline prints the same again
            load_pretrained(backbone, path, model.stem)
    normalisation(model, params.data.channels)


def _check_teacher(params: Params) -> None:
    from fct.train.aids import BASELINE, check_teacher

    if params.method.needs_teacher_file and params.method.teacher != BASELINE:
        # Classes are not known before there are data. The stage baseline compares them.
        known = {"channels": params.data.channels, "size": params.data.pixels}
        check_teacher(params.method, params.model, known)


def _check_network(params: Params) -> None:
    from fct.train.aids import BASELINE
    from fct.train.assemble import Setup, check_network

    setup = Setup(tuple(params.cache.qualities), params.jpeg.subsampling, params.model, params.train)
    method = params.method.model_copy(update={"teacher": BASELINE})  # `_check_teacher` checks another teacher
    check_network(setup, method, _meta(params), measured=params.features.layers)


def _meta(params: Params) -> dict[str, Any]:
    """Return what params.yaml says about the data, in the format of their meta.json."""
    return {
        "channels": params.data.channels,
        "size": params.data.pixels,
        "classes": ["one", "other"],
        "digest": "",
    }
