"""The plan and the stale stages of a small DVC pipeline."""

import subprocess
from pathlib import Path

import pytest

from fct.core.errors import FctError
from pipelines import graph
from pipelines.stage import command

DAG = """
stages:
  last: {cmd: cat left@1 left@2 > last, deps: [left@1, left@2], outs: [last]}
  left:
    matrix: {n: [1, 2]}
    cmd: cp first left@${item.n}
    deps: [first]
    outs: ["left@${item.n}"]
  first: {cmd: cp seed first, deps: [seed], outs: [first]}
  alone: {cmd: touch alone, outs: [alone]}
"""


@pytest.fixture
def dag(start_pipeline):
    """Work in a pipeline in which nothing has run."""
    start_pipeline(DAG)


@pytest.mark.usefixtures("dag")
def test_a_stage_comes_after_what_it_needs():
    """The order is that of the dependencies, and that of dvc.yaml where these leave it open."""
    assert graph.plan() == {
        "first": (),
        "left@1": ("first",),
        "left@2": ("first",),
        "last": ("left@1", "left@2"),
        "alone": (),
    }


@pytest.mark.usefixtures("dag")
def test_a_matrix_is_named_as_a_whole():
    """`left` means all of its stages and the stages that they need."""
    assert set(graph.plan(["left"])) == {"first", "left@1", "left@2"}


@pytest.mark.parametrize("target", ["lost", "left@3", "lost.dvc"])
@pytest.mark.usefixtures("dag")
def test_an_unknown_target_is_named(target):
    """A typing mistake is an error that names it."""
    with pytest.raises(FctError, match=target):
        graph.plan([target])


@pytest.mark.usefixtures("dag")
def test_a_broken_file_is_an_error_for_people():
    """An invalid dvc.yaml is an error that names the file."""
    Path("dvc.yaml").write_text("stages: [")
    with pytest.raises(FctError, match=r"dvc\.yaml"):
        graph.plan()


@pytest.mark.usefixtures("dag")
def test_what_is_stale_is_what_dvc_would_run():
    """All stages are stale before the first run, none after it, and after a change the stage that reads the file."""
    stages = list(graph.plan())
    assert graph.stale(stages) == set(stages)
    subprocess.run(["dvc", "repro", "--quiet"], check=True)
    assert graph.stale(stages) == set()
    Path("seed").write_text("y")
    assert graph.stale(stages) == {"first"}


@pytest.mark.parametrize("name", ["ratio 16:9", "a@b", "{c}", "[d]*", "e#1", "\xe9lan"])
@pytest.mark.usefixtures("dag")
def test_a_folder_may_have_any_name(name):
    """A folder under `dvc add` is found by its name, whatever its characters mean to DVC, and brought up to date."""
    folder = Path("images", name)
    folder.mkdir(parents=True)
    (folder / "seed").write_text("x")
    subprocess.run(["dvc", "add", "--quiet", folder], check=True)
    stage = f"{folder}.dvc"
    assert graph.plan([stage]) == {stage: ()}
    assert graph.stale([stage]) == set()
    (folder / "seed").write_text("y")
    assert graph.stale([stage]) == {stage}
    subprocess.run(command(stage), check=True, capture_output=True)
    assert graph.stale([stage]) == set()
