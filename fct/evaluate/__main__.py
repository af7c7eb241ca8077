"""Measure the exported model on the gate and test splits, raw and at every quality of the sweep.

    python -m fct.evaluate

Reads model/model.onnx, data/splits, data/originals. Writes evaluation/ (the predicted classes and how probable they
were), metrics/evaluate.json, plots/accuracy.csv and plots/accuracy.png.
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
from fct.evaluate.sweep import predict
from fct.jpeg.arrays import VERSION
from fct.splits.params import JpegParams
from fct.splits.store import open_split, read_meta

MEASURED = ("gate", "test")


class Params(Section):
    """What this stage reads from params.yaml."""

    jpeg: JpegParams
    evaluate: EvaluateParams


def main() -> None:
    """Run the stage."""
    with exit_on_error():
        read = load(Params)
        with tracking.stage(
            "evaluate",
            params=read.model_dump(),
            inputs={"export": MODEL_ONNX},
            outputs=[EVALUATION],
            datasets=tracking.datasets(SPLITS),
        ) as run:
            sweeps = measure(read)
            for quality in read.evaluate.qualities:
                run.headline(
                    {f"accuracy_{name}": each.curve[quality].value for name, each in sweeps.items()}, step=quality
                )
            run.headline(
                {
                    f"accuracy_{name}_{what}": found["value"]
                    for name, each in sweeps.items()
                    for what, found in each.as_json().items()
                }
            )
            run.plot(ACCURACY_PNG)
        for name, each in sweeps.items():
            print(f"{name}: raw {each.raw}, mean {each.mean}, worst {each.worst} at quality {each.worst_quality}")


def measure(params: Params) -> dict[str, Summary]:
    """Evaluate the model on each split, write the outs, and return what they say."""
    how, subsampling = params.evaluate, params.jpeg.subsampling
    _same_classes()
    splits = [open_split(name) for name in MEASURED]
    answers = {
        split.name: predict(MODEL_ONNX, split, how.qualities, subsampling, batch_size=how.batch_size, unseen=how.unseen)
        for split in splits
    }
    sweeps = {name: summarise(each.sweep, how.qualities, how) for name, each in answers.items()}
    made_with = {
        "model_sha256": sha256(MODEL_ONNX),
        "subsampling": subsampling,
        "codec": VERSION,
    }
    record.write(answers, splits, made_with=made_with)
    write_json(EVALUATE_METRICS, {name: sweep.as_json() for name, sweep in sweeps.items()})
    write_text(ACCURACY_CSV, plots.table(sweeps))
    write_bytes(ACCURACY_PNG, plots.picture(sweeps, how.confidence))
    return sweeps


def _same_classes() -> None:
    """Refuse a model whose classes have other names, or the same in another order, than those of the data."""
    said, classes = open_model(MODEL_ONNX).class_names, read_meta()["classes"]
    if said is not None and said != classes:
        raise FctError(
            f"{MODEL_ONNX}: it was made for the classes {', '.join(said)}; the data have {', '.join(classes)}. "
            "Train and export a model for these data: `dvc repro export`."
        )


if __name__ == "__main__":
    main()
