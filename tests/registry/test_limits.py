"""What is written to MLflow's registry is within what its databases take."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fct.core.errors import FctError
from fct.registry import limits
from fct.registry.card import card
from fct.registry.events import Event

CHECK = {"value": 0.9, "low": 0.8, "high": 0.95, "direction": "at least", "threshold": 0.7}


def verdict(checks):
    named = [CHECK | {"name": f"q{number}_accuracy"} for number in range(checks)]
    return {"verdict": "PASS", "split": {"name": "gate", "images": 4800}, "checks": named, "confidence": 0.95}


def test_the_limits_are_those_of_mlflow():
    """Its tables and its validation say how long a description and a tag may be."""
    from mlflow.store.model_registry.dbmodels import models
    from mlflow.utils import validation

    assert models.SqlModelVersion.description.type.length == limits.DESCRIPTION
    assert validation.MAX_MODEL_REGISTRY_TAG_VALUE_LENGTH >= limits.VERSION_TAG


def test_a_card_of_a_thousand_classes_names_some_of_them():
    """The first classes and the number of the others; every check and the origin are there."""
    text = card(verdict(5), {}, classes=[f"species {number}" for number in range(1000)], qualities=[10])
    assert "for 1,000 classes (species 0, species 1, " in text
    assert " more), trained to be robust to JPEG of quality 10 and up" in text
    assert all(f"| q{number}_accuracy | 0.9 |" in text for number in range(5))
    assert "`fct verify` rebuilds it." in text


def test_a_card_that_has_room_names_all():
    """Nothing is left out of the card of ten classes and ten checks."""
    text = card(verdict(10), {}, classes=[f"class {number}" for number in range(10)], qualities=[])
    assert " more" not in text
    assert "(class 0, class 1, class 2, class 3, class 4, class 5, class 6, class 7, class 8, class 9)" in text


@given(
    st.lists(st.text(min_size=1, max_size=255), min_size=1, max_size=60),
    st.integers(1, 400),
    st.text(max_size=limits.WHO),
)
def test_any_card_fits(classes, checks, who):
    """However many classes and checks there are, and however long their names."""
    tags = {
        "fct.who": who,
        "fct.registered": "2026-01-01T00:00:00+00:00",
        "fct.commit": "c" * 40,
        "fct.sha256": "a" * 64,
    }
    assert len(card(verdict(checks), tags, classes=classes, qualities=[10])) <= limits.DESCRIPTION


@given(st.text(max_size=4000), st.text(max_size=limits.WHO))
def test_a_reason_that_is_taken_fits_the_history(why, who):
    """An event is a version of the history, and its facts are tags of it."""
    try:
        limits.check_why(why)
    except FctError:
        return
    event = Event(
        when="2026-01-01T00:00:00+00:00",
        what="rolled back",
        version="123456",
        before="123455",
        previous=None,
        who=who,
        why=why,
        verdict="PASS",
        follows=None,
    )
    limits.check_tags(event.as_tags())


@pytest.mark.parametrize("why", ["x" * 3000, "ä" * 501, "\0", "\u202e", "\udcff"])
def test_a_reason_that_no_database_takes_is_an_error(why):
    """Too long, NUL, marks that turn text, or bytes that are no text."""
    with pytest.raises(FctError, match=r"^--why: "):
        limits.check_why(why)


def test_a_tag_that_no_database_takes_is_an_error():
    """Before anything is registered."""
    limits.check_tags({"fct.gate": "x" * limits.VERSION_TAG})
    with pytest.raises(FctError, match=r"the tag fct\.gate of the version would have 65,536 bytes"):
        limits.check_tags({"fct.gate": "ä" * 32_768})
