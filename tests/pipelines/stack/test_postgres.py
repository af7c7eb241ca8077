"""A private PostgreSQL starts, stops, survives kills and shows its passwords to nobody."""

import stat

import pytest

from fct.core.database import connect
from fct.core.errors import FctError, UnreachableError
from pipelines.stack import postgres as module


def count(url):
    with connect(url) as connection:
        return connection.execute("SELECT count(*) FROM t").fetchone()[0]


def test_what_is_written_survives_a_kill_and_a_restart(postgres):
    """A row is there after kill -9 of the server, and after a restart."""
    url = postgres.make_database("survivor")
    with connect(url) as connection:
        connection.execute("CREATE TABLE t AS SELECT 1")
    postgres.kill()
    assert not postgres.is_running()
    with pytest.raises(UnreachableError):
        connect(url)
    postgres.start()
    assert count(url) == 1
    postgres.restart()
    assert count(url) == 1


def test_a_server_is_found_again_in_its_folder(postgres):
    """It has the same port and password, and a second start does nothing."""
    again = module.Postgres.create(postgres.folder)
    assert again.url() == postgres.url()
    again.start()


def test_passwords_are_random_private_and_asked_for(postgres):
    """The file is the owner's alone, repr does not show the password, and without it nobody gets in."""
    assert stat.S_IMODE((postgres.folder / "postgres.json").stat().st_mode) == 0o600
    assert postgres.password not in repr(postgres)
    with pytest.raises(UnreachableError, match="password"):
        connect(postgres.url(password="wrong"))


def test_a_user_may_use_its_own_database_alone(postgres):
    """A user of one database is refused by another."""
    one, two = (postgres.make_database(name) for name in ("one", "two"))
    connect(one).close()
    with pytest.raises(UnreachableError, match="permission denied"):
        connect(one.rpartition("/")[0] + "/two")
    connect(two).close()


def test_making_a_database_again_keeps_what_is_in_it(postgres):
    """Its user gets a new password."""
    first = postgres.make_database("again")
    with connect(first) as connection:
        connection.execute("CREATE TABLE t AS SELECT 1")
    assert count(postgres.make_database("again")) == 1
    with pytest.raises(UnreachableError):
        connect(first)


def test_a_machine_without_postgresql_says_what_to_install(monkeypatch):
    """One sentence."""
    monkeypatch.setattr(module, "Path", lambda _: type("None", (), {"glob": staticmethod(lambda _: [])}))
    monkeypatch.setenv("PATH", "")
    with pytest.raises(FctError, match="apt-get install postgresql"):
        module.programs()
