"""`make repro` says how far it is and how long the rest will take."""

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from fct.core.errors import FctError
from fct.core.paths import STAGE_SECONDS
from pipelines import graph, repro
from pipelines.repro import Progress, spell

DAG = """
stages:
  first: {cmd: cp seed first, deps: [seed], outs: [first]}
  second: {cmd: cp first second, deps: [first], outs: [second]}
  alone: {cmd: touch alone, outs: [alone]}
"""


@pytest.fixture
def dag(start_pipeline):
    """Work in a pipeline in which nothing has run."""
    start_pipeline(DAG)


@pytest.mark.usefixtures("dag")
def test_each_stage_has_its_place_and_its_cost(capfd):
    """The plan has all stages of a fresh clone; without times of an earlier run there is no estimate."""
    assert repro.run([]) == 0
    lines = capfd.readouterr().out.splitlines()
    assert [line for line in lines if line.startswith("[")] == [
        "[1 of 3] Running stage 'first':", "[2 of 3] Running stage 'second':", "[3 of 3] Running stage 'alone':",
    ]  # fmt: skip
    assert sum(", at most " in line for line in lines) == 3
    assert lines[-1].startswith("3 of 3 stages ran, in ")


def test_the_name_for_promotion_is_checked_before_the_first_stage(start_pipeline, capsys):
    """The stages do not read it, and an hour later `fct promote` would refuse it."""
    start_pipeline(DAG)
    Path("params.yaml").write_text("compute: {engine: local}\nregistry: {name: photos/v2}\n")
    with pytest.raises(SystemExit) as exited:
        repro.main()
    assert exited.value.code == 2
    assert "line 2: registry.name: MLflow takes no name with a slash" in capsys.readouterr().err
    assert not Path("first").exists()


@pytest.mark.parametrize(("source", "is_known"), [("fashion-mnist", True), ("folder", False)])
def test_the_reference_run_says_nothing_about_other_images(tmp_path, monkeypatch, source, is_known):
    """Photographs take hours where the delivered images take minutes."""
    monkeypatch.chdir(tmp_path)
    Path("params.yaml").write_text(f"data: {{source: {source}}}\nmodel: {{name: speednet}}\n")
    assert bool(repro._reference()) == is_known


@pytest.mark.usefixtures("dag")
def test_the_second_run_knows_the_time_left(capfd):
    """What stages took is kept, and only those that are stale are counted."""
    assert repro.run([]) == 0
    assert set(json.loads(STAGE_SECONDS.read_text())) == {"first", "second", "alone"}
    STAGE_SECONDS.write_text('{"first": 60, "second": 30, "alone": 5}')
    Path("seed").write_text("y")
    capfd.readouterr()
    assert repro.run([]) == 0
    out = capfd.readouterr().out
    assert "[1 of 2, about 1 min 30 s left] Running stage 'first':" in out
    assert "2 of 3 stages ran" in out


@pytest.mark.usefixtures("dag")
def test_a_stage_that_gives_the_same_again_has_its_cost(capfd):
    """DVC then does not write dvc.lock, and says nothing at the end of the stage, as in a fresh clone."""
    assert repro.run([]) == 0
    for name in ("first", "second", "alone"):
        Path(name).unlink()
    shutil.rmtree(".dvc/cache")
    capfd.readouterr()
    assert repro.run([]) == 0
    out = capfd.readouterr().out
    assert "Updating lock file" not in out
    for name in ("first", "alone"):  # in the middle, and at the end
        assert re.search(rf"^{name}: \d+ s, at most ", out, re.MULTILINE)
    assert "2 of 3 stages ran, in " in out  # DVC takes second's out from the one of first


@pytest.mark.usefixtures("dag")
def test_nothing_stale_says_nothing_of_time(capfd):
    """A run with nothing to do ends with DVC's own message."""
    assert repro.run([]) == 0
    capfd.readouterr()
    assert repro.run([]) == 0
    assert "stages ran" not in capfd.readouterr().out


@pytest.mark.usefixtures("dag")
def test_a_failed_stage_fails_the_run():
    """The status is DVC's, and the times of the stages that ended are kept."""
    Path("dvc.yaml").write_text(DAG.replace("cp first second", "test -d first"))
    assert repro.run([]) != 0
    assert "first" in json.loads(STAGE_SECONDS.read_text())
    assert "second" not in json.loads(STAGE_SECONDS.read_text())


def test_what_the_cache_could_not_take_fails_the_run(start_pipeline, full_disk, capfd):
    """DVC ends with status 0 then; what the error proposes puts it into the cache."""
    start_pipeline(full_disk.dag)
    with pytest.raises(FctError, match="folder: DVC could not put them into its cache"):
        repro.run([])
    assert "failed to transfer" in capfd.readouterr().err
    full_disk.free()
    subprocess.run(["dvc", "commit", "--force", "--quiet"], check=True)
    graph.require_cached(["folder"])


def test_stages_that_ended_correct_the_estimate():
    """A machine that is half as fast as in the forecast takes twice the time for the rest."""
    progress = Progress(["a", "b"], {"a": 50.0, "b": 30.0})
    assert progress.left() == 80.0
    progress.spent["a"] = 100.0
    assert progress.left() == 60.0


def test_a_stage_that_never_ran_leaves_the_estimate_open():
    """No number is better than a wrong one."""
    progress = Progress(["a", "b"], {"a": 50.0})
    assert progress.heading("a") == "[1 of 2]"


@pytest.mark.parametrize("content", ["", "[]", '{"a": "long"}', '{"a": -1}'])
def test_a_damaged_file_of_times_is_no_obstacle(tmp_path, content):
    """The times are only a forecast."""
    (tmp_path / "seconds.json").write_text(content)
    assert repro._read(tmp_path / "seconds.json") == {}


def test_the_reference_has_the_stages_of_the_pipeline():
    """The first run in a clone has an estimate for each stage."""
    assert set(repro._read(repro.REFERENCE)) >= {stage for stage in graph.plan() if not stage.endswith(".dvc")}


@pytest.mark.parametrize(("seconds", "text"), [(0.2, "0 s"), (59.6, "1 min 0 s"), (3700, "61 min 40 s")])
def test_times_are_spelled(seconds, text):
    """Seconds alone below a minute, whole ones."""
    assert spell(seconds) == text
