"""Versions and aliases of one registered model."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from fct.core.errors import FctError
from fct.core.files import sha256
from fct.tracking.server import Server

CHAMPION_TAG = "fct.champion"  # on the registered model: the version that a command made champion


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
        quoted = self.name.replace("'", "''")
        found = self.server.client.search_model_versions(f"name='{quoted}' and tags.`fct.sha256`='{digest}'")
        newest = max(found, key=lambda each: int(each.version), default=None)
        return None if newest is None else Version(str(newest.version), newest.tags)

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

    def crown(self, version: Version, *, after: Version | None) -> None:
        """Make a version champion and say so on it and on the one before it."""
        self.alias("champion", version)
        self.server.client.set_registered_model_tag(self.name, CHAMPION_TAG, version.number)
        self.tag(version, {"fct.champion_since": now(), "fct.champion_until": None, "fct.rolled_back": None})
        if after is not None:
            self.tag(after, {"fct.champion_until": now()})

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


def now() -> str:
    """Return the time, to the second, in UTC."""
    return datetime.now(UTC).isoformat(timespec="seconds")
