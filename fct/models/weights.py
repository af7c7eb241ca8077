"""Files of weights: what a training starts from, and what teaches it. They lie in `weights/`, which DVC watches."""

from __future__ import annotations

import io
import pickle
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from fct.core.errors import FctError
from fct.models.backbones import inner

FOLDER = Path("weights")
WRAPPERS = ("state_dict", "model")  # keys under which published files hold the weights


def locate(name: str, key: str) -> Path:
    """Return the file `name`, which `key` of params.yaml names.

    Raises:
        FctError: it is not there, or lies outside `weights/`.
    """
    path = Path(name)
    if FOLDER.resolve() not in path.resolve().parents:
        raise FctError(
            f"params.yaml: {key}: {path} is not in {FOLDER}/. Put it there: DVC watches that folder, so that a changed "
            "file is trained from anew."
        )
    if not path.is_file():
        raise FctError(f"params.yaml: {key}: {path} is not here.")
    return path


def start_from(backbone: nn.Module, path: Path) -> list[str]:
    """Give `backbone` the weights of the file at `path`; return the names of those that stay untrained.

    The file is a state dict that torch or safetensors saved, of this architecture, or a model.pt of this project. The
    classifier's last layer stays untrained where it has other classes, and so does a stem that was swapped for small
    images; all else must fit.

    Raises:
        FctError: the file cannot be read, or is of another architecture; it names the first tensors that do not fit.
    """
    model, found = inner(backbone), _read(path)
    own = model.state_dict()
    loose = _loose(model)
    missing = [name for name in own if name not in found and not name.endswith("num_batches_tracked")]
    unlike = [name for name in own if name in found and own[name].shape != found[name].shape]
    extra = [name for name in found if name not in own]
    untrained = [name for name in (*missing, *unlike) if name in loose]
    wrong = [
        *(f"{name} is missing" for name in missing if name not in loose),
        *(f"{name} is {list(found[name].shape)}, not {list(own[name].shape)}" for name in unlike if name not in loose),
        *(f"{name} is not a part of it" for name in extra),
    ]
    if wrong:
        more = f", and {len(wrong) - 3} more" if len(wrong) > 3 else ""
        raise FctError(
            f"params.yaml: model.weights: {path} is of another architecture than model.name: "
            f"{'; '.join(wrong[:3])}{more}."
        )
    model.load_state_dict({**own, **{name: found[name] for name in own if name in found and name not in untrained}})
    return untrained


def _loose(model: nn.Module) -> set[str]:
    """Return the names of the weights that need not fit: of the first convolution and of the last linear layer."""
    convs = [name for name, module in model.named_modules() if isinstance(module, nn.Conv2d)]
    heads = [name for name, module in model.named_modules() if isinstance(module, nn.Linear)]
    return {f"{name}.{kind}" for name in (*convs[:1], *heads[-1:]) for kind in ("weight", "bias")}


def _read(path: Path) -> dict[str, Tensor]:
    """Return the tensors of a file by name. Nothing in it can make this run code."""
    if path.suffix == ".safetensors":
        try:
            from safetensors.torch import load_file
        except ImportError:
            raise FctError(f"{path}: install safetensors to read it: pip install safetensors") from None
        try:
            tensors: dict[str, Tensor] = load_file(path)
        except Exception as error:  # noqa: BLE001  # safetensors raises its own, which is not public
            raise FctError(f"params.yaml: model.weights: {path} cannot be read: {error}") from None
        return tensors
    try:
        content: Any = torch.load(io.BytesIO(path.read_bytes()), map_location="cpu", weights_only=True)
    except (RuntimeError, EOFError, ValueError, pickle.UnpicklingError) as error:
        reason = str(error).partition("\n")[0] or type(error).__name__
        raise FctError(f"params.yaml: model.weights: {path} is not a file of weights ({reason}).") from None
    if isinstance(content, dict) and "description" in content and "state" in content:  # a model.pt of this project
        own = {name.removeprefix("backbone."): value for name, value in content["state"].items()}
        return {name: own[name] for name in own if f"backbone.{name}" in content["state"]}
    for wrapper in WRAPPERS:
        if isinstance(content, dict) and isinstance(content.get(wrapper), dict):
            content = content[wrapper]
    if not (isinstance(content, dict) and content and all(isinstance(value, Tensor) for value in content.values())):
        raise FctError(f"params.yaml: model.weights: {path} holds no state dict.")
    return {name.removeprefix("module."): value for name, value in content.items()}
