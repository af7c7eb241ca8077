"""Measure the exported model on the gate and test splits, raw and at every quality of the sweep.

    python -m fct.evaluate

Reads model/model.onnx, data/splits, data/originals. Writes evaluation/ (the predicted classes and their
probabilities), metrics/evaluate.json, plots/accuracy.csv and plots/accuracy.png.
"""

from __future__ import annotations

from fct import tracking
from fct.core.errors import FctError, exit_on_error
from fct.core.files import sha256, write_bytes, write_json, write_text
from fct.core.params import Section, load
from fct.core.paths import ACCURACY_CSV, ACCURACY_PNG, EVALUATE_METRICS, EVALUATION, MODEL_ONNX, SPLITS
from fct.evaluate import plots, record
from fct.evaluate.intervals import Summary, summarise
from fct.evaluate.model import open_model
from fct.evaluate.params import EvaluateParams
from fct.evaluate.sweep import predict_views
from fct.jpeg.arrays import VERSION
from fct.splits.params import JpegParams
from fct.splits.store import open_split, read_meta

MEASURED = ("gate", "test")


class Params(Section):
    """The sections of params.yaml that this stage reads."""

    jpeg: JpegParams
    evaluate: EvaluateParams


def main() -> None:
    """Run the stage."""
    with exit_on_error():
        params = load(Params)
        with tracking.stage(
            "evaluate",
            params=params.model_dump(),
            inputs={"export": MODEL_ONNX},
            outputs=[EVALUATION],
            datasets=tracking.datasets(SPLITS),
        ) as run:
            sweeps = measure(params)
            for quality in params.evaluate.qualities:
                run.headline(
                    {f"accuracy_{name}": sweep.curve[quality].value for name, sweep in sweeps.items()}, step=quality
                )
            run.headline(
                {
                    f"accuracy_{name}_{metric}": estimate["value"]
                    for name, sweep in sweeps.items()
                    for metric, estimate in sweep.as_json().items()
                }
            )
            run.plot(ACCURACY_PNG)
        for name, sweep in sweeps.items():
            print(f"{name}: raw {sweep.raw}, mean {sweep.mean}, worst {sweep.worst} at quality {sweep.worst_quality}")


def measure(params: Params) -> dict[str, Summary]:
    """Evaluate the model on each split, write the outs, and return a summary per split."""
    evaluate, subsampling = params.evaluate, params.jpeg.subsampling
    _check_classes()
    splits = [open_split(name) for name in MEASURED]
    predictions = {split.name: predict_views(MODEL_ONNX, split, evaluate, subsampling) for split in splits}
    sweeps = {
        name: summarise(of_split.sweep, evaluate.qualities, evaluate.confidence)
        for name, of_split in predictions.items()
    }
    made_with = {
        "model_sha256": sha256(MODEL_ONNX),
        "subsampling": subsampling,
        "codec": VERSION,
    }
    record.write(predictions, splits, made_with=made_with)
    write_json(EVALUATE_METRICS, {name: sweep.as_json() for name, sweep in sweeps.items()})
    write_text(ACCURACY_CSV, plots.table(sweeps))
    write_bytes(ACCURACY_PNG, plots.picture(sweeps, evaluate.confidence))
    return sweeps


def _check_classes() -> None:
    """Refuse a model whose class names, or their order, differ from those of the data."""
    names, classes = open_model(MODEL_ONNX).class_names, read_meta()["classes"]
    if names is not None and names != classes:
        raise FctError(
            f"{MODEL_ONNX}: its classes are {', '.join(names)}; the data have {', '.join(classes)}. "
            "Train and export a model for these data: `dvc repro export`."
        )


if __name__ == "__main__":
    main()
