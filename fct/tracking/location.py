"""Checks where MLflow keeps its files: it records absolute paths, which are wrong in a copied or moved project.

    python -m fct.tracking.location    # in a copy or a moved project: record its own folder instead of the former one

MLflow makes every local path absolute when it creates an experiment, so a relative one cannot be recorded. A copy would
then write into the original's `mlruns`, and a moved project could not read its champion.
"""

from __future__ import annotations

import os
import shlex
import sqlite3
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from urllib.parse import unquote, urlsplit

from fct.core.errors import FctError, exit_on_error
from fct.core.paths import PARAMS

FOLDER = "mlruns"
SQLITE = "sqlite:///"
COLUMNS = (
    ("experiments", "artifact_location"),
    ("runs", "artifact_uri"),
    ("logged_models", "artifact_location"),
    ("model_versions", "source"),
    ("model_versions", "storage_location"),
)
REMEDY = "python -m fct.tracking.location"
SPECIAL = "%?"  # MLflow and SQLAlchemy read them as parts of a URI, so files land in another folder


def database_of(uri: str) -> Path | None:
    """Return the file of a tracking URI, or None if a server keeps it."""
    return Path(uri.removeprefix(SQLITE).partition("?")[0]).absolute() if uri.startswith(SQLITE) else None


def check_name(database: Path) -> None:
    """Check that MLflow can write into the folder of this database.

    Raises:
        FctError: a folder in its path has a character in its name that MLflow would change.
    """
    special = [character for character in SPECIAL if character in str(database.parent)]
    if special:
        raise FctError(
            f"{database.parent}: MLflow would write into another folder, because of the {' and '.join(special)} "
            "in this path. Rename the folder."
        )


def check(database: Path, location: str | None = None) -> None:
    """Check that MLflow's files are those of this project.

    Args:
        database: The tracking database.
        location: One recorded place; None for every place that the database records.

    Raises:
        FctError: a place is in another project, or in one that no longer exists.
    """
    places = _recorded(database) if location is None else [location]
    elsewhere = sorted({str(root) for place in places if (root := _other_project(database, place))})
    if elsewhere:
        raise FctError(
            f"{database}: its runs and models are in {', '.join(elsewhere)}, so this project was copied or moved. "
            f"Record its own folder: cd {shlex.quote(str(database.parent))} && {REMEDY}"
        )


def relocate(database: Path) -> int:
    """Replace the folder that the project was copied or moved from by its own folder, everywhere in the database.

    The former database stays beside it as <name>.before-move.

    Returns:
        The number of places that changed.

    Raises:
        FctError: the files are not here.
    """
    roots = {root for place in _recorded(database) if (root := _other_project(database, place))}
    here = database.parent
    if roots and not (here / FOLDER).is_dir():
        raise FctError(f"{here / FOLDER} is not here. Copy it from {' or '.join(map(str, roots))} first.")
    with closing(sqlite3.connect(database)) as connection:
        if roots:
            with closing(sqlite3.connect(f"{database}.before-move")) as kept:
                connection.backup(kept)
        with connection:
            return sum(
                connection.execute(
                    f"UPDATE {table} SET {column} = ? || substr({column}, ?) "  # noqa: S608 names of ours
                    f"WHERE substr({column}, 1, ?) = ?",
                    (new, len(old) + 1, len(old), old),
                ).rowcount
                for root in roots
                for old, new in ((f"{root}/{FOLDER}/", f"{here}/{FOLDER}/"), (f"{root.as_uri()}/", f"{here.as_uri()}/"))
                for table, column in _present(connection)
            )


def _present(connection: sqlite3.Connection) -> list[tuple[str, str]]:
    """Return the columns that this version of MLflow has."""
    return [
        (table, column)
        for table, column in COLUMNS
        if connection.execute("SELECT 1 FROM pragma_table_info(?) WHERE name = ?", (table, column)).fetchone()
    ]


def _recorded(database: Path) -> Iterator[str]:
    """Yield the places that a database records: of its experiments and its registered models."""
    if not database.is_file():
        return
    with closing(sqlite3.connect(f"{database.as_uri()}?mode=ro", uri=True)) as connection:
        for table, column in _present(connection):
            if table != "runs":  # their places are inside those of their experiment
                for (place,) in connection.execute(f"SELECT DISTINCT {column} FROM {table}"):  # noqa: S608
                    yield place or ""


def _other_project(database: Path, location: str) -> Path | None:
    """Return the folder of another project that contains a place, or None.

    A folder that somebody chose outside any project does not count as another project.
    """
    path = Path(unquote(urlsplit(location).path)) if location.startswith("file:") else Path(location)
    if not path.is_absolute() or FOLDER not in path.parts:
        return None
    root = Path(*path.parts[: path.parts.index(FOLDER)])
    if root == database.parent or (root.exists() and root.samefile(database.parent)):
        return None
    is_copied = (database.parent / path.relative_to(root)).exists()
    return root if is_copied or not root.exists() or (root / PARAMS).exists() else None


def main() -> None:
    """Record the folder of the project that this runs in."""
    with exit_on_error():
        uri = os.environ.get("MLFLOW_TRACKING_URI") or f"{SQLITE}mlflow.db"
        database = database_of(uri)
        if database is None or not database.is_file():
            raise FctError(
                f"MLFLOW_TRACKING_URI={uri} is not a database of this folder. Run this in the project's folder."
            )
        print(f"{database}: {relocate(database)} places recorded anew", file=sys.stderr)


if __name__ == "__main__":
    main()
