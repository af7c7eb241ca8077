"""environment.yaml says which packages the weights were made with."""

from importlib.metadata import version

import pytest

from fct.core import environment
from fct.core.errors import FctError


@pytest.fixture
def here(tmp_path, monkeypatch):
    """Stand in an empty folder."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_what_is_written_is_what_is_installed(here):
    """It names the releases of torch and numba, whatever build they are of, and passes its own check."""
    environment.write()
    environment.check()
    text = (here / "environment.yaml").read_text()
    assert f"torch: {version('torch').partition('+')[0]}\n" in text
    assert f"numba: {version('numba')}\n" in text


def test_a_file_that_is_right_is_not_touched(here):
    """Its time stays, so that nobody sees a change where there is none."""
    environment.write()
    before = (here / "environment.yaml").stat().st_mtime_ns
    environment.write()
    assert (here / "environment.yaml").stat().st_mtime_ns == before


def test_other_versions_are_refused(here):
    """A training with another torch than the file names is refused, and the remedy named."""
    environment.write()
    path = here / "environment.yaml"
    path.write_text(path.read_text().replace("torch: ", "torch: 1."))
    with pytest.raises(FctError, match=r"environment\.yaml: torch: it says 1\..*python -m fct\.core\.environment"):
        environment.check()


@pytest.mark.usefixtures("here")
def test_a_missing_file_is_named():
    """Without it nothing is trained."""
    with pytest.raises(FctError, match=r"environment\.yaml is not here"):
        environment.check()
