"""A private PostgreSQL on loopback, from Debian's package: its own folder, port and random password.

    postgres = Postgres.create(folder)  # or the one that is in this folder already
    postgres.start()
    postgres.make_database("fct")  # the URL of a database with a user of its own
    postgres.stop()

The server runs on after the process that started it. PostgreSQL refuses to run as root: root starts it as the user
`postgres`, or else `nobody`.
"""

from __future__ import annotations

import json
import os
import pwd
import secrets
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from fct.core.database import connect, import_psycopg
from fct.core.errors import FctError
from fct.core.files import OWNER_ONLY, write_text

INSTALL = "PostgreSQL is not installed: apt-get install postgresql"
LEAST_VERSION = 15
ADMINISTRATOR = "fct_admin"
ACCOUNTS = ("postgres", "nobody")  # who runs the server for root
PATIENCE = 60  # seconds for a start or a stop
SETTINGS = {"max_connections": "300", "log_min_messages": "warning"}
CHECKED_NAME = frozenset("abcdefghijklmnopqrstuvwxyz0123456789_")


@dataclass(frozen=True)
class Postgres:
    """A PostgreSQL server in a folder."""

    folder: Path
    port: int
    password: str = field(repr=False)  # of the administrator
    settings: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def create(cls, folder: Path, *, port: int | None = None, settings: Mapping[str, str] | None = None) -> Postgres:
        """Return the server of a folder. Make its files, with a random password, if there are none.

        Args:
            folder: a folder that the user of the server may enter; it is made if it is missing.
            port: on loopback, of a new server; None for one that is free now.
            settings: of postgresql.conf, for this start, such as {"fsync": "off"} for tests.

        Raises:
            FctError: PostgreSQL is not installed or too old, or its user may not enter the folder.
        """
        folder = folder.absolute()
        secret = folder / "postgres.json"
        folder.mkdir(parents=True, exist_ok=True)
        if not secret.exists():
            password = secrets.token_urlsafe(24)
            _init(folder, password)
            write_text(secret, json.dumps({"port": port or free_port(), "password": password}), OWNER_ONLY)
        values = json.loads(secret.read_text())
        return cls(folder, values["port"], values["password"], settings or {})

    def url(self, database: str = "postgres", user: str = ADMINISTRATOR, password: str | None = None) -> str:
        """Return the URL of a database, with the password in it."""
        return f"postgresql://{user}:{password or self.password}@127.0.0.1:{self.port}/{database}"

    def start(self) -> None:
        """Start the server if it does not run, and wait until it answers. It recovers after kill -9.

        Raises:
            FctError: it does not start. The message has the end of its log.
        """
        if self.is_running():
            return
        self._forget_dead()
        settings = {**SETTINGS, **self.settings}
        settings |= {"listen_addresses": "127.0.0.1", "port": str(self.port), "unix_socket_directories": ""}
        options = " ".join(f"-c {name}='{value}'" for name, value in settings.items())
        command = ["pg_ctl", "start", "--wait", f"--timeout={PATIENCE}", f"--log={self.log}", f"--options={options}"]
        _run(self.folder, [*command, f"--pgdata={self.data}"], on_error=self._why_not_started)

    def stop(self) -> None:
        """Stop the server if it runs: end its sessions, and write everything down."""
        if self.is_running():
            _run(self.folder, ["pg_ctl", "stop", "--mode=fast", f"--timeout={PATIENCE}", f"--pgdata={self.data}"])

    def restart(self) -> None:
        """Stop and start the server. Its clients lose their connections."""
        self.stop()
        self.start()

    def kill(self) -> None:
        """End the server and its processes with SIGKILL, as a power cut would; for tests."""
        pid = self._pid()
        if pid is None:
            return
        server = psutil.Process(pid)
        processes = [server, *server.children(recursive=True)]
        for process in processes:
            _kill(process)
        deadline = time.monotonic() + PATIENCE
        while any(map(_is_alive, processes)) and time.monotonic() < deadline:
            time.sleep(0.02)

    def is_running(self) -> bool:
        """Return whether the server's process runs."""
        return self._pid() is not None

    def make_database(self, name: str, password: str | None = None) -> str:
        """Make a database with a user of the same name, who alone may use it, and return its URL. Repeat it freely.

        Args:
            name: of the database and its user: small letters, digits and _.
            password: of the user; None for a random one, which replaces the former.
        """
        if not name or set(name) - CHECKED_NAME:
            raise ValueError(f"{name!r} must have small letters, digits and _ alone")
        sql = import_psycopg().sql
        password = password or secrets.token_urlsafe(24)
        role = database = sql.Identifier(name)
        with closing(connect(self.url())) as connection:
            exists = connection.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", (name,)).fetchone()
            verb = sql.SQL("ALTER" if exists else "CREATE")
            connection.execute(sql.SQL("{} ROLE {} LOGIN PASSWORD {}").format(verb, role, sql.Literal(password)))
            if not connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", (name,)).fetchone():
                connection.execute(sql.SQL("CREATE DATABASE {} OWNER {}").format(database, role))
            connection.execute(sql.SQL("REVOKE CONNECT ON DATABASE {} FROM PUBLIC").format(database))
        return self.url(name, name, password)

    @property
    def data(self) -> Path:
        """Return the folder of the server's files."""
        return self.folder / "data"

    @property
    def log(self) -> Path:
        """Return the file of the server's messages."""
        return self.data / "server.log"  # in the one folder that its user may write to

    def _pid(self) -> int | None:
        try:
            pid = int((self.data / "postmaster.pid").read_text().split()[0])
            process = psutil.Process(pid)
            runs = process.status() != psutil.STATUS_ZOMBIE and "postgres" in process.name()
        except (OSError, ValueError, IndexError, psutil.Error):
            return None
        return pid if runs else None

    def _forget_dead(self) -> None:
        """Remove the mark of a killed server whose pid is a zombie, which stays in a container without an init.

        PostgreSQL does so itself if the pid is gone. The killed server's own processes must have ended first.
        """
        mark = self.data / "postmaster.pid"
        if not mark.exists():
            return
        deadline = time.monotonic() + PATIENCE
        while any(map(self._works_here, psutil.process_iter())) and time.monotonic() < deadline:
            time.sleep(0.05)
        try:
            is_zombie = psutil.Process(int(mark.read_text().split()[0])).status() == psutil.STATUS_ZOMBIE
        except (OSError, ValueError, IndexError, psutil.Error):
            return
        if is_zombie:
            mark.unlink(missing_ok=True)

    def _works_here(self, process: psutil.Process) -> bool:
        try:
            return process.name().startswith("postgres") and process.cwd() == str(self.data.resolve())
        except psutil.Error:
            return False

    def _why_not_started(self, words: str) -> str:
        with socket.socket() as attempt:
            if attempt.connect_ex(("127.0.0.1", self.port)) == 0:
                return f"the port {self.port} on 127.0.0.1 is taken by another process"
        lines = self.log.read_text(errors="replace").splitlines()[-5:] if self.log.exists() else [words]
        return "\n".join(lines)


def free_port() -> int:
    """Return a port of loopback that is free now."""
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        return int(server.getsockname()[1])


def programs() -> Path:
    """Return the folder of PostgreSQL's programs: on the PATH, or the newest version of Debian's.

    Raises:
        FctError: it is not installed, or too old.
    """
    versions = [folder for folder in Path("/usr/lib/postgresql").glob("*/bin") if folder.parent.name.isdigit()]
    if newest := max(versions, key=lambda folder: int(folder.parent.name), default=None):
        if int(newest.parent.name) < LEAST_VERSION:
            raise FctError(f"{newest}: PostgreSQL {LEAST_VERSION} or newer is needed: apt-get install postgresql")
        return newest
    if found := shutil.which("pg_ctl"):
        return Path(found).resolve().parent
    raise FctError(INSTALL)


def _init(folder: Path, password: str) -> None:
    """Make the files of a server."""
    data = folder / "data"
    shutil.rmtree(data, ignore_errors=True)  # half made, as there was no postgres.json yet
    data.mkdir(mode=0o700)
    if account := _account():
        shutil.chown(data, account.pw_uid, account.pw_gid)
        _check_entry(folder, account)
    with tempfile.NamedTemporaryFile("w", dir=data.parent, suffix=".password") as file:
        file.write(password)
        file.flush()
        if account:
            os.chown(file.name, account.pw_uid, account.pw_gid)
        command = ["initdb", f"--pgdata={data}", f"--username={ADMINISTRATOR}", f"--pwfile={file.name}"]
        _run(folder, [*command, "--auth=scram-sha-256", "--encoding=UTF8", "--locale=C.UTF-8", "--no-instructions"])


def _account() -> pwd.struct_passwd | None:
    """Return the account that runs the server, or None for this process's own."""
    if os.geteuid() != 0:
        return None
    for name in ACCOUNTS:
        try:
            return pwd.getpwnam(name)
        except KeyError:
            continue
    raise FctError(f"PostgreSQL refuses to run as root, and this machine has no user {' or '.join(ACCOUNTS)}.")


def _check_entry(folder: Path, account: pwd.struct_passwd) -> None:
    command = [*_as(account), "test", "-x", str(folder / "data")]
    if subprocess.run(command, check=False, cwd="/").returncode:
        raise FctError(
            f"{folder}: PostgreSQL refuses to run as root, and its user {account.pw_name} may not enter this folder. "
            "Do not work as root, or use a folder outside of your home."
        )


def _as(account: pwd.struct_passwd) -> list[str]:
    return ["setpriv", f"--reuid={account.pw_uid}", f"--regid={account.pw_gid}", "--clear-groups", "--inh-caps=-all"]


def _run(folder: Path, command: Sequence[str], on_error: Callable[[str], str] = lambda words: words) -> None:
    """Run one of PostgreSQL's programs as the server's user. `on_error` finds the reason of a failure in its words."""
    account = _account()
    prefix = _as(account) if account else []
    # A file takes the output: the server inherits a pipe, which would then never end.
    with tempfile.TemporaryFile("w+") as output:
        status = subprocess.run(
            [*prefix, str(programs() / command[0]), *command[1:]],
            check=False,
            cwd="/",  # which every user may enter
            env={"PATH": os.environ.get("PATH", ""), "LC_ALL": "C"},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,  # Ctrl-C at a terminal does not reach the server
        ).returncode
        output.seek(0)
        words = output.read().strip()
    if status:
        raise FctError(f"{folder}: `{command[0]}` of PostgreSQL failed: {on_error(words)}")


def _kill(process: psutil.Process) -> None:
    try:
        process.send_signal(signal.SIGKILL)
    except psutil.Error:
        return


def _is_alive(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.Error:
        return False
