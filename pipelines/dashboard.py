"""optuna-dashboard, only for this machine's own pages.

    python -m pipelines.dashboard --host 127.0.0.1 --port 8080    # `make ui` runs it beside the other servers

optuna-dashboard has no such option: by itself it answers any page, and a request can delete a study.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from socketserver import ThreadingMixIn
from typing import TYPE_CHECKING
from wsgiref.simple_server import WSGIServer, make_server

import click

from fct.core.database import database_url, sqlalchemy_url
from fct.core.paths import SEARCH_JOURNAL
from pipelines.access import hosts, origins

if TYPE_CHECKING:
    from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

    from optuna.storages import BaseStorage

HEADERS = [("X-Frame-Options", "DENY"), ("X-Content-Type-Options", "nosniff")]  # no page may frame it to steal clicks


def guard(application: WSGIApplication, address: str) -> WSGIApplication:
    """Return an application that answers only requests to this address, from its own pages or from no page.

    Args:
        application: The application that answers these requests.
        address: The server's address, such as http://127.0.0.1:8080.
    """

    def answer(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        origin = environ.get("HTTP_ORIGIN")  # browsers send it with every request that may change something
        if environ.get("HTTP_HOST") not in hosts(address) or (origin is not None and origin not in origins(address)):
            start_response("403 Forbidden", [("Content-Type", "text/plain"), *HEADERS])
            return [f"Only pages of {address} may send requests.\n".encode()]
        return application(environ, _with_headers(start_response))

    return answer


def _with_headers(start_response: StartResponse) -> StartResponse:
    def start(status: str, headers: list[tuple[str, str]], *error: object) -> Callable[[bytes], object]:
        return start_response(status, [*headers, *HEADERS], *error)  # type: ignore[arg-type] # WSGI's exc_info

    return start


class _Server(ThreadingMixIn, WSGIServer):
    daemon_threads = True


@click.command()
@click.option("--host", required=True)
@click.option("--port", required=True, type=int)
def main(*, host: str, port: int) -> None:
    """Serve the dashboard of the search until the process is stopped."""
    from optuna_dashboard import wsgi

    application = guard(wsgi(_storage()), f"http://{host}:{port}")
    make_server(host, port, application, server_class=_Server).serve_forever()


def _storage() -> BaseStorage:
    """Return where the search keeps its trials: the database of many hosts, or the journal of this one."""
    from optuna.storages import JournalStorage, RDBStorage
    from optuna.storages.journal import JournalFileBackend

    if url := database_url():
        return RDBStorage(sqlalchemy_url(url))
    return JournalStorage(JournalFileBackend(str(SEARCH_JOURNAL)))


if __name__ == "__main__":
    main()
