"""Splits on disk are opened, or the command that makes them is named."""

import pytest

from fct.core.errors import FctError
from fct.splits import store


def test_what_is_not_there_names_the_command(tmp_path):
    """Without splits the error says which file is missing and how to make it."""
    with pytest.raises(FctError, match=r"images\.npy is not here\. Make it with `dvc repro data`"):
        store.open_split("train", tmp_path, tmp_path)
    with pytest.raises(FctError, match=r"meta\.json is not here\. Make it with `dvc repro data`"):
        store.read_meta(tmp_path)


@pytest.mark.parametrize("content", ["{", "[]", "{}"])
def test_a_damaged_description_names_the_command(tmp_path, content):
    """Half a file, or another one, is a sentence that says how to make it again."""
    (tmp_path / "meta.json").write_text(content)
    with pytest.raises(FctError, match=r"meta\.json is damaged\. Make it again with `dvc repro --force .* data`"):
        store.read_meta(tmp_path)
