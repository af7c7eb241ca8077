"""The services of a team on this machine: PostgreSQL, SeaweedFS (S3), MLflow and Prefect, each with its own rights.

Each of them has a database and a user, or a bucket and a key, of its own, so that one leaked secret opens one door.
Everything binds to loopback, and lies in .fct/stack.
"""

from __future__ import annotations

import json
import shutil
import sys
from base64 import b64encode
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path
from typing import Protocol
from urllib.error import HTTPError
from urllib.request import Request

from fct.core.database import connect, sqlalchemy_url
from fct.core.errors import DISTRIBUTION, FctError, UnreachableError
from fct.core.paths import STATE
from pipelines.access import authorization, opener, origins
from pipelines.stack.dotenv import BUCKET_DVC, BUCKET_MLFLOW, HOST, OWNER_ONLY, REGION
from pipelines.stack.postgres import Postgres
from pipelines.stack.programs import Program

FOLDER = STATE / "stack"
INSTALL = f"pip install '{DISTRIBUTION}[flows,stack]'"
ADMINISTRATOR = "admin"
USER = "fct"
AUTH_CACHE = 60  # seconds for which MLflow remembers a password: without, each request hashes it again
QUIET = {
    "DO_NOT_TRACK": "1",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",  # nothing here asks MLflow to run programs
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
}


class Service(Protocol):
    """What `make stack` starts and stops."""

    @property
    def name(self) -> str:
        """Its name."""

    @property
    def address(self) -> str:
        """Where people and clients reach it."""

    def is_up(self) -> bool:
        """Return whether it works."""

    def start(self) -> None:
        """Start it if it is not up, and wait until it works."""

    def stop(self) -> None:
        """End all its processes."""


@dataclass
class Database:
    """PostgreSQL, with a database and a user for each service."""

    open_server: Callable[[], Postgres]
    values: Mapping[str, str]
    name: str = "postgres"

    def __post_init__(self) -> None:
        self.address = f"{HOST}:{self.values['FCT_POSTGRES_PORT']}"

    def is_up(self) -> bool:
        """Return whether it accepts connections."""
        server = self.open_server()
        if not server.is_running():
            return False
        try:
            connect(server.url()).close()
        except UnreachableError:
            return False
        return True

    def start(self) -> None:
        """Start the server, and make the databases that are missing."""
        server = self.open_server()
        server.start()
        server.make_database("fct", self.values["FCT_DB_PASSWORD"])
        for name in ("mlflow", "prefect"):
            server.make_database(name, self.values[f"FCT_{name.upper()}_DB_PASSWORD"])

    def stop(self) -> None:
        """Stop the server."""
        self.open_server().stop()


def services(values: Mapping[str, str], folder: Path = FOLDER) -> tuple[list[Service], list[Service]]:
    """Return the services that the others need, and the others.

    Args:
        values: of .env.
        folder: for everything that the services write.

    Raises:
        FctError: a program is not installed.
    """
    folder = folder.absolute()
    folder.mkdir(parents=True, exist_ok=True)

    def open_server() -> Postgres:
        port = int(values["FCT_POSTGRES_PORT"])
        return replace(Postgres.create(folder / "postgres", port=port), port=port)

    stores: list[Service] = [Database(open_server, values), seaweedfs(values, folder)]
    return stores, [_mlflow(values, folder), _prefect(values, folder)]


def seaweedfs(values: Mapping[str, str], folder: Path) -> Program:
    """Return SeaweedFS, which keeps files as S3 does."""
    rights = folder / "s3.json"

    def prepare() -> None:
        (folder / "s3").mkdir(exist_ok=True)
        _write_secret(rights, json.dumps({"identities": _identities(values)}, indent=2))

    ports = {name: values[f"FCT_S3_{name.upper()}_PORT"] for name in ("master", "volume", "filer")}
    port = values["FCT_S3_PORT"]
    return Program(
        name="s3",
        command=(
            *(_program("weed"), "server", f"-dir={folder / 's3'}", f"-ip={HOST}", f"-ip.bind={HOST}"),
            *(f"-{name}.port={number}" for name, number in ports.items()),
            *("-filer", "-s3", f"-s3.port={port}", f"-s3.config={rights}"),
            *("-s3.port.iceberg=0", "-s3.port.lance=0", "-webdav=false", "-master.telemetry=false"),
            *("-volume.max=0", "-master.volumeSizeLimitMB=1024"),  # as many volumes of a GiB as the disk holds
        ),
        environment=QUIET,
        address=f"http://{HOST}:{port}",
        health=f"http://{HOST}:{port}/healthz",
        answer="",
        folder=folder,
        prepare=prepare,
        finish=lambda: _make_buckets(values),
    )


def _identities(values: Mapping[str, str]) -> list[dict[str, object]]:
    """Return who may do what in SeaweedFS: the administrator everything, the others their own bucket."""
    rights = {"admin": ["Admin", "Read", "Write", "List", "Tagging"]}
    for bucket in (BUCKET_DVC, BUCKET_MLFLOW):
        rights[bucket] = [f"{right}:{bucket}" for right in ("Read", "Write", "List", "Tagging")]
    return [
        {
            "name": name,
            "credentials": [
                {
                    "accessKey": values[f"FCT_S3_{name.upper()}_KEY"],
                    "secretKey": values[f"FCT_S3_{name.upper()}_SECRET"],
                }
            ],
            "actions": actions,
        }
        for name, actions in rights.items()
    ]


def _make_buckets(values: Mapping[str, str]) -> None:
    try:
        import boto3
    except ModuleNotFoundError:
        raise FctError(f"boto3 is not installed, and `make stack` makes buckets with it: {INSTALL}") from None
    client = boto3.client(
        "s3",
        endpoint_url=f"http://{HOST}:{values['FCT_S3_PORT']}",
        aws_access_key_id=values["FCT_S3_ADMIN_KEY"],
        aws_secret_access_key=values["FCT_S3_ADMIN_SECRET"],
        region_name=REGION,
    )
    present = {bucket["Name"] for bucket in client.list_buckets()["Buckets"]}
    for bucket in {BUCKET_DVC, BUCKET_MLFLOW} - present:
        client.create_bucket(Bucket=bucket)


def _mlflow(values: Mapping[str, str], folder: Path) -> Program:
    if find_spec("flask_wtf") is None:
        raise FctError(f"MLflow's passwords need the package Flask-WTF: {INSTALL}")
    database = sqlalchemy_url(
        f"postgresql://mlflow:{values['FCT_MLFLOW_DB_PASSWORD']}@{HOST}:{values['FCT_POSTGRES_PORT']}/mlflow"
    )
    settings, port = folder / "mlflow-auth.ini", values["FCT_MLFLOW_PORT"]
    address = f"http://{HOST}:{port}"
    # The secrets are in the environment, which only this user can read: everyone sees a command's arguments.
    environment = {
        "MLFLOW_BACKEND_STORE_URI": database,
        "MLFLOW_ARTIFACTS_DESTINATION": f"s3://{BUCKET_MLFLOW}",
        "MLFLOW_S3_ENDPOINT_URL": f"http://{HOST}:{values['FCT_S3_PORT']}",
        "MLFLOW_AUTH_CONFIG_PATH": str(settings),
        "MLFLOW_AUTH_ADMIN_USERNAME": ADMINISTRATOR,
        "MLFLOW_AUTH_ADMIN_PASSWORD": values["FCT_MLFLOW_ADMIN_PASSWORD"],
        "MLFLOW_FLASK_SERVER_SECRET_KEY": values["FCT_MLFLOW_SECRET_KEY"],
        "MLFLOW_SERVER_ALLOWED_HOSTS": values["FCT_MLFLOW_ALLOWED_HOSTS"],
        "MLFLOW_SERVER_CORS_ALLOWED_ORIGINS": values["FCT_MLFLOW_ORIGINS"],
        "AWS_ACCESS_KEY_ID": values["FCT_S3_MLFLOW_KEY"],
        "AWS_SECRET_ACCESS_KEY": values["FCT_S3_MLFLOW_SECRET"],
        "AWS_DEFAULT_REGION": REGION,
    }
    return Program(
        name="mlflow",
        command=(
            *(sys.executable, "-m", "mlflow", "server", "--app-name", "basic-auth", "--serve-artifacts"),
            *("--host", HOST, "--port", port, "--workers", "2"),
        ),
        environment={**QUIET, **environment},
        address=address,
        health=f"{address}/health",
        answer="OK",
        folder=folder,
        prepare=lambda: _write_secret(settings, mlflow_settings(database)),
        finish=lambda: _make_mlflow_user(address, values),
    )


def mlflow_settings(database: str) -> str:
    """Return the file of MLflow's basic-auth: everyone may read, and change what they made.

    Args:
        database: the URL of the users' database.
    """
    url = database.replace("%", "%%")  # configparser interpolates
    return (
        "[mlflow]\n"
        f"default_permission = READ\ndatabase_uri = {url}\nadmin_username = {ADMINISTRATOR}\n"
        "authorization_function = mlflow.server.auth:authenticate_request_basic_auth\n"
        f"auth_cache_ttl_seconds = {AUTH_CACHE}\n"
    )


def _make_mlflow_user(address: str, values: Mapping[str, str]) -> None:
    """Make the user of the pipeline, unless it can log in already."""
    login = (USER, values["FCT_MLFLOW_PASSWORD"])
    if _ask(f"{address}/api/2.0/mlflow/users/get?username={USER}", login) == 200:
        return
    administrator = (ADMINISTRATOR, values["FCT_MLFLOW_ADMIN_PASSWORD"])
    body = {"username": USER, "password": values["FCT_MLFLOW_PASSWORD"]}
    status = _ask(f"{address}/api/2.0/mlflow/users/create", administrator, "POST", body)
    if status == 400:  # it exists, with another password
        status = _ask(f"{address}/api/2.0/mlflow/users/update-password", administrator, "PATCH", body)
    if status == 401:
        raise FctError(
            "MLflow does not accept FCT_MLFLOW_ADMIN_PASSWORD of .env: its administrator was made with another one. "
            "Put that one back into .env, or change it in MLflow."
        )
    if status != 200:
        raise FctError(f"MLflow did not make its user {USER}: HTTP status {status}. See .fct/stack/mlflow.log.")


def _ask(url: str, login: tuple[str, str], method: str = "GET", body: Mapping[str, str] | None = None) -> int:
    """Send a request as a user, and return the HTTP status of the answer."""
    credentials = b64encode(":".join(login).encode()).decode()
    headers = {"Authorization": f"Basic {credentials}", "Content-Type": "application/json"}
    data = None if body is None else json.dumps(body).encode()
    request = Request(url, data, headers, method=method)  # noqa: S310 a URL of ours
    try:
        with opener().open(request, timeout=30) as answer:
            return int(answer.status)
    except HTTPError as error:
        return error.code


def _prefect(values: Mapping[str, str], folder: Path) -> Program:
    port, login = values["FCT_PREFECT_PORT"], f"{USER}:{values['FCT_PREFECT_PASSWORD']}"
    address = f"http://{HOST}:{port}"
    password, postgres = values["FCT_PREFECT_DB_PASSWORD"], values["FCT_POSTGRES_PORT"]
    environment = {
        "PREFECT_HOME": str(folder / "prefect"),
        "PREFECT_SERVER_DATABASE_CONNECTION_URL": f"postgresql+asyncpg://prefect:{password}@{HOST}:{postgres}/prefect",
        "PREFECT_SERVER_API_AUTH_STRING": login,
        "PREFECT_API_AUTH_STRING": login,
        "PREFECT_API_URL": f"{address}/api",
        "PREFECT_UI_URL": address,
        "PREFECT_SERVER_CSRF_PROTECTION_ENABLED": "true",
        "PREFECT_CLIENT_CSRF_SUPPORT_ENABLED": "true",
        "PREFECT_SERVER_CORS_ALLOWED_ORIGINS": ",".join(origins(address)),
    }
    return Program(
        name="prefect",
        command=(sys.executable, "-m", "prefect", "server", "start", "--host", HOST, "--port", port),
        environment={**QUIET, **environment},
        address=address,
        health=f"{address}/api/health",
        answer="true",
        folder=folder,
        headers=authorization(login),
    )


def _program(name: str) -> str:
    """Return the path of a program of this Python's environment."""
    path = shutil.which(name, path=str(Path(sys.executable).parent)) or shutil.which(name)
    if path is None:
        raise FctError(f"{name} is not installed: {INSTALL}")
    return path


def _write_secret(path: Path, text: str) -> None:
    """Write a file that only its owner can read."""
    path.touch(mode=OWNER_ONLY)
    path.chmod(OWNER_ONLY)
    path.write_text(text)
