"""The command `fct doctor`: finds damage in the splits and caches, and names the command that repairs it.

It also finds splits that were made with other values than the section `data` of params.yaml has now, and a tracking
database that was copied or moved but still names the files of its former folder.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from functools import partial
from typing import NamedTuple

from fct.cache import store
from fct.cache.params import CacheParams
from fct.core.errors import FctError
from fct.core.params import Section, load, location
from fct.core.paths import ORIGINALS, SPLITS
from fct.data.params import DataParams
from fct.splits import meta
from fct.splits.params import JpegParams
from fct.splits.store import open_split, read_meta
from fct.tracking.location import check, database_of
from fct.tracking.server import DEFAULT_URI


class Params(Section):
    """The sections of params.yaml that `fct doctor` reads."""

    data: DataParams
    jpeg: JpegParams
    cache: CacheParams


class Finding(NamedTuple):
    """The result of one check."""

    subject: str  # what was checked
    problem: str | None  # what is wrong and what to do; None if nothing is wrong


def examine() -> Iterator[Finding]:
    """Check every byte of the splits, the originals and each cache, and the place of MLflow's files.

    Raises:
        FctError: params.yaml cannot be read.
    """
    params = load(Params)
    yield _run_check("splits and originals", partial(_check_splits, params.data))
    database = database_of(os.environ.get("MLFLOW_TRACKING_URI") or DEFAULT_URI)
    if database and database.exists():
        yield _run_check("places of runs and models", partial(check, database))
    for quality in params.cache.qualities:
        yield _run_check(f"cache at quality {quality}", partial(_check_cache, quality, params.jpeg.subsampling))


def _check_splits(data: DataParams) -> None:
    meta.verify(SPLITS, ORIGINALS)
    made, expected = read_meta(), {"source": data.source, "seed": data.seed}
    keys = {"source": "source", "seed": "seed", "size": "folder.pixels", "channels": "folder.channels"}
    if data.source == "folder":
        expected |= {"size": data.folder.pixels, "channels": data.folder.channels}
    for name, value in expected.items():
        if made[name] != value:
            raise FctError(
                f"{location(f'data.{keys[name]}')} is {value}, but {SPLITS / 'meta.json'} has {name} {made[name]}. "
                "Make the splits again with `dvc repro data`."
            )
    side = open_split("train").images.shape[1]
    if data.source == "folder" and side != data.folder.kept_pixels:
        raise FctError(
            f"{location('data.folder.keep')} is {data.folder.keep}, so images of train should have "
            f"{data.folder.kept_pixels} pixels, but those in {SPLITS / 'train'} have {side}. Make the splits again "
            "with `dvc repro data`."
        )


def _check_cache(quality: int, subsampling: str) -> None:
    store.verify_cache(quality, subsampling, source_digest=read_meta()["digest"])


def _run_check(subject: str, check: Callable[[], None]) -> Finding:
    try:
        check()
    except FctError as error:
        return Finding(subject, str(error))
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:  # a damaged meta.json, or the disk
        remedy = "Rebuild them with `dvc repro --force --single-item data`."
        return Finding(subject, f"{SPLITS / 'meta.json'} or a file it names cannot be read ({error!r}). {remedy}")
    return Finding(subject, None)
