"""Change or watch the outputs of a model's layers during one call."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial

from torch import Tensor, nn

Hook = Callable[[Tensor], Tensor]


@contextmanager
def hooked(model: nn.Module, hooks: Mapping[str, Hook]) -> Iterator[None]:
    """Replace the output of each named layer by what its hook returns, within the context.

    The hooks run before all that are registered with a layer: those see the new output, as later layers do. No hook
    stays behind, not even after an error, so that copied, compiled and exported models have none.
    """
    handles = [
        model.get_submodule(layer).register_forward_hook(partial(_replace, hook), prepend=True)
        for layer, hook in hooks.items()
    ]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def _replace(hook: Hook, _module: nn.Module, _inputs: object, output: Tensor) -> Tensor:
    return hook(output)
