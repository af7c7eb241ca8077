"""The PostgreSQL database that many hosts share. FCT_DATABASE_URL names it; without it, everything stays on this host.

export FCT_DATABASE_URL=postgresql://user:password@host:5432/fct
"""

from __future__ import annotations

import os
import re
from types import ModuleType
from typing import TYPE_CHECKING

from fct.core.errors import FctError, UnreachableError, install

if TYPE_CHECKING:
    import psycopg

VARIABLE = "FCT_DATABASE_URL"
SCHEMES = ("postgresql", "postgres", "postgresql+psycopg")
CONNECT_TIMEOUT = 10  # seconds
# Both ends notice within a minute that the other host is gone, and the server then frees the locks of that session.
LOST_AFTER = 30_000  # milliseconds without an acknowledgement of what was sent
KEEPALIVES = {"keepalives_idle": 30, "keepalives_interval": 10, "keepalives_count": 3}  # seconds, seconds, probes


def database_url() -> str | None:
    """Return the URL of the shared database as psycopg reads it, or None if FCT_DATABASE_URL is not set.

    Raises:
        FctError: it is not the URL of a PostgreSQL database.
    """
    url = os.environ.get(VARIABLE)
    if not url:
        return None
    scheme, separator, rest = url.partition("://")
    if scheme not in SCHEMES or not separator:
        raise FctError(
            f"{VARIABLE}={without_password(url)} is not the URL of a PostgreSQL database. "
            "Set it to postgresql://user:password@host:5432/database, or unset it to work on this host alone."
        )
    if re.search(
        "[@/ ].*@", rest.split("?")[0]
    ):  # the client would take a part of the password for the host, and show it
        raise FctError(
            f"{VARIABLE}={without_password(url)}: the password has a special character. Write @ / : and % in it as %40 "
            "%2F %3A and %25."
        )
    return f"postgresql://{rest}"


def sqlalchemy_url(url: str) -> str:
    """Return the URL with the driver that this project installs, as SQLAlchemy reads it."""
    return re.sub(r"^postgres(ql)?(\+\w+)?://", "postgresql+psycopg://", url)


def without_password(url: str) -> str:
    """Return a URL that may be shown: without its password, also if it is a mistyped URL.

    A password with a slash or a space makes a URL that no parser understands, so what stands before the last @ is cut.
    """
    scheme, separator, rest = url.partition("://")
    if not separator:
        return "(not a URL)"
    account, at, place = rest.rpartition("@")
    place = re.sub(r"(?i)(?<=password=)[^&]*", "...", place)
    return f"{scheme}://{account.partition(':')[0]}{at}{place}"


def connect_arguments() -> dict[str, int]:
    """Return the arguments of a connection that notices a lost host. SQLAlchemy takes them as `connect_args`."""
    return {"connect_timeout": CONNECT_TIMEOUT, "tcp_user_timeout": LOST_AFTER, **KEEPALIVES}


def connect(url: str) -> psycopg.Connection:
    """Connect to a database, in autocommit mode: a session that waits has no open transaction.

    Raises:
        FctError: psycopg is not installed.
        UnreachableError: the database does not accept the connection.
    """
    driver = import_psycopg()
    options = " ".join(f"-c tcp_{name}={value}" for name, value in KEEPALIVES.items())
    try:
        connection: psycopg.Connection = driver.connect(url, autocommit=True, options=options, **connect_arguments())
    except driver.ProgrammingError:  # its message has the password
        raise FctError(
            f"{VARIABLE}={without_password(url)} is not a valid URL. Write special characters of the password as %XX."
        ) from None
    except driver.OperationalError as error:
        raise unreachable(url, error) from error
    return connection


def unreachable(url: str, error: BaseException) -> UnreachableError:
    """Return the error for people about a database that does not answer."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    reason = lines[0] if lines else type(error).__name__
    return UnreachableError(
        f"{VARIABLE}={without_password(url)}: the database cannot be used ({reason}). "
        "Check that PostgreSQL runs there, and the name, user and password."
    )


def import_psycopg() -> ModuleType:
    """Return psycopg.

    Raises:
        FctError: it is not installed.
    """
    try:
        import psycopg
    except ModuleNotFoundError:
        raise FctError(f"psycopg is not installed, and {VARIABLE} needs it: {install('stack')}") from None
    return psycopg
