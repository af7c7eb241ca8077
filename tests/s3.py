"""S3 for tests: SeaweedFS on loopback, started once for each process of tests that asks for it."""

import socket

import pytest


class Bucket:
    """The bucket of DVC on a running SeaweedFS."""

    def __init__(self, program, values):
        import boto3

        self.program, self.address = program, program.address
        self.environment = {name: values[name] for name in values if name.startswith("AWS_")}
        self.client = boto3.client(
            "s3",
            endpoint_url=self.address,
            aws_access_key_id=values["AWS_ACCESS_KEY_ID"],
            aws_secret_access_key=values["AWS_SECRET_ACCESS_KEY"],
            region_name=values["AWS_DEFAULT_REGION"],
        )

    def keys(self, prefix=""):
        """Return the names of all objects."""
        pages = self.client.get_paginator("list_objects_v2").paginate(Bucket="dvc", Prefix=prefix)
        return [entry["Key"] for page in pages for entry in page.get("Contents", ())]

    def read(self, key):
        return self.client.get_object(Bucket="dvc", Key=key)["Body"].read()

    def truncate(self, key):
        """Lose the second half of an object."""
        content = self.read(key)
        self.client.put_object(Bucket="dvc", Key=key, Body=content[: len(content) // 2])

    def delete(self, key):
        self.client.delete_object(Bucket="dvc", Key=key)


def free_values(folder):
    """Write a .env for services on ports that are free now, whatever else runs on this machine; return its values."""
    from pipelines.stack import dotenv

    lines, taken = [], set()
    for name in dotenv.PORTS:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            start = 20_000 + probe.getsockname()[1] % 20_000
        taken.add(port := dotenv.free_port(start, taken))
        lines.append(f"{name}={port}\n")
    path = folder / ".env"
    path.write_text("".join(lines))
    dotenv.write(path)
    return dotenv.read(path) | dotenv.clients(dotenv.read(path))


@pytest.fixture(scope="session")
def s3(tmp_path_factory):
    """Start SeaweedFS, with a bucket for DVC."""
    from pipelines.stack.services import seaweedfs

    folder = tmp_path_factory.mktemp("s3")
    values = free_values(folder)
    program = seaweedfs(values, folder)
    try:
        program.start()
        yield Bucket(program, values)
    finally:
        program.stop()
