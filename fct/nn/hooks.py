"""Change or watch the outputs of a model's layers during one call."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from functools import partial
from threading import get_ident

import torch
from torch import Tensor, nn

Hook = Callable[[Tensor], Tensor]


@contextmanager
def hooked(model: nn.Module, hooks: Mapping[str, Hook]) -> Iterator[None]:
    """Replace the output of each named layer by what its hook returns, within the context.

    The hooks run before any hook that is registered with a layer: those see the new output, as later layers do. They
    act in this thread alone, so several threads may call one model. No hook stays behind, not even after an error, so
    copied, compiled and exported models have none.

    Raises:
        RuntimeError: a layer runs without gradients, although they were enabled when the context was entered. A
            reentrant checkpoint does that: it would run the layer again in the backward pass, without its hook.
    """
    has_gradients = torch.is_grad_enabled()
    thread = None if torch.compiler.is_compiling() else get_ident()  # get_ident cannot be traced

    def replace(layer: str, hook: Hook, _module: nn.Module, _inputs: object, output: Tensor) -> Tensor:
        if thread and not torch.compiler.is_compiling() and get_ident() != thread:
            return output
        if has_gradients and not torch.is_grad_enabled():
            raise RuntimeError(
                f"layer {layer!r} ran without gradients, inside torch.no_grad or a reentrant checkpoint, so its "
                "block cannot be trained; checkpoint the whole model, not parts of it."
            )
        return hook(output)

    with ExitStack() as stack:
        for layer, hook in hooks.items():
            handle = model.get_submodule(layer).register_forward_hook(partial(replace, layer, hook), prepend=True)
            stack.enter_context(handle)
        yield
