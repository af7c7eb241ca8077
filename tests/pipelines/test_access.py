"""Who may use the servers of `make ui`."""

import io
import stat
from wsgiref.util import setup_testing_defaults

import pytest

from fct.core.errors import FctError
from pipelines import access
from pipelines.dashboard import guard

HERE = "http://127.0.0.1:8080"


@pytest.mark.usefixtures("place")
def test_the_password_is_for_this_user_alone():
    """It is made once, has the form that Prefect's login page expects, and only its owner can read the file."""
    first = access.password()
    assert access.password() == first
    assert first.startswith("fct:")
    assert len(first) > 30
    assert stat.S_IMODE(access.PASSWORD.stat().st_mode) == 0o600


@pytest.mark.usefixtures("place")
def test_a_password_that_others_could_read_is_closed_again():
    """A copy of the folder may have lost the mode of the file."""
    access.password()
    access.PASSWORD.chmod(0o644)
    access.password()
    assert stat.S_IMODE(access.PASSWORD.stat().st_mode) == 0o600


@pytest.mark.usefixtures("place")
def test_an_empty_password_is_refused():
    """An empty file would let everybody in."""
    access.password()
    access.PASSWORD.write_text("\n")
    with pytest.raises(FctError, match=r"\.fct/ui-password is empty.*Delete it"):
        access.password()


def ask(**headers):
    """Send a request to the guarded dashboard; return its status and whether the dashboard itself was asked."""
    environ, asked, statuses = {"HTTP_HOST": "127.0.0.1:8080"} | headers, [], []
    setup_testing_defaults(environ)
    environ["wsgi.input"] = io.BytesIO()

    def dashboard(_environ, start_response):
        asked.append(True)
        start_response("200 OK", [])
        return [b""]

    list(guard(dashboard, HERE)(environ, lambda status, headers: statuses.append((status, dict(headers)))))
    [(status, sent)] = statuses
    assert sent["X-Frame-Options"] == "DENY"
    return status[:3], bool(asked)


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"HTTP_HOST": "localhost:8080", "HTTP_ORIGIN": "http://localhost:8080"},
        {"HTTP_ORIGIN": HERE},
    ],
)
def test_the_dashboards_own_pages_are_answered(headers):
    """Its address, the machine's own name, and programs that send no origin."""
    assert ask(**headers) == ("200", True)


@pytest.mark.parametrize(
    "headers",
    [
        {"HTTP_HOST": "evil.example:8080"},  # a name that was bound anew to loopback
        {"HTTP_HOST": "127.0.0.1:8081"},
        {"HTTP_ORIGIN": "http://evil.example"},
        {"HTTP_ORIGIN": "http://127.0.0.1:9999"},  # another program of this machine
        {"HTTP_ORIGIN": "null"},  # a file, or a page in a sandbox
    ],
)
def test_other_pages_never_reach_the_dashboard(headers):
    """A wrong name or a foreign origin is refused before the dashboard sees the request."""
    assert ask(**headers) == ("403", False)
