"""`fct doctor --services` tries DVC's remote with a small object, and leaves nothing there."""

import pytest
from click.testing import CliRunner

from fct.cli import main
from fct.remote.probe import probe

pytestmark = pytest.mark.e2e


def files(folder):
    return sorted(path for path in folder.rglob("*") if path.is_file())


def test_a_remote_that_can_be_written_is_described(project):
    """The object is deleted again."""
    store = project.folder.parent / "store"
    before = files(store)
    result = probe()
    assert result.address.endswith("store")
    assert files(store) == before


def test_a_remote_that_does_not_verify_is_a_fault(project):
    """The line has the command that turns it on; after it, all is well."""
    said = CliRunner().invoke(main, ["doctor", "--services"])
    assert said.exit_code == 1
    assert "dvc remote modify NAME verify true" in said.stdout
    config = project.folder / ".dvc/config"
    config.write_text(config.read_text() + "    verify = true\n")
    said = CliRunner().invoke(main, ["doctor", "--services"])
    assert "can be written and read, pulls are verified" in said.stdout


@pytest.mark.usefixtures("project")
def test_a_remote_that_does_not_exist_is_an_error():
    """DVC's own words, in one line."""
    from fct.core.errors import FctError

    with pytest.raises(FctError, match="nowhere"):
        probe("nowhere")
