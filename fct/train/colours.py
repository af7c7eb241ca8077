"""Random colours, and the operations of RandAugment and TrivialAugment, on whole batches.

The views, uint8 [B, C, H, W], that are passed together are changed in the same way. Random choices are drawn from the
epoch's generator. torchvision's own transforms would draw from torch's global generator. The thread that makes batches
would share it with the steps of the training, and the choices would depend on time. So only the functions behind these
transforms are used here.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torchvision.transforms import InterpolationMode
from torchvision.transforms.v2 import functional

from fct.models.device import move_to
from fct.train.crop import Part
from fct.train.params import Policy


def jitter(
    strength: float, views: Sequence[Tensor], rng: np.random.Generator, part: Part | None = None
) -> Sequence[Tensor]:
    """Multiply brightness, contrast and saturation of each image by factors up to `strength` away from 1.

    These are torchvision's definitions, but each image has its own factors.
    """
    part = part or Part.whole(len(views[0]))
    factors = rng.uniform(max(0.0, 1 - strength), 1 + strength, (3, part.count, 1, 1, 1))[:, part.places]
    on_device = move_to(factors.astype(np.float32), views[0].device)
    return [_with_colours(view, *on_device) for view in views]


def _with_colours(images: Tensor, brightness: Tensor, contrast: Tensor, saturation: Tensor) -> Tensor:
    pixels = (images.float() * brightness).clamp(0, 255)
    mean = _grey(pixels).mean((1, 2, 3), keepdim=True)
    pixels = torch.lerp(mean, pixels, contrast).clamp(0, 255)
    pixels = torch.lerp(_grey(pixels).expand_as(pixels), pixels, saturation).clamp(0, 255)
    return pixels.round().to(torch.uint8)


def _grey(images: Tensor) -> Tensor:
    grey: Tensor = functional.rgb_to_grayscale(images) if images.shape[1] == 3 else images
    return grey


class Operation(NamedTuple):
    """An operation of a policy."""

    apply: Callable[[Tensor, float], Tensor]  # (uint8 [N, C, H, W], value) -> the same shape
    most: Mapping[Policy, float]  # value at full strength
    is_signed: bool = True  # whether the value may be negative


def _affine(images: Tensor, *, angle: float = 0, translate: Sequence[float] = (0, 0), shear: float = 0) -> Tensor:
    """Turn, shift or shear images. `translate` is a share of the side; `shear` is the shift per column."""
    side = images.shape[-1]
    moved: Tensor = functional.affine(
        images,
        angle=angle,
        translate=[share * side for share in translate],
        scale=1.0,
        shear=[math.degrees(math.atan(shear)), 0.0],
        interpolation=InterpolationMode.BILINEAR,
    )
    return moved


def _upright(apply: Callable[[Tensor, float], Tensor]) -> Callable[[Tensor, float], Tensor]:
    """Return the operation along the other axis."""
    return lambda images, value: apply(images.transpose(2, 3), value).transpose(2, 3)


def _shear(images: Tensor, value: float) -> Tensor:
    return _affine(images, shear=value)


def _translate(images: Tensor, value: float) -> Tensor:
    return _affine(images, translate=(value, 0))


def _both(rand: float, trivial: float) -> Mapping[Policy, float]:
    return {"rand-augment": rand, "trivial-augment": trivial}


# Values of torchvision, except the shifts of trivial-augment: its 32 pixels would leave nothing of small images.
OPERATIONS = (
    Operation(lambda images, _: images, _both(0, 0), is_signed=False),
    Operation(_shear, _both(0.3, 0.99)),
    Operation(_upright(_shear), _both(0.3, 0.99)),
    Operation(_translate, _both(0.45, 0.15)),
    Operation(_upright(_translate), _both(0.45, 0.15)),
    Operation(lambda images, angle: _affine(images, angle=angle), _both(30, 135)),
    Operation(lambda images, value: functional.adjust_brightness(images, 1 + value), _both(0.9, 0.99)),
    Operation(lambda images, value: functional.adjust_saturation(images, 1 + value), _both(0.9, 0.99)),
    Operation(lambda images, value: functional.adjust_contrast(images, 1 + value), _both(0.9, 0.99)),
    Operation(lambda images, value: functional.adjust_sharpness(images, 1 + value), _both(0.9, 0.99)),
    Operation(lambda images, bits: functional.posterize(images, 8 - round(bits)), _both(4, 6), is_signed=False),
    Operation(lambda images, value: functional.solarize(images, 255 - value), _both(255, 255), is_signed=False),
    Operation(lambda images, _: functional.autocontrast(images), _both(0, 0), is_signed=False),
    Operation(lambda images, _: functional.equalize(images), _both(0, 0), is_signed=False),
)
RAND_AUGMENT_OPERATIONS = 2  # one after the other on each image, of Cubuk et al., "RandAugment", 2020
RAND_AUGMENT_STRENGTH = 0.3  # of the full one: 9 of 30


def apply_policy(
    policy: Policy, views: Sequence[Tensor], rng: np.random.Generator, part: Part | None = None
) -> Sequence[Tensor]:
    """Apply random operations to each image.

    "rand-augment" applies two operations of medium strength. "trivial-augment" (Mueller and Hutter, 2021) applies one
    of any strength, up to a larger one. Images of the batch with the same operation and sign share the strength, so
    one call is enough for all of them.
    """
    part, count, copies = part or Part.whole(len(views[0])), len(views[0]), len(views)
    images = torch.cat(list(views))
    rounds = RAND_AUGMENT_OPERATIONS if policy == "rand-augment" else 1
    for _ in range(rounds):
        chosen = rng.integers(len(OPERATIONS), size=part.count)[part.places]
        negative = (rng.random(part.count) < 0.5)[part.places]
        strengths = rng.random((len(OPERATIONS), 2)) if policy == "trivial-augment" else None
        changed = images.clone()
        for number, operation in enumerate(OPERATIONS):
            for sign in (1, -1) if operation.is_signed else (0,):
                rows = np.flatnonzero((chosen == number) & ((sign == 0) | (negative == (sign < 0))))
                if not len(rows):
                    continue
                strength = RAND_AUGMENT_STRENGTH if strengths is None else strengths[number, int(sign < 0)]
                value = float(strength * operation.most[policy] * (sign or 1))
                places = move_to(np.concatenate([rows + view * count for view in range(copies)]), images.device)
                changed[places] = operation.apply(images[places], value)
        images = changed
    return images.chunk(copies)
