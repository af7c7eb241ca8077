"""The search space: what a trial may change in the method."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from pydantic import ValidationError
from torch import nn

from fct.core.errors import FctError
from fct.core.params import location
from fct.methods.params import WITH_CONSISTENCY, MethodParams
from fct.methods.registry import WITH_BLOCKS
from fct.models.backbones import build_backbone
from fct.models.features import features_of
from fct.models.layers import propose_layers
from fct.models.params import BlockParams, ModelParams
from fct.nn.aware import make_blocks
from fct.search.attributes import BASELINE
from fct.search.params import Candidates, Range, SearchParams
from fct.train.assemble import check_crops
from fct.train.params import TrainParams

if TYPE_CHECKING:
    from optuna.trial import Trial


class Space(NamedTuple):
    """The values that a trial chooses from. They include those of the method in params.yaml, except its weight."""

    weight: Range
    layers: list[str]  # each is on or off; empty: they are not searched
    block_layers: list[str]  # likewise
    distances: list[str]
    targets: list[str]

    def describe(self) -> str:
        """Return what is searched, in words."""
        parts = ["the weight"]
        for names, words in (
            (self.layers, "layers"),
            (self.block_layers, "places of blocks"),
            (self.distances, "distances"),
            (self.targets, "targets"),
        ):
            if len(names) > 1:
                parts.append(f"{len(names)} {words}")
        return ", ".join(parts[:-1]) + f" and {parts[-1]}" if len(parts) > 1 else parts[0]


def is_searched(baseline: MethodParams, params: SearchParams) -> bool:
    """Return whether there is a search: the method has a consistency term, and more than one trial is asked for."""
    return baseline.name in WITH_CONSISTENCY and params.trials > 1


def make_space(
    model: ModelParams, train: TrainParams, baseline: MethodParams, params: SearchParams, meta: Mapping[str, Any]
) -> Space:
    """Return the space of a search around `baseline`, the method in params.yaml.

    Args:
        model: the network.
        train: the schedule.
        baseline: a method for which `is_searched`.
        params: the section `search`.
        meta: classes, channels and size of the data.

    Raises:
        FctError: a name in `params.layers` or `params.block_layers` is not a layer, or no block fits there, or one of
            `params.targets` does not fit the other values of params.yaml.
    """
    searched_methods(train, baseline, params)
    backbone = build_backbone(
        model.name,
        width=model.width,
        classes=len(meta["classes"]),
        channels=meta["channels"],
        size=meta["size"],
        stem=model.stem,
    )
    image = {"channels": meta["channels"], "size": meta["size"]}
    proposal = propose_layers(backbone, **image)
    _check_layers(backbone, params, baseline.block, image)
    blocks = _candidates(params.block_layers, proposal.places, baseline.block.layers)
    return Space(
        params.weight,
        _candidates(params.layers, [*proposal.places, proposal.head], baseline.layers),
        blocks if baseline.name in WITH_BLOCKS else [],
        sorted({baseline.distance, *params.distances}),
        sorted({baseline.target, *params.targets}),
    )


def searched_methods(train: TrainParams, baseline: MethodParams, params: SearchParams) -> list[MethodParams]:
    """Return the baseline with each of `params.targets`.

    Raises:
        FctError: one of the targets does not fit the other values of params.yaml.
    """
    methods = []
    for target in params.targets:
        try:
            method = MethodParams.model_validate(baseline.model_dump() | {"target": target})
        except ValidationError as error:
            message = error.errors()[0]["msg"].removeprefix("Value error, ")
            raise FctError(f"{location('search.targets')}: with {target}, method.{message}") from error
        check_crops(train, method, "search.targets")
        methods.append(method)
    return methods


def suggest(trial: Trial, baseline: MethodParams, space: Space) -> MethodParams | None:
    """Return the method of `trial`, or None if it has no layers, or no layers with blocks."""
    weight = trial.suggest_float("weight", space.weight.low, space.weight.high, log=True)
    layers = [name for name in space.layers if trial.suggest_categorical(_layer(name), [True, False])]
    block_layers = [name for name in space.block_layers if trial.suggest_categorical(_block(name), [True, False])]
    distance = trial.suggest_categorical("distance", space.distances)
    target = trial.suggest_categorical("target", space.targets)
    if (space.layers and not layers) or (space.block_layers and not block_layers):
        return None
    if BASELINE in trial.user_attrs:
        return baseline  # even if its weight is outside the range
    block = baseline.block.model_copy(update={"layers": block_layers or baseline.block.layers})
    chosen = {"weight": weight, "layers": layers or baseline.layers, "distance": distance, "target": target}
    return baseline.model_copy(update=chosen | {"block": block})


def baseline_values(baseline: MethodParams, space: Space) -> dict[str, Any]:
    """Return the values with which a trial is `baseline`."""
    return {
        "weight": min(max(baseline.weight, space.weight.low), space.weight.high),
        **{_layer(name): name in baseline.layers for name in space.layers},
        **{_block(name): name in baseline.block.layers for name in space.block_layers},
        "distance": baseline.distance,
        "target": baseline.target,
    }


def _layer(name: str) -> str:
    return f"layer {name}"


def _block(name: str) -> str:
    return f"block {name}"


def _candidates(asked: Candidates, proposed: Iterable[str], own: Iterable[str]) -> list[str]:
    """Return the layers that trials switch on and off, with those of the method."""
    if asked is not None and not asked:
        return []
    return list(dict.fromkeys([*(proposed if asked is None else asked), *own]))


def _check_layers(backbone: nn.Module, params: SearchParams, block: BlockParams, image: dict[str, int]) -> None:
    """Check the names of layers in params.yaml."""
    if params.layers is not None:
        features_of(backbone, params.layers, key="search.layers", **image)
    if params.block_layers is not None:
        features = features_of(backbone, params.block_layers, key="search.block_layers", **image)
        try:
            make_blocks(features, width=block.width, quality=block.quality)
        except ValueError as error:
            raise FctError(f"{location('search.block_layers')}: {error}") from None
