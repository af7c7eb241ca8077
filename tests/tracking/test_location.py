"""A project's runs and models are its own, whatever its folder is called and wherever it came from."""

import os
import shutil
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest
from click.testing import CliRunner

from fct.core.errors import FctError
from fct.core.params import DEFAULTS
from fct.tracking import location
from fct.tracking.server import connect

pytestmark = pytest.mark.xdist_group("mlflow")


@pytest.fixture
def project(place, monkeypatch):
    """Stand in a project with one run that holds a file, and a registered model."""
    monkeypatch.chdir(_make(place / "original"))
    shutil.copy(place / "mlflow.db", "mlflow.db")  # it takes seconds to make
    with closing(sqlite3.connect("mlflow.db")) as database, database:
        database.execute("UPDATE experiments SET artifact_location = ? || experiment_id", (f"{Path.cwd()}/mlruns/",))
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "sqlite:///mlflow.db")
    _attach_in_another_process()
    return Path.cwd()


def _make(folder):
    folder.mkdir()
    shutil.copy(DEFAULTS, folder / "params.yaml")
    (folder / "plot.svg").write_text("<svg/>")
    return folder


def _attach_in_another_process():
    """Attach a file to a run. MLflow remembers a database by its URI: each folder needs a process of its own."""
    code = (
        "from pathlib import Path\nfrom fct import tracking\nfrom fct.core.errors import exit_on_error\n"
        "with exit_on_error(), tracking.stage('train') as run:\n    run.plot(Path('plot.svg'))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    if done.returncode:
        raise FctError(done.stderr)


def plots(folder):
    return len(list(folder.rglob("plots/plot.svg")))


@pytest.mark.usefixtures("place")
@pytest.mark.parametrize("name", ["a b", "a#b", "ä & b"])
def test_a_folder_may_have_any_usual_name(place, monkeypatch, name):
    """What is attached lies below the project, and no stray folder appears beside it."""
    monkeypatch.chdir(_make(place / name))
    for uri in ("sqlite:///mlflow.db", f"sqlite:///{Path.cwd()}/absolute.db"):
        shutil.copy(place / "mlflow.db", uri.rpartition("/")[2])
        monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
        _attach_in_another_process()
    assert plots(Path.cwd()) == 4  # two runs, of the stage and of the pipeline, in each database
    assert {path.name for path in place.iterdir()} == {name, "mlflow.db"}


@pytest.mark.parametrize("name", ["a%20b", "a?b"])
def test_a_name_that_mlflow_would_change_is_refused(place, monkeypatch, name):
    """MLflow would write into another folder; the error names the character."""
    monkeypatch.chdir(_make(place / name))
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "sqlite:///mlflow.db")
    with pytest.raises(FctError, match=rf"because of the \{name[1]} in this path. Rename"):
        connect()
    assert not (place / name / "mlflow.db").exists()


def test_a_copy_does_not_write_into_the_original(project, monkeypatch):
    """It is refused until its own folder is recorded; then its files are its own."""
    before = plots(project)
    monkeypatch.chdir(shutil.copytree(project, project.with_name("copy")))
    with pytest.raises(FctError, match=r"was copied or moved\. Record its own folder: cd .*/copy && python -m"):
        _attach_in_another_process()
    assert location.relocate(Path("mlflow.db").absolute()) > 0
    _attach_in_another_process()
    assert plots(project) == before
    assert plots(Path.cwd()) == before + 1  # the new stage's; the run of the pipeline is the same
    assert Path("mlflow.db.before-move").exists()


def test_a_moved_project_reads_its_own_files(project, monkeypatch):
    """The former folder is gone; what it recorded is read from the new one."""
    moved = project.rename(project.with_name("moved"))
    monkeypatch.chdir(moved)
    subprocess.run([sys.executable, "-m", "fct.tracking.location"], check=True, capture_output=True)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{moved}/mlflow.db")
    server = connect()
    run = server.client.search_runs([server.experiment])[0]
    (moved / "fetched").mkdir()
    fetched = server.client.download_artifacts(run.info.run_id, "plots/plot.svg", str(moved / "fetched"))
    assert Path(fetched).read_text() == "<svg/>"


def test_a_copy_without_its_files_says_what_to_copy(project, monkeypatch):
    """Recording a folder that is not there would lose the way to the files."""
    copy = _make(project.with_name("copy"))
    shutil.copy(project / "mlflow.db", copy)
    monkeypatch.chdir(copy)
    with pytest.raises(FctError, match=r"copy/mlruns is not here\. Copy it from .*/original first"):
        location.relocate(copy / "mlflow.db")


def test_the_doctor_finds_a_copy(project, monkeypatch):
    """`fct doctor` names the database, the other project and the command."""
    from fct import cli

    monkeypatch.chdir(shutil.copytree(project, project.with_name("copy")))
    result = CliRunner().invoke(cli.main, ["doctor"])
    assert result.exit_code == 1
    assert f"are in {project}, so this project was copied or moved" in result.stdout
    location.relocate(Path("mlflow.db").absolute())
    assert "places of runs and models: whole" in CliRunner().invoke(cli.main, ["doctor"]).stdout


def test_a_place_that_somebody_chose_is_left_alone(place):
    """Files on another disk, outside of any project, are no sign of a copy."""
    chosen = place / "disk/mlruns/1"
    chosen.mkdir(parents=True)
    location.check(place / "mlflow.db", str(chosen))
    location.check(place / "mlflow.db", "s3://bucket/mlruns/1")


def test_a_run_in_a_clone_keeps_its_files_beside_the_database(place, monkeypatch):
    """The clone is deleted at its end, and with it whatever lay there."""
    (place / "clone").mkdir()
    monkeypatch.chdir(place / "clone")
    server = connect()
    assert Path(server.client.get_experiment(server.experiment).artifact_location).parent == place / "mlruns"
    assert os.environ["MLFLOW_TRACKING_URI"].startswith(f"sqlite:///{place}/")
