"""Export the trained network; write model/model.onnx.

python -m fct.stages.export
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np

from fct import tracking
from fct.core import params
from fct.core.errors import readable_errors
from fct.core.files import write_json
from fct.core.params import Section
from fct.data.store import open_split
from fct.export.onnx import CANDIDATE, export
from fct.export.params import ExportParams
from fct.export.parity import compare
from fct.train import candidate

METRICS = Path("metrics/export.json")


class Params(Section):
    """What this stage reads of params.yaml."""

    export: ExportParams


def main() -> None:
    """Write the ONNX file, checked by onnx and against torch on validation images."""
    with readable_errors():
        read = params.load(Params).export
        with tracking.stage(
            "export", params=read.model_dump(), inputs={"train": candidate.MODEL}, outputs=[CANDIDATE]
        ) as run:
            network, description = candidate.load()
            val = open_split("val")
            few = val.every(val.step(read.images)).images
            images = np.array(few.transpose(0, 3, 1, 2), order="C")  # torch wants pixels it may write to
            quality = np.resize(np.array([100, *description.qualities], np.int64), len(images))
            with tempfile.TemporaryDirectory(dir=CANDIDATE.parent) as folder:  # the file appears once it is verified
                exported = Path(folder) / CANDIDATE.name
                export(network, description, exported)
                parity = compare(network, exported, images, quality, tolerance=read.tolerance)
                exported.replace(CANDIDATE)
            size = CANDIDATE.stat().st_size
            write_json(METRICS, {"parity": parity.difference, "images": parity.images, "file_bytes": size})
            run.headline({"parity": parity.difference, "file_bytes": size})
        print(f"{CANDIDATE}: {size / 2**20:.2f} MiB, logits within {parity.difference:.1g} of torch's")


if __name__ == "__main__":
    main()
