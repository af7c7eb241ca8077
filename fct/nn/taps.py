"""Features of named layers of any model, taken while it runs."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from types import TracebackType
from typing import Any, NoReturn, Self

import torch
from torch import Tensor, nn
from torch.nn.parallel import DataParallel, DistributedDataParallel

from fct.nn.layout import Layout, channels_second, check_layers, layout_of, named_layout

Halves = tuple[dict[str, Tensor], dict[str, Tensor]]


class FeatureTaps:
    """Take the outputs of named layers while a model runs, without changing the model.

    A feature is a copy of the layer's output, with channels at axis 1 and with its gradients. Reading hands it over;
    afterwards the taps hold no memory. The taps are hooks: a state dict and an exported model have none, and in a copy
    or a pickle they do nothing. They work under DistributedDataParallel, autocast and non-reentrant gradient
    checkpointing. They also work under torch.compile, if they are made before the first compiled call of any model of
    that class. They end with `close`, with the context, or when the object is deleted.

    Args:
        model: any module. It may be wrapped by DistributedDataParallel or torch.compile; names are those inside.
        layers: names of its modules, as `model.named_modules()` has them.
        layout: how to read features with that many axes: "map" [B, C, H, W], "tokens" [B, N, C], "channels-last"
            [B, H, W, C] or "vector" [B, C]. By default it is derived from each output. "centred-mse" is the only
            distance that depends on it.

    Raises:
        TypeError: the model is scripted or a DataParallel, whose layers cannot be tapped, or a layer is not a name.
        ValueError: no layer has this name (the message lists the nearest).
        RuntimeError: there are no features to read. There was no forward pass since the last reading, or it ended with
            an error. Or a layer was not called, was called more than once, does not return a single tensor, or ran
            without gradients inside a forward pass that has them.

    Example:
        >>> from torchvision.models import resnet18
        >>> model = resnet18()
        >>> with FeatureTaps(model, ["layer4", "fc"]) as taps:
        ...     logits = model(torch.randn(4, 3, 64, 64))  # two raw images, then the same two compressed
        ...     raw, compressed = taps.halves()
        >>> raw["layer4"].shape
        torch.Size([2, 512, 2, 2])
    """

    def __init__(self, model: nn.Module, layers: Sequence[str], *, layout: str | None = None) -> None:
        if isinstance(layers, str) or not layers:
            raise ValueError(f"layers is {layers!r}; it is a list of one or more names.")
        self._layers = tuple(dict.fromkeys(layers))
        model = _unwrap(model)
        check_layers(model, self._layers)
        self._pass = _Pass(None if layout is None else named_layout(layout))
        handles = [
            model.register_forward_pre_hook(_Hook(self._pass.begin), with_kwargs=True),
            *(
                model.get_submodule(layer).register_forward_hook(_Hook(self._pass.taker(layer)))
                for layer in self._layers
            ),
            model.register_forward_hook(_Hook(self._pass.end), always_call=True),
        ]
        self._remove = weakref.finalize(self, _remove, handles, self._pass)

    @torch.compiler.disable  # type: ignore[untyped-decorator]  # features are handed over outside of compiled code
    def features(self) -> dict[str, Tensor]:
        """Hand over the feature of each layer from the last forward pass, float [B, C, ...]."""
        if not self._remove.alive:
            raise RuntimeError("these taps are closed; make new ones.")
        return self._pass.read(self._layers)

    @torch.compiler.disable  # type: ignore[untyped-decorator]
    def halves(self) -> Halves:
        """Hand over the features of both halves of the batch.

        Returns:
            The features of the raw images, and those of the same images compressed, each by layer.

        Raises:
            ValueError: the batch has an odd number of images.
        """
        raw, compressed = {}, {}
        features, images = self.features(), self._pass.images
        for layer, feature in features.items():
            if images % 2 or len(feature) % 2:
                raise ValueError(
                    f"the batch has {images or len(feature)} images; two halves need an even number: give the model "
                    "torch.cat([images, compressed])."
                )
            raw[layer], compressed[layer] = feature.chunk(2)
        return raw, compressed

    def close(self) -> None:
        """Remove the taps from the model and drop their features. Closing twice does no harm."""
        self._remove()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __reduce__(self) -> NoReturn:
        raise TypeError("taps belong to one model and are not copied or saved; make new ones for the copy of a model.")


class _Pass:
    """The state of the last forward pass."""

    def __init__(self, layout: Layout | None) -> None:
        self.layout = layout
        self.features: dict[str, Tensor] = {}
        self.problems: dict[str, str] = {}  # by layer
        self.is_running = False
        self.is_complete = False  # whether there is something to read
        self.has_gradients = False
        self.images = 0  # of the batch; 0 if not known
        self.is_square = True

    def begin(self, _model: nn.Module, inputs: tuple[Any, ...], keywords: dict[str, Any]) -> None:
        """Forget the last pass."""
        if _is_exported():
            return
        self.clear()
        shapes = [value.shape for value in (*inputs, *keywords.values()) if isinstance(value, Tensor) and value.ndim]
        shape = max(shapes, key=len, default=(0,))  # of the images; other inputs, as qualities, have fewer axes
        self.images, self.is_square = shape[0], len(shape) < 4 or shape[-1] == shape[-2]
        self.is_running, self.has_gradients = True, torch.is_grad_enabled()

    def end(self, _model: nn.Module, _inputs: object, output: object) -> None:
        """Drop the features of a failed pass; torch calls this after an error without an output."""
        if _is_exported():
            return
        was_running, self.is_running = self.is_running, False
        if output is None:
            self.clear()
        else:
            self.is_complete = was_running

    def clear(self) -> None:
        """Drop all features."""
        self.features, self.problems, self.is_complete = {}, {}, False

    def taker(self, layer: str) -> Callable[[nn.Module, object, object], None]:
        """Return the hook of a layer."""

        def take(module: nn.Module, _inputs: object, output: object) -> None:
            # A checkpointed layer runs again in the backward pass, when the model itself does not.
            if not self.is_running:
                return
            if layer in self.features or layer in self.problems:
                self.problems[layer] = "was called more than once in one forward pass; tap a module around it"
            elif not isinstance(output, Tensor):
                self.problems[layer] = f"returns {type(output).__name__}, not one tensor; tap another module"
            elif self.has_gradients and not torch.is_grad_enabled():
                self.problems[layer] = (
                    "ran without gradients, inside torch.no_grad or a reentrant checkpoint, so a loss cannot "
                    "train it; checkpoint with use_reentrant=False"
                )
            else:
                self._keep(layer, module, output)

        return take

    def _keep(self, layer: str, module: nn.Module, output: Tensor) -> None:
        layout = self.layout
        if layout is None or layout.ndim != output.ndim:
            is_of_images = output.ndim > 0 and output.shape[0] == self.images
            layout = layout_of((1, *output.shape[1:]) if is_of_images else (), module, is_square=self.is_square)
        if layout is None:
            self.problems[layer] = (
                f"returns a tensor of shape {list(output.shape)} for {self.images} images, and it is not clear which "
                'axis has the channels; give layout="map", "tokens", "channels-last" or "vector", or tap another module'
            )
            return
        # A copy, since the next layer may work in place, as many ReLUs and sums do.
        self.features[layer] = channels_second(output, layout).clone()

    def read(self, layers: Sequence[str]) -> dict[str, Tensor]:
        """Return the feature of each layer. The errors are those of `FeatureTaps`."""
        for layer, problem in self.problems.items():
            raise RuntimeError(f"layer {layer!r} {problem}.")
        if not self.is_complete:
            raise RuntimeError(
                "there is no forward pass to read, or its features were read already: call the model itself, not "
                "model.forward or a part of it, and read once after each call. If the model is compiled, make the taps "
                "before its first call, or call torch.compiler.reset() after making them."
            )
        for layer in layers:
            if layer not in self.features:
                raise RuntimeError(
                    f"layer {layer!r} was not called in the last forward pass; tap a module that is always called. If "
                    "the model is compiled, make the taps before its first call, or call torch.compiler.reset()."
                )
        features = {layer: self.features[layer] for layer in layers}
        self.clear()
        return features


class _Hook:
    """A hook that a copy or a pickle of the model does not have: there it is a function that does nothing."""

    def __init__(self, function: Callable[..., None]) -> None:
        self.function = function

    def __call__(self, *values: Any) -> None:
        self.function(*values)

    def __reduce__(self) -> tuple[Any, ...]:
        return getattr, (nullcontext(), "__exit__")  # from the standard library, so no pickle needs this package


def _remove(handles: list[Any], last: _Pass) -> None:
    for handle in handles:
        handle.remove()
    last.clear()


def _unwrap(model: Any) -> nn.Module:
    """Return the model inside DistributedDataParallel and torch.compile. The errors are those of `FeatureTaps`."""
    while True:
        if isinstance(model, DataParallel):
            raise TypeError("DataParallel runs copies of the model, which have no taps; use DistributedDataParallel.")
        if isinstance(model, torch.jit.ScriptModule):
            raise TypeError(
                "a scripted model runs without Python, so no layer can be tapped; tap the model before scripting."
            )
        if isinstance(model, DistributedDataParallel):
            model = model.module
        elif hasattr(model, "_orig_mod"):  # by torch.compile
            model = model._orig_mod  # noqa: SLF001  # torch has no public name for it
        elif isinstance(model, nn.Module):
            return model
        else:
            raise TypeError(f"the model is {type(model).__name__}; it is a torch.nn.Module.")


def _is_exported() -> bool:
    is_traced: bool = torch.jit.is_tracing()  # type: ignore[no-untyped-call,attr-defined]  # torch's own
    return torch.compiler.is_exporting() or is_traced
