"""The output of the registry's commands."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from fct.gate.checks import Check
from fct.registry.events import Event
from fct.registry.promotion import Promotion, Rollback
from fct.registry.versions import State, Version

UNPROVEN = "  unproven: the alias was moved by hand, not by `fct promote` or `fct rollback`"


def format_promotion(promotion: Promotion) -> str:
    """Return the outcome of a promotion as one line."""
    text = f"{promotion.name}: version {promotion.version}"
    if promotion.outcome == "already champion":
        return f"{text} has this file and is champion already; nothing to do."
    text += " is registered" if promotion.is_new else " was registered before"
    left_out = (
        f" on the gate images that neither has seen ({promotion.left_out} left out)" if promotion.left_out else ""
    )
    comparison = (
        f", compared with version {promotion.against.number}{left_out}: {_format_checks(promotion.checks)}"
        if promotion.against and promotion.checks
        else ""
    )
    if promotion.outcome == "champion":
        return f"{text} and is champion now{comparison}."
    if promotion.outcome == "rolled back":
        return f"{text} and was rolled back; it stays challenger{comparison}. `fct promote --again` makes it champion."
    return f"{text} and stays challenger: it may be worse than the champion{comparison}."


def _format_checks(checks: Iterable[Check]) -> str:
    """Return the checks against a champion with their values and intervals."""
    return "; ".join(
        f"{check.name} {check.estimate.value:+.4f} ({check.estimate.low:+.4f} to {check.estimate.high:+.4f}), "
        f"{check.direction} {check.threshold:+.4g}{'' if check.passed else ' FAIL'}"
        for check in checks
    )


def format_event(event: Event) -> str:
    """Return an event as one line of the history."""
    after = f" after version {event.before}" if event.before else ""
    why = f": {event.why}" if event.why else ""
    return f"  {event.when}  version {event.version} {event.what}{after}, {event.verdict}, by {event.who}{why}"


def format_rollback(rollback: Rollback) -> str:
    """Return the outcome of a rollback as one line."""
    number = rollback.champion.number if rollback.champion else None
    if not rollback.changed and rollback.gone:
        return f"{rollback.name}: version {number} is champion already; nothing to do."
    if not rollback.changed:
        stays = f"version {number} stays champion" if number else "there is no champion"
        return f"{rollback.name}: there is no previous champion; {stays}."
    replaced = f" in place of version {rollback.gone.number}" if rollback.gone else ""
    return f"{rollback.name}: version {number} is champion again{replaced}."


def format_status(name: str, state: State) -> str:
    """Return champion, challenger and previous, one per line."""
    if not (state.champion or state.challenger):
        return f"{name}: nothing is registered. `fct promote` registers a model that passed the gate."
    lines = [name]
    for role, version in (
        ("champion", state.champion),
        ("challenger", state.challenger),
        ("previous", state.previous),
    ):
        is_doubtful = role == "champion" and version is not None and not state.is_proven
        lines.append(f"  {role:<11}{format_version(version)}{UNPROVEN if is_doubtful else ''}")
    return "\n".join(lines)


def format_version(version: Version | None) -> str:
    """Return the facts about a version as one line."""
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


def format_toolchain(differences: Mapping[str, tuple[str, str]]) -> str:
    """Return one line about the differences between a version's toolchain and that of its rebuild."""
    then, now = (", ".join(f"{name} {pair[index]}" for name, pair in differences.items()) for index in (0, 1))
    return f"  promoted with {then}; rebuilt with {now}"
