"""Which source of compressed views a training has, by sizes and device."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import psutil
import torch

from fct.core.errors import FctError
from fct.splits.store import Split
from fct.train.batches import Cached, Images, Online, Resident, Source
from fct.train.params import Views

SHARE = 0.5  # of a memory, that images and views may take


def choose_source(  # noqa: PLR0913, PLR0917  # all that decides
    wanted: Views,
    split: Split,
    cache: Callable[[], Mapping[int, Images]],
    qualities: tuple[int, ...],
    subsampling: str,
    device: torch.device,
) -> Source:
    """Return the source of compressed views for `split`; where the choice was left open, say what was chosen.

    "auto" is the cache where it fits into memory, or where images were compressed at a size of their own, which after
    the resize cannot be done again; else online. On a GPU the cache goes to the GPU's own memory if it fits there.

    Args:
        wanted: by the user.
        split: to train on.
        cache: opens its views by quality, memory-mapped.
        qualities: trained.
        subsampling: of the chroma planes.
        device: to train on.

    Raises:
        FctError: "online" is wanted of images that have a size of their own.
    """
    native = split.originals is not None
    if wanted == "online" and native:
        raise FctError(
            "params.yaml: train.views: images of a folder are compressed at their own size, before the resize; their "
            "views cannot be made online. Set it to cache."
        )
    size = split.images.nbytes * (1 + len(qualities))
    memory = psutil.virtual_memory().total * SHARE
    spare = torch.cuda.mem_get_info(device)[1] * SHARE if device.type == "cuda" else 0
    source: Source
    if wanted == "online" or (wanted == "auto" and not native and size > max(memory, spare)):
        source = Online(qualities, subsampling)
    else:
        source = Cached(cache())
        if size <= spare:
            source = Resident.upload(split, source, device)
    if wanted == "auto":
        limits = [f"{memory / 2**30:.1f} GiB of memory"] + [f"{spare / 2**30:.1f} GiB of the GPU's"] * (spare > 0)
        needed = f"{size / 2**30:.2f} GiB of images and views; they may take {' or '.join(limits)}"
        print(f"train.views: auto is {source.name} ({needed})")
    return source
