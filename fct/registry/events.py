"""The events of a registered model's history, and the aliases and tags that follow from them. Nothing here uses MLflow.

Two hosts may append an event at the same time, each for the champion that it saw. Every event names the one that it
follows. The first event that follows the last valid one is valid. Any other is void: its host gets an error, and the
event is not part of the history.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from typing import Any

SINCE, UNTIL, ROLLED_BACK = "fct.champion_since", "fct.champion_until", "fct.rolled_back"  # tags of a version


@dataclass(frozen=True, kw_only=True)
class Event:
    """One change of champion."""

    when: str  # UTC, to the second
    what: str  # promoted | rolled back
    version: str  # the new champion
    before: str | None  # the old champion, as the alias had it
    previous: str | None  # the version that becomes `previous`
    who: str
    why: str
    verdict: str  # of the gate, about `version`
    follows: str | None  # the id of the last event when this move was decided; None for the first
    id: str = field(default_factory=lambda: secrets.token_hex(8))

    def as_tags(self) -> dict[str, str]:
        """Return the fields as tags of MLflow; empty fields have no tag."""
        return {f"fct.{name}": value for name, value in asdict(self).items() if value}


@dataclass(frozen=True)
class View:
    """The aliases and tags that follow from a history."""

    champion: str | None
    previous: str | None
    tags: Mapping[str, Mapping[str, str | None]]  # by version; None for a tag that it must not have


def event_of(tags: Mapping[str, str]) -> Event | None:
    """Return the event with these tags, or None if there is none: someone registered something by hand."""
    if "fct.id" not in tags:
        return None
    values: dict[str, Any] = {one.name: tags.get(f"fct.{one.name}") for one in fields(Event)}
    return Event(**values | {"why": values["why"] or ""})


def valid_events(events: Iterable[Event]) -> list[Event]:
    """Return the events that count.

    Args:
        events: All events, in the order in which the registry numbered them.
    """
    valid: list[Event] = []
    for event in events:
        if event.follows == last_id(valid):
            valid.append(event)
    return valid


def last_id(events: Sequence[Event]) -> str | None:
    """Return the id of the last event; None if there is none."""
    return events[-1].id if events else None


def derive_view(events: Sequence[Event]) -> View:
    """Return the aliases, and the tags of every version that was champion.

    Args:
        events: The valid events, the oldest first.
    """
    tags: dict[str, dict[str, str | None]] = {}
    champion = previous = None
    for event in events:
        # If the alias was moved by hand, the champion of the last event has ended too.
        for number in (champion, event.before):
            if number is not None and number != event.version:
                tags.setdefault(number, {})[UNTIL] = event.when
        if event.what == "rolled back" and event.before is not None:
            note = f"{event.when} by {event.who}" + (f": {event.why}" if event.why else "")
            tags.setdefault(event.before, {})[ROLLED_BACK] = note
        tags[event.version] = {SINCE: event.when, UNTIL: None, ROLLED_BACK: None}
        champion, previous = event.version, event.previous
    return View(champion, previous, tags)
