"""What a file says about itself is checked before anyone sees it."""

import contextlib
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fct.serving.metadata import LONGEST_NAME, Metadata, UnusableMetadata, read_metadata


def test_what_the_export_writes_is_read():
    """Names, qualities and the value for images without tables."""
    entries = {"fct.classes": '["cat", "Hündin", "犬"]', "fct.qualities": "[10, 50]", "fct.no_tables": "0"}
    assert read_metadata(entries, 3) == Metadata(("cat", "Hündin", "犬"), (10, 50), 0)


def test_files_without_metadata_name_nothing():
    """Files of others have none; files of before 0.1 take 100 for images without tables."""
    assert read_metadata({}, 3) == Metadata(None, (), 100)


@pytest.mark.parametrize(
    ("entries", "message"),
    [
        ({"fct.classes": "cat, dog"}, "fct.classes in its metadata is not JSON"),
        ({"fct.classes": ""}, "is not JSON"),
        ({"fct.classes": "[" * 500}, "is not JSON"),
        ({"fct.classes": "null"}, None),
        ({"fct.classes": "17"}, "is not a list of names"),
        ({"fct.classes": '"ab"'}, "is not a list of names"),
        ({"fct.classes": '{"a": 1, "b": 2}'}, "is not a list of names"),
        ({"fct.classes": '["a", 2]'}, "is not a list of names"),
        ({"fct.classes": '["a", ["b"]]'}, "is not a list of names"),
        ({"fct.classes": '["a"]'}, "names 1 classes, but it has 2"),
        ({"fct.classes": '["a", "b", "c"]'}, "names 3 classes, but it has 2"),
        ({"fct.classes": '["a", "a"]'}, "names a class twice"),
        ({"fct.classes": '["a", ""]'}, "name 2 is empty"),
        ({"fct.classes": json.dumps(["a", "b" * 256])}, "name 2 is empty, longer than 255"),
        ({"fct.classes": json.dumps(["a", "\x1b[31mred"])}, "control characters"),
        ({"fct.classes": json.dumps(["a", "b\u202egnp.exe"])}, "control characters"),
        ({"fct.classes": '["a", "\\ud800"]'}, "control characters"),
        ({"fct.classes": json.dumps(["a", "b\n"])}, "control characters"),
        ({"fct.qualities": "[0]"}, "fct.qualities in its metadata is not a list of JPEG qualities"),
        ({"fct.qualities": "[true]"}, "not a list of JPEG qualities"),
        ({"fct.qualities": "[10.5]"}, "not a list of JPEG qualities"),
        ({"fct.qualities": "10"}, "not a list of JPEG qualities"),
        ({"fct.qualities": "[NaN]"}, "not a list of JPEG qualities"),
        ({"fct.no_tables": "101"}, "fct.no_tables in its metadata is not a JPEG quality"),
        ({"fct.no_tables": "null"}, "is not a JPEG quality"),
        ({"fct.no_tables": "[]"}, "is not a JPEG quality"),
    ],
)
def test_every_other_form_is_refused_in_a_sentence(entries, message):
    """The message names the entry; null is as if it were not there."""
    if message is None:
        assert read_metadata(entries, 2).classes is None
        return
    with pytest.raises(UnusableMetadata, match=message.replace("[", r"\[")):
        read_metadata(entries, 2)


@pytest.mark.parametrize("key", ["fct.classes", "fct.qualities", "fct.no_tables"])
def test_huge_entries_are_refused_before_they_are_parsed(key):
    """100 MB are never given to a parser."""
    with pytest.raises(UnusableMetadata, match="too long: 100,000,000 characters"):
        read_metadata({key: "[" + "1," * 49_999_999 + "]"}, 2)


@given(st.dictionaries(st.sampled_from(["fct.classes", "fct.qualities", "fct.no_tables"]), st.text(max_size=50)))
def test_no_text_gives_another_error(entries):
    """Whatever an entry says, it is read or refused."""
    with contextlib.suppress(UnusableMetadata):
        read_metadata(entries, 2)


@given(
    st.lists(
        st.text(st.characters(codec="utf-8", exclude_categories=["C", "Z"]), min_size=1, max_size=LONGEST_NAME),
        min_size=1,
        max_size=20,
        unique=True,
    )
)
def test_names_in_any_language_are_kept(names):
    """Visible characters of any script."""
    assert read_metadata({"fct.classes": json.dumps(names)}, len(names)).classes == tuple(names)
