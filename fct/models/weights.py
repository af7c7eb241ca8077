"""Files of weights: what a training starts from, and what teaches it. They lie in `weights/`, which DVC watches."""

from __future__ import annotations

import os
from pathlib import Path

from torch import Tensor, nn

from fct.core.errors import FctError
from fct.core.paths import WEIGHTS
from fct.models.backbones import unwrap_grey
from fct.models.params import Stem
from fct.models.state import load_weights_only

WRAPPERS = ("state_dict", "model")  # keys under which published files hold the weights
AUXILIARY = ("aux1.", "aux2.", "AuxLogits.")  # heads of GoogLeNet and Inception, which backbones are made without


def find_weights(name: str, key: str) -> Path:
    """Return the file `name`, which `key` of params.yaml names.

    Raises:
        FctError: it is not there, or lies outside `weights/`.
    """
    path = Path(name)
    # By its name alone: what lies there may be DVC's link into its cache.
    if os.path.relpath(path, WEIGHTS).startswith(os.pardir):
        raise FctError(
            f"params.yaml: {key}: {path} is not in {WEIGHTS}/. Put it there: DVC watches that folder, so that a "
            "changed file is trained from anew."
        )
    if not path.is_file():
        raise FctError(f"params.yaml: {key}: {path} is not here.")
    return path


def load_pretrained(backbone: nn.Module, path: Path, stem: Stem) -> list[str]:
    """Give `backbone`, which has the stem `stem`, the weights of the file at `path`; return what stays untrained.

    The file is a state dict that torch or safetensors saved, of this architecture, or a model.pt of this project. The
    classifier's last layer stays untrained where the file has other classes or none, and so does the convolution of a
    stem that was swapped for small images; all else must fit, but for auxiliary heads that the file has besides.

    Raises:
        FctError: the file cannot be read, or is of another architecture; it names the first tensors that do not fit.
    """
    model, found = unwrap_grey(backbone), _read(path)
    own = model.state_dict()
    convolutions = [name for name, module in model.named_modules() if isinstance(module, nn.Conv2d)]
    heads = [name for name, module in model.named_modules() if isinstance(module, (nn.Linear, nn.Conv2d))]
    of_stem, of_head = (tuple(f"{name}." for name in names) for names in (convolutions[:1], heads[-1:]))
    untrained, wrong = [], [f"{name} is not a part of it" for name in found if not _known(name, own)]
    for name, value in own.items():
        if name not in found:
            if name.startswith(of_head):
                untrained.append(name)
            elif not name.endswith("num_batches_tracked"):  # which files of old lack, and nothing here uses
                wrong.append(f"{name} is missing")
        elif found[name].shape != value.shape:
            other_classes = name.startswith(of_head) and found[name].shape[1:] == value.shape[1:]
            if other_classes or (stem == "small" and name.startswith(of_stem)):
                untrained.append(name)
            else:
                wrong.append(f"{name} is {list(found[name].shape)}, not {list(value.shape)}")
    if wrong:
        more = f", and {len(wrong) - 3} more" if len(wrong) > 3 else ""
        raise FctError(
            f"params.yaml: model.weights: {path} is of another architecture than model.name: "
            f"{'; '.join(wrong[:3])}{more}."
        )
    model.load_state_dict({**own, **{name: found[name] for name in own if name in found and name not in untrained}})
    return untrained


def _known(name: str, own: dict[str, Tensor]) -> bool:
    return name in own or name.startswith(AUXILIARY)


def _read(path: Path) -> dict[str, Tensor]:
    """Return the tensors of a file by name. Nothing in it can make this run code."""
    if path.suffix == ".safetensors":
        try:
            from safetensors import SafetensorError
            from safetensors.torch import load_file
        except ImportError:
            raise FctError(
                f"params.yaml: model.weights: {path} needs safetensors. Install it: pip install 'fct[timm]'"
            ) from None
        try:
            tensors: dict[str, Tensor] = load_file(path)
        except SafetensorError as error:
            raise FctError(f"params.yaml: model.weights: {path} cannot be read: {error}") from None
        return tensors
    try:
        content = load_weights_only(path)
    except ValueError as error:
        raise FctError(f"params.yaml: model.weights: {path} is not a file of weights ({error}).") from None
    ours = isinstance(content, dict) and "description" in content and "state" in content  # a model.pt of this project
    for wrapper in ("state",) if ours else WRAPPERS:
        if isinstance(content, dict) and isinstance(content.get(wrapper), dict):
            content = content[wrapper]
    if not (isinstance(content, dict) and content and all(map(_is_weight, content.items()))):
        raise FctError(f"params.yaml: model.weights: {path} holds no state dict.")
    return _unwrapped(content) if ours else {name.removeprefix("module."): value for name, value in content.items()}


def _is_weight(item: tuple[object, object]) -> bool:
    return isinstance(item[0], str) and isinstance(item[1], Tensor)


def _unwrapped(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Return the weights of a network's backbone; of the model inside where that shows grey images to another."""
    prefix = "backbone.model." if any(name.startswith("backbone.model.") for name in state) else "backbone."
    return {name.removeprefix(prefix): value for name, value in state.items() if name.startswith(prefix)}
