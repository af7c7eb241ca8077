"""How errors end a command."""

import pytest

from fct.core.errors import FctError, UnreachableError, exit_on_error


@pytest.mark.parametrize(("error", "status"), [(FctError, 1), (UnreachableError, 75)])
def test_an_error_is_a_line_and_a_status(capsys, error, status):
    """A person reads the message alone; a schedule reads from the status whether to try again."""
    with pytest.raises(SystemExit) as ended, exit_on_error():
        raise error("params.yaml: no")
    assert ended.value.code == status
    assert capsys.readouterr().err == "error: params.yaml: no\n"


def test_a_file_that_cannot_be_written_is_a_line_too(capsys, tmp_path):
    """The system's own words, with the file's name."""
    with pytest.raises(SystemExit) as ended, exit_on_error():
        tmp_path.write_text("x")
    assert ended.value.code == 1
    assert capsys.readouterr().err == f"error: {tmp_path}: Is a directory.\n"
