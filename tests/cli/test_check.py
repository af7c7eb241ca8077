"""`fct check` says what is wrong in params.yaml, or that nothing is."""

import pytest
from click.testing import CliRunner

from fct.cli import main
from fct.core.errors import WRONG_USE
from fct.core.params import DEFAULTS


@pytest.mark.parametrize(("epochs", "status"), [("3", 0), ("many", WRONG_USE)])
def test_the_exit_status_tells(tmp_path, monkeypatch, epochs, status):
    """0 if every value fits, 2 with a message if not."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "params.yaml").write_text(DEFAULTS.read_text().replace("  epochs: 3\n", f"  epochs: {epochs}\n"))
    result = CliRunner().invoke(main, ["check"])
    assert result.exit_code == status
    assert ("every value fits" in result.output) == (status == 0)
