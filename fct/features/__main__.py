"""Measure how far compression moves the trained network's features, layer by layer.

    python -m fct.features

Reads model/model.pt and test images. The exported file cannot be used: it has no access to inner layers.
"""

from __future__ import annotations

import csv
import io

from fct import tracking
from fct.core.errors import exit_on_error
from fct.core.files import write_json, write_text
from fct.core.params import Section, load
from fct.core.paths import DISTORTION_CSV, FEATURES_METRICS, MODEL_PT
from fct.features.distortion import measure_distortion
from fct.models import saved
from fct.models.params import FeaturesParams
from fct.splits.params import JpegParams
from fct.splits.store import open_split


class Params(Section):
    """The sections of params.yaml that this stage reads."""

    jpeg: JpegParams
    features: FeaturesParams


def main() -> None:
    """Write metrics/features.json and plots/distortion.csv."""
    with exit_on_error():
        params = load(Params)
        with tracking.stage(
            "features", params=params.model_dump(), inputs={"train": MODEL_PT}, outputs=[FEATURES_METRICS]
        ) as run:
            network, _ = saved.load()
            distortions = measure_distortion(network, open_split("test"), params.features, params.jpeg.subsampling)
            write_json(FEATURES_METRICS, {layer: _round(by_quality) for layer, by_quality in distortions.items()})
            write_text(DISTORTION_CSV, _csv(distortions))
            for quality in params.features.qualities:
                run.headline(
                    {f"distortion/{layer}": values[quality] for layer, values in distortions.items()}, step=quality
                )
        for layer, values in distortions.items():
            print(f"{layer}: " + "  ".join(f"Q{quality} {value:.3f}" for quality, value in values.items()))


def _round(values: dict[int, float]) -> dict[str, float]:
    return {f"q{quality}": round(value, 4) for quality, value in values.items()}


def _csv(distortions: dict[str, dict[int, float]]) -> str:
    """Return CSV with one row per quality and one column per layer; `dvc plots` draws a line per column."""
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(["quality", *distortions])
    for quality in sorted(next(iter(distortions.values()))):
        writer.writerow([quality, *(f"{values[quality]:.6f}" for values in distortions.values())])
    return stream.getvalue()


if __name__ == "__main__":
    main()
