"""Test images under distortions that no training has shown, made once for each data set."""

from __future__ import annotations

from collections.abc import Iterator

from fct.data.store import Split


def unseen_views(test: Split) -> Iterator[tuple[str, Split]]:  # noqa: ARG001
    """Yield each distortion's name and the distorted test split."""
    yield from ()
