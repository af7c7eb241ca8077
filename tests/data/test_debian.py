"""Debian's package as a source of files. The system tests download the real package."""

import pytest

from fct.core.errors import FctError
from fct.data import fashion_mnist
from fct.data.debian import unpack

DEAD = "http://127.0.0.1:9"


def test_a_machine_without_apt_is_an_error(tmp_path, monkeypatch):
    """On a machine without apt, the error names the missing command."""
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(FctError, match="apt-get is not installed on this machine"):
        unpack("any", "usr/share/no-such-folder", tmp_path)


@pytest.mark.system
def test_the_package_holds_the_published_files(tmp_path, monkeypatch):
    """If the publisher's server is down, Debian's package provides files with the published checksums."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    dataset = fashion_mnist.load(None, server=DEAD)
    assert dataset.pool.images.shape == (60_000, 28, 28, 1)
    assert dataset.test.images.shape == (10_000, 28, 28, 1)


@pytest.mark.system
def test_new_package_lists_do_not_change_the_systems_lists(tmp_path, monkeypatch):
    """If apt's lists are empty, new lists are downloaded into the work folder. The system's lists stay as they are."""
    lists = tmp_path / "lists"
    (lists / "partial").mkdir(parents=True)
    config = tmp_path / "apt.conf"
    config.write_text(f'Dir::State::lists "{lists}";\n')
    monkeypatch.setenv("APT_CONFIG", str(config))
    work = tmp_path / "work"
    work.mkdir()
    folder = unpack(fashion_mnist.PACKAGE, fashion_mnist.INSIDE, work)
    assert (folder / "train-images-idx3-ubyte.gz").stat().st_size > 20_000_000
    assert list(lists.rglob("*Packages*")) == []


@pytest.mark.system
def test_an_unknown_package_is_an_error(tmp_path):
    """A package that does not exist is an error with apt's message."""
    with pytest.raises(FctError, match=r"apt-get .*no-such-package-at-all"):
        unpack("no-such-package-at-all", "usr/share/no-such-folder", tmp_path)
