"""The file .env: secrets, ports and addresses of the services, for `make stack`, compose.yaml and their clients.

    python -m pipelines.stack.dotenv    # or `make env`: writes what is missing, and keeps what is there

Secrets are random, and there are no defaults. Only the owner of the file can read it, and git ignores it. Lines that
this program does not know stay as they are, and so do ports and secrets that a person wrote in their own way, such as
with quotes. `set -a; . ./.env; set +a` gives a shell what the clients need.
"""

from __future__ import annotations

import re
import secrets
import shlex
import socket
from collections.abc import Callable, Collection, Iterable, Mapping
from pathlib import Path

import click

from fct.core.errors import FctError, exit_on_error
from fct.core.files import OWNER_ONLY, write_text
from pipelines.stack.rights import REGION, USER

FILE = Path(".env")
HOST = "127.0.0.1"
GRPC = 10_000  # SeaweedFS takes for gRPC the port that is this much higher
QUOTED = r""""[^"]*"|'[^']*'"""
LINE = re.compile(rf"(?:export\s+)?([A-Za-z_]\w*)=({QUOTED}|.*?)(?:\s+#.*)?")  # name, value
HEADING = """\
# Written by `make env`: secrets, ports and addresses of `make stack` and compose.yaml. Keep it to yourself.
# `set -a; . ./.env; set +a` gives a shell what the clients need. After a change, run `make env` and `make stack` again.
"""
PORTS = {  # of loopback; the next free one if another program has it
    "FCT_POSTGRES_PORT": 5432,
    "FCT_S3_PORT": 8333,
    "FCT_S3_MASTER_PORT": 9333,
    "FCT_S3_VOLUME_PORT": 8380,
    "FCT_S3_FILER_PORT": 8888,
    "FCT_MLFLOW_PORT": 5000,
    "FCT_PREFECT_PORT": 4200,
    "FCT_OPTUNA_PORT": 8080,
    "FCT_RAY_PORT": 8265,
}
SECRETS = (
    "FCT_POSTGRES_PASSWORD",  # of PostgreSQL's administrator
    "FCT_DB_PASSWORD",  # of the database user fct: the search and locks
    "FCT_MLFLOW_DB_PASSWORD",
    "FCT_PREFECT_DB_PASSWORD",
    "FCT_S3_ADMIN_KEY",
    "FCT_S3_ADMIN_SECRET",
    "FCT_S3_DVC_KEY",
    "FCT_S3_DVC_SECRET",
    "FCT_S3_MLFLOW_KEY",
    "FCT_S3_MLFLOW_SECRET",
    "FCT_MLFLOW_ADMIN_PASSWORD",
    "FCT_MLFLOW_PASSWORD",  # of MLflow's user fct, whom the pipeline works as
    "FCT_MLFLOW_SECRET_KEY",  # signs the forms of MLflow's pages
    "FCT_PREFECT_PASSWORD",
)
TITLES = (  # of the parts of the file, in their order
    "ports on 127.0.0.1",
    "secrets",
    "more names of the servers, if a proxy stands before them; commas between them",
    "for the clients; `make env` makes these lines from those above",
    "yours",
)
NAMES = "FCT_HOST_NAMES"  # more names of the servers behind a proxy, such as mlflow.example.org; commas between them


def read(path: Path = FILE) -> dict[str, str]:
    """Return the values of a .env.

    Raises:
        FctError: there is no such file, or it lacks a value.
    """
    if not path.is_file():
        raise FctError(f"{path} is not here. `make env` writes it, with random secrets.")
    values = _parse(path.read_text())
    missing = [name for name in (*PORTS, *SECRETS) if not values.get(name)]
    if missing:
        raise FctError(f"{path} has no {missing[0]}. `make env` adds what is missing.")
    for name in PORTS:
        if not values[name].isdecimal() or not 0 < int(values[name]) < (1 << 16) - GRPC:
            raise FctError(f"{path}: {name}={values[name]} is not a port below {(1 << 16) - GRPC}. Choose another.")
    return values


def write(path: Path = FILE) -> list[str]:
    """Write a .env, or add what is missing to it, and renew the addresses. Return the names that are new.

    Raises:
        FctError: a port in it is not usable.
    """
    text = path.read_text() if path.is_file() else ""
    old = _parse(text)
    values = {name: value for name, value in old.items() if name in {*PORTS, *SECRETS, NAMES} and value}
    for name, port in PORTS.items():
        values.setdefault(name, str(free_port(port, {int(each) for each in values.values() if each.isdecimal()})))
    for name in SECRETS:
        values.setdefault(name, secrets.token_hex(16))
    values.setdefault(NAMES, "")
    assignments = _assignments(text)
    lines = {name: _format(name, value, assignments.get(name)) for name, value in values.items()}
    derived = {name: _format(name, value) for name, value in clients(values).items()}
    sections = (
        [lines[name] for name in PORTS],
        [lines[name] for name in SECRETS],
        [lines[NAMES]],
        list(derived.values()),
        _others(text, {*lines, *derived}),
    )
    parts = (f"\n# {title}\n{''.join(part)}" for title, part in zip(TITLES, sections, strict=True) if part)
    write_text(path, "".join((HEADING, *parts)), OWNER_ONLY)
    read(path)
    return [name for name in (*values, *derived) if name not in old]


def clients(values: Mapping[str, str]) -> dict[str, str]:
    """Return the variables that follow from ports and secrets: addresses, and what the clients need."""
    mlflow, prefect = (f"http://{HOST}:{values[name]}" for name in ("FCT_MLFLOW_PORT", "FCT_PREFECT_PORT"))
    login = f"{USER}:{values['FCT_PREFECT_PASSWORD']}"
    return {
        "FCT_DATABASE_URL": f"postgresql://fct:{values['FCT_DB_PASSWORD']}@{HOST}:{values['FCT_POSTGRES_PORT']}/fct",
        "MLFLOW_TRACKING_URI": mlflow,
        "MLFLOW_TRACKING_USERNAME": USER,
        "MLFLOW_TRACKING_PASSWORD": values["FCT_MLFLOW_PASSWORD"],
        "FCT_MLFLOW_ALLOWED_HOSTS": ",".join(allowed_hosts("mlflow", values["FCT_MLFLOW_PORT"], values[NAMES])),
        "FCT_MLFLOW_ORIGINS": ",".join(origins(values["FCT_MLFLOW_PORT"], values[NAMES])),
        "PREFECT_API_URL": f"{prefect}/api",
        "PREFECT_API_AUTH_STRING": login,
        "AWS_ENDPOINT_URL": f"http://{HOST}:{values['FCT_S3_PORT']}",
        "AWS_ACCESS_KEY_ID": values["FCT_S3_DVC_KEY"],
        "AWS_SECRET_ACCESS_KEY": values["FCT_S3_DVC_SECRET"],
        "AWS_DEFAULT_REGION": REGION,
    }


def allowed_hosts(service: str, port: str, names: str) -> list[str]:
    """Return the headers Host that a server answers: each name with its port, and without, as proxies send it.

    Args:
        service: its name in compose.yaml, where its container has port 5000.
        port: on this machine.
        names: more names, with commas between them.
    """
    local = [f"{name}{suffix}" for name in (HOST, "localhost") for suffix in ("", f":{port}")]
    more = [name.strip() for name in names.split(",") if name.strip()]
    return [*local, service, f"{service}:5000", *more, *(f"{name}:{port}" for name in more if ":" not in name)]


def origins(port: str, names: str) -> list[str]:
    """Return the origins of a server's own pages."""
    more = [name.strip() for name in names.split(",") if name.strip()]
    return [*(f"http://{name}:{port}" for name in (HOST, "localhost")), *(f"https://{name}" for name in more)]


def free_port(first: int, taken: Iterable[int] = (), is_free: Callable[[int], bool] | None = None) -> int:
    """Return the first free port of loopback from `first` on whose gRPC port is free too."""
    is_free = is_free or _is_free
    taken = set(taken)
    for port in range(first, (1 << 16) - GRPC):
        if port not in taken and is_free(port) and is_free(port + GRPC):
            return port
    raise FctError(f"no port from {first} on is free on {HOST}")


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # a port that was just closed is free
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
    return True


def _parse(text: str) -> dict[str, str]:
    return {name: _value(match) for name, match in _assignments(text).items()}


def _assignments(text: str) -> dict[str, re.Match[str]]:
    """Return the lines that set a variable, by its name; of several, the last."""
    matches = (LINE.fullmatch(line.strip()) for line in text.splitlines())
    return {match[1]: match for match in matches if match}


def _value(assignment: re.Match[str]) -> str:
    return assignment[2].strip().strip("\"'")


def _format(name: str, value: str, written: re.Match[str] | None = None) -> str:
    """Return a line that sets a variable. A shell reads the same value from it as this program.

    Args:
        name: the variable's name.
        value: its value, without quotes.
        written: the present line, if there is one. It stays, but its value gets quotes if a shell needs them.
    """
    quoted = shlex.quote(value) if value else ""
    if written is None or _value(written) != value:
        return f"{name}={quoted}\n"
    line, (start, end) = written[0], written.span(2)
    return f"{line[:start]}{written[2] if re.fullmatch(QUOTED, written[2]) else quoted}{line[end:]}\n"


def _others(text: str, known: Collection[str]) -> str:
    """Return the lines of a .env that this program does not write, as they are. `known` names its variables."""
    if HEADING in text:
        text = text.replace(HEADING, "", 1)
        for title in TITLES:  # the first is this program's; a later one may be a comment of the person
            text = re.sub(rf"^\n?# {re.escape(title)}\n", "", text, count=1, flags=re.MULTILINE)
    lines = (line for line in text.splitlines(keepends=True) if not _sets(line, known))
    others = "".join(lines).strip("\n")
    return f"{others}\n" if others.strip() else ""


def _sets(line: str, names: Collection[str]) -> bool:
    match = LINE.fullmatch(line.strip())
    return match is not None and match[1] in names


@click.command()
def main() -> None:
    """Write .env with random secrets, free ports and addresses. Values that are there stay."""
    with exit_on_error():
        new = write()
        click.echo(f"{FILE}: {len(new)} new values; the others stay." if new else f"{FILE}: every value is there.")


if __name__ == "__main__":
    main()
