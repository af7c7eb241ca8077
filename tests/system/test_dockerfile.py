"""The image that the Dockerfile describes, built for real in chroots (see conftest.py) and used without a network."""

import json
import subprocess
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[2]
pytestmark = [pytest.mark.system, pytest.mark.slow, pytest.mark.timeout(3600)]  # seconds: gigabytes to install


def test_the_command_answers(image):
    """`fct --help` works for the image's user, who is not root, without a network."""
    done = image.run("fct", "--help")
    assert done.returncode == 0, done.stdout
    assert "promote" in done.stdout
    assert image.run("id", "--user").stdout == "1000\n"


def test_the_data_is_inside(image):
    """The data stage makes the splits from the packaged images, without a network."""
    done = image.run("python", "-m", "fct.data")
    assert done.returncode == 0, done.stdout
    meta = json.loads((image.root / "srv/fct/data/splits/meta.json").read_text())
    assert sum(meta["counts"].values()) == 70_000


def test_the_pipeline_runs_to_its_verdict(image):
    """The image's own command runs every stage, without a network, to a gate's verdict."""
    assert image.command == ("dvc", "repro")
    done = image.run(*image.command)
    assert done.returncode == 0, done.stdout[-4000:]
    assert json.loads((image.root / "srv/fct/metrics/gate.json").read_text())["verdict"] in ("PASS", "FAIL")


def git(*command: str) -> str:
    """Return what git says outside the image."""
    return subprocess.run(["git", *command], cwd=REPOSITORY, capture_output=True, text=True, check=True).stdout


def test_the_image_knows_its_commit(image):
    """Git inside names the commit that the image was built from, so that a model's origin holds."""
    commit = image.run("git", "rev-parse", "--verify", "HEAD").stdout.strip()
    assert commit in git("rev-list", "HEAD").splitlines()


def test_the_image_lacks_no_tracked_file(image):
    """Git inside misses no file that is there outside: else every model would count as made from uncommitted code."""
    assert image.run("git", "ls-files", "--deleted").stdout == git("ls-files", "--deleted")


def test_no_private_file_is_inside(image):
    """The builder's git configuration, which may hold a token, and the local DVC configuration stay outside."""
    for private in (".git/config", ".dvc/config.local", ".env"):
        assert not (image.root / "srv/fct" / private).exists()
