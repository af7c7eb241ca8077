"""What tests of the night shift share."""

import resource
import subprocess
from collections.abc import Callable
from dataclasses import dataclass

import pytest

LIMIT = 8 << 20  # bytes of a file on a disk that is full


@dataclass
class FullDisk:
    """A disk on which large files do not fit."""

    dag: str  # one stage, whose folder does not fit into DVC's cache
    free: Callable[[], None]


@pytest.fixture
def start_pipeline(tmp_path, monkeypatch):
    """Return a function that puts a dvc.yaml into an empty folder, in which nothing has run, and stands there."""

    def start(dag):
        monkeypatch.chdir(tmp_path)
        monkeypatch.setenv("DVC_SITE_CACHE_DIR", str(tmp_path / ".dvc/tmp/site"))
        (tmp_path / "dvc.yaml").write_text(dag)
        (tmp_path / "seed").write_text("x")
        subprocess.run(["dvc", "init", "--no-scm", "--quiet"], check=True)

    return start


@pytest.fixture
def full_disk():
    """Let no file of this process's descendants grow beyond a few MiB. The stage lifts the limit for itself."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    make = f"ulimit -S -f unlimited && mkdir folder && head -c {2 * LIMIT} /dev/zero > folder/b && touch folder/empty"
    resource.setrlimit(resource.RLIMIT_FSIZE, (LIMIT, before[1]))
    yield FullDisk(
        f"stages: {{folder: {{cmd: {make}, outs: [folder]}}}}",
        lambda: resource.setrlimit(resource.RLIMIT_FSIZE, before),
    )
    resource.setrlimit(resource.RLIMIT_FSIZE, before)
