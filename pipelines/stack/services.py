"""The services of a team on this machine: PostgreSQL, SeaweedFS (S3), MLflow and Prefect, each with its own rights.

Each of them has a database and a user, or a bucket and a key, of its own, so that one leaked secret opens one door.
Everything binds to loopback, and lies in .fct/stack.
"""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path
from typing import Protocol

from fct.core.database import connect, sqlalchemy_url
from fct.core.errors import FctError, UnreachableError
from fct.core.files import OWNER_ONLY, write_text
from fct.core.paths import STATE
from pipelines.access import authorization, origins
from pipelines.stack import rights
from pipelines.stack.dotenv import GRPC, HOST
from pipelines.stack.postgres import Postgres
from pipelines.stack.programs import Program

FOLDER = STATE / "stack"
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
        ...

    @property
    def address(self) -> str:
        """Where people and clients reach it."""
        ...

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
    keys, port = folder / "s3.json", values["FCT_S3_PORT"]
    address = f"http://{HOST}:{port}"

    def prepare() -> None:
        (folder / "s3").mkdir(exist_ok=True)
        write_text(keys, rights.s3_rights(values), OWNER_ONLY)

    ports = {name: values[f"FCT_S3_{name.upper()}_PORT"] for name in ("master", "volume", "filer")}
    sockets = [f"s3-{port}", *(f"{name}-grpc-{int(number) + GRPC}" for name, number in (*ports.items(), ("s3", port)))]
    return Program(
        name="s3",
        command=(
            *(_program("weed"), "server", f"-dir={folder / 's3'}", f"-ip={HOST}", f"-ip.bind={HOST}"),
            *(f"-{name}.port={number}" for name, number in ports.items()),
            *("-filer", "-s3", f"-s3.port={port}", f"-s3.config={keys}"),
            *("-s3.port.iceberg=0", "-s3.port.lance=0", "-webdav=false", "-master.telemetry=false"),
            *("-volume.max=0", "-master.volumeSizeLimitMB=1024"),  # as many volumes of a GiB as the disk holds
        ),
        environment=QUIET,
        address=address,
        health=f"{address}/healthz",
        answer="",
        folder=folder,
        prepare=prepare,
        finish=lambda: rights.make_buckets(address, values),
        litter=tuple(Path(f"/tmp/seaweedfs-{name}.sock") for name in sockets),  # noqa: S108  # its choice
    )


def _mlflow(values: Mapping[str, str], folder: Path) -> Program:
    if find_spec("flask_wtf") is None:
        raise FctError(f"MLflow's passwords need the package Flask-WTF: {rights.INSTALL}")
    database = sqlalchemy_url(
        f"postgresql://mlflow:{values['FCT_MLFLOW_DB_PASSWORD']}@{HOST}:{values['FCT_POSTGRES_PORT']}/mlflow"
    )
    settings, port = folder / "mlflow-auth.ini", values["FCT_MLFLOW_PORT"]
    address = f"http://{HOST}:{port}"
    # The secrets are in the environment, which only this user can read: everyone sees a command's arguments.
    environment = {
        "MLFLOW_BACKEND_STORE_URI": database,
        "MLFLOW_ARTIFACTS_DESTINATION": "s3://mlflow",
        "MLFLOW_S3_ENDPOINT_URL": f"http://{HOST}:{values['FCT_S3_PORT']}",
        "MLFLOW_AUTH_CONFIG_PATH": str(settings),
        "MLFLOW_AUTH_ADMIN_USERNAME": rights.ADMINISTRATOR,
        "MLFLOW_AUTH_ADMIN_PASSWORD": values["FCT_MLFLOW_ADMIN_PASSWORD"],
        "MLFLOW_FLASK_SERVER_SECRET_KEY": values["FCT_MLFLOW_SECRET_KEY"],
        "MLFLOW_SERVER_ALLOWED_HOSTS": values["FCT_MLFLOW_ALLOWED_HOSTS"],
        "MLFLOW_SERVER_CORS_ALLOWED_ORIGINS": values["FCT_MLFLOW_ORIGINS"],
        "AWS_ACCESS_KEY_ID": values["FCT_S3_MLFLOW_KEY"],
        "AWS_SECRET_ACCESS_KEY": values["FCT_S3_MLFLOW_SECRET"],
        "AWS_DEFAULT_REGION": rights.REGION,
    }
    return Program(
        name="mlflow",
        command=(
            *(sys.executable, "-m", "mlflow", "server", "--app-name", "basic-auth", "--serve-artifacts"),
            *("--host", HOST, "--port", port, "--workers", "1"),
        ),
        environment={**QUIET, **environment},
        address=address,
        health=f"{address}/health",
        answer="OK",
        folder=folder,
        prepare=lambda: write_text(settings, rights.mlflow_rights(database), OWNER_ONLY),
        finish=lambda: rights.make_mlflow_user(address, values),
    )


def _prefect(values: Mapping[str, str], folder: Path) -> Program:
    port, login = values["FCT_PREFECT_PORT"], f"{rights.USER}:{values['FCT_PREFECT_PASSWORD']}"
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
        # In files of PREFECT_HOME: in memory, a restart would lose the places of runs at work, and they would be ended.
        "PREFECT_SERVER_CONCURRENCY_LEASE_STORAGE": "prefect.server.concurrency.lease_storage.filesystem",
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
        raise FctError(f"{name} is not installed: {rights.INSTALL}")
    return path
