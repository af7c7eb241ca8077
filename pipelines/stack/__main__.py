"""Starts, shows and stops the services of a team as processes of this machine.

    python -m pipelines.stack start     # or `make stack`; again, it repairs what has died
    python -m pipelines.stack status    # or `make stack-status`; exit status 1 if a service is down
    python -m pipelines.stack stop      # or `make stack-stop`

The services run on after the command. Secrets and ports are in .env, data and logs in .fct/stack.
"""

from __future__ import annotations

import sys
import time
from concurrent.futures import ThreadPoolExecutor

import click

from fct.core.errors import FAILED, exit_on_error
from fct.core.locks import locked
from pipelines.stack import dotenv
from pipelines.stack.services import FOLDER, Service, services

LOCK = FOLDER.with_name("stack.lock")
WAITING = "Waiting until another `make stack` or `make stack-stop` has ended."


@click.group()
def main() -> None:
    """Start, show and stop the services of a team on this machine."""


@main.command()
def start() -> None:
    """Start each service that is not up, wait until it works, and print its address."""
    with exit_on_error(), locked(LOCK, on_wait=lambda: click.echo(WAITING, err=True)):
        for group in services(dotenv.read()):
            with ThreadPoolExecutor() as pool:
                for service, how in zip(group, pool.map(_start, group), strict=True):
                    click.echo(f"{service.name:<10}{service.address:<26}{how}")
        click.echo("For the clients: set -a; . ./.env; set +a    Logs: .fct/stack/*.log    The end: make stack-stop")


@main.command()
def status() -> None:
    """Show which services are up."""
    with exit_on_error():
        states = [(service, service.is_up()) for group in services(dotenv.read()) for service in group]
        for service, is_up in states:
            click.echo(f"{service.name:<10}{service.address:<26}{'up' if is_up else 'down: `make stack` starts it'}")
    sys.exit(0 if all(is_up for _, is_up in states) else FAILED)


@main.command()
def stop() -> None:
    """Stop every service. Their data stays."""
    with exit_on_error(), locked(LOCK, on_wait=lambda: click.echo(WAITING, err=True)):
        for group in reversed(services(dotenv.read())):
            with ThreadPoolExecutor() as pool:
                list(pool.map(lambda service: service.stop(), group))
        click.echo("stopped; the data stays in .fct/stack")


def _start(service: Service) -> str:
    began, was_up = time.monotonic(), service.is_up()
    service.start()
    return "was running" if was_up else f"started in {time.monotonic() - began:.0f} s"


if __name__ == "__main__":
    main()
