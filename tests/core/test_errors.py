"""An error ends a command with a line and an exit status."""

import pytest

from fct.core.errors import FctError, UnreachableError, exit_on_error


@pytest.mark.parametrize(("error", "status"), [(FctError, 1), (UnreachableError, 75)])
def test_an_error_is_a_line_and_a_status(capsys, error, status):
    """The message has no traceback, and the status tells a schedule whether to try again."""
    with pytest.raises(SystemExit) as exited, exit_on_error():
        raise error("params.yaml: no")
    assert exited.value.code == status
    assert capsys.readouterr().err == "error: params.yaml: no\n"


def test_a_file_that_cannot_be_written_is_a_line_too(capsys, tmp_path):
    """The line has the file's name and the system's message."""
    with pytest.raises(SystemExit) as exited, exit_on_error():
        tmp_path.write_text("x")
    assert exited.value.code == 1
    assert capsys.readouterr().err == f"error: {tmp_path}: Is a directory.\n"
