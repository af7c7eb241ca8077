"""The branch of a run: no other run has it, and no result on it is lost."""

import subprocess
from types import SimpleNamespace

import pytest

from fct.core.errors import FctError
from pipelines import clone, process
from pipelines.clone import branch_name, publish

RUN = "0123456789abcdef"


def git(*arguments):
    command = ["git", "-c", "user.name=Ada", "-c", "user.email=a@example.org", *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


def commit(message):
    git("commit", "--allow-empty", "--quiet", "--message", message)


@pytest.fixture
def origin(tmp_path, monkeypatch):
    """Stand in a clone as Prefect makes it: one branch, one commit. Its origin has the branch of another run too."""
    git("init", "--bare", "--quiet", str(tmp_path / "origin"))
    git("init", "--quiet", "--initial-branch", "main", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path / "home")
    commit("Start")
    git("remote", "add", "origin", str(tmp_path / "origin"))
    git("push", "--quiet", "origin", "main")
    commit("Results")
    git("push", "--quiet", "origin", "HEAD:refs/heads/fct/nightly")
    address = f"file://{tmp_path}/origin"
    git("clone", "--quiet", "--branch", "main", "--depth", "1", address, str(tmp_path / "clone"))
    monkeypatch.chdir(tmp_path / "clone")
    return tmp_path / "origin"


@pytest.mark.usefixtures("origin")
def test_a_branch_is_called_as_its_run():
    """Without the characters that git refuses; a branch whose name only begins so is another one."""
    assert branch_name("night", RUN) == "fct/night"
    assert branch_name("../a b:*", RUN) == "fct/a-b"


@pytest.mark.usefixtures("origin")
def test_the_branch_of_an_earlier_run_is_not_taken():
    """A worker's clone does not have that branch, but its origin does."""
    assert branch_name("nightly", RUN) == "fct/nightly-01234567"


@pytest.mark.usefixtures("origin")
def test_a_run_that_is_started_again_has_a_branch_of_its_own():
    """Each time, however often."""
    for name in ("nightly-01234567", "nightly-01234567-2"):
        git("push", "--quiet", "origin", f"HEAD:refs/heads/fct/{name}")
    assert branch_name("nightly", RUN) == "fct/nightly-01234567-3"


def test_an_origin_that_restarts_is_asked_once_more(origin, monkeypatch):
    """A patient question waits for a server as a push does."""
    away = origin.rename(origin.with_name("away"))
    logger = SimpleNamespace(warning=lambda _: away.rename(origin))
    monkeypatch.setattr(process, "DELAYS", (0,))
    monkeypatch.setattr(clone, "get_run_logger", lambda: logger)
    assert branch_name("nightly", RUN, patient=True) == "fct/nightly-01234567"


def test_results_of_another_run_are_not_overwritten(origin):
    """If another run takes the name meanwhile, the push is an error."""
    before = git("--git-dir", str(origin), "rev-parse", "fct/nightly")
    commit("Other results")
    with pytest.raises(FctError, match="push"):
        publish("fct/nightly")
    assert git("--git-dir", str(origin), "rev-parse", "fct/nightly") == before


def test_a_run_pushes_its_results_to_its_own_branch(origin):
    """First its params, so that MLflow names a commit that is there, and at its end what the stages made."""
    branch = branch_name("other", RUN)
    for message in ("Params", "Results"):
        commit(message)
        publish(branch)
        assert git("--git-dir", str(origin), "rev-parse", branch) == git("rev-parse", "HEAD")
