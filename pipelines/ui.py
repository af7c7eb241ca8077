"""Starts and stops the servers for scheduled runs together.

    python -m pipelines.ui        # or `make ui`; Ctrl-C stops the servers that it started

The servers are Prefect (runs, schedules), MLflow (curves, models) and optuna-dashboard (the search), all on loopback. A
fourth process serves the deployments. Servers that are already running are used. Logs are in .fct/logs. Prefect asks
for the password in .fct/ui-password; `pipelines.access` controls who may use the servers.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from http.client import HTTPException
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any
from urllib.parse import urlsplit
from urllib.request import Request

import click
from filelock import lock_descriptor

from fct.core import params
from fct.core.errors import FctError, exit_on_error
from fct.core.locks import is_held
from fct.core.os_errors import SPARE, describe_os_error
from fct.core.paths import LOGS, PREFECT_HOME, SEARCH_JOURNAL, SERVING_LOCK
from fct.tracking import location
from fct.tracking.proxy import without_proxy
from fct.tracking.server import DEFAULT_URI
from pipelines import access
from pipelines.params import Schedules
from pipelines.process import GRACE, terminate, terminate_children

HOST = "127.0.0.1"
PORT = click.IntRange(1, 65535)
PORTS = {"prefect": 4200, "mlflow": 5000, "optuna": 8080}
DATABASE = Path(DEFAULT_URI.removeprefix(location.SQLITE)).absolute()
PATIENCE = 180  # seconds for a server to start; the first start makes its database
SETTINGS = {
    "DO_NOT_TRACK": "1",
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",  # nothing here asks MLflow to run programs
    "PREFECT_RUNNER_POLL_FREQUENCY": "2",  # seconds between a start in the UI and the run
}


@dataclass(frozen=True)
class Service:
    """A program that runs until it is stopped."""

    name: str
    command: tuple[str, ...]
    address: str  # for a browser
    health: str  # URL that answers when it is up
    mark: str  # text in that answer which no other program on this port would send
    lock: Path  # held by the program while it runs for this project
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)  # of that request; they hold the password

    @property
    def log(self) -> Path:
        """The file with its output."""
        return LOGS / f"{self.name}.log"

    def is_up(self) -> bool:
        """Return whether the service answers."""
        if not is_held(self.lock):
            return False
        try:
            request = Request(self.health, headers=dict(self.headers))  # noqa: S310 a URL of ours
            with access.opener().open(request, timeout=5) as answer:
                return self.mark in answer.read(1 << 16).decode(errors="replace")
        except (OSError, HTTPException):
            return False


def services(*, prefect: int, mlflow: int, optuna: int, password: str) -> list[Service]:
    """Return the servers with these ports, and last the deployments, which need them and Prefect's password."""
    api = f"http://{HOST}:{prefect}/api"
    return [
        _server("prefect", prefect, "/api/health", "true", "prefect", "server", "start"),
        _server(
            "mlflow", mlflow, "/health", "OK", "mlflow", "server", "--backend-store-uri", DEFAULT_URI, "--workers", "1"
        ),
        _server("optuna", optuna, "/dashboard/", "Optuna", sys.executable, "-m", "pipelines.dashboard"),
        Service(
            name="deployments",
            command=(sys.executable, "-m", "pipelines.serve"),
            address=f"http://{HOST}:{prefect}/deployments",
            health=f"{api}/deployments/name/reproduce/nightly",
            mark='"name":"nightly"',
            lock=SERVING_LOCK,
            headers=access.authorization(password),
        ),
    ]


def _server(name: str, port: int, health: str, mark: str, *command: str) -> Service:
    address = f"http://{HOST}:{port}"
    lock = LOGS / f"{name}-{port}.lock"
    return Service(name, (*command, "--host", HOST, "--port", str(port)), address, address + health, mark, lock)


@contextmanager
def running(
    services: Sequence[Service], environment: Mapping[str, str]
) -> Iterator[dict[str, subprocess.Popen[bytes]]]:
    """Start the services that are not running yet, all at once, and wait until they answer. Stop them at the end.

    Yields:
        The processes that were started, by name.

    Raises:
        FctError: another program has a port, or a service did not start. The message has its last lines of output.
    """
    started: dict[str, subprocess.Popen[bytes]] = {}
    LOGS.mkdir(parents=True, exist_ok=True)
    missing = [service for service in services if not service.is_up()]
    for service in missing:
        _check_port(service)
    try:
        for service in missing:
            started[service.name] = _start(service, environment)
        for service in services:
            if service in missing:
                _wait_for(service, started[service.name])
            click.echo(f"{service.name:<12}{service.address}{'' if service in missing else '  (was already running)'}")
        yield started
    finally:
        with ThreadPoolExecutor() as pool:
            list(pool.map(lambda process: terminate(process.pid), started.values()))
        for process in started.values():
            process.wait()


def _check_port(service: Service) -> None:
    port = urlsplit(service.address).port
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # a port that was just closed is free
        try:
            if service.name in PORTS:
                probe.bind((HOST, port))
        except OSError as error:
            raise FctError(
                f"{service.name} cannot have the port {port}: {error.strerror}, by something other than this project. "
                f"Choose another, such as `make ui ARGS='--{service.name}-port {(port or 0) + 1}'`."
            ) from None


def _start(service: Service, environment: Mapping[str, str]) -> subprocess.Popen[bytes]:
    # A server holds its lock through an open file that it inherits. The deployments lock their own file.
    with service.log.open("wb") as log, ExitStack() as stack:
        lock_file = stack.enter_context(service.lock.open("w")) if service.lock != SERVING_LOCK else None
        if lock_file:
            lock_descriptor(lock_file.fileno())
        return subprocess.Popen(
            service.command,
            env={**os.environ, **environment},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            pass_fds=[lock_file.fileno()] if lock_file else [],
            start_new_session=True,  # Ctrl-C reaches only this program, which ends them in order
        )


def _wait_for(service: Service, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not service.is_up():
        if process.poll() is not None or time.monotonic() > deadline:
            raise FctError(f"{service.name} did not start. The end of {service.log}:\n{_last_lines(service)}")
        time.sleep(0.2)


def _last_lines(service: Service) -> str:
    return "\n".join(service.log.read_text(errors="replace").splitlines()[-15:])


def _watch(services: Sequence[Service], started: Mapping[str, subprocess.Popen[bytes]]) -> None:
    """Watch the started services until one of them ends, then raise an error."""
    while True:
        for service in services:
            if service.name in started and started[service.name].poll() is not None:
                raise FctError(f"{service.name} has ended. The end of {service.log}:\n{_last_lines(service)}")
        time.sleep(1)


def _on_request(handler: Any) -> None:
    """Handle Ctrl-C, SIGTERM and a closed terminal in the same way."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, handler)


def _environment(servers: Sequence[Service], password: str) -> dict[str, str]:
    """Return the environment of everything that is started here."""
    prefect, mlflow = servers[0].address, servers[1].address
    return {
        **SETTINGS,
        **access.settings(password, prefect=prefect, mlflow=mlflow),
        **without_proxy(os.environ),
        "PREFECT_HOME": str(PREFECT_HOME.absolute()),
        "PREFECT_API_URL": f"{prefect}/api",
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}",
        "PREFECT_UI_URL": prefect,
        "MLFLOW_TRACKING_URI": mlflow,
    }


def _check_space() -> None:
    """Check that this project and the temporary folder can be written to: without space, servers end silently."""
    for folder in (LOGS, None):
        try:
            if folder:
                folder.mkdir(parents=True, exist_ok=True)
            with TemporaryFile(dir=folder) as file:
                file.write(bytes(SPARE))
        except OSError as error:
            raise FctError(describe_os_error(error)) from None


def _show(password: str) -> str:
    """Return the password for a person at a terminal, but only its place for the log of a service."""
    return f"{password}  (from {access.PASSWORD})" if sys.stdout.isatty() else f"it is in {access.PASSWORD}"


@click.command()
@click.option(
    "--prefect-port", type=PORT, default=PORTS["prefect"], show_default=True, help="Runs, schedules, artifacts."
)
@click.option(
    "--mlflow-port", type=PORT, default=PORTS["mlflow"], show_default=True, help="Curves, params, registered models."
)
@click.option("--optuna-port", type=PORT, default=PORTS["optuna"], show_default=True, help="Trials of the search.")
def main(*, prefect_port: int, mlflow_port: int, optuna_port: int) -> None:
    """Start Prefect, MLflow, optuna-dashboard and the deployments on this machine, until Ctrl-C."""
    _on_request(signal.default_int_handler)
    with exit_on_error():
        password = access.password()
        *servers, deployments = services(
            prefect=prefect_port, mlflow=mlflow_port, optuna=optuna_port, password=password
        )
        environment = _environment(servers, password)
        location.check(DATABASE)
        params.load(Schedules)  # raises an error before any server starts
        SEARCH_JOURNAL.parent.mkdir(exist_ok=True)
        SEARCH_JOURNAL.touch()  # optuna-dashboard needs the file
        _check_space()
        try:
            with running(servers, environment) as first, running([deployments], environment) as last:
                started = {**first, **last}
                if not started:
                    return
                click.echo(f"Prefect asks for a password: {_show(password)}")
                click.echo("Ctrl-C stops the servers started here. Logs: .fct/logs")
                try:
                    _watch([*servers, deployments], started)
                finally:
                    _on_request(signal.SIG_IGN)  # the shutdown takes seconds and must not be interrupted
                    for process in last.values():
                        terminate_children(process.pid, grace=2 * GRACE)  # flow runs; each ends a stage first
        except KeyboardInterrupt:
            click.echo("stopped")


if __name__ == "__main__":
    main()
