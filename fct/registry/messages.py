"""What the registry's commands say to a person."""

from __future__ import annotations

from collections.abc import Iterable

from fct.gate.checks import Check
from fct.registry.promotion import Promotion, Rollback
from fct.registry.versions import Event, State, Version

UNPROVEN = "  unproven: the alias was moved by hand, not by `fct promote` or `fct rollback`"


def format_promotion(done: Promotion) -> str:
    """Return how a promotion ended, as a line for a person."""
    said = f"{done.name}: version {done.version}"
    if done.outcome == "already champion":
        return f"{said} is this very file and champion already; nothing to do."
    said += " is registered" if done.is_new else " was registered before"
    compared = (
        f", held against version {done.against.number}: {_checked(done.checks)}" if done.against and done.checks else ""
    )
    if done.outcome == "champion":
        return f"{said} and is champion now{compared}."
    if done.outcome == "rolled back":
        return f"{said} and was rolled back; it stays challenger{compared}. `fct promote --again` makes it champion."
    return f"{said} and stays challenger: it may be worse than the champion{compared}."


def _checked(checks: Iterable[Check]) -> str:
    """Return each check that a champion was needed for, with what it found."""
    return "; ".join(
        f"{check.name} {check.estimate.value:+.4f} ({check.estimate.low:+.4f} to {check.estimate.high:+.4f}), "
        f"{check.direction} {check.threshold:+.4g}{'' if check.passed else ' FAIL'}"
        for check in checks
    )


def format_event(event: Event) -> str:
    """Return one line of the history."""
    after = f" after version {event.before}" if event.before else ""
    why = f": {event.why}" if event.why else ""
    return f"  {event.when}  version {event.version} {event.what}{after}, {event.verdict}, by {event.who}{why}"


def format_rollback(done: Rollback) -> str:
    """Return how a rollback ended, as a line for a person."""
    number = done.champion.number if done.champion else None
    if not done.changed:
        stays = f"version {number} stays champion" if number else "there is no champion"
        return f"{done.name}: nothing to return to; {stays}."
    return f"{done.name}: version {number} is champion again{f', {done.gone.number} is not' if done.gone else ''}."


def format_status(name: str, state: State) -> str:
    """Return who is what, as lines for a person."""
    if not (state.champion or state.challenger):
        return f"{name}: nothing is registered. `fct promote` registers a model that passed the gate."
    lines = [name]
    for role, version in (
        ("champion", state.champion),
        ("challenger", state.challenger),
        ("previous", state.previous),
    ):
        doubt = role == "champion" and version is not None and not state.is_proven
        lines.append(f"  {role:<11}{format_version(version)}{UNPROVEN if doubt else ''}")
    return "\n".join(lines)


def format_version(version: Version | None) -> str:
    """Return what a version says about itself, as a line."""
    if version is None:
        return "-"
    tags = version.tags
    digest = tags.get("fct.sha256", "")
    parts = [
        f"version {version.number:<4}",
        tags.get("fct.verdict", "no verdict"),
        f"sha256 {digest[:12] or 'unknown'}",
    ]
    for key, label in (("fct.champion_since", "since "), ("fct.who", "by "), ("fct.why", "")):
        if key in tags:
            parts.append(label + tags[key])
    if "fct.rolled_back" in tags:
        parts.append(f"rolled back {tags['fct.rolled_back']}")
    return "  ".join(parts)
