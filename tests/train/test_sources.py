"""What compressed views come from follows from sizes and device."""

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
    """Return a function that sets how many bytes of memory there are."""

    def of(size):
        monkeypatch.setattr("psutil.virtual_memory", lambda: SimpleNamespace(total=size))

    return of


@pytest.fixture
def split(scenes):
    return scenes(count=100)  # of 768 bytes


def picked(wanted, split, device=CPU):
    return choose_source(wanted, split, lambda: {20: split.images, 60: split.images}, (20, 60), "4:2:0", device)


@pytest.mark.parametrize(("wanted", "kind"), [("cache", Cached), ("online", Online)])
def test_what_is_asked_for_is_had(split, memory, capsys, wanted, kind):
    """However much memory there is; then nothing needs saying."""
    memory(1)
    source = picked(wanted, split)
    assert isinstance(source, kind)
    assert source.qualities == (20, 60)
    assert capsys.readouterr().out == ""


def test_auto_is_the_cache_where_it_fits(split, memory, capsys):
    """Images and views of two qualities may take half of the memory; the pick and its reason are said."""
    memory(2 * 3 * split.images.nbytes)
    assert isinstance(picked("auto", split), Cached)
    assert "train.views: auto is the cache (0.00 GiB of images and views; they may take 0.0 GiB of memory)" in (
        capsys.readouterr().out
    )


def test_auto_is_online_where_the_cache_does_not_fit(split, memory, capsys):
    """One byte less, and views are made while training runs."""
    memory(2 * 3 * split.images.nbytes - 2)
    assert isinstance(picked("auto", split), Online)
    assert "auto is online" in capsys.readouterr().out


def test_images_compressed_at_their_own_size_are_never_compressed_after_the_resize(split, memory):
    """Where originals have a size of their own, auto stays with the cache, from the disk if need be."""
    memory(1)
    assert isinstance(picked("auto", replace(split, originals=NATIVE)), Cached)


def test_views_of_them_are_not_made_online(split):
    """Asking for it is an error that names the key."""
    with pytest.raises(FctError, match=r"params\.yaml: train\.views: images of a folder .* Set it to cache"):
        picked("online", replace(split, originals=NATIVE))


def test_online_opens_no_cache(split):
    """What is not read need not be there."""

    def never():
        raise AssertionError

    assert choose_source("online", split, never, (20, 60), "4:2:0", CPU).qualities == (20, 60)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs CUDA")
def test_on_a_gpu_the_cache_is_in_its_memory(split, capsys):
    """What fits goes there, and that is said."""
    assert picked("auto", split, torch.device("cuda")).raw.device.type == "cuda"
    assert "auto is the cache, in the GPU's memory" in capsys.readouterr().out
