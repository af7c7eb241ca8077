"""What `make deploy` registers."""

import subprocess

import httpx
import pytest

from fct.core import params
from fct.core.errors import FctError
from pipelines import deploy
from pipelines.params import Schedules


def git(*arguments):
    subprocess.run(["git", "-c", "user.name=Ada", "-c", "user.email=a@example.org", *arguments], check=True)


@pytest.fixture
def repository(tmp_path, monkeypatch):
    """Stand in a repository with a commit, which its origin has."""
    git("init", "--bare", "--quiet", str(tmp_path / "origin"))
    git("init", "--quiet", "--initial-branch", "main", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path / "home")
    git("commit", "--allow-empty", "--quiet", "--message", "Start")
    git("remote", "add", "origin", str(tmp_path / "origin"))
    git("push", "--quiet", "origin", "main")
    return tmp_path


def test_workers_clone_the_present_branch(repository):
    """The address is that of the remote `origin`."""
    [step] = deploy._source().to_pull_step().values()
    assert (step["repository"], step["branch"]) == (str(repository / "origin"), "main")


@pytest.mark.usefixtures("repository")
def test_a_commit_that_workers_could_not_clone_is_an_error():
    """The message has the command that pushes it."""
    git("commit", "--allow-empty", "--quiet", "--message", "Not pushed")
    with pytest.raises(FctError, match="git push origin main"):
        deploy._source()


@pytest.mark.usefixtures("repository")
def test_a_password_in_the_address_is_an_error():
    """Prefect's UI would show it. The message does not."""
    git("remote", "set-url", "origin", "https://ada:secret@example.org/repository.git")
    with pytest.raises(FctError, match="has a password") as caught:
        deploy._source()
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("http://ada:secret@127.0.0.1:9/api", "does not answer"),
        ("nonsense", "http://HOST:PORT/api"),
    ],
)
@pytest.mark.usefixtures("repository")
def test_a_server_that_cannot_be_used_is_one_sentence(monkeypatch, url, message):
    """The message names the variable, and never the password."""
    monkeypatch.setenv("PREFECT_API_URL", url)
    with pytest.raises(FctError, match=f"PREFECT_API_URL.*{message}") as caught, deploy._errors_of_the_server():
        httpx.get(url)
    assert "secret" not in str(caught.value)


@pytest.mark.usefixtures("repository")
def test_each_deployment_runs_the_clones_code_in_the_pool():
    """The clone comes before the packages of the worker's environment, and the run knows that it is in a pool."""
    schedules = params.load(Schedules, params.DEFAULTS)
    made = deploy.deployments(schedules, "gpus", deploy._source())
    assert [each.name for each in made] == ["nightly", "more-trials", "promote-by-hand", "rollback-by-hand"]
    for each in made:
        assert each.work_pool_name == "gpus"
        assert each.job_variables["env"]["PYTHONPATH"] == "."
        assert each.job_variables["env"]["FCT_POOL"] == "gpus"


def test_no_automation_crashes_a_run_that_waits_or_has_ended():
    """A run that waits for its slot after it was pending is not dead; nor is one with a state of the flows' own."""
    for automation in deploy.automations():
        assert {"prefect.flow-run.AwaitingConcurrencySlot", "prefect.flow-run.GateFailed"} <= automation.trigger.expect
        assert not automation.actions[0].force
