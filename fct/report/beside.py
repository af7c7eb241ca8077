"""The models that the page shows beside the candidate."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from fct import registry
from fct.core.errors import FctError
from fct.evaluate.candidates import BASELINE


def others(named: Sequence[str], folder: Path, *, champion: bool) -> dict[str, Path]:
    """Return ONNX files by the name to show them under: the champion, the baseline, and what a person names.

    A champion that cannot be had is said and left out; one whose alias was moved by hand is called unproven.

    Args:
        named: each a name and a file, such as `mine=a.onnx`.
        folder: where to download the champion to.
        champion: whether to ask the registry for it.

    Raises:
        FctError: what a person names has no name or no file.
    """
    found: dict[str, Path] = {}
    if champion:
        try:
            path = registry.fetch("champion", folder)
            _, state = registry.status()
            found["champion" if state.is_proven else "champion (unproven)"] = path
        except FctError as error:
            print(f"without a champion: {error}")
    if BASELINE.is_file():
        found["standard"] = BASELINE
    for given in named:
        name, _, file = given.partition("=")
        if not name or not file:
            raise FctError(f"--beside {given!r}: give a name and a file, such as mine=other.onnx.")
        found[name] = Path(file)
    return found
