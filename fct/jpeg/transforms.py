"""JPEG as transforms of images: `JPEG` at one quality, `RandomJPEG` at random ones.

They are torchvision v2 transforms, and modules for batches on any device.
"""

from __future__ import annotations

from types import NoneType
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.utils._pytree import tree_flatten, tree_unflatten
from torch.utils.data import get_worker_info
from torchvision import tv_tensors
from torchvision.transforms import v2

from fct.jpeg.shapes import FACTORS
from fct.jpeg.tensors import roundtrip


def _is_plain(value: object) -> bool:
    return isinstance(value, Tensor) and not isinstance(value, tv_tensors.TVTensor)


class _Compression(v2.Transform):  # type: ignore[misc]  # torchvision has no types
    """Compress the images of a sample. A subclass draws their qualities."""

    _transformed_types = (_is_plain, tv_tensors.Image, tv_tensors.Video, Image.Image)

    def __init__(self, subsampling: str, *, return_quality: bool) -> None:
        super().__init__()
        if subsampling not in FACTORS:
            raise ValueError(f"subsampling is {subsampling!r}; it is one of {', '.join(FACTORS)}.")
        self.subsampling, self.return_quality = subsampling, return_quality

    def draw(self, leading: torch.Size) -> Tensor:
        """Return the quality of each image, int64 of shape `leading`."""
        raise NotImplementedError

    def forward(self, *inputs: Any) -> Any:
        """Return the sample with compressed images, or (sample, quality) if `return_quality`."""
        sample = inputs if len(inputs) > 1 else inputs[0]
        values, structure = tree_flatten(sample)
        is_transformed = self._needs_transform_list(values)
        images = [value for value, chosen in zip(values, is_transformed, strict=True) if chosen]
        if not images:
            raise ValueError("there is no image in the sample; give a uint8 tensor, a tv_tensors.Image or a PIL image.")
        plain = [value for value in images if _is_plain(value)]
        if plain and plain[0].dtype != torch.uint8 and sum(map(_is_plain, values)) > 1:
            raise ValueError(
                f"the first plain tensor of the sample is {plain[0].dtype} and was taken for the image, which is "
                "uint8; put the image first, or make it a tv_tensors.Image."
            )
        first, *others = [_leading(image) for image in images]
        for other in others:
            if other != first:
                raise ValueError(
                    f"the images of one sample are batches of shapes {list(first)} and {list(other)}; transform each "
                    "by itself."
                )
        quality = self.draw(first)
        results = [
            self._compress(value, quality) if chosen else value
            for value, chosen in zip(values, is_transformed, strict=True)
        ]
        transformed = tree_unflatten(results, structure)
        return (transformed, quality) if self.return_quality else transformed

    def _compress(self, image: Any, quality: Tensor) -> Any:
        if isinstance(image, Image.Image):
            if image.mode not in ("L", "RGB"):
                raise ValueError(f"the image's mode is {image.mode}; convert it to RGB or L first.")
            pixels = torch.from_numpy(np.atleast_3d(np.array(image))).permute(2, 0, 1)
            compressed = roundtrip(pixels, quality, subsampling=self.subsampling).permute(1, 2, 0)
            return Image.fromarray(compressed.squeeze(2).numpy())
        if _is_plain(image):
            return roundtrip(image, quality, subsampling=self.subsampling)
        return tv_tensors.wrap(roundtrip(image.as_subclass(Tensor), quality, subsampling=self.subsampling), like=image)

    def extra_repr(self) -> str:
        """Return the arguments."""
        return f"quality={self.quality}, subsampling={self.subsampling!r}, return_quality={self.return_quality}"


class JPEG(_Compression):
    """Compress images with JPEG at one quality; the pixels are bit-identical to Pillow's.

    Args:
        quality: 1..100, on the scale of the Independent JPEG Group, as Pillow's.
        subsampling: the subsampling of the chroma planes, "4:2:0", "4:2:2" or "4:4:4".
        return_quality: return (sample, quality) instead of the sample; see `RandomJPEG`.

    Shape:
        input and output: as those of `RandomJPEG`.

    Raises:
        ValueError: an argument is out of range, an image is not 8-bit grey or RGB, or a sample has no image.

    Example:
        >>> images = torch.randint(256, (8, 3, 32, 32), dtype=torch.uint8)
        >>> JPEG(30)(images).shape
        torch.Size([8, 3, 32, 32])
    """

    def __init__(self, quality: int, subsampling: str = "4:2:0", *, return_quality: bool = False) -> None:
        super().__init__(subsampling, return_quality=return_quality)
        self.quality = _check_quality(quality)

    def draw(self, leading: torch.Size) -> Tensor:
        """Return the quality for each image."""
        return torch.full(leading, self.quality)


class RandomJPEG(_Compression):
    """Compress each image with JPEG at a random quality; the pixels are bit-identical to Pillow's.

    It is a torchvision v2 transform: labels, boxes and masks of a sample pass through. It is also a module for whole
    batches on the CPU or a GPU, where each image has its own quality, and works inside torch.compile. Compress before
    images become floats. Wan et al. compress each image at a random quality; the range is this project's.

    Args:
        quality: lowest and highest, 1..100. All integers between are equally likely.
        subsampling: the subsampling of the chroma planes, "4:2:0", "4:2:2" or "4:4:4".
        return_quality: return (sample, quality) instead of the sample, quality int64 [...]. As a part of the sample,
            the qualities arrive with their images, whichever DataLoader worker drew them.
        generator: source of the random qualities; torch's global one by default. In a worker of a DataLoader it is
            seeded from its seed and the worker's, so workers and epochs differ. torch.compile breaks its graph at it.

    Shape:
        input: uint8 [..., C, H, W] with C 1 or 3, a tv_tensors.Image or Video, a PIL image of mode L or RGB, or a
            sample that has one: any nesting of tuples, lists and dicts. As in torchvision, only the first plain tensor
            (one that is not a tv_tensor) counts as an image. Several images of one sample share their qualities. Each
            frame of a video has its own.
        output: the same, or (the same, quality).

    Raises:
        ValueError: an argument is out of range, an image is not 8-bit grey or RGB, or a sample has no image.
        TypeError: generator is not a torch.Generator.

    Example:
        >>> images = torch.randint(256, (8, 3, 32, 32), dtype=torch.uint8)
        >>> compressed, quality = RandomJPEG((10, 90), return_quality=True)(images)
        >>> compressed.shape, quality.shape
        (torch.Size([8, 3, 32, 32]), torch.Size([8]))
    """

    def __init__(
        self,
        quality: tuple[int, int] = (10, 90),
        subsampling: str = "4:2:0",
        *,
        return_quality: bool = False,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__(subsampling, return_quality=return_quality)
        if not isinstance(quality, (tuple, list)) or len(quality) != 2:
            raise ValueError(
                f"quality is {quality!r}; it is the lowest and the highest, such as (10, 90). For one quality use JPEG."
            )
        low, high = map(_check_quality, quality)
        if low > high:
            raise ValueError(f"quality is {quality!r}; the lowest comes first.")
        if not isinstance(generator, (torch.Generator, NoneType)):
            raise TypeError(f"generator is {generator!r}; it is a torch.Generator or None.")
        self.quality, self.generator = (low, high), generator
        self._seeded_for: int | None = None  # seed of the DataLoader's worker that this copy is in

    def draw(self, leading: torch.Size) -> Tensor:
        """Return a random quality for each image."""
        if self.generator is None:
            low, high = self.quality
            return torch.randint(low, high + 1, leading)
        drawn: Tensor = self._draw_from(self.generator, leading)
        return drawn

    @torch.compiler.disable(  # type: ignore[no-untyped-call,untyped-decorator]
        reason="torch.compile draws from no torch.Generator; use the global one, or compile with fullgraph=False"
    )
    def _draw_from(self, generator: torch.Generator, leading: torch.Size) -> Tensor:
        """Draw qualities. All workers' copies of the generator begin in the same state, so each is seeded once."""
        worker = get_worker_info()
        if worker is not None and worker.seed != self._seeded_for:
            self._seeded_for = worker.seed
            # A hash, not a sum: the sum would be the global generator's own seed if this generator's seed is 0.
            seeds = np.random.SeedSequence([generator.initial_seed(), worker.seed])
            generator.manual_seed(int(seeds.generate_state(1, np.uint64)[0]))
        low, high = self.quality
        return torch.randint(low, high + 1, leading, generator=generator, device=generator.device)

    def __getstate__(self) -> dict[str, Any]:
        """Return the state, with that of the generator as an array: a generator cannot be sent to a spawned worker."""
        state = dict(self.__dict__)
        if self.generator is not None:
            state["generator"] = self.generator.device, self.generator.get_state().numpy()
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        if state["generator"] is not None:
            device, values = state["generator"]
            self.generator = torch.Generator(device)
            self.generator.set_state(torch.from_numpy(values))


def _check_quality(quality: int) -> int:
    if isinstance(quality, bool) or not isinstance(quality, (int, np.integer)) or not 1 <= quality <= 100:
        raise ValueError(f"quality is {quality!r}; it is an integer from 1 to 100.")
    return int(quality)


def _leading(image: Any) -> torch.Size:
    return torch.Size() if isinstance(image, Image.Image) else image.shape[:-3]
