"""Debian's package as a source: for real where the test may reach a package mirror."""

import pytest

from fct.core.errors import FctError
from fct.data import fashion_mnist
from fct.data.debian import unpack

DEAD = "http://127.0.0.1:9"


def test_without_apt_it_says_so(tmp_path, monkeypatch):
    """On a machine without apt the error names the command that is not there."""
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(FctError, match="apt-get is not on this machine"):
        unpack("any", "usr/share/no-such-folder", tmp_path)


@pytest.mark.system
def test_the_package_holds_the_published_files(tmp_path, monkeypatch):
    """With the publisher's server away, Debian's package gives files of the published checksums."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    stock = fashion_mnist.load(None, server=DEAD)
    assert stock.pool.images.shape == (60_000, 28, 28, 1)
    assert stock.test.images.shape == (10_000, 28, 28, 1)


@pytest.mark.system
def test_empty_package_lists_are_filled_beside_the_systems(tmp_path, monkeypatch):
    """Where apt knows no package, fresh lists are read into the work folder and the system's stay untouched."""
    lists = tmp_path / "lists"
    (lists / "partial").mkdir(parents=True)
    config = tmp_path / "apt.conf"
    config.write_text(f'Dir::State::lists "{lists}";\n')
    monkeypatch.setenv("APT_CONFIG", str(config))
    work = tmp_path / "work"
    work.mkdir()
    found = unpack(fashion_mnist.PACKAGE, fashion_mnist.INSIDE, work)
    assert (found / "train-images-idx3-ubyte.gz").stat().st_size > 20_000_000
    assert list(lists.rglob("*Packages*")) == []


@pytest.mark.system
def test_an_unknown_package_is_an_error(tmp_path):
    """A package that no archive has is an error with what apt says."""
    with pytest.raises(FctError, match=r"apt-get .*no-such-package-at-all"):
        unpack("no-such-package-at-all", "usr/share/no-such-folder", tmp_path)
