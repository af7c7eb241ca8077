"""Feature Consistency Training: image classifiers that survive JPEG.

A reconstruction, from its abstract, of Wan, Wu, Hsu, Wong and Lee, "Feature Consistency Training With JPEG Compressed
Images", IEEE TCSVT 30(12), 2020. In your own training loop:

    jpeg, taps = fct.RandomJPEG((10, 90)), fct.FeatureTaps(model, ["layer3", "layer4"])
    consistency = fct.FeatureConsistencyLoss()

    both = torch.cat([images, jpeg(images)])  # uint8 [2 B, C, H, W], raw images first
    logits = model(normalise(both))  # normalise converts them to float
    loss = cross_entropy(logits, labels.repeat(2)) + consistency(*taps.halves())
    loss.backward()

Names are imported when they are first used, so that `import fct` does not wait for torch.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fct.images.tables import UNKNOWN_QUALITY, all_tables, estimate_quality, ijg_tables
    from fct.jpeg.tensors import roundtrip
    from fct.jpeg.transforms import JPEG, RandomJPEG
    from fct.losses.consistency import FeatureConsistencyLoss, feature_consistency
    from fct.losses.distance import feature_distance
    from fct.losses.predictions import DistillationLoss, JSDLoss, StabilityLoss, jensen_shannon, kl_divergence
    from fct.nn.aware import QualityAware
    from fct.nn.residual import ResidualMappingBlock
    from fct.nn.taps import FeatureTaps

    __version__: str

__all__ = [
    "JPEG",
    "UNKNOWN_QUALITY",
    "DistillationLoss",
    "FeatureConsistencyLoss",
    "FeatureTaps",
    "JSDLoss",
    "QualityAware",
    "RandomJPEG",
    "ResidualMappingBlock",
    "StabilityLoss",
    "all_tables",
    "estimate_quality",
    "feature_consistency",
    "feature_distance",
    "ijg_tables",
    "jensen_shannon",
    "kl_divergence",
    "roundtrip",
]
_DISTRIBUTION = "feature-consistency"
_MODULES = {
    "fct.images.tables": ("UNKNOWN_QUALITY", "all_tables", "estimate_quality", "ijg_tables"),
    "fct.jpeg.tensors": ("roundtrip",),
    "fct.jpeg.transforms": ("JPEG", "RandomJPEG"),
    "fct.losses.consistency": ("FeatureConsistencyLoss", "feature_consistency"),
    "fct.losses.distance": ("feature_distance",),
    "fct.losses.predictions": ("DistillationLoss", "JSDLoss", "StabilityLoss", "jensen_shannon", "kl_divergence"),
    "fct.nn.aware": ("QualityAware",),
    "fct.nn.residual": ("ResidualMappingBlock",),
    "fct.nn.taps": ("FeatureTaps",),
}
_HOMES = {name: module for module, names in _MODULES.items() for name in names}


def _import(name: str) -> Any:
    """Import a public name at its first use."""
    if name == "__version__":
        from importlib.metadata import PackageNotFoundError, version

        try:
            return version(_DISTRIBUTION)
        except PackageNotFoundError:  # a folder on the path, for example
            raise AttributeError(f"{_DISTRIBUTION} is not installed, so fct has no version") from None
    if name not in _HOMES:
        raise AttributeError(f"module 'fct' has no attribute {name!r}")
    from importlib import import_module

    value = getattr(import_module(_HOMES[name]), name)
    globals()[name] = value
    return value


if not TYPE_CHECKING:  # otherwise type checkers would accept any name
    __getattr__ = _import


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
