"""The model card of a version, in Markdown. MLflow's UI shows it as the version's description."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from fct.registry.limits import DESCRIPTION

NAMES = 1_000  # characters of the list of classes; the whole list is in the file


def card(
    verdict: Mapping[str, Any], tags: Mapping[str, str], *, classes: Sequence[str], qualities: Sequence[int]
) -> str:
    """Return the model card of a version, short enough for any database of MLflow.

    Args:
        verdict: in the format of metrics/gate.json.
        tags: the version's tags.
        classes: names of its classes.
        qualities: JPEG qualities that it was trained on; empty if the file does not name them.
    """
    split, trained = verdict["split"], f" of quality {min(qualities)} and up" if qualities else ""
    named = _shorten(list(classes), ", ", NAMES)
    purpose = f"An image classifier for {len(classes):,} classes ({named}), trained to be robust to JPEG"
    judgement = (
        f"**{verdict['verdict']}** on {split['images']:,} images of the split {split['name']}, each check on the bound"
    )
    rows = []
    for check in verdict["checks"]:
        interval = "" if check["low"] == check["high"] else f"{check['low']:.4f} to {check['high']:.4f}"
        needed = f"{check['direction']} {check['threshold']:.4g}"
        rows.append(f"| {check['name']} | {check['value']:.4g} | {interval} | {needed} |")
    use = (
        "Takes image files (JPEG, PNG, WebP, AVIF, BMP, TIFF); reads a JPEG's quality from its tables; flags images "
        "compressed harder than any in the training. Its accuracy on other kinds of images was not measured."
    )
    who, when, commit, digest = (tags.get(f"fct.{key}", "unknown") for key in ("who", "registered", "commit", "sha256"))
    origin = f"Registered by {who} at {when} from the commit `{commit}`; sha256 `{digest}`. `fct verify` rebuilds it."
    head = ["| check | value | interval | needed |", "|---|---|---|---|"]
    judgement_line = f"{judgement} of its {verdict['confidence']:.0%} interval:"
    above, below = "\n".join([f"{purpose}{trained}.", "", judgement_line, "", *head, ""]), f"\n\n{use}\n\n{origin}"
    return above + _shorten(rows, "\n", DESCRIPTION - len(above) - len(below)) + below


def _shorten(parts: Sequence[str], separator: str, longest: int) -> str:
    """Return as many of the first parts as fit into `longest` characters, and the number of the others."""
    if len(whole := separator.join(parts)) <= longest:
        return whole
    room, count = longest - len(separator) - len(f"and {len(parts):,} more"), 0
    while (room := room - len(parts[count]) - len(separator)) >= 0:
        count += 1
    return separator.join([*parts[:count], f"and {len(parts) - count:,} more"])
