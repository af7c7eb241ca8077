"""A training killed with all its processes goes on where it was, to the same file."""

from types import SimpleNamespace

import pytest

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(900)]


@pytest.fixture(scope="module")
def resumed(finished, tmp_path_factory):
    """Kill `dvc repro train` after its first checkpoint, and run it again."""
    project = finished.copy(tmp_path_factory.mktemp("killed") / "copy")
    checkpoints = project.forget_training()
    _, killed = project.show("dvc", "repro", "train", until=lambda: any(checkpoints.glob("*/last.pt")))
    left = (project.folder / "model/model.pt").exists()
    status, again = project.show("dvc", "repro", "export@model")
    return SimpleNamespace(project=project, killed=killed, left=left, status=status, again=again)


def test_a_killed_training_goes_on(resumed):
    """The second run does not train the first epoch again."""
    assert "epoch 1/6" in resumed.killed
    assert not resumed.left
    assert resumed.status == 0, resumed.again
    assert "epoch 6/6" in resumed.again
    assert "epoch 1/6" not in resumed.again


def test_a_killed_training_ends_with_the_same_file(resumed, finished):
    """The exported file is that of a training that nobody disturbed."""
    for path in ("model/model.pt", "model/model.onnx"):
        assert resumed.project.md5(path) == finished.md5(path)


def test_a_killed_run_is_closed(resumed, tracked):
    """In MLflow, the killed stage ended as KILLED, and the one that went on has the metrics of every epoch."""
    server = tracked(resumed.project)
    runs = server.client.search_runs([server.experiment], "tags.`fct.stage` = 'train'", order_by=["start_time ASC"])
    assert [run.info.status for run in runs] == ["FINISHED", "KILLED", "FINISHED"]
    assert len(server.client.get_metric_history(runs[-1].info.run_id, "val_raw")) >= 6
