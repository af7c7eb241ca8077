"""Choose the source of compressed views by sizes and device."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import psutil
import torch

from fct.core.errors import FctError
from fct.core.params import location
from fct.splits.shards import Images
from fct.splits.store import Split
from fct.train.batches import Cached, Online, Resident, Source
from fct.train.group import ALONE, Group
from fct.train.params import NOT_ONLINE, Views

SHARE = 0.5  # of the free memory, host or GPU, that images and views may use


def choose_source(  # noqa: PLR0913, PLR0917  # all that decides
    views: Views,
    split: Split,
    cache: Callable[[], Mapping[int, Images]],
    qualities: tuple[int, ...],
    subsampling: str,
    device: torch.device,
    group: Group = ALONE,
) -> Source:
    """Return the source of compressed views for `split`. Print the choice if `views` is "auto".

    "auto" is the cache if it fits into memory, else online. For images that were compressed at their own size, before
    the resize, it is always the cache: this cannot be done online. The cache is copied to the GPU if it fits there.

    Args:
        views: the choice in params.yaml.
        split: the training images.
        cache: opens the cached views by quality, memory-mapped.
        qualities: the trained qualities.
        subsampling: the subsampling of the chroma planes.
        device: the device of the training.
        group: the processes that train together. The first one chooses between cache and online, which decide pixels;
            each chooses for itself between host and GPU.

    Raises:
        FctError: `views` is "online", and the images were compressed at their own size.
    """
    native = split.originals is not None
    if views == "online" and native:
        raise FctError(f"{location('train.views')}: {NOT_ONLINE}")
    size = split.images.nbytes * (1 + len(qualities))
    host_limit = psutil.virtual_memory().available * SHARE
    gpu_limit = torch.cuda.mem_get_info(device)[0] * SHARE if device.type == "cuda" else 0
    source: Source
    if group.first(views == "online" or (views == "auto" and not native and size > max(host_limit, gpu_limit))):
        source = Online(qualities, subsampling)
    else:
        source = Cached(cache())
        if size <= gpu_limit:
            source = Resident.upload(split, source, device)
    if views == "auto":
        limits = [f"{host_limit / 2**30:.1f} GiB of free memory"]
        if gpu_limit:
            limits.append(f"{gpu_limit / 2**30:.1f} GiB of the GPU's free memory")
        reason = f"{size / 2**30:.2f} GiB of images and views; the limit is {' or '.join(limits)}"
        print(f"train.views: auto chose {source.name} ({reason})")
    return source
