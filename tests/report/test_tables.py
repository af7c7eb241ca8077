"""A line of the gate says what it was measured on."""

import pytest

from fct.report.tables import check_line

CHECK = {"name": "unseen_accuracy", "value": 0.9, "low": 0.8, "high": 0.95, "threshold": 0.7}
CHECK |= {"direction": "at least", "passed": True, "images_to_settle": None}


@pytest.mark.parametrize(("measured", "name"), [(500, "unseen accuracy, on 500 images"), (4800, "unseen accuracy")])
def test_a_check_on_fewer_images_than_the_split_says_so(measured, name):
    """Of 4,800 images in the split."""
    assert check_line(CHECK | {"images": measured}, 4800)["name"] == name
