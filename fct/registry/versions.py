"""Versions and aliases of one registered model."""

from __future__ import annotations

import json
import secrets
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from fct.core.errors import FctError
from fct.core.files import sha256
from fct.tracking.server import Server

CHAMPION_TAG = "fct.champion"  # on the registered model: the version that a command made champion
MOVE_TAG = "fct.move"  # likewise: a move that has begun; gone once it is done
HISTORY_TAG = "fct.history."  # likewise, and a key: what happened, in order of the keys


@dataclass(frozen=True)
class Version:
    """One registered version."""

    number: str
    tags: Mapping[str, str] = field(compare=False)


@dataclass(frozen=True)
class State:
    """Who is what."""

    champion: Version | None
    challenger: Version | None
    previous: Version | None
    proven: Version | None  # the last that a command made champion

    @property
    def is_proven(self) -> bool:
        """Tell whether the champion is the one that a command made champion."""
        return self.champion is not None and self.champion == self.proven


@dataclass(frozen=True)
class Event:
    """One line of the history."""

    when: str  # UTC, to the second
    what: str  # promoted | rolled back
    version: str  # champion from then on
    before: str | None  # the champion until then
    who: str
    why: str
    verdict: str  # of the gate, on `version`


@dataclass(frozen=True)
class Move:
    """A change of champion, whole: its steps may be taken twice, and end alike."""

    event: Event
    previous: str | None  # who is to be `previous` after it
    key: str  # of the event in the history: its number, and what no other host will think of


@dataclass(frozen=True)
class Versions:
    """The versions registered under one name."""

    server: Server
    name: str

    def state(self) -> State:
        """Return who is what now."""
        from mlflow.exceptions import MlflowException

        try:
            model = self.server.client.get_registered_model(self.name)
        except MlflowException as error:
            if error.error_code != "RESOURCE_DOES_NOT_EXIST":
                raise
            return State(None, None, None, None)
        numbers = [model.aliases.get(alias) for alias in ("champion", "challenger", "previous")]
        return State(*(self.get(number) for number in (*numbers, model.tags.get(CHAMPION_TAG))))

    def of(self, digest: str) -> Version | None:
        """Return the latest version of the file with this SHA-256, or None."""
        found = self._tagged("fct.sha256", digest)
        return found[-1] if found else None

    def made_by(self, commit: str) -> list[Version]:
        """Return the versions that this commit made, the oldest first."""
        return self._tagged("fct.commit", commit)

    def _tagged(self, tag: str, value: str) -> list[Version]:
        quoted = self.name.replace("'", "''")
        found = self.server.client.search_model_versions(f"name='{quoted}' and tags.`{tag}`='{value}'")
        return [Version(str(each.version), each.tags) for each in sorted(found, key=lambda each: int(each.version))]

    def alias(self, alias: str, version: Version | None) -> None:
        """Let an alias name a version, or nothing."""
        if version is None:
            self.server.client.delete_registered_model_alias(self.name, alias)
        else:
            self.server.client.set_registered_model_alias(self.name, alias, version.number)

    def tag(self, version: Version, tags: Mapping[str, str | None]) -> None:
        """Set tags on a version; None removes one."""
        for key, value in tags.items():
            if value is not None:
                self.server.client.set_model_version_tag(self.name, version.number, key, value)
            elif key in version.tags:
                self.server.client.delete_model_version_tag(self.name, version.number, key)

    def set_champion(self, event: Event, *, previous: Version | None) -> None:
        """Make a version champion; what it takes is written down first, so that `settle` can finish it after a crash.

        Aliases have no compare-and-set. So the champion is looked at right before the move and right after it: of two
        hosts that move it at once, the one that is overtaken says so.

        Raises:
            FctError: the champion is no longer who it was when the move was decided, or was moved meanwhile.
        """
        champion = self.state().champion
        if number_of(champion) != event.before:
            raise FctError(f"{self.name}: the champion was changed meanwhile. Nothing was moved; look, and try again.")
        key = f"{len(self.history()) + 1:06}-{secrets.token_hex(4)}"
        move = Move(event, number_of(previous), key)
        self.server.client.set_registered_model_tag(self.name, MOVE_TAG, json.dumps(asdict(move)))
        self._take(move)

    def finish_interrupted(self) -> None:
        """Finish a move that a crash has interrupted, if there is one; another host may have moved on since."""
        told = self._model_tags().get(MOVE_TAG)
        if told is None:
            return
        known = json.loads(told)
        event = Event(**known["event"])
        if number_of(self.state().champion) in (event.before, event.version):
            self._take(Move(event, known["previous"], known["key"]))
        else:
            self.server.client.delete_registered_model_tag(self.name, MOVE_TAG)

    def history(self) -> list[Event]:
        """Return what happened, the oldest first."""
        tags = self._model_tags()
        return [Event(**json.loads(tags[key])) for key in sorted(tags) if key.startswith(HISTORY_TAG)]

    def _take(self, move: Move) -> None:
        """Take every step of a move, in an order in which each is harmless without the next."""
        event, client = move.event, self.server.client
        version, before = self.get(event.version), self.get(event.before)
        if version is None:
            client.delete_registered_model_tag(self.name, MOVE_TAG)
            raise FctError(f"{self.name}: version {event.version}, which was to be champion, is not there any more.")
        self.alias("previous", self.get(move.previous))
        self.alias("champion", version)
        client.set_registered_model_tag(self.name, CHAMPION_TAG, version.number)
        self.tag(version, {"fct.champion_since": event.when, "fct.champion_until": None, "fct.rolled_back": None})
        if before is not None and before != version:
            by = f"{event.when} by {event.who}" + (f": {event.why}" if event.why else "")
            rolled_back = {"fct.rolled_back": by} if event.what == "rolled back" else {}
            self.tag(before, {"fct.champion_until": event.when, **rolled_back})
        client.set_registered_model_tag(self.name, f"{HISTORY_TAG}{move.key}", json.dumps(asdict(event)))
        client.delete_registered_model_tag(self.name, MOVE_TAG)
        now_champion = self.state().champion
        if now_champion != version:
            other = now_champion.number if now_champion else "none"
            raise FctError(f"{self.name}: version {version.number} was overtaken: the champion is {other} now.")

    def _model_tags(self) -> dict[str, str]:
        from mlflow.exceptions import MlflowException

        try:
            return dict(self.server.client.get_registered_model(self.name).tags)
        except MlflowException as error:
            if error.error_code != "RESOURCE_DOES_NOT_EXIST":
                raise
            return {}

    def file(self, version: Version, folder: Path) -> Path:
        """Download a version's ONNX file into `folder`.

        Raises:
            FctError: it has none, or not the one that was registered.
        """
        from mlflow.artifacts import download_artifacts
        from mlflow.exceptions import MlflowException

        uri, place = f"models:/{self.name}/{version.number}", f"version {version.number} of {self.name}"
        try:
            got = download_artifacts(
                artifact_uri=f"{uri}/model.onnx", dst_path=str(folder), tracking_uri=self.server.uri
            )
        except (MlflowException, OSError) as error:
            raise FctError(
                f"{place}: its model.onnx cannot be read from the registry ({str(error).partition(chr(10))[0][:200]}). "
                "Restore the artifact, or take the alias champion off this version."
            ) from None
        path = Path(got)
        if version.tags.get("fct.sha256", found := sha256(path)) != found:
            raise FctError(
                f"{place}: its model.onnx is not the file that was registered ({found[:12]}...). Restore it."
            )
        return path

    def get(self, number: str | None) -> Version | None:
        """Return the version of that number, or None."""
        from mlflow.exceptions import MlflowException

        if number is None:
            return None
        try:
            found = self.server.client.get_model_version(self.name, number)
        except MlflowException as error:
            if error.error_code != "RESOURCE_DOES_NOT_EXIST":
                raise
            return None  # deleted since
        return Version(str(found.version), dict(found.tags))


def number_of(version: Version | None) -> str | None:
    """Return a version's number; None for none."""
    return None if version is None else version.number


def now() -> str:
    """Return the time, to the second, in UTC."""
    return datetime.now(UTC).isoformat(timespec="seconds")
