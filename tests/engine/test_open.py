"""The engine that params.yaml names."""

import sys
from pathlib import Path

import pytest

from fct.core.errors import FctError
from fct.core.params import DEFAULTS, load
from fct.engine.local import Threads
from fct.engine.open import open_engine
from fct.engine.params import _Params, read_compute

LOCAL = load(_Params, DEFAULTS).compute
RAY = LOCAL.model_copy(update={"engine": "ray"})


def test_missing_keys_have_defaults(tmp_path, monkeypatch):
    """A params.yaml without the section works on threads."""
    monkeypatch.chdir(tmp_path)
    Path("params.yaml").write_text("jpeg: {}\n")
    assert read_compute().engine == "local"
    Path("params.yaml").write_text("compute: {engine: ray}\n")
    assert read_compute() == RAY


def test_an_unknown_engine_is_an_error(tmp_path, monkeypatch):
    """The message has the key and the line."""
    monkeypatch.chdir(tmp_path)
    Path("params.yaml").write_text("compute: {engine: rey}\n")
    with pytest.raises(FctError, match=r"line 1: compute\.engine: 'rey' is not possible\. Did you mean 'ray'"):
        read_compute()


@pytest.mark.parametrize("address", ["head", "head:port", "head:70000", ":6379", "https://head:6379"])
def test_an_address_that_cannot_be_is_an_error(tmp_path, monkeypatch, address):
    """It is known before Ray is asked, which would wait."""
    monkeypatch.chdir(tmp_path)
    Path("params.yaml").write_text(f"compute: {{address: '{address}'}}\n")
    with pytest.raises(FctError, match=r"line 1: compute\.address: this must be auto, local or host:port"):
        read_compute()


@pytest.mark.parametrize("address", ["auto", "local", "head:6379", "10.0.0.1:6379", "[::1]:6379", "ray://head:10001"])
def test_an_address_of_a_cluster_is_accepted(tmp_path, monkeypatch, address):
    """Names, numbers and Ray's client."""
    monkeypatch.chdir(tmp_path)
    Path("params.yaml").write_text(f"compute: {{address: '{address}'}}\n")
    assert read_compute().address == address


@pytest.mark.parametrize("compute", [None, LOCAL])
def test_threads_are_the_default(compute, tmp_path):
    """They need no shared folder, so none is touched."""
    with open_engine(compute, writes=tmp_path / "build") as engine:
        assert isinstance(engine, Threads)
    assert not (tmp_path / "build").exists()


def test_without_ray_the_error_says_what_to_install(monkeypatch, tmp_path):
    """The message names the key and the extra."""
    monkeypatch.setitem(sys.modules, "ray", None)
    remedy = r"engine: ray is not installed.*pip install '\.\[ray\]'"
    with pytest.raises(FctError, match=remedy), open_engine(RAY, writes=tmp_path):
        pass
