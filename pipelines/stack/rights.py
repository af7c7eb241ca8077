"""Who may do what: the rights in SeaweedFS and MLflow, as files for the servers, and as requests to them.

    python -m pipelines.stack.rights s3 FILE        # compose.yaml runs these in its containers,
    python -m pipelines.stack.rights mlflow FILE    # with the secrets in their environment
    python -m pipelines.stack.rights grant S3_URL MLFLOW_URL

Each service has a bucket, a key, a database and a user of its own, so that one leaked secret opens one door.
"""

from __future__ import annotations

import json
import os
from base64 import b64encode
from collections.abc import Mapping
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import Request

import click

from fct.core.database import sqlalchemy_url
from fct.core.errors import FctError, exit_on_error, install
from fct.core.files import OWNER_ONLY, write_text
from pipelines.access import opener

INSTALL = install("flows", "stack")
BUCKETS = ("dvc", "mlflow")
REGION = "us-east-1"  # any; S3's clients ask for one
ADMINISTRATOR = "admin"
USER = "fct"  # of MLflow, whom the pipeline works as
AUTH_CACHE = 60  # seconds for which MLflow remembers a password: without, it computes a slow hash for each request
OK, BAD_REQUEST, UNAUTHORIZED = 200, 400, 401


def s3_rights(values: Mapping[str, str]) -> str:
    """Return SeaweedFS's file of keys: the administrator may do everything, each other key has one bucket."""
    rights = {"admin": ["Admin", "Read", "Write", "List", "Tagging"]}
    rights |= {bucket: [f"{right}:{bucket}" for right in ("Read", "Write", "List", "Tagging")] for bucket in BUCKETS}
    identities = [
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
    return json.dumps({"identities": identities}, indent=2)


def mlflow_rights(database: str) -> str:
    """Return MLflow's file of basic-auth: everyone may read, and change what they made.

    Args:
        database: the URL of the users' database.
    """
    url = sqlalchemy_url(database).replace("%", "%%")  # configparser interpolates
    return (
        "[mlflow]\n"
        f"default_permission = READ\ndatabase_uri = {url}\nadmin_username = {ADMINISTRATOR}\n"
        "authorization_function = mlflow.server.auth:authenticate_request_basic_auth\n"
        f"auth_cache_ttl_seconds = {AUTH_CACHE}\n"
    )


def make_buckets(address: str, values: Mapping[str, str]) -> None:
    """Make the buckets that are missing.

    Raises:
        FctError: boto3 is not installed.
    """
    try:
        import boto3
    except ModuleNotFoundError:
        raise FctError(f"boto3 is not installed, and makes the buckets: {INSTALL}") from None
    client = boto3.client(
        "s3",
        endpoint_url=address,
        aws_access_key_id=values["FCT_S3_ADMIN_KEY"],
        aws_secret_access_key=values["FCT_S3_ADMIN_SECRET"],
        region_name=REGION,
    )
    present = {bucket["Name"] for bucket in client.list_buckets()["Buckets"]}
    for bucket in set(BUCKETS) - present:
        client.create_bucket(Bucket=bucket)


def make_mlflow_user(address: str, values: Mapping[str, str]) -> None:
    """Make the user of the pipeline in MLflow, unless it can log in already.

    Raises:
        FctError: MLflow has another password of the administrator, or refuses.
    """
    login = (USER, values["FCT_MLFLOW_PASSWORD"])
    if _ask(f"{address}/api/2.0/mlflow/users/get?username={USER}", login) == OK:
        return
    administrator = (ADMINISTRATOR, values["FCT_MLFLOW_ADMIN_PASSWORD"])
    body = {"username": USER, "password": values["FCT_MLFLOW_PASSWORD"]}
    status = _ask(f"{address}/api/2.0/mlflow/users/create", administrator, "POST", body)
    if status == BAD_REQUEST:  # it exists, with another password
        status = _ask(f"{address}/api/2.0/mlflow/users/update-password", administrator, "PATCH", body)
    if status == UNAUTHORIZED:
        raise FctError(
            "MLflow does not accept FCT_MLFLOW_ADMIN_PASSWORD of .env: its administrator was made with another one. "
            "Put that one back into .env, or change it in MLflow."
        )
    if status != OK:
        raise FctError(f"MLflow did not make its user {USER}: HTTP status {status}. See MLflow's log.")


def _ask(url: str, login: tuple[str, str], method: str = "GET", body: Mapping[str, str] | None = None) -> int:
    """Send a request as a user, and return the HTTP status of the answer."""
    credentials = b64encode(":".join(login).encode()).decode()
    headers = {"Authorization": f"Basic {credentials}", "Content-Type": "application/json"}
    data = None if body is None else json.dumps(body).encode()
    request = Request(url, data, headers, method=method)  # noqa: S310 a URL of ours
    try:
        with opener().open(request, timeout=60) as answer:
            return int(answer.status)
    except HTTPError as error:
        return error.code


@click.group()
def main() -> None:
    """Write the rights of the servers, or grant them, from the secrets in the environment."""


@main.command()
@click.argument("file", type=click.Path(path_type=Path))
def s3(file: Path) -> None:
    """Write SeaweedFS's file of keys."""
    with exit_on_error():
        write_text(file, s3_rights(os.environ), OWNER_ONLY)


@main.command()
@click.argument("file", type=click.Path(path_type=Path))
def mlflow(file: Path) -> None:
    """Write MLflow's file of basic-auth, for the database MLFLOW_BACKEND_STORE_URI."""
    with exit_on_error():
        write_text(file, mlflow_rights(os.environ["MLFLOW_BACKEND_STORE_URI"]), OWNER_ONLY)


@main.command()
@click.argument("s3_url")
@click.argument("mlflow_url")
def grant(s3_url: str, mlflow_url: str) -> None:
    """Make the buckets and MLflow's user."""
    with exit_on_error():
        make_buckets(s3_url, os.environ)
        make_mlflow_user(mlflow_url, os.environ)


if __name__ == "__main__":
    main()
