"""Data and caches travel through a DVC remote."""

import shutil

import pytest

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(900)]


def test_what_is_pushed_is_pulled(copy, tmp_path):
    """With outs and cache gone, `dvc pull` brings back every file of the data, the caches and the images."""
    paths = ("data", "model", "evaluation", "images")
    before = copy.contents(*paths)
    copy.run("dvc", "remote", "add", "--default", "--local", "store", str(tmp_path / "store"))
    copy.run("dvc", "push", "--quiet")
    for path in ("data/splits", "data/originals", "data/cache", "model", "evaluation", "images/Bag", ".dvc/cache"):
        shutil.rmtree(copy.folder / path)
    copy.run("git", "checkout", "--quiet", "data", "model")  # git's share of these folders
    copy.run("dvc", "pull", "--quiet")
    after = copy.contents(*paths)
    assert sorted(after) == sorted(before)
    assert after == before
    assert copy.stale() == set()
