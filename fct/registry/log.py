"""The history of a registered model in MLflow: a log that several hosts append to.

MLflow's aliases and tags are last-write-wins, so they cannot decide between two hosts. A new version can: the database
gives each version a number of its own. Therefore every event is one version of a second registered model,
`<name>.history`, and the numbers are the order of the events.

Before a host appends, it sets a tag of that second model, which says that it is writing aliases and tags. Afterwards it
removes the tag. While there is such a tag, an alias that differs from the log is late, not moved by hand.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from fct.registry.events import Event, event_of, valid_events
from fct.registry.existence import create_if_missing, if_exists
from fct.tracking.server import Server

WRITING = "fct.writing."  # on the log's model, with a random part after it: a host writes aliases and tags since then
DEAD = timedelta(minutes=10)  # a host that has written for longer has died; its steps take milliseconds
TRIES = 20  # of an append; MLflow tries three times each
DESCRIPTION = (
    "The history of the registered model `{name}`: each version is one promotion or rollback, with its facts as tags. "
    "`fct history` shows the valid ones. `fct` writes here; do not delete versions, and do not serve them."
)


@dataclass(frozen=True)
class Log:
    """The history of the model that is registered under a name."""

    server: Server
    name: str  # of the model that the history is about

    @property
    def model(self) -> str:
        """The name of the registered model that holds the history."""
        return f"{self.name}.history"

    def read(self) -> list[Event]:
        """Return the valid events, the oldest first."""
        entries = self.server.client.search_model_versions(f"name={quote(self.model)}")
        events = (event_of(entry.tags) for entry in sorted(entries, key=lambda entry: int(entry.version)))
        return valid_events(event for event in events if event is not None)

    def append(self, event: Event) -> None:
        """Append an event. The log then says whether it is valid."""
        from mlflow.exceptions import MlflowException

        source = f"models:/{self.name}/{event.version}"
        for attempt in range(TRIES):
            try:
                self.server.client.create_model_version(self.model, source, tags=event.as_tags())
            except MlflowException as error:
                # Other hosts took each number that MLflow tried.
                if "Giving up after" not in str(error) or attempt == TRIES - 1:
                    raise
            else:
                return

    def writers(self) -> dict[str, str]:
        """Return the tags of hosts that are writing aliases and tags, or died while writing, each with its start."""
        model = if_exists(lambda: self.server.client.get_registered_model(self.model))
        tags = model.tags if model else {}
        return {key: value for key, value in tags.items() if key.startswith(WRITING)}

    @contextmanager
    def writing(self) -> Iterator[None]:
        """Tag the log while this host writes aliases and tags. If the block fails, the tag stays for `writers`."""
        from mlflow.exceptions import MlflowException

        client, key = self.server.client, WRITING + secrets.token_hex(8)
        began = datetime.now(UTC).isoformat(timespec="seconds")
        try:
            client.set_registered_model_tag(self.model, key, began)
        except MlflowException as error:
            if error.error_code != "RESOURCE_DOES_NOT_EXIST":
                raise
            create_if_missing(client, self.model, description=DESCRIPTION.format(name=self.name))
            client.set_registered_model_tag(self.model, key, began)
        yield
        client.delete_registered_model_tag(self.model, key)

    def forget_dead(self, writers: dict[str, str]) -> None:
        """Remove the tags of hosts that began so long ago that they must have died."""
        for key, began in writers.items():
            if datetime.now(UTC) - datetime.fromisoformat(began) > DEAD:
                self.server.client.delete_registered_model_tag(self.model, key)


def quote(name: str) -> str:
    """Return a name as a string in MLflow's filters."""
    return "'" + name.replace("'", "''") + "'"
