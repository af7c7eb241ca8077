"""How errors end a command."""

import pytest

from fct.core.errors import FctError, UnreachableError, readable_errors


@pytest.mark.parametrize(("error", "status"), [(FctError, 1), (UnreachableError, 75)])
def test_an_error_is_a_line_and_a_status(capsys, error, status):
    """A person reads the message alone; a schedule reads from the status whether to try again."""
    with pytest.raises(SystemExit) as ended, readable_errors():
        raise error("params.yaml: no")
    assert ended.value.code == status
    assert capsys.readouterr().err == "error: params.yaml: no\n"
