"""The versions and aliases of one registered model."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from fct.core.errors import FctError, OvertakenError
from fct.core.files import sha256
from fct.registry.events import Event, View, derive_view, last_id
from fct.registry.existence import if_exists
from fct.registry.log import Log, quote
from fct.tracking.server import Server


@dataclass(frozen=True)
class Version:
    """One registered version."""

    number: str
    tags: Mapping[str, str] = field(compare=False)


@dataclass(frozen=True)
class State:
    """The versions that are champion, challenger and previous."""

    champion: Version | None
    challenger: Version | None
    previous: Version | None
    proven: Version | None  # the last version that a command made champion
    last_event: str | None  # the id of the event that did

    @property
    def is_proven(self) -> bool:
        """Whether the champion is the one that a command made champion."""
        return self.champion is not None and self.champion == self.proven


@dataclass(frozen=True)
class Versions:
    """The versions registered under one name."""

    server: Server
    name: str

    @property
    def log(self) -> Log:
        """The history, which decides who is champion."""
        return Log(self.server, self.name)

    def state(self) -> State:
        """Return which versions have a role now."""
        events, aliases, is_written = self._read()
        last = events[-1] if events else None
        if last and is_written:
            aliases |= {"champion": last.version, "previous": last.previous}
        champion, challenger, previous = (
            self.get(aliases.get(alias)) for alias in ("champion", "challenger", "previous")
        )
        proven = self.get(last.version) if last else None
        return State(champion, challenger, previous, proven, last_id(events))

    def _read(self) -> tuple[list[Event], dict[str, str | None], bool]:
        """Return history, aliases, and whether a host is writing the aliases, as of one moment.

        This takes three requests. If the history is the same before and after them and no host is writing, the aliases
        are those of this history, or someone moved them by hand. The writers are read before the aliases: a host that
        has ended by then has left the right aliases.
        """
        events = self.log.read()
        while True:
            is_written, aliases = bool(self.log.writers()), self._aliases()
            now_events = self.log.read()
            if now_events == events:
                return events, aliases, is_written
            events = now_events

    def with_digest(self, digest: str) -> Version | None:
        """Return the latest version whose file has this SHA-256, or None."""
        versions = self._tagged("fct.sha256", digest)
        return versions[-1] if versions else None

    def made_by(self, commit: str) -> list[Version]:
        """Return the versions that this commit made, the oldest first."""
        return self._tagged("fct.commit", commit)

    def _tagged(self, tag: str, value: str) -> list[Version]:
        return self._search(f" and tags.`{tag}`='{value}'")

    def _search(self, condition: str = "") -> list[Version]:
        """Return the versions that meet a condition, the oldest first."""
        matches = self.server.client.search_model_versions(f"name={quote(self.name)}{condition}")
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

    def set_champion(self, event: Event) -> None:
        """Make a version champion: append the event to the history, then write the aliases and tags that follow.

        If two hosts do this at once, the history accepts one. After a crash, `finish_interrupted` does the rest.

        Raises:
            OvertakenError: another host changed the champion after this move was decided.
            FctError: the new champion was deleted meanwhile.
        """
        state = self.state()
        if (number_of(state.champion), state.last_event) != (event.before, event.follows):
            raise OvertakenError(
                f"{self.name}: the champion was changed meanwhile; nothing was done. See `fct status`, then try again."
            )
        if self.get(event.version) is None:
            raise FctError(f"{self.name}: version {event.version}, the new champion, was deleted meanwhile.")
        with self.log.writing():
            self.log.append(event)
            events = self.log.read()
            is_valid = event.id in {other.id for other in events}
            if is_valid:
                self._write_view(events)
        if not is_valid:
            champion = events[-1].version
            instead = "" if champion == event.version else f", not {event.version}"
            raise OvertakenError(
                f"{self.name}: another host was faster: version {champion} is champion{instead}. "
                "See `fct status`, then try again."
            )

    def finish_interrupted(self) -> None:
        """Write the aliases and tags of the history if a host began to write them and did not finish."""
        writers = self.log.writers()
        if not writers:
            return
        with self.log.writing():
            self._write_view(self.log.read())
        self.log.forget_dead(writers)

    def history(self) -> list[Event]:
        """Return the events, the oldest first."""
        return self.log.read()

    def _write_view(self, events: list[Event]) -> None:
        """Write the aliases and tags that follow from the history. Repeat this if the history grew meanwhile.

        A slow host may write after a faster one. It then sees the faster one's event, and writes again.
        """
        while True:
            if events:
                self._write(derive_view(events))
            now_events = self.log.read()
            if now_events == events:
                return
            events = now_events

    def _write(self, view: View) -> None:
        versions, aliases = {version.number: version for version in self._search()}, self._aliases()
        for alias, number in (("previous", view.previous), ("champion", view.champion)):
            version = versions.get(number or "")  # None if it was deleted
            if aliases.get(alias) != number_of(version):
                self.set_alias(alias, version)
        for number, tags in view.tags.items():
            if version := versions.get(number):
                self.set_tags(version, {key: tag for key, tag in tags.items() if version.tags.get(key) != tag})

    def _aliases(self) -> dict[str, str | None]:
        model = if_exists(lambda: self.server.client.get_registered_model(self.name))
        return {alias: str(number) for alias, number in model.aliases.items()} if model else {}

    def download(
        self, version: Version, folder: Path, *, file: str = "model.onnx", digest_tag: str = "fct.sha256"
    ) -> Path:
        """Download a file of a version into `folder`: the ONNX file, or another one.

        Args:
            version: the version of this registered model.
            folder: gets the file.
            file: the file's name.
            digest_tag: the tag with the file's SHA-256. A version without it may have any file.

        Raises:
            FctError: the file is missing, or is not the one that was registered.
        """
        from mlflow.artifacts import download_artifacts
        from mlflow.exceptions import MlflowException

        uri = f"models:/{self.name}/{version.number}/{file}"
        name = f"version {version.number} of {self.name}: its {file}"
        try:
            downloaded = download_artifacts(artifact_uri=uri, dst_path=str(folder), tracking_uri=self.server.uri)
        except (MlflowException, OSError) as error:
            raise FctError(
                f"{name} cannot be read from the registry ({str(error).partition(chr(10))[0][:200]}). "
                "Restore the artifact, or remove the alias champion from this version."
            ) from None
        path = Path(downloaded)
        if version.tags.get(digest_tag, digest := sha256(path)) != digest:
            raise FctError(f"{name} is not the registered file (sha256 {digest[:12]}...). Restore it.")
        return path

    def get(self, number: str | None) -> Version | None:
        """Return the version with this number, or None. MLflow takes other text for a fault of the request."""
        if number is None or not number.isdecimal():
            return None
        version = if_exists(lambda: self.server.client.get_model_version(self.name, number))  # it may be deleted
        return Version(str(version.version), dict(version.tags)) if version else None


def number_of(version: Version | None) -> str | None:
    """Return a version's number; None for no version."""
    return None if version is None else version.number


def now() -> str:
    """Return the time in UTC, to the second."""
    return datetime.now(UTC).isoformat(timespec="seconds")
