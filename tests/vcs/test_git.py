"""A commit of the outs holds all that a pipeline writes and git keeps, and nothing else."""

import subprocess

import pytest

from fct.core.errors import FctError
from fct.vcs import git

DVC_YAML = """
stages:
  export:
    matrix: { network: [model, standard] }
    cmd: export ${item.network}
    outs: ["model/${item.network}.onnx"]
    metrics:
      - metrics/export-${item.network}.json: { cache: false }
"""


@pytest.fixture
def repository(tmp_path, monkeypatch):
    """Stand in a repository with one commit, in which a stage has run."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", "/dev/null")
    (tmp_path / "dvc.yaml").write_text(DVC_YAML)
    (tmp_path / ".gitignore").write_text("/model/\n")
    for command in (("init", "--quiet"), ("add", "--all")):
        subprocess.run(["git", *command], check=True)
    git.commit(["dvc.yaml", ".gitignore"], "First")
    for name in ("metrics/export-model.json", "metrics/export-standard.json", "model/model.onnx", "dvc.lock", "notes"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("{}")
    (tmp_path / "environment.yaml").write_text("torch: 2\n")
    return tmp_path


@pytest.mark.usefixtures("repository")
def test_a_repository_of_another_user_is_no_missing_one(monkeypatch):
    """git refuses to read it; the error says so, and how to trust it."""
    monkeypatch.setenv("GIT_TEST_ASSUME_DIFFERENT_OWNER", "1")  # git's own switch for tests
    with pytest.raises(FctError, match=r"belongs to another user.*git config --global --add safe\.directory /"):
        git.tree()


def committed():
    listing = subprocess.run(
        ["git", "ls-tree", "-r", "--name-only", "HEAD"], capture_output=True, text=True, check=True
    )
    return set(listing.stdout.splitlines())


@pytest.mark.usefixtures("repository")
def test_outs_of_every_matrix_item_are_committed():
    """The metrics of each export and the packages' versions are in the commit; a user's own files are not."""
    git.commit_outs("Reproduce")
    outs = {"metrics/export-model.json", "metrics/export-standard.json", "dvc.lock", "environment.yaml"}
    assert committed() == {"dvc.yaml", ".gitignore"} | outs


@pytest.mark.usefixtures("repository")
def test_what_the_pipeline_writes_is_no_change():
    """Only a user's own files make the tree dirty."""
    assert git.tree().changed == ("notes",)


@pytest.mark.parametrize("name", ["[abc].dvc", "*.dvc", ":(top)x.dvc", "ratio 16:9.dvc"])
def test_a_name_is_no_pattern(repository, name):
    """A file whose name git would read as a pattern is committed, and no other with it."""
    for each in (name, "a.dvc", "other.dvc"):
        (repository / each).write_text("outs: []")
    before = committed()
    git.commit([name], "Add")
    assert committed() - before == {name}


HOOKS = ("pre-commit", "prepare-commit-msg", "commit-msg", "post-commit", "post-index-change", "reference-transaction")


def test_no_hook_of_the_repository_runs(repository):
    """A hook that an upload has put there runs neither when the state is read nor when something is committed."""
    for name in (*HOOKS, "query-watchman"):
        hook = repository / ".git/hooks" / name
        hook.write_text(f"#!/bin/sh\ntouch {repository}/has-run\n")
        hook.chmod(0o755)
    for key, value in (("core.fsmonitor", ".git/hooks/query-watchman"), ("diff.external", ".git/hooks/pre-commit")):
        subprocess.run(["git", "config", key, value], check=True)
    git.tree()
    git.commit_outs("Reproduce")
    assert not (repository / "has-run").exists()


def test_no_hook_runs_at_the_other_end_of_a_push(repository, tmp_path):
    """A push to a repository on this machine runs no hook of it."""
    for name in ("pre-receive", "update", "post-receive", "post-update", "reference-transaction"):
        hook = repository / ".git/hooks" / name
        hook.write_text(f"#!/bin/sh\ntouch {repository}/has-run\n")
        hook.chmod(0o755)
    clone = tmp_path / "clone"
    subprocess.run(["git", "clone", "--quiet", str(repository), str(clone)], check=True)
    command = [*git.GIT, "push", git.RECEIVE, "--quiet", "origin", "HEAD:refs/heads/results"]
    subprocess.run(command, cwd=clone, check=True)
    assert git.run("rev-parse", "results") == git.run("rev-parse", "HEAD")
    assert not (repository / "has-run").exists()
