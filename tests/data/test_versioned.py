"""A change of a folder that DVC tracks runs the stage again."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from fct.splits import store

PIPELINE = """stages:
  data:
    cmd: {python} -m fct.data
    deps: [images]
    outs: [data/splits, data/originals]
"""
PARAMS = """data:
  source: folder
  mirror: null
  seed: 0
  fractions: {val: 0.1, gate: 0.1, test: 0.2}
  folder: {path: images, pixels: 16, keep: 1.0, channels: 3, on_error: fail}
"""


@pytest.mark.e2e
def test_an_added_image_reruns_the_stage(good):
    """After `dvc add images/*/`, `dvc repro` runs the stage again only if there is a new image."""
    environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}", "DVC_NO_ANALYTICS": "1"}

    def run(*command):
        result = subprocess.run(command, cwd=good.here, capture_output=True, text=True, check=False, env=environment)
        assert result.returncode == 0, result.stderr
        return result.stdout

    def images():
        return sum(store.read_meta(good.here / "data/splits")["counts"].values())

    (good.here / "dvc.yaml").write_text(PIPELINE.format(python=sys.executable))
    (good.here / "params.yaml").write_text(PARAMS)
    (good.root / "README.md").write_text("committed to git, as in the repository")
    run("git", "init", "-q")
    run("dvc", "init", "-q")
    run("git", "add", "images/README.md")
    run("dvc", "add", "-q", "images/cat", "images/dog")
    run("dvc", "repro")
    assert images() == 20
    assert "didn't change" in run("dvc", "repro", "data")
    good.add("cat/new.png")
    run("dvc", "repro")
    assert images() == 21
