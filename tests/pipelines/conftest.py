"""What tests of the night shift share."""

import subprocess

import pytest


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
