"""Impossible values of the data section are errors."""

import pytest

from fct.core import params
from fct.core.errors import FctError
from fct.data.params import DataParams

GOOD = """data:
  source: folder
  mirror: null
  seed: 0
  fractions: {val: 0.08, gate: 0.08, test: 0.1}
  folder: {path: images, pixels: 32, keep: 1.0, channels: 3, on_error: fail}
"""


class Sections(params.Section):
    data: DataParams


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("source: folder", "source: mnist", "data.source"),
        ("val: 0.08", "val: 0", "data.fractions.val"),
        ("test: 0.1", "test: 1.0", "data.fractions.test"),
        ("test: 0.1", "test: 0.9", "data.fractions: .*1.06.* below 1"),
        ("seed: 0", "seed: -1", "data.seed"),
        ("pixels: 32", "pixels: 7", "data.folder.pixels"),
        ("keep: 1.0", "keep: 0.9", "data.folder.keep"),
        ("channels: 3", "channels: 4", "data.folder.channels"),
        ("on_error: fail", "on_error: ignore", "data.folder.on_error"),
        ("path: images", "path: ''", "data.folder.path"),
    ],
)
def test_an_impossible_value_is_named(tmp_path, old, new, message):
    """A value out of its range is an error that names the key."""
    path = tmp_path / "params.yaml"
    path.write_text(GOOD)
    assert params.load(Sections, path).data.folder.pixels == 32
    path.write_text(GOOD.replace(old, new))
    with pytest.raises(FctError, match=message):
        params.load(Sections, path)
