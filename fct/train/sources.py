"""Which source of compressed views a training has, by sizes and device."""

from __future__ import annotations

from collections.abc import Mapping

import psutil
import torch

from fct.data.store import Split
from fct.train.batches import Cached, Images, Online, Resident, Source
from fct.train.params import Views

SHARE = 0.5  # of a memory, that images and views may take


def pick(wanted: Views, split: Split, cache: Mapping[int, Images], subsampling: str, device: torch.device) -> Source:
    """Return the source of compressed views for `split`; where the choice was left open, say what was chosen.

    "auto" is the cache where it fits into memory, or where images were compressed at a size of their own, which after
    the resize cannot be done again; else online. On a GPU the cache goes to the GPU's own memory if it fits there.

    Args:
        wanted: by the user.
        split: to train on.
        cache: its views by quality, memory-mapped.
        subsampling: of the chroma planes.
        device: to train on.
    """
    size = split.images.nbytes * (1 + len(cache))
    memory = psutil.virtual_memory().total * SHARE
    spare = torch.cuda.mem_get_info(device)[0] * SHARE if device.type == "cuda" else 0
    source: Source = Cached(cache)
    if wanted == "online" or (wanted == "auto" and split.originals is None and size > max(memory, spare)):
        source = Online(tuple(cache), subsampling)
    elif size <= spare:
        source = Resident.upload(split, Cached(cache), device)
    if wanted == "auto":
        limits = [f"{memory / 2**30:.1f} GiB of memory"] + [f"{spare / 2**30:.1f} GiB of the GPU's"] * (spare > 0)
        needed = f"{size / 2**30:.2f} GiB of images and views; they may take {' or '.join(limits)}"
        print(f"train.views: auto is {source.name} ({needed})")
    return source
