"""The date of a verdict does not depend on when the page is made, nor on a checkout."""

import os
import subprocess
from pathlib import Path

import pytest

from fct.report.dates import date_of

VERDICT = Path("gate.json")


@pytest.fixture
def verdict(tmp_path, monkeypatch):
    """A file of 2001 in a repository whose commit is of 2005."""
    monkeypatch.chdir(tmp_path)
    VERDICT.write_text("{}")
    os.utime(VERDICT, (1_000_000_000, 1_000_000_000))
    identity = {f"GIT_{who}_{what}": "a@b" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
    dates = {f"GIT_{who}_DATE": "2005-01-02T03:04:05+0000" for who in ("AUTHOR", "COMMITTER")}
    for command in (("init", "-q"), ("add", "-A"), ("commit", "-qm", "first")):
        subprocess.run(["git", *command], check=True, env=os.environ | identity | dates)


@pytest.mark.usefixtures("verdict")
def test_a_committed_file_has_the_date_of_its_commit():
    """A checkout gives files a new time."""
    assert date_of(VERDICT) == "2005-01-02 03:04 UTC"


@pytest.mark.usefixtures("verdict")
def test_a_changed_file_has_its_own_time():
    """The commit is of another content."""
    VERDICT.write_text('{"new": 1}')
    os.utime(VERDICT, (1_100_000_000, 1_100_000_000))
    assert date_of(VERDICT) == "2004-11-09 11:33 UTC"


@pytest.mark.usefixtures("verdict")
def test_an_ignored_file_has_its_own_time():
    """No commit holds it."""
    Path(".gitignore").write_text("other.json\n")
    other = Path("other.json")
    other.write_text("{}")
    os.utime(other, (1_100_000_000, 1_100_000_000))
    assert date_of(other) == "2004-11-09 11:33 UTC"
