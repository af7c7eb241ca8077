"""Splits on disk are opened, or the error has the command that makes them."""

import pytest

from fct.core.errors import FctError
from fct.splits import store


def test_missing_splits_are_an_error(tmp_path):
    """The error for missing splits has the missing file and the command that makes it."""
    with pytest.raises(FctError, match=r"images\.npy is not here\. Make it with `dvc repro data`"):
        store.open_split("train", tmp_path, tmp_path)
    with pytest.raises(FctError, match=r"meta\.json is not here\. Make it with `dvc repro data`"):
        store.read_meta(tmp_path)


@pytest.mark.parametrize("content", ["{", "[]", "{}"])
def test_damaged_metadata_is_an_error(tmp_path, content):
    """The error for half a file, or another file, has the command that makes it again."""
    (tmp_path / "meta.json").write_text(content)
    with pytest.raises(FctError, match=r"meta\.json is damaged\. Make it again with `dvc repro --force .* data`"):
        store.read_meta(tmp_path)
