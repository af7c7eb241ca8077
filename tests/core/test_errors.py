"""An error ends a command with a line and an exit status."""

import errno
from pathlib import Path

import pytest

from fct.core.errors import FailedModelError, FctError, UnreachableError, exit_on_error, translate_damage


@pytest.mark.parametrize(("error", "status"), [(FctError, 2), (FailedModelError, 1), (UnreachableError, 75)])
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
    assert exited.value.code == 2
    assert capsys.readouterr().err == f"error: {tmp_path}: Is a directory.\n"


def test_a_full_disk_is_a_line_although_the_error_names_no_file(capsys):
    """A write tells of no file. The line names the places that may be full."""
    with pytest.raises(SystemExit) as exited, exit_on_error():
        raise OSError(errno.ENOSPC, "No space left on device")
    assert exited.value.code == 2
    assert capsys.readouterr().err.startswith("error: The disk is full: this folder /")


def test_an_error_of_the_system_that_names_nothing_is_a_traceback():
    """Without a file or a disk there is no line that helps, and the traceback says where it happened."""
    with pytest.raises(ConnectionResetError), exit_on_error():
        raise ConnectionResetError(errno.ECONNRESET, "Connection reset by peer")


@pytest.mark.parametrize("name", ["mlflow", "ruamel.yaml"])
def test_a_package_of_an_extra_that_is_missing_is_a_line(capsys, name):
    """The line has the package and the command that installs it."""
    with pytest.raises(SystemExit) as exited, exit_on_error():
        raise ModuleNotFoundError(name=name)
    assert exited.value.code == 2
    assert capsys.readouterr().err == (
        f"error: {name.partition('.')[0]} is not installed. "
        "Install what fct needs: pip install '.[pipeline]' in a clone of FCT's repository\n"
    )


def test_a_module_that_no_extra_installs_is_a_traceback(capsys):
    """An import that can never succeed is a fault of the code, and no advice hides it."""
    with pytest.raises(ModuleNotFoundError), exit_on_error():
        raise ModuleNotFoundError(name="fct.no_such_room")
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        (FileNotFoundError(2, "No such file", "data/meta.json"), r"^data/meta\.json is not here\. Make it\.$"),
        (KeyError("native"), r"^data is damaged \(there is no 'native'\)\. Make it again\.$"),
        (EOFError("No data left in file"), r"^data is damaged \(No data left in file\)\. Make it again\.$"),
    ],
    ids=["missing", "key", "end"],
)
def test_damage_is_an_error_with_its_remedy(fault, message):
    """A missing file is named; of a damaged one its folder is."""
    with pytest.raises(FctError, match=message), translate_damage(Path("data"), "Make it again.", missing="Make it."):
        raise fault


def test_a_file_that_may_not_be_read_is_not_damaged():
    """To make it again would not help."""
    with pytest.raises(PermissionError), translate_damage(Path("data"), "Make it again."):
        raise PermissionError(13, "Permission denied", "data/meta.json")
