"""A real PostgreSQL for tests, one per process; it starts with the first test that needs it."""

import itertools
import shutil
import tempfile
from pathlib import Path

import pytest

NUMBERS = itertools.count()


@pytest.fixture(scope="session")
def postgres():
    """Start a PostgreSQL in a folder that every user may enter, as root's server is not root's."""
    pytest.importorskip("psycopg")
    from pipelines.stack.postgres import Postgres, programs

    try:
        programs()
    except Exception as error:  # noqa: BLE001  # not installed
        pytest.skip(str(error))
    folder = Path(tempfile.mkdtemp(prefix="fct-postgres-"))
    folder.chmod(0o755)
    server = Postgres.create(folder, settings={"fsync": "off"})  # a killed server loses nothing, a killed machine would
    try:
        server.start()
        yield server
    finally:
        server.kill()
        shutil.rmtree(folder)


@pytest.fixture
def database(postgres, monkeypatch):
    """Make an empty database and name it in FCT_DATABASE_URL; return its URL."""
    url = postgres.make_database(f"test_{next(NUMBERS)}")
    monkeypatch.setenv("FCT_DATABASE_URL", url)
    return url
