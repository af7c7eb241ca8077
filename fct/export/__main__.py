"""Export a trained network as one ONNX file, and compare it with torch on real images.

    python -m fct.export model       # model/model.pt    -> model/model.onnx
    python -m fct.export standard    # model/standard.pt -> model/standard.onnx

Also writes metrics/export-<network>.json.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import NamedTuple

import click
import numpy as np

from fct import tracking
from fct.core.errors import exit_on_error
from fct.core.files import write_json
from fct.core.params import Section, load
from fct.core.paths import MODEL_ONNX, MODEL_PT, STANDARD_ONNX, STANDARD_PT, export_metrics
from fct.export.onnx import export
from fct.export.params import ExportParams
from fct.export.parity import compare
from fct.images.tables import UNKNOWN_QUALITY
from fct.models import saved
from fct.splits.store import open_split


class Params(Section):
    """The section of params.yaml that this stage reads."""

    export: ExportParams


class Export(NamedTuple):
    """The stage and the files of one trained network."""

    trained_by: str  # stage
    network: Path
    onnx: Path


NETWORKS = {
    "model": Export("train", MODEL_PT, MODEL_ONNX),
    "standard": Export("baseline", STANDARD_PT, STANDARD_ONNX),
}


@click.command()
@click.argument("network", type=click.Choice(list(NETWORKS)))
def main(network: str) -> None:
    """Export NETWORK. The file is written only if onnx's check and the comparison with torch pass."""
    with exit_on_error():
        params = load(Params).export
        stage, source, target = NETWORKS[network]
        name = f"export@{network}"
        with tracking.stage(name, params=params.model_dump(), inputs={stage: source}, outputs=[target]) as run:
            trained, description = saved.load(source)
            val = open_split("val")
            sample = val.every(val.step(params.images)).images
            images = np.array(sample.transpose(0, 3, 1, 2), order="C")  # torch needs writable pixels
            quality = np.resize(np.array([UNKNOWN_QUALITY, *description.qualities], np.int64), len(images))
            with tempfile.TemporaryDirectory(dir=target.parent) as folder:
                exported = Path(folder) / target.name
                export(trained, description, exported)
                parity = compare(trained, exported, images, quality, tolerance=params.tolerance)
                exported.replace(target)
            size = target.stat().st_size
            write_json(
                export_metrics(target), {"parity": parity.difference, "images": parity.images, "file_bytes": size}
            )
            if target == MODEL_ONNX:
                run.headline({"parity": parity.difference, "file_bytes": size})
        print(f"{target}: {size / 2**20:.2f} MiB, logits within {parity.difference:.1g} of torch's")


if __name__ == "__main__":
    main()
