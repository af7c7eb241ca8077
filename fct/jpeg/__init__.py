"""JPEG as the pipeline sees it: what it does to pixels, and the quality that a file's tables tell."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fct.jpeg.tensors import roundtrip

__all__ = ["roundtrip"]


def __getattr__(name: str) -> Any:
    """Import torch when `fct.jpeg.roundtrip` is first asked for: stages that only move pixels never wait for it."""
    if name != "roundtrip":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from fct.jpeg.tensors import roundtrip

    return roundtrip
