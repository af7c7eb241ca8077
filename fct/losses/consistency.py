"""Feature consistency: pulls the internal features of a compressed image towards those of the raw image.

Wan, Wu, Hsu, Wong and Lee, "Feature Consistency Training With JPEG Compressed Images", IEEE TCSVT 30(12), 2020. The
abstract says that features of both images are made similar; the form of the distance is this project's reconstruction:

    weight * mean over layers l of D(phi_l(x~), phi_l(x))
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from fct.losses.distance import DISTANCES, Distance, feature_distance
from fct.losses.weight import check_weight

if TYPE_CHECKING:  # some builds of torch lack it
    from torch.distributed import ProcessGroup

Features = Tensor | Sequence[Tensor] | Mapping[str, Tensor]


def feature_consistency(
    raw: Features,
    compressed: Features,
    *,
    distance: Distance = "centred-mse",
    detach_target: bool = True,
    group: ProcessGroup | None = None,
) -> Tensor:
    """Return the mean distance over layers between features of raw and of compressed images: the loss without weight.

    Arguments and errors are those of `FeatureConsistencyLoss`.

    Example:
        >>> raw, compressed = torch.zeros(2, 8), torch.ones(2, 8)
        >>> feature_consistency(raw, compressed, distance="mse")
        tensor(1.)
    """
    targets, features = _by_layer(raw), _by_layer(compressed)
    if targets.keys() != features.keys():
        raise ValueError(
            f"the raw features are of the layers {', '.join(map(str, targets))}, the compressed ones of "
            f"{', '.join(map(str, features))}; give the same layers."
        )
    if not targets:
        raise ValueError("there are no features; give those of at least one layer.")
    pairs = [(target.detach() if detach_target else target, features[layer]) for layer, target in targets.items()]
    return torch.stack([feature_distance(target, feature, distance, group=group) for target, feature in pairs]).mean()


class FeatureConsistencyLoss(nn.Module):
    """Pull the features of compressed images towards those of the raw images.

    weight * mean over layers l of D(phi_l(x~), phi_l(x)), Wan et al., IEEE TCSVT 2020, reconstructed from the abstract.
    Add it to the cross entropy of both halves of a batch. `weight` may be changed during a training.

    Args:
        weight: lambda, a number >= 0. In this project's comparison, of small networks on CIFAR-10, 1 was best with a
            moving average of the network as the target, and 3 with a network that was trained on raw images. With the
            network's own raw features 0.3 costs nothing on raw images, and 3 costs 2.4 points.
        distance: "mse", "centred-mse" (mse relative to the feature's variance) or "cosine"; see `feature_distance`.
        detach_target: whether the raw features are constant. If not, they also move towards the compressed ones: then
            features agree more, and raw images are classified less well.
        group: the processes that share each batch, such as `torch.distributed.group.WORLD`; None for one process. With
            it "centred-mse" has the variance of the whole batch, and DistributedDataParallel the gradient of the whole
            batch. All of the processes must then compute the loss, also in a validation.

    Shape:
        raw: float [B, C, ...], or a sequence or a dict of one for each layer, as `FeatureTaps.halves` returns. They
            come from the same network or from a teacher.
        compressed: the same, of the same images compressed.
        output: float32 [].

    Raises:
        TypeError: the features are not tensors.
        ValueError: an argument is out of range; the features differ in layers, shape or device, or are not floats; or
            "centred-mse" has one image without positions, which has no variance (a last batch: use drop_last=True).

    Example:
        >>> consistency = FeatureConsistencyLoss(weight=3.0)
        >>> raw, compressed = torch.randn(4, 8, 7, 7), torch.randn(4, 8, 7, 7, requires_grad=True)
        >>> consistency({"layer4": raw}, {"layer4": compressed}).backward()
    """

    def __init__(
        self,
        weight: float = 1.0,
        *,
        distance: Distance = "centred-mse",
        detach_target: bool = True,
        group: ProcessGroup | None = None,
    ) -> None:
        super().__init__()
        if distance not in DISTANCES:
            raise ValueError(f"distance is {distance!r}; it is one of {', '.join(DISTANCES)}.")
        self.weight, self.distance, self.detach_target = check_weight(weight), distance, detach_target
        self.group = group

    def forward(self, raw: Features, compressed: Features) -> Tensor:
        """Return the weighted distance."""
        return self.weight * feature_consistency(
            raw, compressed, distance=self.distance, detach_target=self.detach_target, group=self.group
        )

    def extra_repr(self) -> str:
        """Return the arguments."""
        return f"weight={self.weight}, distance={self.distance!r}, detach_target={self.detach_target}"


def _by_layer(features: Features) -> dict[Any, Tensor]:
    if isinstance(features, Tensor):
        return {0: features}
    if isinstance(features, Mapping):
        return dict(features)
    if isinstance(features, Sequence):
        return dict(enumerate(features))
    raise TypeError(f"features are {type(features).__name__}; they are a tensor, or a sequence or dict of tensors.")
