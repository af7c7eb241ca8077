"""The registered model answers a table of images, of bytes or of base64."""

import base64
import json

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

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


@pytest.mark.parametrize(
    "value",
    [
        None,
        "not base64!",
        7,
        float("nan"),
        [],
        {},
        {"b64": 7},
        {"b65": "AAAA"},
        "data:,AAAA",
        "data:image/png;base64,?",
        "A",
    ],
)
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


def forms(content):
    """Every way in which people write bytes into JSON."""
    plain, for_urls = base64.b64encode(content).decode(), base64.urlsafe_b64encode(content).decode()
    texts = [plain, for_urls, plain.rstrip("="), for_urls.rstrip("="), base64.encodebytes(content).decode()]
    texts += [f"data:image/jpeg;base64,{plain}", f"DATA:;Base64,{for_urls}"]
    return texts + [{"b64": text} for text in texts]


@given(st.binary(max_size=60))
def test_every_form_of_base64_is_the_same_bytes(content):
    """The standard's alphabet and that of URLs, padding or none, line breaks, data: URIs, and objects."""
    assert {served._to_bytes(value) for value in forms(content)} == {content}


@pytest.mark.parametrize(
    "index",
    [pd.Index([7, 7, 3]), pd.Index(["a", "b", "c"], name="id"), pd.MultiIndex.from_product([["x"], [3, 1, 2]])],
)
def test_answers_keep_the_index_of_their_table(model, picture, index):
    """So that they can be joined to it, also where a cell is no image."""
    table = model.predict(pd.DataFrame({"image": [picture("red"), None, picture("blue")]}, index, dtype=object))
    assert table.index.equals(index)
    assert table.index.names == index.names
    assert table["class"].tolist() == ["red", None, "blue"]


@pytest.fixture(scope="module")
def schema():
    from fct.registry.package import _signature

    return _signature().inputs


@pytest.mark.filterwarnings("ignore::UserWarning:mlflow")  # about how it uses pandas
@pytest.mark.parametrize(
    "body",
    [
        lambda one, two: {"inputs": {"image": [one, two]}},
        lambda one, two: {"inputs": {"image": [{"b64": one}, {"b64": two}]}},
        lambda one, two: {"inputs": {"image": [[one], [two]]}},
        lambda one, two: {"inputs": [{"image": one}, {"image": two}]},
        lambda one, two: {"inputs": [one, two]},
        lambda one, two: {"instances": [one, two]},
        lambda one, two: {"instances": [{"image": one}, {"image": {"b64": two}}]},
        lambda one, two: {"instances": {"image": [one, two]}},
        lambda one, two: {"dataframe_records": [{"image": one}, {"image": two}]},
        lambda one, two: {"dataframe_split": {"columns": ["image"], "index": [4, 2], "data": [[one], [two]]}},
    ],
)
def test_every_form_of_a_request_has_an_answer_for_each_image(model, picture, schema, body):
    """The forms that MLflow's server documents, as it hands them to the model."""
    from mlflow.models.utils import _enforce_schema
    from mlflow.pyfunc.scoring_server import infer_and_parse_data

    request = body(*(base64.b64encode(picture(colour)).decode() for colour in ("red", "blue")))
    table = model.predict(_enforce_schema(infer_and_parse_data(request, schema), schema))
    assert table["class"].tolist() == ["red", "blue"]
