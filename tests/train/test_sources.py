"""Sizes and device decide the source of compressed views."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from fct.core.errors import FctError
from fct.splits.store import Originals
from fct.train.batches import Cached, Online
from fct.train.sources import choose_source

CPU = torch.device("cpu")
NATIVE = Originals(np.empty(0, np.uint8), np.empty(0, np.int64), np.empty(0, np.int64))


@pytest.fixture
def memory(monkeypatch):
    """Return a function that sets the size of the memory in bytes."""

    def set_size(size):
        monkeypatch.setattr("psutil.virtual_memory", lambda: SimpleNamespace(available=size))

    return set_size


@pytest.fixture
def split(scenes):
    return scenes(count=100)  # 768 bytes each


def choose(views, split, device=CPU):
    return choose_source(views, split, lambda: {20: split.images, 60: split.images}, (20, 60), "4:2:0", device)


@pytest.mark.parametrize(("views", "kind"), [("cache", Cached), ("online", Online)])
def test_a_fixed_source_is_used(split, memory, capsys, views, kind):
    """The size of the memory does not matter, and nothing is printed."""
    memory(1)
    source = choose(views, split)
    assert isinstance(source, kind)
    assert source.qualities == (20, 60)
    assert capsys.readouterr().out == ""


def test_auto_is_the_cache_if_it_fits(split, memory, capsys):
    """Images and views can use half of the memory. The choice and its reason are printed."""
    memory(2 * 3 * split.images.nbytes)
    assert isinstance(choose("auto", split), Cached)
    assert "train.views: auto chose the cache (0.00 GiB of images and views; the limit is 0.0 GiB of free memory)" in (
        capsys.readouterr().out
    )


def test_auto_is_online_if_the_cache_does_not_fit(split, memory, capsys):
    """With one byte less, views are made during the training."""
    memory(2 * 3 * split.images.nbytes - 2)
    assert isinstance(choose("auto", split), Online)
    assert "auto chose online" in capsys.readouterr().out


def test_images_compressed_at_their_own_size_are_never_compressed_after_the_resize(split, memory):
    """For originals of their own size, auto is the cache, even if it does not fit into memory."""
    memory(1)
    assert isinstance(choose("auto", replace(split, originals=NATIVE)), Cached)


def test_online_views_of_such_images_are_an_error(split):
    """The error names the key and what to set."""
    with pytest.raises(FctError, match=r"params\.yaml.*: train\.views: images of a folder .* Set it to cache"):
        choose("online", replace(split, originals=NATIVE))


def test_online_opens_no_cache(split):
    """With online views the cache does not have to exist."""

    def never():
        raise AssertionError

    assert choose_source("online", split, never, (20, 60), "4:2:0", CPU).qualities == (20, 60)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs CUDA")
def test_on_a_gpu_the_cache_is_in_its_memory(split, capsys):
    """If the cache fits into the GPU's memory it is copied there, and a message says so."""
    assert choose("auto", split, torch.device("cuda")).raw.device.type == "cuda"
    assert "auto chose the cache, in the GPU's memory" in capsys.readouterr().out
