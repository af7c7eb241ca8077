"""A value is changed in place, and all other bytes of the file stay the same."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from ruamel.yaml import YAML

from fct.core.edit import edit_yaml
from fct.core.errors import FctError

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


def test_a_block_is_replaced_as_a_whole():
    """A list over several lines can be replaced, and the lines after it stay the same."""
    text = edit_yaml(TEXT, {"train.block.layers": ["three"]}, name="a.yaml")
    assert YAML(typ="safe").load(text)["train"]["block"] == {"width": 1.0, "layers": ["three"]}
    assert text.endswith(TEXT[TEXT.index("gate:") :])


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
