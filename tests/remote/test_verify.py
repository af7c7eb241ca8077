"""`fct remote verify` names what DVC's remote lacks or has damaged, and repairs it from the cache."""

import shutil
from pathlib import Path

import pytest
from click.testing import CliRunner

from fct.cli import main

pytestmark = pytest.mark.e2e
OBJECTS = 12 + 3 + 1 + 2  # views, images, all, and the lists of two folders


def verify(*arguments):
    return CliRunner().invoke(main, ["remote", "verify", *arguments])


def truncate(path):
    path.chmod(0o600)
    path.write_bytes(path.read_bytes()[:-7])


@pytest.mark.usefixtures("project")
def test_a_whole_remote_is_said_to_be_whole():
    """Every object is read: files, files in folders, and the lists of folders."""
    result = verify()
    assert result.exit_code == 0, result.output
    assert f"{OBJECTS} objects" in result.stdout
    assert "all are whole" in result.stdout


def test_a_truncated_file_is_named(store):
    """The name, the kind of damage and the bytes that are left are said, and the exit status is 1."""
    truncate(store("all"))
    result = verify()
    assert result.exit_code == 1
    assert "1 damaged or missing" in result.stdout
    assert f"damaged  all ({store('all').parent.name}" in result.stdout
    assert f"{store('all').stat().st_size} bytes" in result.stdout


def test_a_deleted_file_of_a_folder_is_named(store):
    """DVC takes a folder whose list is there for whole; this does not."""
    store("views/7").unlink()
    result = verify()
    assert result.exit_code == 1
    assert "missing  views/7 (" in result.stdout


def test_a_damaged_list_of_a_folder_is_named_and_its_files_are_checked(store):
    """The cache has the list, so a missing file of the folder is found too."""
    truncate(store("views"))
    store("views/3").unlink()
    said = verify().stdout
    assert "damaged  views (" in said
    assert "missing  views/3 (" in said


def test_without_any_list_of_a_folder_its_files_are_said_to_be_unchecked(store):
    """Nothing is claimed about files whose names nobody knows."""
    store("views").unlink()
    shutil.rmtree(".dvc/cache")
    result = verify()
    assert result.exit_code == 1
    assert "so they were not checked" in result.stdout


def test_repair_restores_what_is_damaged_or_missing(store):
    """Afterwards all is whole, and a second look agrees."""
    before = store("views/7").read_bytes()
    truncate(store("all"))
    truncate(store("views"))
    store("views/7").unlink()
    result = verify("--repair")
    assert result.exit_code == 0, result.output
    assert result.stdout.count("repaired") == 3
    assert store("views/7").read_bytes() == before
    assert "all are whole" in verify().stdout


def test_repair_never_uploads_a_damaged_copy(store):
    """A cache that is damaged as well is no source: the object stays as it is, and the exit status is 1."""
    truncate(store("all"))
    left = store("all").read_bytes()
    copy = Path(".dvc/cache/files/md5") / store("all").relative_to(store("all").parents[1])
    truncate(copy)
    result = verify("--repair")
    assert result.exit_code == 1
    assert "not repaired, this machine's cache is damaged too" in result.stdout
    assert store("all").read_bytes() == left


def test_repair_says_what_this_machine_lacks(store):
    """A machine without the object says so, and another one can repair it."""
    store("all").unlink()
    shutil.rmtree(".dvc/cache")
    result = verify("--repair")
    assert result.exit_code == 1
    assert "this machine's cache lacks it" in result.stdout
    assert "on another machine" in result.stdout


def test_a_remote_that_is_not_configured_is_an_error(project):
    """The message is DVC's own, in one line."""
    project.run("dvc", "remote", "remove", "store")
    result = verify()
    assert result.exit_code == 2
    assert "no remote" in result.stderr.lower()


@pytest.mark.usefixtures("place")
def test_outside_of_a_project_it_is_an_error():
    """There is no traceback."""
    result = verify()
    assert result.exit_code == 2
    assert isinstance(result.exception, SystemExit)
    assert "dvc" in result.stderr.lower()


@pytest.mark.usefixtures("project")
def test_without_a_remote_the_command_says_how_to_add_one():
    """DVC's own message has several lines, of which one alone says nothing."""
    Path(".dvc/config").write_text("")
    Path(".dvc/config.local").unlink(missing_ok=True)
    result = verify()
    assert result.exit_code == 2
    assert "DVC has no remote. Add one: dvc remote add" in result.stderr


@pytest.mark.usefixtures("project")
def test_outs_that_name_their_remote_need_no_default():
    """The remote of each out is checked, as the help says."""
    config, dag = Path(".dvc/config"), Path("dvc.yaml")
    config.write_text("".join(line for line in config.read_text().splitlines(True) if "remote = store" not in line))
    text = dag.read_text()
    for out in ("views", "all"):
        text = text.replace(f"outs: [{out}]", f"outs: [{out}: {{remote: store}}]")
    dag.write_text(text)
    images = Path("images.dvc")
    images.write_text(images.read_text().replace("  path:", "  remote: store\n  path:"))
    result = verify()
    assert result.exit_code == 0, result.output
    assert f"{OBJECTS} objects" in result.stdout
    assert "all are whole" in result.stdout
