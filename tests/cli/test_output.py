"""Options that name a file to write are checked before the command starts."""

import os

import pytest
from click.testing import CliRunner

from fct import cli
from fct.cli.output import OUTPUT
from fct.core.files import write_text


def run(target):
    return CliRunner().invoke(cli.main, ["report", "--out", str(target)])


def refuse_writing(monkeypatch, refused):
    """Take the right to write to one place away; root would have it whatever the permissions."""
    monkeypatch.setattr(os, "access", lambda place, _mode: place != refused)


@pytest.mark.parametrize(
    ("target", "problem"),
    [
        ("", ". is a folder. Name a file in it."),
        ("folder", "folder is a folder. Name a file in it."),
        ("file/a.html", "file is a file, not a folder. Choose another folder."),
        ("a" * 256, "File name too long. Choose another place."),
    ],
    ids=["empty", "folder", "below a file", "too long"],
)
def test_the_option_the_place_and_the_remedy_are_named(tmp_path, monkeypatch, target, problem):
    """In one line, in place of a traceback or of an error after the work."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").write_text("")
    done = run(target)
    assert done.exit_code == 2
    assert "Invalid value for '--out': " in done.stderr
    assert done.stderr.endswith(f"{problem}\n")


@pytest.mark.parametrize("name", ["new.html", "old.html"])
def test_a_folder_without_permission_is_named(tmp_path, monkeypatch, name):
    """An old file is replaced by a new one, which needs the right to write into its folder."""
    (tmp_path / "old.html").write_text("")
    refuse_writing(monkeypatch, tmp_path)
    assert (
        f"{tmp_path} is not writable. Choose another place, or change its permissions." in run(tmp_path / name).stderr
    )


def test_a_file_without_permission_is_named(tmp_path, monkeypatch):
    """Somebody protected it."""
    (tmp_path / "old.html").write_text("")
    refuse_writing(monkeypatch, tmp_path / "old.html")
    assert f"{tmp_path}/old.html is not writable" in run(tmp_path / "old.html").stderr


def test_a_pipe_needs_no_permission_for_its_folder(tmp_path, monkeypatch):
    """Such as /dev/stdout: it is written to and not replaced."""
    os.mkfifo(tmp_path / "pipe")
    refuse_writing(monkeypatch, tmp_path)
    assert OUTPUT.convert(tmp_path / "pipe", None, None) == tmp_path / "pipe"


def test_a_folder_that_is_not_there_is_made_later(tmp_path):
    """The check makes nothing itself."""
    path = OUTPUT.convert(tmp_path / "new/deep/a.html", None, None)
    assert not list(tmp_path.iterdir())
    write_text(path, "page")
    assert path.read_text() == "page"
