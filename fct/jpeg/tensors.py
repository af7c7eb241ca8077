"""The JPEG round trip on tensors of any device: bit-identical to Pillow's, with a quality for each image.

On the CPU it uses `fct.jpeg.arrays`. On other devices it does the same arithmetic in torch's operations: integers, and
float64 matrix products for the DCT. libjpeg's butterflies sum integer multiples of their inputs and round once at the
end. So each is a matrix of integers, and float64 represents every sum exactly.
"""

from __future__ import annotations

import warnings
from functools import cache

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from fct.images.tables import all_tables
from fct.jpeg.shapes import FACTORS, check

# libjpeg's DCT (jfdctint.c), scaled by 2^13: row k gives coefficient k of eight samples. Its transpose is the inverse
# (jidctint.c). 10703 and 10704 differ, and 2259 to 2261, because libjpeg rounds its constants.
DCT = (
    (8192, 8192, 8192, 8192, 8192, 8192, 8192, 8192),
    (11363, 9633, 6437, 2260, -2260, -6437, -9633, -11363),
    (10703, 4433, -4433, -10703, -10703, -4433, 4433, 10703),
    (9633, -2259, -11362, -6436, 6436, 11362, 2259, -9633),
    (8192, -8192, -8192, 8192, 8192, -8192, -8192, 8192),
    (6437, -11362, 2261, 9633, -9633, -2261, 11362, -6437),
    (4433, -10704, 10704, -4433, -4433, 10704, -10704, 4433),
    (2260, -6436, 9633, -11363, 11363, -9633, 6436, -2260),
)


def roundtrip(images: Tensor, quality: int | Tensor, *, subsampling: str = "4:2:0") -> Tensor:
    """Compress images with JPEG and return the decoded pixels, bit-identical to Pillow's.

    Args:
        images: uint8 [..., C, H, W] with C 1 or 3, in any memory format, on any device.
        quality: 1..100, one value for all images or an integer tensor [...] with one for each, on any device.
        subsampling: the subsampling of the chroma planes, "4:2:0", "4:2:2" or "4:4:4".

    Returns:
        uint8 [..., C, H, W] on the same device. A batch [B, C, H, W] keeps its memory format.

    Raises:
        ValueError: a type, shape, quality or subsampling that JPEG does not support.

    Example:
        >>> images = torch.randint(256, (2, 3, 32, 32), dtype=torch.uint8)
        >>> roundtrip(images, torch.tensor([10, 90])).shape
        torch.Size([2, 3, 32, 32])
    """
    if torch.compiler.is_compiling():
        # as_tensor alone would compile anew for each integer.
        qualities = torch.full((), quality) if isinstance(quality, int) else torch.as_tensor(quality)
        compiled: Tensor = _operator(images, qualities, subsampling)
        return compiled.contiguous(memory_format=_layout(images))
    return _roundtrip(images, quality, subsampling)


@torch.library.custom_op("fct::roundtrip", mutates_args=())
def _operator(images: Tensor, quality: Tensor, subsampling: str) -> Tensor:
    """Do the round trip as one operation that is opaque to torch.compile."""
    return _roundtrip(images, quality, subsampling).contiguous()


@_operator.register_fake
def _(images: Tensor, quality: Tensor, subsampling: str) -> Tensor:  # noqa: ARG001  # the operation's arguments
    return images.new_empty(images.shape)


def _roundtrip(images: Tensor, quality: int | Tensor, subsampling: str) -> Tensor:
    if not isinstance(images, Tensor) or images.dtype != torch.uint8:
        kind = images.dtype if isinstance(images, Tensor) else type(images).__name__
        raise ValueError(
            f"images are {kind}; the round trip takes a uint8 tensor [..., C, H, W], values 0 to 255: compress images "
            "before scaling or normalising them."
        )
    for name, value in (("images", images), ("quality", quality)):
        if isinstance(value, Tensor) and value.device.type == "meta":
            raise ValueError(f"{name} are on the device meta, which has no values; move them to another device.")
    if images.ndim < 3 or images.shape[-3] not in (1, 3):
        raise ValueError(f"images have shape {list(images.shape)}; they are [..., C, H, W] with C 1 or 3.")
    values = quality.detach().cpu().numpy() if isinstance(quality, Tensor) else np.asarray(quality)
    leading = images.shape[:-3]
    if values.ndim and values.shape != leading:
        per_image = f", or one for each, of shape {list(leading)}" if leading else ""
        raise ValueError(f"quality has shape {list(values.shape)}; give one for all images{per_image}.")
    if images.ndim == 4:
        return _of_batch(images, values, subsampling)
    batch = images.reshape(leading.numel(), *images.shape[-3:])
    return _of_batch(batch, values.reshape(-1) if values.ndim else values, subsampling).view(images.shape)


def _of_batch(images: Tensor, quality: NDArray[np.integer], subsampling: str) -> Tensor:
    """Do the round trip of images [B, C, H, W] at qualities [] or [B]."""
    check(images.shape, quality, subsampling, planar=True)
    if images.device.type == "cpu" and _is_compiled():
        return _by_arrays(images, quality, subsampling)
    return by_tensors(images, torch.from_numpy(np.broadcast_to(quality, len(images)).astype(np.int64)), subsampling)


@cache
def _is_compiled() -> bool:
    """Return whether the compiled kernel is available. Warn once if it is not."""
    try:
        from fct.jpeg import arrays  # noqa: F401
    except ImportError as error:
        warnings.warn(
            "fct.jpeg.roundtrip uses torch's operations on the CPU: the pixels are the same, but it is about ten times "
            f"slower. Its kernel needs numba ({error}).",
            stacklevel=3,
        )
        return False
    return True


def _by_arrays(images: Tensor, quality: NDArray[np.integer], subsampling: str) -> Tensor:
    from fct.jpeg import arrays

    interleaved = images.is_contiguous(memory_format=torch.channels_last)
    pixels = images.permute(0, 2, 3, 1) if interleaved else images.contiguous()
    result = arrays.roundtrip(
        pixels.numpy(),
        quality,
        subsampling,
        planar=not interleaved,
        threads=torch.get_num_threads(),
    )
    tensor = torch.from_numpy(result)
    return tensor.permute(0, 3, 1, 2) if interleaved else tensor


def by_tensors(images: Tensor, quality: Tensor, subsampling: str) -> Tensor:
    """Do the round trip in torch's operations, on any device. Arguments are those of `roundtrip`, quality int64 [B]."""
    down, across = FACTORS[subsampling]
    *_, height, width = images.shape
    all_quality_tables, _ = _constants(images.device)
    indices = quality.pin_memory() if images.device.type == "cuda" and quality.device.type == "cpu" else quality
    tables = all_quality_tables[indices.to(images.device, non_blocking=True) - 1]  # [B, 2, 1, 1, 8, 8]
    if images.shape[1] == 1:
        result = _distort(images.int(), tables[:, :1])
    else:
        luma, chroma = _to_ycc(images.int())
        luma = _distort(luma, tables[:, :1])
        small = _distort(_downsample(chroma, down, across), tables[:, 1:])
        small = small[..., : -(-width // across)]  # the last neighbour is in the image, not in the padding
        result = _to_rgb(luma, _upsample(small, height, width, down, across))
    return result.to(torch.uint8).contiguous(memory_format=_layout(images))


def _layout(images: Tensor) -> torch.memory_format:
    return torch.channels_last if images.is_contiguous(memory_format=torch.channels_last) else torch.contiguous_format


@cache
def _constants(device: torch.device) -> tuple[Tensor, Tensor]:
    """Return the tables of all qualities, [100, 2, 1, 1, 8, 8], and the DCT. They are copied to a device once."""
    tables = torch.tensor(all_tables(), dtype=torch.float64, device=device).view(100, 2, 1, 1, 8, 8)
    return tables, torch.tensor(DCT, dtype=torch.float64, device=device)


def _to_ycc(rgb: Tensor) -> tuple[Tensor, Tensor]:
    """Return luma [B, 1, H, W] and chroma [B, 2, H, W], 0..255 (jccolor.c: constants of 16 bits)."""
    red, green, blue = rgb.chunk(3, dim=1)
    luma = 19595 * red + 38470 * green + 7471 * blue + 32768
    blueness = -11059 * red - 21709 * green + 32768 * blue + 8421375
    redness = 32768 * red - 27439 * green - 5329 * blue + 8421375
    return luma >> 16, torch.cat([blueness, redness], dim=1) >> 16


def _to_rgb(luma: Tensor, chroma: Tensor) -> Tensor:
    """Return RGB [B, 3, H, W], 0..255 (jdcolor.c)."""
    blueness, redness = (chroma - 128).chunk(2, dim=1)
    red = luma + ((91881 * redness + 32768) >> 16)
    green = luma + ((-22554 * blueness - 46802 * redness + 32768) >> 16)
    blue = luma + ((116130 * blueness + 32768) >> 16)
    return torch.cat([red, green, blue], dim=1).clamp(0, 255)


def _pad(plane: Tensor, height: int, width: int) -> Tensor:
    """Pad planes to [..., height, width] by repeating the last row and column."""
    rows, columns = (
        torch.arange(padded, device=plane.device).clamp(max=length - 1)
        for padded, length in zip((height, width), plane.shape[-2:], strict=True)
    )
    return plane[..., rows[:, None], columns]


def _downsample(chroma: Tensor, down: int, across: int) -> Tensor:
    """Average pairs or squares (jcsample.c). Halves are rounded up and down in turn.

    Before that, columns are padded to whole blocks and rows to a whole pair.
    """
    if across == 1:
        return chroma
    height, width = chroma.shape[-2:]
    full = _pad(chroma, -(-height // down) * down, -(-width // (8 * across)) * 8 * across)
    pairs = full[..., ::2] + full[..., 1::2]
    odd = torch.arange(pairs.shape[-1], device=full.device) & 1
    if down == 1:
        return (pairs + odd) >> 1
    return (pairs[..., ::2, :] + pairs[..., 1::2, :] + 1 + odd) >> 2


def _upsample(small: Tensor, height: int, width: int, down: int, across: int) -> Tensor:
    """Interpolate in each direction that was halved: 3/4 of the nearer sample and 1/4 of the next (jdsample.c).

    Planes of one or two columns are repeated instead.
    """
    if across == 1:
        return small
    y = torch.arange(height, device=small.device)
    near = y // down
    if small.shape[-1] <= 2:
        return small[..., near, :].repeat_interleave(2, dim=-1)[..., :width]
    far = near if down == 1 else (near + 2 * (y & 1) - 1).clamp(0, -(-height // down) - 1)
    line = 3 * small[..., near, :] + small[..., far, :]
    left = torch.cat([line[..., :1], line[..., :-1]], dim=-1)
    right = torch.cat([line[..., 1:], line[..., -1:]], dim=-1)
    half_left, half_right = (4, 8) if down == 1 else (8, 7)
    columns = torch.stack([(3 * line + left + half_left) >> 4, (3 * line + right + half_right) >> 4], dim=-1)
    return columns.flatten(-2)[..., :width]


def _distort(planes: Tensor, tables: Tensor) -> Tensor:
    """Apply DCT, quantisation and inverse DCT to each 8x8 block of planes [B, P, H, W], tables [B, 1, 1, 1, 8, 8]."""
    count, kinds, height, width = planes.shape
    down, across = -(-height // 8), -(-width // 8)  # blocks
    padded = _pad(planes, 8 * down, 8 * across).view(count, kinds, down, 8, across, 8).transpose(3, 4)
    _, dct = _constants(planes.device)
    rows = _drop_bits((padded - 128).double() @ dct.T, 11)
    coefficients = _drop_bits(dct @ rows, 15)  # scaled by 8, like the divisor (jcdctmgr.c)
    steps = ((coefficients.abs() + 4 * tables) / (8 * tables)).floor()
    columns = _drop_bits(dct.T @ (steps * tables).copysign(coefficients), 11)
    samples = (_drop_bits(columns @ dct, 18) + 128).clamp(0, 255)
    return samples.int().transpose(3, 4).reshape(count, kinds, 8 * down, 8 * across)[..., :height, :width]


def _drop_bits(value: Tensor, bits: int) -> Tensor:
    """Divide integers by 2^bits and round to the nearest, halves up."""
    return ((value + (1 << (bits - 1))) / (1 << bits)).floor()
