"""A value is changed in place, and all other bytes of the file stay the same."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from ruamel.yaml import YAML

from fct.core.errors import FctError
from fct.recipes.edit import edit_yaml

TEXT = """# head
train:
  epochs: 3   # how long
  name: "a # b"
  layers: [one, two] # names

  block: # nested
    width: 1.0
    layers:
      - one # first
      - two
gate:
  - { slice: raw, at_least: 0.82 }
  - { metric: parity, at_most: 1.0e-3 } # of the file
last: null
"""


@pytest.mark.parametrize(
    ("values", "old", "new"),
    [
        ({"train.epochs": 5}, "epochs: 3 ", "epochs: 5 "),
        ({"train": {"epochs": 5}}, "epochs: 3 ", "epochs: 5 "),
        ({"train.name": "c"}, '"a # b"', "c"),
        ({"train.layers": ["three"]}, "[one, two]", "[three]"),
        ({"train": {"block": {"width": 0.5}}}, "width: 1.0", "width: 0.5"),
        ({"gate.1.at_most": 0.5}, "1.0e-3", "0.5"),
        ({"last": "now"}, "last: null", "last: now"),
        ({"train.name": None}, '"a # b"', "null"),
    ],
)
def test_one_value_changes(values, old, new):
    """Only the characters of the value change."""
    assert edit_yaml(TEXT, values, name="a.yaml") == TEXT.replace(old, new)


@pytest.mark.parametrize(
    ("key", "message"),
    [
        ("train.epoch", r"train\.epoch: there is no such key in a\.yaml\. Known: train\.epochs, train\.name"),
        ("trian.epochs", r"trian\.epochs: .* Known: train, gate, last"),
        ("gate.7.at_least", r"gate\.7\.at_least: .* Known: gate\.0, gate\.1"),
    ],
)
def test_an_unknown_key_is_an_error(key, message):
    """The error for an unknown key lists the known keys. No key is added."""
    with pytest.raises(FctError, match=message):
        edit_yaml(TEXT, {key: 1}, name="a.yaml")


VALUES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(10**6), 10**6),
    st.floats(-1e6, 1e6),
    st.text(st.characters(codec="ascii"), max_size=12),
    st.lists(st.integers(0, 9), max_size=3),
)


@given(VALUES)
def test_any_value_is_read_back(value):
    """Any JSON-like value is read back, and the other values stay the same."""
    before = YAML(typ="safe").load(TEXT)
    after = YAML(typ="safe").load(edit_yaml(TEXT, {"train.epochs": value}, name="a.yaml"))
    assert after["train"].pop("epochs") == value
    before["train"].pop("epochs")
    assert after == before


def test_a_value_that_is_right_stays_as_it_is_written():
    """Nothing is rewritten for nothing: quotes, numbers and lists over several lines stay."""
    values = {"train": {"epochs": 3, "block": {"width": 1.0, "layers": ["one", "two"]}}, "gate.1.at_most": 0.001}
    assert edit_yaml(TEXT, values, name="a.yaml") == TEXT


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a:\n  b:\n    - one # first\n    - two\n", "there are comments inside"),
        ("a:\n  b: # names\n    - one\n", "there are comments inside"),
        ("a:\n  b: [one, # first\n    two]\n", "there are comments inside"),
        ("a:\n  b: &L [one]\nc: *L\n", "an anchor or an alias"),
        ("c: &L [one]\na:\n  b: *L\n", "an anchor or an alias"),
    ],
)
def test_what_cannot_be_changed_without_loss_is_refused(text, said):
    """Inner comments and anchors are never lost: the error says what stands in the way."""
    with pytest.raises(FctError, match=rf"a\.yaml: a\.b: .*{said}"):
        edit_yaml(text, {"a.b": ["three"]}, name="a.yaml")


@pytest.mark.parametrize(
    ("text", "edited"),
    [
        ("a:\n  b:\n  - one\n  - two\n# next\nc: 1\n", "a:\n  b: [three]\n# next\nc: 1\n"),
        ("a:\n  b:\n    - one\n\n  # next\n  c: 1\n", "a:\n  b: [three]\n\n  # next\n  c: 1\n"),
        ("a:\n  b: # nothing yet\n  c: 1\n", "a:\n  b: [three] # nothing yet\n  c: 1\n"),
        ("a:\n  b:\n  # next\n  c: 1\n", "a:\n  b: [three]\n  # next\n  c: 1\n"),
        ("a: {b: , c: 1}\n", "a: {b: [three] , c: 1}\n"),
        ("a:\r\n  b: one # here\r\n", "a:\r\n  b: [three] # here\r\n"),
    ],
)
def test_odd_layouts_keep_everything_around_the_value(text, edited):
    """Lists at their key's own indent, empty values, CRLF: what follows stays, comments too."""
    assert edit_yaml(text, {"a.b": ["three"]}, name="a.yaml") == edited


def test_keys_are_not_written_where_a_value_stands():
    """A section that holds a value instead of keys is a mistake, and is not replaced."""
    with pytest.raises(FctError, match=r"a\.yaml: a: the value must have the keys b"):
        edit_yaml("a: one\n", {"a": {"b": 1}}, name="a.yaml")
