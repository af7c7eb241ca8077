"""Files that torch saved, or that only look so, give their values or one error, and cost no more than their size."""

import io
import pickle
import zipfile

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fct.models import state

VALUES = {"weight": torch.arange(10.0), "inner": {"bias": torch.ones(3)}}


def saved(*, legacy=False):
    buffer = io.BytesIO()
    torch.save(VALUES, buffer, _use_new_zipfile_serialization=not legacy)
    return buffer.getvalue()


def packed(members, content=None):
    """Return a file of torch whose parts are compressed, with other content for some."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(saved())) as source, zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as target:
        for name in source.namelist():
            target.writestr(name, content if name.endswith(members) else source.read(name))
    return buffer.getvalue()


@pytest.mark.parametrize("legacy", [False, True])
def test_both_formats_of_torch_are_read(tmp_path, legacy):
    """The zip file of today, and the pickle of before 1.6, in which some weights are still published."""
    (tmp_path / "file").write_bytes(saved(legacy=legacy))
    assert torch.equal(state.load_weights_only(tmp_path / "file")["weight"], VALUES["weight"])


def test_a_file_that_unpacks_to_more_is_refused_before_it_is_read(tmp_path, monkeypatch):
    """A small file of a large part: its size stands in the file's list of parts."""
    (tmp_path / "file").write_bytes(packed("data/0", bytes(64 << 20)))
    monkeypatch.setattr(torch, "load", None)
    with pytest.raises(ValueError, match=r"its parts would be 67,\d+,\d+ bytes in a file of \d\d,\d+; save it with"):
        state.load_weights_only(tmp_path / "file")


def test_a_vast_file_is_refused_before_it_is_read(tmp_path, monkeypatch):
    """Sparse or not."""
    with (tmp_path / "file").open("wb") as file:
        file.truncate(state.LARGEST + 1)
    monkeypatch.setattr(torch, "load", None)
    with pytest.raises(ValueError, match=r"34,359,738,369 bytes; at most"):
        state.load_weights_only(tmp_path / "file")


def test_a_claim_of_terabytes_is_an_error(tmp_path):
    """Of the old format's storages, and of the few types that weights may be made of."""
    legacy, vast = saved(legacy=True), b"\x8a\x07" + (10**12).to_bytes(7, "little")
    place = legacy.index(b"K\n", legacy.index(b"cpuq"))

    class Claim:
        def __reduce__(self):
            return bytearray, (10**14,)

    for content in (legacy[:place] + vast + legacy[place + 2 :], packed("data.pkl", pickle.dumps({"a": Claim()}, 2))):
        (tmp_path / "file").write_bytes(content)
        with pytest.raises(ValueError, match=r"allocate|MemoryError"):
            state.load_weights_only(tmp_path / "file")


@given(
    st.booleans(),
    st.lists(
        st.tuples(st.floats(0, 1, exclude_max=True), st.integers(0, 30), st.binary(max_size=8)), min_size=1, max_size=5
    ),
)
@settings(max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_damaged_file_is_values_or_one_error(tmp_path, legacy, damage):
    """Bytes removed, inserted and replaced: never another exception."""
    content = saved(legacy=legacy)
    for place, removed, inserted in damage:
        start = int(place * len(content))
        content = content[:start] + inserted + content[start + removed :]
    (tmp_path / "file").write_bytes(content)
    try:
        assert state.load_weights_only(tmp_path / "file") is not None
    except ValueError as error:
        assert str(error)  # noqa: PT017  # both outcomes are right


def test_a_file_of_another_pickle_protocol_gives_no_warning(tmp_path):
    """torch would ask the user to report it."""
    torch.save(VALUES, tmp_path / "file", pickle_protocol=3)
    assert set(state.load_weights_only(tmp_path / "file")) == set(VALUES)
