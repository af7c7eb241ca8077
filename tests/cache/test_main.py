"""The two stages of the cache, run like DVC: one for each quality, then the list of all."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from fct.cache import index as cache_index
from fct.splits.views import compress_split

ROOT = Path(__file__).parents[2]


def python(*arguments):
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    return subprocess.run([sys.executable, *arguments], env=environment, capture_output=True, text=True, check=False)


def params(qualities, subsampling="4:2:0"):
    Path("params.yaml").write_text(
        f'jpeg: {{subsampling: "{subsampling}"}}\ncache: {{qualities: {qualities}, shard: 256}}\n'
    )


def test_a_quality_is_cached_by_one_command(toy):
    """The stage compresses train and val with the subsampling of params.yaml, and prints the number of images."""
    params([20, 35, 60], "4:4:4")
    process = python("-m", "fct.cache", "--quality", "35")
    assert process.returncode == 0, process.stderr
    assert "quality 35: 144 images in" in process.stdout
    views = toy.views("val", qualities=(35,), subsampling="4:4:4")
    np.testing.assert_array_equal(views[35], compress_split(toy.split("val"), 35, "4:4:4"))


def test_missing_splits_are_an_error(tmp_path, monkeypatch):
    """The error for missing splits is one line without a traceback, and no cache is written."""
    monkeypatch.chdir(tmp_path)
    params([20])
    process = python("-m", "fct.cache", "--quality", "20")
    assert process.returncode == 2
    assert "is not here. Make it with `dvc repro data`" in process.stderr
    assert "Traceback" not in process.stderr
    assert not Path("data/cache").exists()


def test_the_stages_do_not_import_torch():
    """Stages that only move pixels import neither torch nor torchvision."""
    stages = "fct.cache.__main__, fct.cache.index, fct.data.__main__"
    process = python("-c", f"import sys, {stages}; print(sorted({{'torch', 'torchvision'}} & set(sys.modules)))")
    assert process.stdout.strip() == "[]", process.stderr


def test_the_folder_of_a_removed_quality_is_deleted(toy, capsys):
    """Caches of qualities that are not in params.yaml are deleted with a message. The others stay and are listed."""
    params([60])
    before = toy.views("train", qualities=(60,))[60].copy()
    cache_index.main()
    assert capsys.readouterr().out == "deleted data/cache/q20: its quality is not in params.yaml any more\n"
    assert sorted(path.name for path in Path("data/cache").iterdir()) == ["index.json", "q60"]
    assert json.loads(Path("data/cache/index.json").read_text()) == {"qualities": [60]}
    np.testing.assert_array_equal(toy.views("train", qualities=(60,))[60], before)


@pytest.mark.usefixtures("toy")
def test_qualities_out_of_order_are_an_error_and_delete_nothing(capsys):
    """A wrong list in params.yaml is an error, and no cache is deleted."""
    params([60, 20])
    with pytest.raises(SystemExit):
        cache_index.main()
    assert "ascending order" in capsys.readouterr().err
    assert Path("data/cache/q20").is_dir()
