"""The two stages of the cache, run as DVC runs them: one quality each, then the list of them all."""

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
    Path("params.yaml").write_text(f'jpeg: {{subsampling: "{subsampling}"}}\ncache: {{qualities: {qualities}}}\n')


def test_a_quality_is_cached_by_one_command(toy):
    """The stage compresses train and val at its quality with the subsampling of params.yaml, and says how many."""
    params([20, 35, 60], "4:4:4")
    done = python("-m", "fct.cache", "--quality", "35")
    assert done.returncode == 0, done.stderr
    assert "quality 35: 144 images in" in done.stdout
    views = toy.views("val", qualities=(35,), subsampling="4:4:4")
    np.testing.assert_array_equal(views[35], compress_split(toy.split("val"), 35, "4:4:4"))


def test_without_splits_the_command_says_how_to_make_them(tmp_path, monkeypatch):
    """What is missing is an error of one line, not a traceback, and leaves no cache."""
    monkeypatch.chdir(tmp_path)
    params([20])
    done = python("-m", "fct.cache", "--quality", "20")
    assert done.returncode == 1
    assert "is not here. Make it with `dvc repro data`" in done.stderr
    assert "Traceback" not in done.stderr
    assert not Path("data/cache").exists()


def test_pixels_are_moved_without_torch():
    """Importing the stages that only move pixels imports neither torch nor torchvision."""
    stages = "fct.cache.__main__, fct.cache.index, fct.data.__main__"
    done = python("-c", f"import sys, {stages}; print(sorted({{'torch', 'torchvision'}} & set(sys.modules)))")
    assert done.stdout.strip() == "[]", done.stderr


def test_a_removed_quality_loses_its_folder(toy, capsys):
    """What params.yaml no longer names is removed and said to be; what it names stays, and is listed."""
    params([60])
    before = toy.views("train", qualities=(60,))[60].copy()
    cache_index.main()
    assert capsys.readouterr().out == "removed data/cache/q20: params.yaml does not name it any more\n"
    assert sorted(path.name for path in Path("data/cache").iterdir()) == ["index.json", "q60"]
    assert json.loads(Path("data/cache/index.json").read_text()) == {"qualities": [60]}
    np.testing.assert_array_equal(toy.views("train", qualities=(60,))[60], before)


@pytest.mark.usefixtures("toy")
def test_qualities_out_of_order_are_refused_and_remove_nothing(capsys):
    """A wrong list in params.yaml ends the stage before it touches a cache."""
    params([60, 20])
    with pytest.raises(SystemExit):
        cache_index.main()
    assert "ascending order" in capsys.readouterr().err
    assert Path("data/cache/q20").is_dir()
