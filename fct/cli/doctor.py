"""What is wrong with this working copy, and what puts it right."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import NamedTuple

from fct.cache import store
from fct.cache.params import CacheParams
from fct.core import params
from fct.core.errors import FctError
from fct.core.params import Section
from fct.core.paths import ORIGINALS, SPLITS
from fct.splits import meta
from fct.splits.params import JpegParams
from fct.splits.store import read_meta


class Params(Section):
    """What the doctor reads of params.yaml."""

    jpeg: JpegParams
    cache: CacheParams


class Finding(NamedTuple):
    """One thing that was looked at."""

    what: str
    problem: str | None  # what is wrong and what to do; None where all is well


def examine() -> Iterator[Finding]:
    """Look at what is on disk, one thing after the other: every byte of it is read.

    Raises:
        FctError: params.yaml cannot be read.
    """
    read = params.load(Params)
    yield _looked("splits and originals", partial(meta.verify, SPLITS, ORIGINALS))
    for quality in read.cache.qualities:
        yield _looked(f"cache at quality {quality}", partial(_cache, quality, read.jpeg.subsampling))


def _cache(quality: int, subsampling: str) -> None:
    store.verify_cache(quality, subsampling, source_digest=read_meta()["digest"])


def _looked(what: str, check: Callable[[], None]) -> Finding:
    try:
        check()
    except FctError as error:
        return Finding(what, str(error))
    except (
        OSError,
        ValueError,
        KeyError,
        TypeError,
        AttributeError,
    ) as error:  # of the splits' meta.json, or of the disk
        again = "Rebuild them with `dvc repro --force --single-item data`."
        return Finding(what, f"{SPLITS / 'meta.json'} or what it describes cannot be read ({error!r}). {again}")
    return Finding(what, None)
