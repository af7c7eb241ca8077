"""Files of counts, as serving processes write them."""

import json

import pytest

from fct.serving.counters import Counters, Observation


@pytest.fixture
def write_counts(tmp_path):
    """Return a function that counts images as one process, and returns its file."""

    def write(images, *, model="ab" * 32, trained=(20, 60), errors=(), folder="counters", day=None):
        """Count `images`, pairs of a quality and a class."""
        counters = Counters(tmp_path / folder, model, ["cat", "dog"], trained)
        counters.add([Observation(q, "ijg" if q else "none", 32, label, 0.75) for q, label in images], errors)
        if day:
            counters._day = day
            document = counters._document(day, counters._counts)
            path = counters._path(day)
            path.write_text(json.dumps(document))
            counters._is_written = True
            return path
        counters.write()
        return counters._path(counters._day)

    return write
