"""Accuracy against quality, as a table and as a picture."""

import io
import os
import subprocess
import sys

import pytest
from PIL import Image

from fct.evaluate import plots
from fct.evaluate.intervals import Estimate, Summary


def sweep(shift=0.0):
    """Return a sweep over two qualities, not in ascending order."""
    raw, high, low = (Estimate(value, value - 0.01, value + 0.01) for value in (0.9 + shift, 0.8 + shift, 0.5 + shift))
    return Summary(raw, {95: high, 5: low}, high, low, 5)


SWEEPS = {"gate": sweep(), "test": sweep(0.05)}


def test_the_table_has_a_row_a_quality_and_columns_for_each_split():
    """Rows ascend by quality, raw images are not among them, and each split has its accuracy and bounds."""
    assert plots.table(SWEEPS) == (
        "quality,gate,gate_low,gate_high,test,test_low,test_high\n"
        "5,0.500000,0.490000,0.510000,0.550000,0.540000,0.560000\n"
        "95,0.800000,0.790000,0.810000,0.850000,0.840000,0.860000\n"
    )


def test_the_picture_is_a_png_without_date_or_program():
    """The bytes are a PNG that says nothing about when and by what it was made."""
    image = Image.open(io.BytesIO(plots.picture(SWEEPS, 0.95)))
    assert image.format == "PNG"
    assert not set(image.info) & {"Software", "Creation Time", "date"}


def test_the_picture_shows_the_numbers():
    """Other numbers make another picture."""
    assert plots.picture(SWEEPS, 0.95) != plots.picture({"gate": sweep(), "test": sweep(-0.05)}, 0.95)


def test_the_picture_is_the_same_in_any_process_and_under_any_style(tmp_path):
    """A fresh process with another hash seed and the user's own matplotlibrc draws the same bytes."""
    (tmp_path / "matplotlibrc").write_text("lines.linewidth: 9\nfont.size: 20\nsavefig.dpi: 30\n")
    code = (
        "import sys, runpy; from fct.evaluate import plots\n"
        "sys.stdout.buffer.write(plots.picture(runpy.run_path(sys.argv[1])['SWEEPS'], 0.95))"
    )
    drawn = subprocess.run(
        [sys.executable, "-c", code, __file__],
        env={**os.environ, "MATPLOTLIBRC": str(tmp_path), "PYTHONHASHSEED": "7"},
        capture_output=True,
        check=True,
    ).stdout
    assert drawn == plots.picture(SWEEPS, 0.95)


def test_splits_of_other_qualities_are_not_mixed():
    """A quality that one split lacks is an error, not a gap that shifts columns."""
    lacking = sweep()
    lacking.curve.pop(5)
    with pytest.raises(KeyError):
        plots.table({"gate": sweep(), "test": lacking})
