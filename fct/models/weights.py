"""Files of weights, for the start of a training and for teachers. They are in `weights/`, which DVC watches."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor, nn

from fct.core.errors import FctError, install
from fct.core.params import location
from fct.core.paths import WEIGHTS
from fct.models.backbones import head_names, unwrap_grey
from fct.models.params import Stem
from fct.models.state import load_weights_only

SAFETENSORS = ".safetensors"
WRAPPERS = ("state_dict", "model")  # keys under which published files hold the weights
AUXILIARY = ("aux1.", "aux2.", "AuxLogits.")  # heads of GoogLeNet and Inception, which the backbones here do not have


def find_weights(name: str, key: str) -> Path:
    """Return the path `name`, the value of `key` in params.yaml.

    Raises:
        FctError: the file is missing, or is not in `weights/`.
    """
    path = Path(name)
    # Compare names, not targets: the file may be DVC's link into its cache.
    if os.path.relpath(path, WEIGHTS).startswith(os.pardir):
        raise FctError(
            f"{location(key)}: {path} is not in {WEIGHTS}/. Put it there: DVC watches that folder, and "
            "trains again after a change."
        )
    if not path.is_file():
        raise FctError(f"{location(key)}: {path} is not here. Put the file there, or name another.")
    return path


def load_pretrained(backbone: nn.Module, path: Path, stem: Stem, key: str = "model.weights") -> list[str]:
    """Load the weights of the file at `path`, which `key` of params.yaml names, into `backbone` with the stem `stem`.

    The file is a state dict of torch or safetensors, or a model.pt of this project. All weights must fit, with three
    exceptions. The last layer of the classifier stays untrained, with all zeros, if the file has another number of
    classes or no such layer. The convolution of a stem for small images stays untrained. Auxiliary heads in the file
    are ignored.

    Another implementation of the same architecture may use other names. If no name fits, the weights are assigned in
    order, provided that their number and all shapes except the classifier's are the same. A safetensors file does not
    keep this order: its tensors come by the alphabet.

    Returns:
        The names of the weights that stay untrained.

    Raises:
        FctError: the file cannot be read, is of another architecture, has other names and no order, or has values that
            are not finite. The message has the first wrong tensors.
    """
    model, weights = unwrap_grey(backbone), _read_weights(path, key)
    state = model.state_dict()
    weights = _renamed_by_order(weights, state, path, key)
    convolutions = [name for name, module in model.named_modules() if isinstance(module, nn.Conv2d)]
    stem_prefix = tuple(f"{name}." for name in convolutions[:1])
    head_prefix = tuple(f"{name}." for name in head_names(model))
    untrained, wrong = [], [f"{name} is not in the model" for name in weights if not _is_expected(name, state)]
    for name, value in state.items():
        if name not in weights:
            if name.startswith(head_prefix):
                untrained.append(name)
            elif not name.endswith("num_batches_tracked"):  # missing in old files, and not used here
                wrong.append(f"{name} is missing")
        elif weights[name].shape != value.shape:
            other_classes = name.startswith(head_prefix) and weights[name].shape[1:] == value.shape[1:]
            if other_classes or (stem == "small" and name.startswith(stem_prefix)):
                untrained.append(name)
            else:
                wrong.append(f"{name} is {list(weights[name].shape)}, not {list(value.shape)}")
    if wrong:
        raise FctError(f"{location(key)}: {path} is of another architecture than the model: {_first(wrong, '; ')}.")
    loaded = {name: weights[name] for name in state if name in weights and name not in untrained}
    refuse_not_finite(loaded, path, key)
    # Some architectures start a classifier with such large weights that its first errors undo what the backbone learnt.
    head = {name: torch.zeros_like(state[name]) for name in untrained if name.startswith(head_prefix)}
    model.load_state_dict({**state, **loaded, **head})
    return untrained


def refuse_not_finite(weights: Mapping[str, Tensor], path: Path, key: str) -> None:
    """Check that all weights of the file at `path`, which `key` of params.yaml names, are finite.

    Raises:
        FctError: a weight is infinite or not a number. The message has the first such tensors.
    """
    if names := [name for name, value in weights.items() if not value.isfinite().all()]:
        raise FctError(
            f"{location(key)}: {path} has values that are not finite, in {_first(names)}. The training that made "
            "it has failed. Name another file."
        )


def _first(names: list[str], separator: str = ", ") -> str:
    more = f", and {len(names) - 3} more" if len(names) > 3 else ""
    return f"{separator.join(names[:3])}{more}"


def _renamed_by_order(weights: dict[str, Tensor], state: dict[str, Tensor], path: Path, key: str) -> dict[str, Tensor]:
    """Return the weights under the names of `state`, in its order, if no name of their own fits.

    Raises:
        FctError: no name fits, and the file at `path` does not keep the order.
    """
    counted = [name for name, value in state.items() if value.ndim]  # not the numbers of batches that norms count
    given = {name: value for name, value in weights.items() if value.ndim}
    if len(given) != len(counted) or set(given) & set(counted):
        return weights
    if path.suffix == SAFETENSORS:  # the vectors of a batch norm have one shape, so a wrong order would not show
        raise FctError(
            f"{location(key)}: {path} has other names than the model: {next(iter(given))}, ... in the file, "
            f"{counted[0]}, ... in the model. A {SAFETENSORS} file does not keep the order by which tensors could be "
            "assigned. Give them the names of the model, or save the state dict of the same network with torch.save."
        )
    pairs = list(zip(counted, given.values(), strict=True))
    fitting = sum(state[name].shape == value.shape for name, value in pairs)
    if fitting < len(pairs) - 2:  # weight and bias of a classifier of other classes
        return weights
    print("weights have other names in the file than in the model; all shapes fit, so they are assigned in order")
    return dict(pairs)


def _is_expected(name: str, state: dict[str, Tensor]) -> bool:
    return name in state or name.startswith(AUXILIARY)


def _read_weights(path: Path, key: str) -> dict[str, Tensor]:
    """Return the tensors of a file by name. Code in the file never runs."""
    if path.suffix == SAFETENSORS:
        try:
            from safetensors import SafetensorError
            from safetensors.torch import load_file
        except ImportError:
            raise FctError(f"{location(key)}: {path} needs safetensors. Install it: {install('timm')}") from None
        try:
            tensors: dict[str, Tensor] = load_file(path)
        except SafetensorError as error:
            raise FctError(f"{location(key)}: {path} cannot be read: {error}") from None
        return tensors
    try:
        content = load_weights_only(path)
    except ValueError as error:
        raise FctError(f"{location(key)}: {path} is not a file of weights ({error}).") from None
    is_model_pt = isinstance(content, dict) and "description" in content and "state" in content
    for wrapper in ("state",) if is_model_pt else WRAPPERS:
        if isinstance(content, dict) and isinstance(content.get(wrapper), dict):
            content = content[wrapper]
    if not (isinstance(content, dict) and content and all(map(_is_weight, content.items()))):
        raise FctError(f"{location(key)}: {path} holds no state dict.")
    if is_model_pt:
        return _backbone_weights(content)
    return {name.removeprefix("module."): value for name, value in content.items()}  # DataParallel adds a prefix


def _is_weight(item: tuple[object, object]) -> bool:
    return isinstance(item[0], str) and isinstance(item[1], Tensor)


def _backbone_weights(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Return the weights of a network's backbone, without the wrapper for grey images."""
    prefix = "backbone.model." if any(name.startswith("backbone.model.") for name in state) else "backbone."
    return {name.removeprefix(prefix): value for name, value in state.items() if name.startswith(prefix)}
