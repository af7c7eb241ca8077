"""Measure how far compression moves the trained network's features, layer by layer.

    python -m fct.features

Reads model/model.pt, since the exported file shows no inner layers, and test images.
"""

from __future__ import annotations

import csv
import io

from fct import tracking
from fct.core import params
from fct.core.errors import exit_on_error
from fct.core.files import write_json, write_text
from fct.core.params import Section
from fct.core.paths import DISTORTION_CSV, FEATURES_METRICS, MODEL_PT
from fct.features.distortion import measure_distortion
from fct.models import saved
from fct.models.params import FeaturesParams
from fct.splits.params import JpegParams
from fct.splits.store import open_split


class Params(Section):
    """What this stage reads of params.yaml."""

    jpeg: JpegParams
    features: FeaturesParams


def main() -> None:
    """Write metrics/features.json and plots/distortion.csv."""
    with exit_on_error():
        read = params.load(Params)
        with tracking.stage(
            "features", params=read.model_dump(), inputs={"train": MODEL_PT}, outputs=[FEATURES_METRICS]
        ) as run:
            network, _ = saved.load()
            found = measure_distortion(network, open_split("test"), read.features, read.jpeg.subsampling)
            write_json(FEATURES_METRICS, {layer: _rounded(by_quality) for layer, by_quality in found.items()})
            write_text(DISTORTION_CSV, _csv(found))
            for quality in read.features.qualities:
                run.headline({f"distortion/{layer}": values[quality] for layer, values in found.items()}, step=quality)
        for layer, values in found.items():
            print(f"{layer}: " + "  ".join(f"Q{quality} {value:.3f}" for quality, value in values.items()))


def _rounded(values: dict[int, float]) -> dict[str, float]:
    return {f"q{quality}": round(value, 4) for quality, value in values.items()}


def _csv(found: dict[str, dict[int, float]]) -> str:
    """Return a row a quality and a column a layer, as `dvc plots` draws lines."""
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(["quality", *found])
    for quality in sorted(next(iter(found.values()))):
        writer.writerow([quality, *(f"{values[quality]:.6f}" for values in found.values())])
    return stream.getvalue()


if __name__ == "__main__":
    main()
