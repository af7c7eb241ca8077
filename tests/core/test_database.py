"""The URL of the shared database is read, checked, and shown without its password."""

import pytest

from fct.core.database import VARIABLE, database_url, sqlalchemy_url, without_password
from fct.core.errors import FctError


@pytest.mark.parametrize("password", ["s3@cret", "s3/cret", "s3 cret", "@s3cret", "s3cret@"])
def test_a_password_with_a_special_character_is_refused_and_not_shown(monkeypatch, password):
    """The client would take a part of it for the host, and show it in its error."""
    monkeypatch.setenv(VARIABLE, f"postgresql://user:{password}@localhost:1/db")
    with pytest.raises(FctError, match="Write @ / : and % in it as %40") as raised:
        database_url()
    assert "cret" not in str(raised.value)


@pytest.mark.parametrize("scheme", ["postgresql", "postgres", "postgresql+psycopg"])
def test_each_form_of_the_url_works_for_both_readers(monkeypatch, scheme):
    """For psycopg and for SQLAlchemy, with the driver that is installed."""
    monkeypatch.setenv(VARIABLE, f"{scheme}://u:p@h:1/d")
    assert database_url() == "postgresql://u:p@h:1/d"
    assert sqlalchemy_url(database_url()) == "postgresql+psycopg://u:p@h:1/d"


@pytest.mark.parametrize("value", [None, ""])
def test_without_the_variable_there_is_no_database(monkeypatch, value):
    """Unset and empty are the same."""
    monkeypatch.delenv(VARIABLE, raising=False)
    if value is not None:
        monkeypatch.setenv(VARIABLE, value)
    assert database_url() is None


@pytest.mark.parametrize("url", ["sqlite:///x.db", "mysql://u:geheim@h/d", "geheim"])
def test_another_database_is_refused(monkeypatch, url):
    """The error names the variable and what to set, and shows no password."""
    monkeypatch.setenv(VARIABLE, url)
    with pytest.raises(FctError, match=VARIABLE) as error:
        database_url()
    assert ":geheim@" not in str(error.value)


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("postgresql://u:p@h:1/d", "postgresql://u@h:1/d"),
        ("postgresql://u:p%40@h/d", "postgresql://u@h/d"),
        ("postgresql://h/d?password=p&x=1", "postgresql://h/d?password=...&x=1"),
        ("postgresql://h/d", "postgresql://h/d"),
        ("postgresql://u:a/b c@h/d", "postgresql://u@h/d"),
        ("u:p@h/d", "(not a URL)"),
        ("host=h password=p", "(not a URL)"),
    ],
)
def test_a_url_is_shown_without_its_password(url, shown):
    """Wherever the password stands."""
    assert without_password(url) == shown
