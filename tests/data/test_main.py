"""The data stage as a command."""

import subprocess
import sys
from pathlib import Path

import pytest

from fct.core import params
from fct.data import __main__ as data

PARAMS = """data:
  source: folder
  mirror: null
  seed: 0
  fractions: {{val: 0.1, gate: 0.1, test: 0.2}}
  folder: {{path: images, pixels: 16, keep: 1.0, channels: 3, on_error: {on_error}}}
"""


def run(folder, on_error="fail"):
    (folder / "params.yaml").write_text(PARAMS.format(on_error=on_error))
    command = [sys.executable, "-m", "fct.data"]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)


@pytest.mark.e2e
def test_the_command_writes_both_outs_and_a_summary(good):
    """The stage writes splits and originals, and prints how many images each split has, and what a cache takes."""
    result = run(good.here)
    assert result.returncode == 0, result.stderr
    assert sorted(path.name for path in (good.here / "data").iterdir()) == ["originals", "splits"]
    assert "train       12 images" in result.stdout
    assert "cache.qualities will take 0.0 MiB of disk" in result.stdout


@pytest.mark.e2e
def test_a_bad_image_is_an_error_without_a_traceback(good):
    """With a bad image the command exits with 1, names it without a traceback, and keeps the last good outs."""
    run(good.here)
    (good.root / "cat/bad.png").write_text("no")
    result = run(good.here)
    assert result.returncode == 2
    assert "cat/bad.png: not a JPEG" in result.stderr
    assert "Traceback" not in result.stderr
    assert (good.here / "data/splits/meta.json").exists()
    assert "skipped 1: not a JPEG" in run(good.here, "skip").stdout


def test_the_stage_does_not_import_torch():
    """The stage does not import torch, which takes seconds."""
    code = "import sys, fct.data.__main__; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_the_stage_reads_the_committed_params():
    """params.yaml as committed is valid for this stage."""
    assert params.load(data.Params, Path(__file__).parents[2] / "params.yaml").data.source
