"""Measure how far compression moves the trained network's features, layer by layer.

    python -m fct.stages.features

Reads model/model.pt, since the exported file shows no inner layers, and test images.
"""

from __future__ import annotations

import csv
import io
from pathlib import Path

from fct import tracking
from fct.core import params
from fct.core.errors import readable_errors
from fct.core.files import write_json, write_text
from fct.core.params import Section
from fct.data.store import open_split
from fct.evaluate.distortion import PLOT, distortion_of
from fct.jpeg.params import JpegParams
from fct.models.params import FeaturesParams
from fct.train import candidate

METRICS = Path("metrics/features.json")


class Params(Section):
    """What this stage reads of params.yaml."""

    jpeg: JpegParams
    features: FeaturesParams


def main() -> None:
    """Write metrics/features.json and plots/distortion.csv."""
    with readable_errors():
        read = params.load(Params)
        with tracking.stage(
            "features", params=read.model_dump(), inputs={"train": candidate.MODEL}, outputs=[METRICS]
        ) as run:
            network, _ = candidate.load()
            found = distortion_of(network, open_split("test"), read.features, read.jpeg.subsampling)
            write_json(METRICS, {layer: _rounded(by_quality) for layer, by_quality in found.items()})
            write_text(PLOT, _csv(found))
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
