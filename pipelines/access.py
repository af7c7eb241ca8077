"""Access to the servers of `make ui`: only this user, and only from the servers' own pages.

Any page that is open in the browser can send requests to loopback. So Prefect asks for a password, and every server
refuses requests from other pages or to other host names. SECURITY.md says who is trusted with what.
"""

from __future__ import annotations

import os
import secrets
from base64 import b64encode
from urllib.request import OpenerDirector, ProxyHandler, build_opener

from fct.core.errors import FctError
from fct.core.files import OWNER_ONLY
from fct.core.paths import STATE

PASSWORD = STATE / "ui-password"
NAMES = ("127.0.0.1", "localhost")  # host names that a browser on this machine may use


def password() -> str:
    """Return the password of Prefect's API. Make it, in a file that only this user can read, if there is none.

    It has the form user:password that Prefect's login page and HTTP's basic authentication expect.

    Raises:
        FctError: the file is empty.
    """
    PASSWORD.parent.mkdir(exist_ok=True)
    try:
        descriptor = os.open(PASSWORD, os.O_WRONLY | os.O_CREAT | os.O_EXCL, OWNER_ONLY)
    except FileExistsError:
        PASSWORD.chmod(OWNER_ONLY)  # a copy or a backup may have made it readable for others
    else:
        with os.fdopen(descriptor, "w") as file:
            file.write(f"fct:{secrets.token_urlsafe(24)}\n")
    text = PASSWORD.read_text().strip()
    if not text:
        raise FctError(f"{PASSWORD} is empty, but it holds Prefect's password. Delete it: `make ui` makes another.")
    return text


def authorization(secret: str) -> dict[str, str]:
    """Return the header that requests to Prefect's API need."""
    return {"Authorization": f"Basic {b64encode(secret.encode()).decode()}"}


def settings(secret: str, *, prefect: str, mlflow: str) -> dict[str, str]:
    """Return the environment in which the servers accept their own clients and refuse all others.

    Args:
        secret: Prefect's password.
        prefect: The address of Prefect's server.
        mlflow: The address of MLflow's server.
    """
    return {
        "PREFECT_SERVER_API_AUTH_STRING": secret,
        "PREFECT_API_AUTH_STRING": secret,
        "PREFECT_SERVER_CSRF_PROTECTION_ENABLED": "true",
        "PREFECT_CLIENT_CSRF_SUPPORT_ENABLED": "true",
        "PREFECT_SERVER_CORS_ALLOWED_ORIGINS": ",".join(origins(prefect)),
        # MLflow's own list has patterns for private networks, such as 10.*, which 10.example.com matches as well.
        "MLFLOW_SERVER_ALLOWED_HOSTS": ",".join(hosts(mlflow)),
        "MLFLOW_SERVER_CORS_ALLOWED_ORIGINS": ",".join(origins(mlflow)),
        "MLFLOW_SERVER_DISABLE_SECURITY_MIDDLEWARE": "false",
    }


def hosts(address: str) -> list[str]:
    """Return the values of the header Host in requests to a server at this address."""
    return [f"{name}:{address.rpartition(':')[2]}" for name in NAMES]


def origins(address: str) -> list[str]:
    """Return the origins of a server's own pages."""
    return [f"http://{host}" for host in hosts(address)]


def opener() -> OpenerDirector:
    """Return an opener for URLs of this machine. It uses no proxy, whatever the environment says."""
    return build_opener(ProxyHandler({}))
