"""What the versions of a project take on disk."""

from pathlib import Path

import pytest

from fct.vcs import disk

LOCK = """
stages:
  cache@20: {cmd: x, outs: [{path: data/cache/q20, md5: a.dir, size: 3000000}]}
  train: {cmd: x, outs: [{path: model/model.pt, md5: b, size: 1000000}]}
"""


@pytest.fixture
def project(tmp_path, monkeypatch):
    """Work in a project whose DVC cache, in a place of its own, has two versions."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(disk, "dvc_cache", lambda: Path("shared"))
    for name in ("shared/ab/one", "shared/cd/two"):
        Path(name).parent.mkdir(parents=True)
        Path(name).write_bytes(bytes(4_000_000))


@pytest.mark.usefixtures("project")
def test_all_versions_and_this_one_are_measured():
    """The cache has all, dvc.lock the sizes of the present one and of the views in it."""
    Path("dvc.lock").write_text(LOCK)
    assert disk.measure() == disk.Usage(Path("shared"), total=8_000_000, current=4_000_000, views=3_000_000)


@pytest.mark.usefixtures("project")
def test_before_the_first_run_there_is_nothing_to_measure():
    """Without dvc.lock no version exists."""
    assert disk.measure() is None


@pytest.mark.parametrize(("size", "text"), [(432_600_000, "433 MB"), (2_210_000_000, "2.2 GB")])
def test_sizes_are_in_the_unit_that_people_use(size, text):
    """MB below a thousand of them."""
    assert disk.format_size(size) == text
