"""`fct check` says what is wrong in params.yaml, or that nothing is."""

import re

import pytest
from click.testing import CliRunner

from fct.cli import main
from fct.core.errors import WRONG_USE
from fct.core.params import DEFAULTS


@pytest.mark.parametrize(("patience", "status"), [("3", 0), ("many", WRONG_USE)])
def test_the_exit_status_tells(tmp_path, monkeypatch, patience, status):
    """0 if every value fits, 2 with a message if not."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "params.yaml").write_text(re.sub(r"(patience): \d+", rf"\1: {patience}", DEFAULTS.read_text()))
    result = CliRunner().invoke(main, ["check"])
    assert result.exit_code == status
    assert ("every value fits" in result.output) == (status == 0)


def test_the_name_of_the_registered_model_is_checked(tmp_path, monkeypatch):
    """MLflow would refuse it only after the whole pipeline."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "params.yaml").write_text(DEFAULTS.read_text().replace("name: fct-fashion-mnist", "name: fct/fashion"))
    result = CliRunner().invoke(main, ["check"])
    assert (result.exit_code, "registry.name: MLflow takes no name with a slash" in result.output) == (WRONG_USE, True)
