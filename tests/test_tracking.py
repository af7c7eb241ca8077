"""A pipeline reads as one run, whatever becomes of its stages."""

import hashlib
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from fct import tracking
from fct.core.errors import FctError, UnreachableError
from fct.tracking import content, pipeline
from fct.tracking.process import Owner
from fct.tracking.runs import flatten
from fct.tracking.server import connect
from fct.vcs import git

pytestmark = pytest.mark.xdist_group("mlflow")  # one server for all
DIGEST = "d41d8cd98f00b204e9800998ecf8427e"
STAGE = """
import os, sys, time
from pathlib import Path
from fct import tracking
from fct.core.errors import exit_on_error
name, path, then = sys.argv[1:4]
inputs = {key: Path(value) for key, value in (pair.split("=") for pair in sys.argv[4:])}
with exit_on_error(), tracking.stage(name, outputs=[Path(path)], inputs=inputs):
    Path(path).write_text(name)
    print("open", flush=True)
    if then == "wait":
        time.sleep(60)
"""


def runs(condition=""):
    server = connect()
    return server.client.search_runs([server.experiment], condition, order_by=["attributes.start_time ASC"])


def named(name):
    (run,) = [run for run in runs() if run.info.run_name == name]
    return run


def start(name="train", path="model.pt", then="end", *inputs):
    return subprocess.Popen(
        [sys.executable, "-c", STAGE, name, path, then, *inputs],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def free_port():
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


@pytest.mark.usefixtures("place")
def test_a_stage_is_a_run_under_its_pipelines():
    """Params and data sets are on both runs, metrics on the stage's, the headline and the plot on both."""
    Path("plot.svg").write_text("<svg/>")
    params = {"train": {"epochs": 3, "layers": ["a", "b"]}}
    with tracking.stage("train", params=params, datasets={"train": DIGEST}) as run:
        run.metrics({"loss": 0.5}, step=1)
        run.headline({"accuracy": 0.9}, step=30)
        run.plot(Path("plot.svg"))
    stage, parent = named("train"), named("pipeline")
    assert stage.data.tags["mlflow.parentRunId"] == parent.info.run_id
    assert [stage.info.status, parent.info.status] == ["FINISHED", "FINISHED"]
    for run in (stage, parent):
        assert run.data.params == {"train.epochs": "3", "train.layers": '["a", "b"]'}
        assert [(entry.dataset.name, entry.dataset.digest) for entry in run.inputs.dataset_inputs] == [
            ("train", DIGEST)
        ]
        assert (Path(run.info.artifact_uri) / "plots/plot.svg").read_text() == "<svg/>"
    assert stage.data.metrics == {"loss": 0.5, "accuracy": 0.9}
    assert parent.data.metrics == {"accuracy": 0.9}
    (point,) = connect().client.get_metric_history(parent.info.run_id, "accuracy")
    assert point.step == 30


@pytest.mark.usefixtures("place")
def test_stages_with_one_id_share_a_pipeline_run(monkeypatch):
    """Two stages of one id are under one run; another id makes another."""
    for identity, name in (("a", "search"), ("a", "train"), ("b", "search")):
        monkeypatch.setenv("FCT_PIPELINE_RUN", identity)
        with tracking.stage(name):
            pass
    parents = [run.data.tags.get("mlflow.parentRunId") for run in runs("tags.fct.kind = 'stage'")]
    assert parents[0] == parents[1] != parents[2]
    assert len(runs("tags.fct.kind = 'pipeline'")) == 2


@pytest.mark.usefixtures("place")
def test_without_an_id_a_process_is_a_pipeline(monkeypatch):
    """Two stages of one process, without an id and without dvc above, share a run."""
    monkeypatch.delenv("FCT_PIPELINE_RUN")
    for name in ("search", "train"):
        with tracking.stage(name):
            pass
    assert len(runs("tags.fct.kind = 'pipeline'")) == 1


@pytest.mark.usefixtures("place")
def test_a_trial_is_a_run_under_the_stages():
    """A child run holds its own params and metrics, and hangs under the stage."""
    with tracking.stage("search") as run, run.child("trial 3", {"weight": 0.1}) as child:
        child.metrics({"accuracy": 0.8}, step=2)
    trial = named("trial 3")
    assert trial.data.tags["mlflow.parentRunId"] == named("search").info.run_id
    assert (trial.data.params, trial.data.metrics) == ({"weight": "0.1"}, {"accuracy": 0.8})
    assert trial.info.status == "FINISHED"


@pytest.mark.usefixtures("place")
def test_a_trial_may_end_by_an_exception():
    """An exception that the caller calls an end finishes the run, is named on it and goes on to the caller."""
    with tracking.stage("search") as run, pytest.raises(LookupError), run.child("trial", ends=(LookupError,)):
        raise LookupError
    assert named("trial").info.status == "FINISHED"
    assert named("trial").data.tags["fct.ended"] == "LookupError"


@pytest.mark.parametrize(
    ("error", "status"), [(RuntimeError, "FAILED"), (SystemExit, "FAILED"), (KeyboardInterrupt, "KILLED")]
)
@pytest.mark.usefixtures("place")
def test_how_a_stage_ends_is_how_its_runs_end(error, status):
    """A stage that raises fails, one that is interrupted is killed, and so is its pipeline's run."""
    with pytest.raises(error), tracking.stage("train"):
        raise error
    assert [named("train").info.status, named("pipeline").info.status] == [status, status]


@pytest.mark.usefixtures("place")
def test_a_stage_that_is_run_again_heals_the_pipeline():
    """A failed stage leaves the pipeline FAILED past another's success, until it is run again and ends well."""
    with pytest.raises(RuntimeError), tracking.stage("train"):
        raise RuntimeError
    with tracking.stage("features"):
        assert named("pipeline").info.status == "RUNNING"
    assert named("pipeline").info.status == "FAILED"
    with tracking.stage("train"):
        pass
    assert named("pipeline").info.status == "FINISHED"


@pytest.mark.parametrize(
    ("stages", "status"),
    [
        ([], "KILLED"),
        ([("a", "FINISHED"), ("b", "FINISHED")], "FINISHED"),
        ([("a", "FAILED"), ("b", "FINISHED")], "FAILED"),
        ([("a", "FAILED"), ("a", "FINISHED")], "FINISHED"),
        ([("a", "FAILED"), ("b", "RUNNING")], "RUNNING"),
        ([("a", "KILLED"), ("b", "FINISHED")], "KILLED"),
    ],
)
def test_a_pipelines_status_is_that_of_its_latest_runs(stages, status):
    """RUNNING while any stage runs, then FAILED or KILLED if any stage's last run is."""
    assert pipeline.overall_status(stages) == status


@pytest.mark.e2e
@pytest.mark.usefixtures("place")
def test_sigterm_closes_the_runs():
    """A stage that is asked to end closes its runs as KILLED and exits with the signal's status."""
    process = start(then="wait")
    assert process.stdout.readline() == "open\n"
    process.terminate()
    process.communicate()
    assert process.returncode == 128 + signal.SIGTERM
    assert [named("train").info.status, named("pipeline").info.status] == ["KILLED", "KILLED"]


@pytest.mark.e2e
@pytest.mark.usefixtures("place")
def test_what_kill_9_leaves_running_is_closed_at_the_next_start(monkeypatch):
    """Runs of a process that could not close them are KILLED once another stage starts; a living process's are not."""
    dead, alive = start("dead", "a", "wait"), start("alive", "b", "wait")
    for process in (dead, alive):
        assert process.stdout.readline() == "open\n"
    dead.kill()
    dead.communicate()
    monkeypatch.setenv("FCT_PIPELINE_RUN", "next")
    with tracking.stage("train"):
        assert [named("dead").info.status, named("alive").info.status] == ["KILLED", "RUNNING"]
    alive.terminate()
    alive.communicate()
    (first, _) = runs("tags.fct.kind = 'pipeline'")
    assert first.info.status == "KILLED"


@pytest.mark.e2e
@pytest.mark.usefixtures("place")
def test_a_stage_is_quiet():
    """A stage prints nothing but its own output, even where MLflow makes its database."""
    Path("mlflow.db").unlink()
    out, error = start().communicate()
    assert (out, error) == ("open\n", "")


@pytest.mark.e2e
@pytest.mark.usefixtures("place")
def test_plain_dvc_repro_is_one_pipeline_run(monkeypatch):
    """Two stages of one `dvc repro` share a run; in a second one, the stage that was skipped is linked to its run."""
    monkeypatch.delenv("FCT_PIPELINE_RUN")
    monkeypatch.setenv("SHELL", "/bin/bash")  # it stands between DVC and the second stage, but not the first
    Path("stage.py").write_text(STAGE)
    python = f"{sys.executable} stage.py"
    Path("dvc.yaml").write_text(
        f"stages:\n  search:\n    cmd: {python} search best end\n    outs: [best]\n"
        f"  train:\n    cmd: {python} train model end search=best && true\n    deps: [best]\n    outs: [model]\n"
    )
    dvc = [sys.executable, "-m", "dvc"]
    monkeypatch.setenv("DVC_NO_ANALYTICS", "1")
    subprocess.run([*dvc, "init", "--no-scm", "-q"], check=True)
    subprocess.run([*dvc, "repro", "-q"], check=True, capture_output=True)
    subprocess.run([*dvc, "repro", "-q", "--force", "--single-item", "train"], check=True, capture_output=True)
    first, second = runs("tags.fct.kind = 'pipeline'")
    stages = [
        (run.info.run_name, run.data.tags["mlflow.parentRunId"] == first.info.run_id)
        for run in runs("tags.fct.kind = 'stage'")
    ]
    assert stages == [("search", True), ("train", True), ("train", False)]
    assert "fct.skipped.search" not in first.data.tags
    assert second.data.tags["fct.skipped.search"] == named("search").info.run_id


@pytest.mark.usefixtures("place")
def test_a_skipped_stage_is_not_linked_when_its_output_is_another(monkeypatch):
    """An input that no recorded stage wrote in this state is linked to none."""
    monkeypatch.setenv("FCT_PIPELINE_RUN", "a")
    with tracking.stage("search", outputs=[Path("best")]):
        Path("best").write_text("1")
    monkeypatch.setenv("FCT_PIPELINE_RUN", "b")
    Path("best").write_text("2")
    with tracking.stage("train", inputs={"search": Path("best")}):
        pass
    assert not [key for run in runs() for key in run.data.tags if key.startswith("fct.skipped")]


@pytest.mark.usefixtures("place")
def test_an_output_that_is_missing_fails_the_stage():
    """A stage that does not write one of its outputs is FAILED, with an error that names the file."""
    with pytest.raises(FctError, match=r"model\.pt is not here"), tracking.stage("train", outputs=[Path("model.pt")]):
        pass
    assert named("train").info.status == "FAILED"


def test_a_folders_content_is_its_names_and_bytes(tmp_path):
    """Another byte or another name is another content; order of writing is not."""
    folder = tmp_path / "folder"
    folder.mkdir()
    digests = []
    for name, text in (("a", "1"), ("b", "2"), ("b", "3"), ("c", "3")):
        (folder / name).write_text(text)
        digests.append(content.content_digest(folder))
    assert len(set(digests)) == 4


@pytest.mark.usefixtures("place")
def test_system_metrics_are_logged(monkeypatch):
    """A stage that lasts longer than the sampling interval has the machine's load on its run."""
    monkeypatch.setenv("MLFLOW_SYSTEM_METRICS_SAMPLING_INTERVAL", "0.1")
    with tracking.stage("train"):
        time.sleep(0.5)
    assert "system/system_memory_usage_percentage" in named("train").data.metrics


def test_params_are_flattened():
    """Sections become prefixes, lists JSON, and characters that MLflow refuses are replaced."""
    assert flatten({"a": {"b": [1, 2], "c@d": None}, "e": "x"}) == {"a.b": "[1, 2]", "a.c-d": "null", "e": "x"}


@pytest.mark.parametrize("scheme", ["http", "postgresql"])
@pytest.mark.usefixtures("place")
def test_an_unreachable_server_fails_the_stage_at_once(monkeypatch, scheme):
    """A server that does not answer is an error in seconds that names the variable and no password."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"{scheme}://user:secret@127.0.0.1:{free_port()}/db")
    before = time.monotonic()
    expected = pytest.raises(UnreachableError, match=r"MLFLOW_TRACKING_URI=.* does not answer")
    with expected as caught, tracking.stage("train"):
        pytest.fail("the stage ran")
    assert time.monotonic() - before < 7
    assert "secret" not in str(caught.value)


def test_a_file_that_is_no_database_is_an_error(place, monkeypatch):
    """A tracking file with other content is named, not retried for minutes."""
    Path("notes.db").write_text("not a database, by a long way" * 100)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{place}/notes.db")
    with pytest.raises(FctError, match=r"notes\.db.*not a database"), tracking.stage("train"):
        pytest.fail("the stage ran")


@pytest.mark.e2e
def test_a_real_server_takes_it_all(server):
    """The same calls work over HTTP, with artifacts kept by the server."""
    Path("plot.svg").write_text("<svg/>")
    with tracking.stage("train", params={"a": 1}, outputs=[Path("plot.svg")], datasets={"d": DIGEST}) as run:
        run.headline({"accuracy": 0.9}, step=5)
        run.plot(Path("plot.svg"))
        with run.child("trial", {"b": 2}) as child:
            child.metrics({"accuracy": 0.8})
    assert [run.info.status for run in runs()] == ["FINISHED"] * 3
    assert len(list((server / "kept").rglob("plot.svg"))) == 2


def test_an_owner_is_gone_when_its_process_is():
    """A living process is not gone, an ended one is, and so is one whose pid has a new owner; elsewhere's are not."""
    child = subprocess.Popen(["sleep", "60"])
    owner = Owner.of(child.pid)
    assert not owner.is_gone()
    assert Owner(owner.host, owner.pid, owner.started - 3600).is_gone()
    child.kill()
    child.wait()
    assert owner.is_gone()
    assert not Owner("elsewhere", owner.pid, owner.started).is_gone()
    assert Owner.read(owner.tags()).is_same(owner)
    assert Owner.of(os.getpid()).pid == psutil.Process().pid


@pytest.fixture
def repository(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for variable, value in {"GIT_AUTHOR": "me", "GIT_COMMITTER": "me"}.items():
        monkeypatch.setenv(f"{variable}_NAME", value)
        monkeypatch.setenv(f"{variable}_EMAIL", "me@example.org")
    Path("work").mkdir()
    Path("work/code.py").write_text("1")
    Path("work/dvc.lock").write_text("1")
    Path("work/.gitignore").write_text("/data\n")
    Path("work/dvc.yaml").write_text(
        "stages:\n  cache:\n    matrix:\n      quality: ${q}\n    cmd: x\n    outs:\n    - out/q${item.quality}\n"
        "  gate:\n    cmd: x\n    metrics:\n    - metrics/gate.json:\n        cache: false\n"
    )
    for arguments in (["init", "-q"], ["add", "-A"], ["commit", "-qm", "first"]):
        subprocess.run(["git", *arguments], check=True)
    monkeypatch.chdir(tmp_path / "work")


@pytest.mark.parametrize(
    ("path", "dirty"),
    [
        ("code.py", "true"),
        ("new.py", "true"),
        ("params.yaml", "true"),
        ("../beside.py", "true"),
        ("dvc.lock", "false"),
        ("data/x", "false"),
        ("metrics/gate.json", "false"),
        ("out/q30/images.npy", "false"),
        ("out/notes", "true"),
    ],
)
@pytest.mark.usefixtures("repository")
def test_dirty_means_that_the_commit_does_not_tell_all(path, dirty):
    """Changed or new files make a tree dirty; dvc.lock, ignored files and what the stages make do not."""
    assert git.tree().dirty == "false"
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    Path(path).write_text("2")
    assert git.tree().dirty == dirty


def test_dirty_is_unknown_without_git(tmp_path, monkeypatch):
    """Outside a git repository there is no commit and nothing to compare with."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    assert (git.tree().commit, git.tree().dirty) == (None, "unknown")


@pytest.mark.usefixtures("place", "repository")
def test_a_dirty_tree_is_reported():
    """The tag and the description of the runs name what was not committed."""
    Path("code.py").write_text("2")
    with tracking.stage("train"):
        pass
    for name in ("train", "pipeline"):
        tags = named(name).data.tags
        assert tags["dirty"] == "true"
        assert "`code.py`" in tags["mlflow.note.content"]
        assert tags["mlflow.source.git.commit"] == git.tree().commit


@pytest.mark.usefixtures("place", "repository")
def test_a_repository_that_git_refuses_is_no_clean_one(monkeypatch):
    """A stage runs where git trusts nothing; its run says why there is no commit."""
    monkeypatch.setenv("GIT_TEST_ASSUME_DIFFERENT_OWNER", "1")
    with tracking.stage("train"):
        pass
    tags = named("train").data.tags
    assert tags["dirty"] == "unknown"
    assert "belongs to another user" in tags["mlflow.note.content"]


def test_a_data_set_is_known_by_dvcs_checksum(place):
    """A path in dvc.lock has DVC's MD5, any other path a digest of its content."""
    (place / "a").write_text("a")
    (place / "dvc.lock").write_text("stages: {data: {outs: [{path: data/splits, md5: 0a1b.dir}]}}")
    digests = tracking.datasets(Path("data/splits"), Path("a"))
    assert digests == {"data/splits": "0a1b.dir", "a": hashlib.sha256(b"a").hexdigest()}


def test_a_damaged_lock_says_what_to_do(place):
    """A dvc.lock that holds something else is an error that names it."""
    (place / "dvc.lock").write_text("stages: [1, 2]")
    with pytest.raises(FctError, match=r"dvc\.lock is damaged .* Run `dvc repro`"):
        tracking.datasets(Path("data/splits"))
