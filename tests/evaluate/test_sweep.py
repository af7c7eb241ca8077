"""The sweep runs the real file in onnxruntime on raw and compressed images."""

import threading
import tracemalloc

import numpy as np
import pytest
from onnx import TensorProto, helper

from fct.core.errors import FctError
from fct.evaluate import sweep
from fct.evaluate.predictions import NOT_MEASURED
from fct.evaluate.unseen import distort
from fct.jpeg.arrays import roundtrip

FLATTEN = [
    helper.make_node("Cast", ["image"], ["pixels"], to=TensorProto.FLOAT),
    helper.make_node("Flatten", ["pixels"], ["logits"]),
]


def places(images):
    """Return where the brightest pixel of each image [N, H, W, C] is, counted along [C, H, W]."""
    return images.transpose(0, 3, 1, 2).reshape(len(images), -1).argmax(axis=1)


@pytest.mark.parametrize("channels", [1, 3])
def test_the_raw_row_is_the_model_on_the_raw_images(brightest, make_split, channels):
    """Row 0 is what the model says about the images as they are, with channels before rows and columns."""
    split = make_split(channels=channels)
    predicted = sweep.predict(brightest(channels, 8), split, [], "4:2:0", batch_size=4).classes
    np.testing.assert_array_equal(predicted, [places(split.images)])
    assert predicted.dtype == np.int64


@pytest.mark.parametrize("subsampling", ["4:2:0", "4:4:4"])
def test_each_quality_row_is_the_model_on_the_compressed_images(brightest, make_split, subsampling):
    """Row 1 + k is what the model says about the images compressed at the k-th quality, in the order asked for."""
    split = make_split(channels=3)
    qualities = [90, 10, 40]
    predicted = sweep.predict(brightest(3, 8), split, qualities, subsampling, batch_size=4).classes
    for row, quality in zip(predicted[1:], qualities, strict=True):
        views = roundtrip(split.images, quality, subsampling)
        np.testing.assert_array_equal(row, places(views))


def test_the_model_is_told_the_quality_that_the_file_in_hand_has(echo, make_split):
    """Raw images come with their own quality, compressed ones with the last one they had, even where it is higher."""
    own = [100, 30, 75, 100, 1, 8]
    predicted = sweep.predict(echo, make_split(quality=own), [5, 95], "4:2:0", batch_size=4).classes
    np.testing.assert_array_equal(predicted, [own, [5] * 6, [95] * 6])


def test_a_file_of_an_earlier_version_takes_100_where_there_are_no_tables(echo, make_split):
    """It says nothing of its own value for "no JPEG tables", so that it is told the one of its time."""
    predicted = sweep.predict(echo, make_split(quality=[0, 1, 100, 0, 50, 99]), [5], "4:2:0", batch_size=4).classes
    np.testing.assert_array_equal(predicted[0], [100, 1, 100, 100, 50, 99])


def test_unseen_views_come_last_each_at_every_severity(brightest, make_split):
    """Views are named; those of a distortion are the model's answers on the distorted images."""
    split = make_split(channels=3)
    found = sweep.predict(brightest(3, 8), split, [50], "4:2:0", batch_size=4, unseen=["webp"])
    assert found.views == ("raw", "q50", "webp/1", "webp/2", "webp/3")
    np.testing.assert_array_equal(found.classes[3], places(distort(split.images, "webp", 2)))


def test_unseen_views_can_be_measured_on_fewer_images(brightest, make_split):
    """Evenly spread ones; the others are marked. Raw images and qualities are measured on all."""
    split = make_split(count=9, channels=3)
    found = sweep.predict(brightest(3, 8), split, [50], "4:2:0", batch_size=4, unseen=["webp", "fp16"], unseen_images=3)
    expected = np.full(9, NOT_MEASURED)
    expected[::3] = places(distort(split.images[::3], "webp", 2))
    np.testing.assert_array_equal(found.classes[3], expected)
    assert [len(found.measured(row)) for row in range(6)] == [9, 9, 3, 3, 3, 3]


def test_the_confidence_is_the_probability_of_the_class(bright, make_split):
    """Two classes with the logits -d and d: the larger has 1 / (1 + exp(-2 |d|))."""
    split = make_split()
    found = sweep.predict(bright(), split, [], "4:2:0", batch_size=4)
    distance = np.abs(split.images.mean((1, 2, 3)) - 127.5)
    np.testing.assert_allclose(found.confidence[0], 1 / (1 + np.exp(-2 * distance)), rtol=1e-4)


def test_batches_and_threads_do_not_change_the_answer(brightest, make_split):
    """Any batch size, also one that does not divide the number of images, and any thread count predict the same."""
    split, path = make_split(count=7), brightest(1, 8)
    whole = sweep.predict(path, split, [20], "4:2:0", batch_size=100).classes
    for batch_size, threads in ((1, 1), (3, 2), (7, None)):
        some = sweep.predict(path, split, [20], "4:2:0", batch_size=batch_size, threads=threads)
        np.testing.assert_array_equal(some.classes, whole)


def test_no_more_images_than_a_batch_are_in_the_model(brightest, make_split, monkeypatch):
    """The threads share a batch: memory does not grow with the cores of the machine."""
    shares = []
    inner = sweep.predict_batch

    def watched(model, images, quality):
        shares.append((threading.current_thread().name, len(images)))
        return inner(model, images, quality)

    monkeypatch.setattr(sweep, "predict_batch", watched)
    sweep.predict(brightest(1, 8), make_split(count=50), [], "4:2:0", batch_size=12, threads=3)
    assert max(size for _, size in shares) == 4
    assert sum(size for _, size in shares) == 50
    assert 1 <= len({thread for thread, _ in shares}) <= 3


def test_a_model_that_fails_while_it_runs_is_an_error_for_people(save_model, make_split):
    """What onnxruntime raises on images, not on loading, names the file too."""
    nodes = [
        FLATTEN[0],
        helper.make_node("Flatten", ["pixels"], ["flat"]),
        helper.make_node("MatMul", ["flat", "weights"], ["logits"]),
    ]
    path = save_model(nodes, constants={"weights": np.ones((7, 2), np.float32)})
    with pytest.raises(FctError, match=r"model\.onnx: onnxruntime cannot use it"):
        sweep.predict(path, make_split(), [], "4:2:0", batch_size=4)


def test_only_one_quality_is_in_memory_at_a_time(bright, make_split):
    """Twelve qualities take no more memory than two: less than one view more."""
    split, path = make_split(count=1000, size=64), bright()

    def peak(qualities):
        tracemalloc.start()
        sweep.predict(path, split, qualities, "4:2:0", batch_size=64)
        most = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return most

    peak([50])  # loads what is loaded once
    assert peak(range(5, 65, 5)) < peak([5, 60]) + split.images.nbytes


def test_class_names_are_read_from_the_file(bright):
    """The file's own list of classes is at hand, None where it has none."""
    assert sweep.open_model(bright(metadata={"fct.classes": '["a", "b"]'})).class_names == ["a", "b"]
    assert sweep.open_model(bright()).class_names is None


def test_a_missing_file_is_named(tmp_path):
    """Without the file the error names it; only for the pipeline's own files it names the stage."""
    with pytest.raises(FctError, match=r"none\.onnx is not here\.$"):
        sweep.open_model(tmp_path / "none.onnx")


@pytest.mark.parametrize("content", [b"", b"not a model", b"\x08\x0a" * 50])
def test_a_file_that_is_no_model_is_refused(tmp_path, content):
    """Empty, foreign and garbled content is an error for people, not onnxruntime's traceback."""
    path = tmp_path / "broken.onnx"
    path.write_bytes(content)
    with pytest.raises(FctError, match=r"broken\.onnx"):
        sweep.open_model(path)


def test_a_truncated_model_is_refused(bright):
    """A file cut short is refused."""
    path = bright()
    path.write_bytes(path.read_bytes()[:-40])
    with pytest.raises(FctError, match=r"model\.onnx"):
        sweep.open_model(path)


@pytest.mark.parametrize(
    ("name", "dtype", "shape", "batch", "classes", "message"),
    [
        ("input", TensorProto.UINT8, ["B", 1, 2, 2], "B", 4, "inputs are input, its outputs logits"),
        ("image", TensorProto.INT8, ["B", 1, 2, 2], "B", 4, r"image is tensor\(int8\).*tensor\(uint8\)"),
        ("image", TensorProto.UINT8, ["B", 4], "B", 4, "with 4 axes"),
        ("image", TensorProto.UINT8, [2, 1, 2, 2], 2, 4, "image has the fixed batch size 2"),
        ("image", TensorProto.UINT8, ["B", 1, "H", "W"], "B", "K", "number of classes must be fixed"),
    ],
)
def test_other_inputs_and_outputs_are_refused(save_model, name, dtype, shape, batch, classes, message):
    """A model with other names, types or axes than a candidate's is refused with what it has."""
    nodes = [helper.make_node("Cast", [name], ["pixels"], to=TensorProto.FLOAT), FLATTEN[1]]
    path = save_model(nodes, inputs=((name, dtype, shape),), batch=batch, classes=classes)
    with pytest.raises(FctError, match=message):
        sweep.open_model(path)


def test_another_output_is_refused(save_model):
    """An output that is not called logits is refused by name."""
    nodes = [FLATTEN[0], helper.make_node("Flatten", ["pixels"], ["scores"])]
    path = save_model(nodes, classes=4, output="scores")
    with pytest.raises(FctError, match="outputs scores"):
        sweep.open_model(path)


@pytest.mark.parametrize(("channels", "size", "message"), [(3, 8, "channels 3.* has 1"), (1, 9, "height 9.* has 8")])
def test_images_that_do_not_fit_are_refused(brightest, make_split, channels, size, message):
    """A model for other channels or another size than the split's is refused before anything runs."""
    with pytest.raises(FctError, match=message):
        sweep.predict(brightest(channels, size), make_split(), [50], "4:2:0", batch_size=4)


def test_labels_beyond_the_model_are_refused(bright, make_split):
    """A label that the model has no class for is refused, not counted as an error of the model."""
    with pytest.raises(FctError, match="has 2 classes, but the split gate has the label 4"):
        sweep.predict(bright(), make_split(count=50, classes=5), [50], "4:2:0", batch_size=4)


def test_an_empty_split_is_refused(bright, make_split):
    """A split without images gives no accuracy, and says so."""
    with pytest.raises(FctError, match="no images"):
        sweep.predict(bright(), make_split(count=0), [50], "4:2:0", batch_size=4)


def test_logits_that_are_not_numbers_are_refused(save_model, make_split):
    """NaN would count as class 0; it is an error instead."""
    nodes = [
        FLATTEN[0],
        helper.make_node("Flatten", ["pixels"], ["flat"]),
        helper.make_node("Neg", ["flat"], ["negative"]),
        helper.make_node("Sqrt", ["negative"], ["logits"]),
    ]
    path = save_model(nodes, classes=64)
    with pytest.raises(FctError, match="not finite"):
        sweep.predict(path, make_split(), [], "4:2:0", batch_size=4)


def test_a_distortion_that_is_none_on_grey_images_is_refused(brightest, make_split):
    """Chroma of 4:4:4 tells nothing where there is none: left out unseen, its lines would have no views."""
    with pytest.raises(FctError, match=r"evaluate\.unseen: 444 changes only colours"):
        sweep.predict(brightest(1, 8), make_split(), [], "4:2:0", batch_size=4, unseen=["444"])
