"""The versions and aliases of one registered model."""

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
MOVE_TAG = "fct.move"  # on the registered model: a move that has begun; removed when it is done
HISTORY_TAG = (
    "fct.history."  # on the registered model, with a key after it: one event of the history; keys are in order
)


@dataclass(frozen=True)
class Version:
    """One registered version."""

    number: str
    tags: Mapping[str, str] = field(compare=False)


@dataclass(frozen=True)
class State:
    """Which versions have a role."""

    champion: Version | None
    challenger: Version | None
    previous: Version | None
    proven: Version | None  # the last version that a command made champion

    @property
    def is_proven(self) -> bool:
        """Whether the champion is the one that a command made champion."""
        return self.champion is not None and self.champion == self.proven


@dataclass(frozen=True)
class Event:
    """One line of the history."""

    when: str  # UTC, to the second
    what: str  # promoted | rolled back
    version: str  # the new champion
    before: str | None  # the old champion
    who: str
    why: str
    verdict: str  # of the gate, about `version`


@dataclass(frozen=True)
class Move:
    """A change of champion. Taking its steps twice has the same result as taking them once."""

    event: Event
    previous: str | None  # the version that becomes `previous`
    key: str  # of the event in the history: its number and a random part, which differs between hosts


@dataclass(frozen=True)
class Versions:
    """The versions registered under one name."""

    server: Server
    name: str

    def state(self) -> State:
        """Return which versions have a role now."""
        from mlflow.exceptions import MlflowException

        try:
            model = self.server.client.get_registered_model(self.name)
        except MlflowException as error:
            if error.error_code != "RESOURCE_DOES_NOT_EXIST":
                raise
            return State(None, None, None, None)
        numbers = [model.aliases.get(alias) for alias in ("champion", "challenger", "previous")]
        return State(*(self.get(number) for number in (*numbers, model.tags.get(CHAMPION_TAG))))

    def with_digest(self, digest: str) -> Version | None:
        """Return the latest version whose file has this SHA-256, or None."""
        versions = self._tagged("fct.sha256", digest)
        return versions[-1] if versions else None

    def made_by(self, commit: str) -> list[Version]:
        """Return the versions that this commit made, the oldest first."""
        return self._tagged("fct.commit", commit)

    def _tagged(self, tag: str, value: str) -> list[Version]:
        quoted = self.name.replace("'", "''")
        matches = self.server.client.search_model_versions(f"name='{quoted}' and tags.`{tag}`='{value}'")
        return [
            Version(str(match.version), match.tags) for match in sorted(matches, key=lambda match: int(match.version))
        ]

    def set_alias(self, alias: str, version: Version | None) -> None:
        """Point an alias at a version; None removes the alias."""
        if version is None:
            self.server.client.delete_registered_model_alias(self.name, alias)
        else:
            self.server.client.set_registered_model_alias(self.name, alias, version.number)

    def set_tags(self, version: Version, tags: Mapping[str, str | None]) -> None:
        """Set tags on a version; None removes one."""
        for key, value in tags.items():
            if value is not None:
                self.server.client.set_model_version_tag(self.name, version.number, key, value)
            elif key in version.tags:
                self.server.client.delete_model_version_tag(self.name, version.number, key)

    def set_champion(self, event: Event, *, previous: Version | None) -> None:
        """Make a version champion. The move is recorded first; `finish_interrupted` finishes it after a crash.

        MLflow's aliases have no compare-and-set. Therefore the champion is read right before the move and right after
        it. If two hosts move it at once, the one that is overtaken raises an error.

        Raises:
            FctError: another host changed the champion after this move was decided, or during it.
        """
        champion = self.state().champion
        if number_of(champion) != event.before:
            raise FctError(
                f"{self.name}: the champion was changed meanwhile; nothing was done. See `fct status`, then try again."
            )
        key = f"{len(self.history()) + 1:06}-{secrets.token_hex(4)}"
        move = Move(event, number_of(previous), key)
        self.server.client.set_registered_model_tag(self.name, MOVE_TAG, json.dumps(asdict(move)))
        self._apply(move)

    def finish_interrupted(self) -> None:
        """Finish a move that a crash interrupted. Drop it if another host has made another version champion since."""
        recorded = self._model_tags().get(MOVE_TAG)
        if recorded is None:
            return
        move = json.loads(recorded)
        event = Event(**move["event"])
        if number_of(self.state().champion) in (event.before, event.version):
            self._apply(Move(event, move["previous"], move["key"]))
        else:
            self.server.client.delete_registered_model_tag(self.name, MOVE_TAG)

    def history(self) -> list[Event]:
        """Return the events, the oldest first."""
        tags = self._model_tags()
        return [Event(**json.loads(tags[key])) for key in sorted(tags) if key.startswith(HISTORY_TAG)]

    def _apply(self, move: Move) -> None:
        """Take every step of a move. Their order makes each step harmless if the next one does not follow."""
        event, client = move.event, self.server.client
        version, before = self.get(event.version), self.get(event.before)
        if version is None:
            client.delete_registered_model_tag(self.name, MOVE_TAG)
            raise FctError(f"{self.name}: version {event.version}, the new champion, was deleted meanwhile.")
        self.set_alias("previous", self.get(move.previous))
        self.set_alias("champion", version)
        client.set_registered_model_tag(self.name, CHAMPION_TAG, version.number)
        self.set_tags(version, {"fct.champion_since": event.when, "fct.champion_until": None, "fct.rolled_back": None})
        if before is not None and before != version:
            note = f"{event.when} by {event.who}" + (f": {event.why}" if event.why else "")
            rolled_back = {"fct.rolled_back": note} if event.what == "rolled back" else {}
            self.set_tags(before, {"fct.champion_until": event.when, **rolled_back})
        client.set_registered_model_tag(self.name, f"{HISTORY_TAG}{move.key}", json.dumps(asdict(event)))
        client.delete_registered_model_tag(self.name, MOVE_TAG)
        now_champion = self.state().champion
        if now_champion != version:
            other = now_champion.number if now_champion else "none"
            raise FctError(f"{self.name}: another host was faster: version {other} is champion, not {version.number}.")

    def _model_tags(self) -> dict[str, str]:
        from mlflow.exceptions import MlflowException

        try:
            return dict(self.server.client.get_registered_model(self.name).tags)
        except MlflowException as error:
            if error.error_code != "RESOURCE_DOES_NOT_EXIST":
                raise
            return {}

    def download(self, version: Version, folder: Path) -> Path:
        """Download a version's ONNX file into `folder`.

        Raises:
            FctError: the file is missing, or is not the one that was registered.
        """
        from mlflow.artifacts import download_artifacts
        from mlflow.exceptions import MlflowException

        uri, name = f"models:/{self.name}/{version.number}", f"version {version.number} of {self.name}"
        try:
            downloaded = download_artifacts(
                artifact_uri=f"{uri}/model.onnx", dst_path=str(folder), tracking_uri=self.server.uri
            )
        except (MlflowException, OSError) as error:
            raise FctError(
                f"{name}: its model.onnx cannot be read from the registry ({str(error).partition(chr(10))[0][:200]}). "
                "Restore the artifact, or remove the alias champion from this version."
            ) from None
        path = Path(downloaded)
        if version.tags.get("fct.sha256", digest := sha256(path)) != digest:
            raise FctError(f"{name}: its model.onnx is not the registered file (sha256 {digest[:12]}...). Restore it.")
        return path

    def get(self, number: str | None) -> Version | None:
        """Return the version with this number, or None."""
        from mlflow.exceptions import MlflowException

        if number is None:
            return None
        try:
            version = self.server.client.get_model_version(self.name, number)
        except MlflowException as error:
            if error.error_code != "RESOURCE_DOES_NOT_EXIST":
                raise
            return None  # it was deleted
        return Version(str(version.version), dict(version.tags))


def number_of(version: Version | None) -> str | None:
    """Return a version's number; None for no version."""
    return None if version is None else version.number


def now() -> str:
    """Return the time in UTC, to the second."""
    return datetime.now(UTC).isoformat(timespec="seconds")
