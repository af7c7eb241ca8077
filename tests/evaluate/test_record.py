"""An evaluation on disk is refused where it is not of this model and these images."""

import dataclasses
import json
from contextlib import suppress

import numpy as np
import pytest

from fct.core.errors import FctError
from fct.evaluate import record
from fct.evaluate.params import EvaluateParams
from fct.evaluate.predictions import Predictions
from fct.splits.store import Originals

MADE_WITH = {"model_sha256": "a" * 64}
VIEWS = ("raw", "q5", "webp/1")
PARAMS = EvaluateParams(qualities=(5,), unseen=("webp",), unseen_images=None, batch_size=1, confidence=0.95)


@pytest.fixture
def written(tmp_path, make_split):
    split = make_split()
    predictions = Predictions(VIEWS, np.arange(18).reshape(3, 6), np.linspace(0.5, 1, 18).reshape(3, 6), split.labels)
    folder = tmp_path / "evaluation"
    record.write({"gate": predictions}, [split], made_with=MADE_WITH, evaluation=folder)
    return folder, split, predictions


def test_what_was_written_is_read(written):
    """Classes, their probabilities to three digits, the views' names and the split's digest come back."""
    folder, split, predictions = written
    result = record.read(split, model_sha256="a" * 64, params=PARAMS, evaluation=folder)
    np.testing.assert_array_equal(result.predictions.classes, predictions.classes)
    np.testing.assert_allclose(result.predictions.confidence, predictions.confidence, atol=5e-4)
    assert (result.predictions.views, result.predictions.qualities) == (VIEWS, [5])
    assert result.digest == record.digest(split)


def test_the_meta_is_the_contract(written):
    """meta.json has the model, the views, and size and digest of each split."""
    folder, split, _ = written
    assert json.loads((folder / "meta.json").read_text()) == {
        **MADE_WITH,
        "views": list(VIEWS),
        "splits": {"gate": {"images": 6, "digest": record.digest(split)}},
    }


def test_another_model_is_refused(written):
    """The evaluation of another file is refused, naming both."""
    folder, split, _ = written
    with pytest.raises(FctError, match=r"about the model a{12}\.\.\..*present model is b{12}.*dvc repro evaluate"):
        record.read(split, model_sha256="b" * 64, params=PARAMS, evaluation=folder)


def test_other_images_are_refused(written, make_split):
    """The evaluation of other images under the same name is refused."""
    folder, _, _ = written
    with pytest.raises(FctError, match="other images than the split gate"):
        record.read(make_split(seed=1), model_sha256="a" * 64, params=PARAMS, evaluation=folder)


@pytest.mark.parametrize(
    "other", [{"qualities": (5, 10)}, {"unseen": ()}, {"unseen": ("webp", "blur")}, {"unseen_images": 2}]
)
def test_other_views_are_refused(written, other):
    """An evaluation with other qualities, distortions or images for them than params.yaml has is refused."""
    folder, split, _ = written
    with pytest.raises(FctError, match="other qualities, unseen distortions or images for these"):
        record.read(split, model_sha256="a" * 64, params=PARAMS.model_copy(update=other), evaluation=folder)


def test_a_missing_evaluation_is_named(tmp_path, make_split):
    """Without an evaluation the error says what makes it."""
    with pytest.raises(FctError, match=r"meta\.json is not here.*dvc repro evaluate"):
        record.read(make_split(), model_sha256="a" * 64, params=PARAMS, evaluation=tmp_path / "evaluation")


@pytest.mark.parametrize(
    "damage",
    [
        "not json",
        '{"qualities": [5]}',
        "[]",
        '{"model_sha256": "a", "views": ["raw"], "splits": {}}',
        '{"model_sha256": "a", "views": ["raw"], "splits": {"gate": {"images": 6}}}',
        '{"model_sha256": "a", "views": ["raw"], "splits": {"gate": 6}}',
        '{"model_sha256": "a", "views": null, "splits": {"gate": {"digest": "b"}}}',
    ],
)
def test_a_damaged_meta_is_refused(written, damage):
    """meta.json that is not what was written is refused with what is wrong."""
    folder, split, _ = written
    (folder / "meta.json").write_text(damage)
    with pytest.raises(FctError, match="is damaged"):
        record.read(split, model_sha256="a" * 64, params=PARAMS, evaluation=folder)


@pytest.mark.parametrize("name", ["gate.npy", "gate-confidence.npy"])
def test_predictions_of_another_shape_are_refused(written, name):
    """An array that does not have a row for each view is refused."""
    folder, split, predictions = written
    np.save(folder / name, predictions.classes[:2])
    with pytest.raises(FctError, match=r"shape \[2, 6\], not \[3, 6\]"):
        record.read(split, model_sha256="a" * 64, params=PARAMS, evaluation=folder)


@pytest.mark.parametrize("left", [-8, 20, 0])
def test_truncated_predictions_are_refused(written, left):
    """An array cut short is refused: in its values, in its header, or all of it."""
    folder, split, _ = written
    path = folder / "gate.npy"
    path.write_bytes(path.read_bytes()[:left])
    with pytest.raises(FctError, match="is damaged"):
        record.read(split, model_sha256="a" * 64, params=PARAMS, evaluation=folder)


def test_a_model_that_is_no_text_is_another_one(written):
    """The error shows what the evaluation has."""
    folder, split, _ = written
    meta = json.loads((folder / "meta.json").read_text()) | {"model_sha256": 17, "views": [1, 2, 3]}
    (folder / "meta.json").write_text(json.dumps(meta))
    with pytest.raises(FctError, match="the evaluation is about the model 17"):
        record.read(split, model_sha256="a" * 64, params=PARAMS, evaluation=folder)


@pytest.mark.parametrize("name", ["gate.npy", "gate-confidence.npy"])
def test_predictions_of_another_type_are_refused(written, name):
    """Classes are whole numbers, and their probabilities are not."""
    folder, split, _ = written
    np.save(folder / name, np.full((3, 6), "cat"))
    with pytest.raises(FctError, match=rf"evaluation/{name} has values of type <U3\. Make it with"):
        record.read(split, model_sha256="a" * 64, params=PARAMS, evaluation=folder)


@pytest.mark.filterwarnings("ignore:Data type alias:DeprecationWarning")  # one flipped bit makes an old name of a type
def test_no_flipped_bit_of_a_header_is_a_traceback(written, flipped_bits):
    """numpy parses headers as Python."""
    folder, split, _ = written
    for _ in flipped_bits(folder / "gate.npy"):
        with suppress(FctError):
            record.read(split, model_sha256="a" * 64, params=PARAMS, evaluation=folder)


@pytest.mark.parametrize("part", ["images", "labels", "quality"])
def test_the_digest_changes_with_every_part(make_split, part):
    """One changed pixel, label or recorded quality gives another digest."""
    split = make_split()
    changed = getattr(split, part).copy()
    changed.flat[-1] ^= 1
    assert record.digest(dataclasses.replace(split, **{part: changed})) != record.digest(split)


def test_the_digest_changes_with_the_originals(make_split):
    """Native-size files count: they are what is compressed."""
    bounds = np.arange(7)
    with_files = [
        dataclasses.replace(make_split(), originals=Originals(np.frombuffer(files, np.uint8), bounds[:-1], bounds[1:]))
        for files in (b"abcdef", b"abcdeg")
    ]
    assert len({record.digest(split) for split in (make_split(), *with_files)}) == 3


def test_the_digest_is_of_content_not_of_storage(make_split, tmp_path):
    """A memory-mapped split has the digest of the same arrays in memory, whatever is read at a time."""
    split = make_split(count=3000, size=24, channels=1)  # more than one chunk
    np.save(tmp_path / "images.npy", split.images)
    mapped = dataclasses.replace(split, images=np.load(tmp_path / "images.npy", mmap_mode="r"))
    assert record.digest(mapped) == record.digest(split)
