"""The registered model answers a table of images, of bytes or of base64."""

import base64
import json

import pandas as pd
import pytest

from fct.serving import pyfunc as served


@pytest.fixture
def model(colour_model):
    return served._load_pyfunc(str(colour_model()))


def test_bytes_and_base64_are_the_same_image(model, picture):
    """Python hands over bytes, JSON base64, with line breaks or without."""
    content = picture("green", "JPEG", quality=40)
    encoded = [base64.b64encode(content).decode(), base64.encodebytes(content).decode()]
    table = model.predict(pd.DataFrame({"image": [content, *encoded]}))
    assert table["class"].tolist() == ["green"] * 3
    assert table["quality"].tolist() == [40] * 3


@pytest.mark.parametrize("value", [None, "not base64!", 7, float("nan")])
def test_a_cell_that_holds_no_bytes_is_an_error_of_its_own(model, picture, value):
    """The others of its table are answered."""
    table = model.predict(pd.DataFrame({"image": [picture("red"), value, picture("blue")]}, dtype=object))
    assert table["class"].tolist() == ["red", None, "blue"]
    assert table["error"].tolist() == [None, "neither bytes nor base64", None]


def test_the_answer_is_valid_json(model, picture):
    """Nothing in it is a NaN, which JSON does not know."""
    table = model.predict(pd.DataFrame({"image": [picture(), b"broken"]}))
    predictions = json.loads(json.dumps(table.to_dict(orient="records"), allow_nan=False))
    assert predictions[0]["class"] == "red"
    assert sum(predictions[0]["probabilities"].values()) == pytest.approx(1)
    assert predictions[1] == {
        "class": None,
        "probabilities": None,
        "quality": None,
        "below_trained": False,
        "error": "not a JPEG, PNG, WEBP, AVIF, BMP or TIFF image",
    }


def test_an_empty_table_has_an_empty_answer(model):
    """No images, no rows, and the same columns."""
    assert list(model.predict(pd.DataFrame({"image": []})).columns) == list(
        model.predict(pd.DataFrame({"image": [b"x"]})).columns
    )
