"""compose.yaml and deploy/kubernetes: no secret, no open port, no root, and what each service waits for."""

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from pipelines.stack import dotenv

ROOT = Path(__file__).parents[1]
TEXT = (ROOT / "compose.yaml").read_text()
SERVICES = YAML(typ="safe").load(TEXT)["services"]
ENDS = {"grant"}  # a service that does its work and ends
NO_PORT = {"prefect-worker", "ray-worker"}  # their servers see whether they are well
KUBERNETES = ROOT / "deploy/kubernetes"
services = pytest.mark.parametrize("name", SERVICES)


def test_every_service_of_the_issue_is_there():
    """PostgreSQL, S3, MLflow, Prefect with a worker, Ray with a worker, and optuna-dashboard."""
    wanted = {"postgres", "s3", "mlflow", "prefect", "prefect-worker", "ray-head", "ray-worker", "optuna-dashboard"}
    assert wanted <= set(SERVICES)


@services
def test_only_loopback_is_published(name):
    """Each port names 127.0.0.1: Docker publishes to every network otherwise, past a firewall."""
    assert [port for port in SERVICES[name].get("ports", ()) if not port.startswith("127.0.0.1:")] == []


@services
def test_no_container_has_the_rights_of_root(name):
    """It runs as a numbered user, without capabilities, and cannot gain any."""
    service = SERVICES[name]
    assert int(service["user"].partition(":")[0]) > 0
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]


@services
def test_a_server_has_a_health_check(name):
    """Others can wait for it."""
    assert ("healthcheck" in SERVICES[name]) == (name not in ENDS | NO_PORT)


@services
def test_a_service_waits_until_what_it_needs_works(name):
    """Nothing waits for a mere start: a database that starts refuses connections."""
    for needed, how in SERVICES[name].get("depends_on", {}).items():
        wanted = "service_completed_successfully" if needed in ENDS else "service_healthy"
        assert how == {"condition": wanted}, needed


@services
def test_an_image_from_elsewhere_has_an_exact_version(name):
    """No tag that moves; all others are this project's own image, from the locked versions."""
    image = SERVICES[name]["image"]
    assert image == "fct" or re.fullmatch(r"postgres:\d+\.\d+-bookworm", image)


def test_secrets_are_named_and_have_no_defaults():
    """Each variable is one that `make env` writes, and an empty one ends with a sentence."""
    names = set(re.findall(r"\$\{(\w+)", TEXT))
    known = {*dotenv.PORTS, *dotenv.SECRETS, "FCT_MLFLOW_ALLOWED_HOSTS", "FCT_MLFLOW_ORIGINS"}
    assert names <= known
    assert not re.search(r"\$\{\w+:?-", TEXT)
    for name in names:
        assert f"${{{name}:?run make env}}" in TEXT, name


@pytest.mark.skipif(shutil.which("docker-compose") is None, reason="apt-get install docker-compose")
def test_docker_compose_accepts_the_file(tmp_path):
    """With the variables of `make env` it is valid; without them it says what to do."""
    (tmp_path / "compose.yaml").write_text(TEXT)
    command = ["docker-compose", "--file", "compose.yaml", "config", "--quiet"]
    clean = {"PATH": os.environ["PATH"], "HOME": str(tmp_path)}
    done = subprocess.run(command, cwd=tmp_path, env=clean, capture_output=True, text=True, check=False)
    assert done.returncode != 0
    assert "run make env" in done.stderr
    dotenv.write(tmp_path / ".env")
    done = subprocess.run(command, cwd=tmp_path, env=clean, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("path", sorted(KUBERNETES.glob("*.yaml")), ids=lambda path: path.name)
def test_values_and_manifests_for_kubernetes_hold_no_secret(path):
    """Passwords come from secrets of the cluster: no key `password` or `authString` has a value."""
    text = path.read_text()
    assert YAML(typ="safe").load(text)
    assert not re.search(r"(?i)\b(password|authString|secretAccessKey|secretKey):\s*[\"']?\w", text)


@pytest.mark.parametrize("group", ["headGroupSpec", "workerGroupSpecs"])
def test_pods_of_the_ray_cluster_are_valid(group):
    """Kubernetes' own schema accepts them, with no key that it does not know. The CRD itself is not at hand here."""
    validate = pytest.importorskip("kubernetes_validate")
    spec = YAML(typ="safe").load(KUBERNETES / "raycluster.yaml")["spec"][group]
    for template in [spec["template"]] if isinstance(spec, dict) else [one["template"] for one in spec]:
        pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "ray"}, **template}
        validate.validate(pod, validate.latest_version(), strict=True)
        assert template["spec"]["securityContext"]["runAsNonRoot"]
