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
    with pytest.raises(FctError, match=r"environment\.yaml: torch is 1\..*python -m fct\.core\.environment"):
        environment.check()


@pytest.mark.usefixtures("here")
def test_a_missing_file_is_named():
    """Without it nothing is trained."""
    with pytest.raises(FctError, match=r"(?s)environment\.yaml is not here.*python -m fct\.core\.environment"):
        environment.check()


@pytest.mark.parametrize("content", [b"", b"\xff\xfe", b"torch: [", b"numba: 0.1\ntorch: 2.14.1\n"])
def test_a_damaged_file_is_answered_with_the_remedy(here, content):
    """Whatever stands in it, the error says how to write it, and writing puts it right."""
    (here / "environment.yaml").write_bytes(content)
    with pytest.raises(FctError, match=r"(?s)environment\.yaml.*python -m fct\.core\.environment"):
        environment.check()
    environment.write()
    environment.check()
