"""The command `fct doctor --services`: whether the servers that the environment names can be used from this machine.

All checks run at once, each for at most 20 seconds. No message shows a password.
"""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import threading
import time
from base64 import b64encode
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from http.client import InvalidURL
from typing import Any
from urllib.error import HTTPError
from urllib.parse import quote, unquote, urlsplit, urlunsplit
from urllib.request import Request, urlopen

from fct.core.errors import FctError, UnreachableError
from fct.tracking.server import without_password

LIMIT = 20.0  # seconds for a check
ANSWER = 5.0  # seconds to wait for an answer of a server
SKEW = 10.0  # seconds by which clocks may differ: beats of workers and names of runs are compared across hosts
LEAST_FREE = 2e9  # bytes
OLDEST_POSTGRES = 150_000  # server_version_num


@dataclass(frozen=True)
class Finding:
    """The result of a check."""

    subject: str
    facts: str  # what was found
    is_bad: bool = False


class BadError(Exception):
    """Something is wrong; the text says what, and what to do."""


def examine(environment: Mapping[str, str]) -> Iterator[Finding]:
    """Check every service that the environment and DVC's configuration name, and this machine's disk and GPU.

    Args:
        environment: MLFLOW_TRACKING_URI, PREFECT_API_URL, FCT_DATABASE_URL, RAY_ADDRESS, and what they need.
    """
    checks: dict[str, Callable[[], str]] = {
        "MLFLOW_TRACKING_URI": lambda: _check_mlflow(environment),
        "PREFECT_API_URL": lambda: _check_prefect(environment),
        "FCT_DATABASE_URL": lambda: _check_database(environment),
        "RAY_ADDRESS": lambda: _check_ray(environment["RAY_ADDRESS"]),
    }
    configured = {name: check for name, check in checks.items() if environment.get(name)}
    configured |= {"DVC remote": _check_remote, "disk": _check_disk, "GPU": _check_gpu}
    running = {name: _Check(name, check) for name, check in configured.items()}
    for name in (*checks, "DVC remote", "disk", "GPU"):
        yield running[name].result() if name in running else Finding(name, "not set")


class _Check:
    """A check in a thread of its own, which ends with the process if it hangs."""

    def __init__(self, subject: str, check: Callable[[], str]) -> None:
        self._subject, self._check, self._began = subject, check, time.monotonic()
        self._finding: Finding | None = None
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        try:
            self._finding = Finding(self._subject, self._check())
        except (BadError, FctError) as error:
            self._finding = Finding(self._subject, str(error), is_bad=True)
        except Exception as error:  # noqa: BLE001  # a check never ends the others
            self._finding = Finding(self._subject, f"{type(error).__name__}: {error}", is_bad=True)

    def result(self) -> Finding:
        """Wait for the check, and return its result."""
        self._thread.join(max(0.0, self._began + LIMIT - time.monotonic()))
        silence = f"does not answer within {LIMIT:g} s: it is overloaded, or a firewall drops requests"
        return self._finding or Finding(self._subject, silence, is_bad=True)


def _check_mlflow(environment: Mapping[str, str]) -> str:
    uri = environment["MLFLOW_TRACKING_URI"]
    scheme, separator, _ = uri.partition("://")
    if scheme not in ("http", "https"):
        if not separator or scheme.partition("+")[0] not in ("sqlite", "postgresql", "mysql", "mssql"):
            raise BadError(
                f"{without_password(uri)} is not the address of a server, http://host:port, or of a database"
            )
        return f"{without_password(uri)}: no server but a database, which is not checked"
    user, password = (environment.get(f"MLFLOW_TRACKING_{part}", "") for part in ("USERNAME", "PASSWORD"))
    remedy = "Set MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD"
    login = f"{user}:{password}" if user else ""
    version, clock = _get(f"{uri}/version", login, remedy)
    name = environment.get("MLFLOW_EXPERIMENT_NAME") or "fct"
    api = f"{uri}/api/2.0/mlflow/experiments"
    try:
        text, _ = _get(f"{api}/get-by-name?experiment_name={quote(name)}", login, remedy)
    except _MissingError:
        rights = f"experiment {name} is not there yet: the first stage makes it"
    else:
        tag = {"key": "fct.doctor", "value": datetime.now(UTC).isoformat(timespec="seconds")}
        body = {"experiment_id": json.loads(text)["experiment"]["experiment_id"], **tag}
        _get(f"{api}/set-experiment-tag", login, f"Ask for the permission EDIT on the experiment {name}", body)
        rights = f"may write to the experiment {name}"
    return f"{without_password(uri)}: MLflow {version.strip()}, {rights}, {clock}"


def _check_prefect(environment: Mapping[str, str]) -> str:
    url, login = environment["PREFECT_API_URL"], environment.get("PREFECT_API_AUTH_STRING", "")
    remedy = "Set PREFECT_API_AUTH_STRING to user:password"
    version, clock = _get(f"{url}/admin/version", login, remedy)
    account = "password accepted" if login else "asks for no password"
    return f"{without_password(url)}: Prefect {json.loads(version)}, {account}, {clock}"


def _check_database(environment: Mapping[str, str]) -> str:
    from fct.core import database

    url = database.database_url()
    if url is None:
        return f"{database.without_password(environment['FCT_DATABASE_URL'])} is not this process's"
    with database.connect(url) as connection:
        connection.execute(f"SET statement_timeout = {round(1000 * ANSWER)}")
        row = connection.execute(
            "SELECT current_setting('server_version_num')::int, current_setting('server_version'),"
            " has_schema_privilege(current_schema(), 'CREATE'), extract(epoch FROM clock_timestamp())::float8,"
            " to_regclass('version_info') IS NOT NULL"
        ).fetchone()
        if row is None:
            raise BadError("it returned nothing")
        number, version, may_write, clock, has_tables = row
        schema = connection.execute("SELECT schema_version FROM version_info").fetchone() if has_tables else None
    if number < OLDEST_POSTGRES:
        raise BadError(f"{database.without_password(url)}: PostgreSQL {version} is too old: 15 or newer is needed")
    if not may_write:
        raise BadError(
            f"{database.without_password(url)}: the user may not make tables. GRANT CREATE ON SCHEMA public TO it"
        )
    tables = f"Optuna's tables of schema {schema[0]}" if schema else "no tables of Optuna until the first search"
    return f"{database.without_password(url)}: PostgreSQL {version}, may make tables, {tables}, {_clock(float(clock))}"


def _check_remote() -> str:
    from fct.remote.probe import probe

    result = probe()
    if result is None:
        return "not set"
    clock = f", {_clock(result.changed.timestamp())}" if result.changed else ""
    if not result.verifies:
        raise BadError(
            f"{result.address}: can be written, but `dvc pull` takes damaged files from it: "
            "`dvc remote modify NAME verify true`"
        )
    return f"{result.address}: can be written and read, pulls are verified{clock}"


def _check_ray(address: str) -> str:
    if address == "auto":
        return "auto: not checked; `ray status` says whether this machine belongs to a cluster"
    parts = urlsplit(address if "//" in address else f"//{address}")
    try:
        host, port = parts.hostname, parts.port
    except ValueError:  # the port is no number, or too large
        host = port = None
    if not host or not port:
        raise BadError(f"{address}: this is neither auto nor an address such as ray-head:6379")
    try:
        socket.create_connection((host, port), timeout=ANSWER).close()
    except OSError as error:
        raise BadError(f"{address}: nothing answers ({error}). Start it with `ray start --head`") from None
    if parts.scheme.startswith("http"):
        text, clock = _get(f"{address.rstrip('/')}/api/version", "", "")
        return f"{address}: Ray {json.loads(text).get('ray_version')}, {clock}"
    return f"{address}: the port answers"


def _check_disk() -> str:
    free = shutil.disk_usage(".").free
    if free < LEAST_FREE:
        raise BadError(f"{free / 1e9:.1f} GB are free here. `fct doctor` says how to free space")
    return f"{free / 1e9:.0f} GB are free here"


def _check_gpu() -> str:
    command = ["nvidia-smi", "--query-gpu=name,memory.free,memory.total", "--format=csv,noheader"]
    try:
        process = subprocess.run(command, capture_output=True, text=True, timeout=ANSWER, check=False)
    except FileNotFoundError:
        return "none: trainings use the CPU"
    if process.returncode:
        reason = (process.stdout or process.stderr).strip().partition("\n")[0]
        raise BadError(f"nvidia-smi fails: {reason}. Check the driver")
    return "; ".join(process.stdout.strip().splitlines()) or "none: trainings use the CPU"


class _MissingError(Exception):
    """The server does not know what was asked for."""


def _get(url: str, login: str, remedy: str, body: Mapping[str, Any] | None = None) -> tuple[str, str]:
    """Send a request. Return the text of the answer, and what is to be said about the server's clock."""
    place = without_password(url)
    try:
        parts = urlsplit(url)
        is_address = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
    except ValueError:  # brackets that do not match, or an impossible port
        is_address = False
    if not is_address:
        raise BadError(f"{place} is not the address of a server, such as http://host:4200/api")
    account, _, host = parts.netloc.rpartition("@")
    if account:  # urlopen would take the password for a port, and show it
        url, login = urlunsplit(parts._replace(netloc=host)), login or unquote(account)
    headers = {"Content-Type": "application/json"}
    if login:
        headers["Authorization"] = f"Basic {b64encode(login.encode()).decode()}"
    data = None if body is None else json.dumps(body).encode()
    try:
        with urlopen(Request(url, data, headers), timeout=ANSWER) as answer:  # noqa: S310 as the person configured it
            date, text = answer.headers.get("Date"), answer.read(1 << 20).decode(errors="replace")
    except HTTPError as error:
        if error.code == 404:
            raise _MissingError from None
        if error.code in (401, 403):
            raise BadError(f"{place} refuses (HTTP status {error.code}). {remedy}") from None
        raise BadError(f"{place} fails with HTTP status {error.code}. See the server's log") from None
    except InvalidURL:
        raise BadError(f"{place} is not the address of a server: see its host and port") from None
    except OSError as error:
        reason = getattr(error, "reason", error)
        raise UnreachableError(f"{place} does not answer ({reason}). Start the server, or check the address") from None
    return text, _clock(parsedate_to_datetime(date).timestamp()) if date else "no clock"


def _clock(there: float) -> str:
    """Return what to say about a server's clock, in seconds since the epoch.

    Raises:
        BadError: it differs too much.
    """
    difference = time.time() - there
    if abs(difference) > SKEW:
        way = "ahead of" if difference > 0 else "behind"
        raise BadError(f"this machine's clock is {abs(difference):.0f} s {way} the server's. Keep both by NTP")
    return "clocks agree"


def report(echo: Callable[[str], object]) -> bool:
    """Print every finding; return whether one is bad."""
    is_bad = False
    for finding in examine(os.environ):
        echo(f"{finding.subject}: {'FAILED: ' if finding.is_bad else ''}{finding.facts}")
        is_bad |= finding.is_bad
    return is_bad
