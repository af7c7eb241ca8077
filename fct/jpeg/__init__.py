"""The effect of JPEG compression on pixels."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fct.jpeg.tensors import roundtrip

__all__ = ["roundtrip"]


def __getattr__(name: str) -> Any:
    """Import torch at the first use of `fct.jpeg.roundtrip`. Stages that only move pixels never import it."""
    if name != "roundtrip":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from fct.jpeg.tensors import roundtrip

    return roundtrip
