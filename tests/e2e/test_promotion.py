"""From a verdict to what deployments load, or to nothing."""

import json
import shutil

import numpy as np
import pytest

from fct.images.tables import UNKNOWN_QUALITY

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(900)]

PREDICT = """
import io, json, warnings
warnings.simplefilter("ignore")
import mlflow, numpy as np, pandas as pd
from PIL import Image
mlflow.set_tracking_uri("sqlite:///mlflow.db")
model = mlflow.pyfunc.load_model("models:/clothes@champion")
files = []
for pixels in np.load("data/splits/gate/images.npy"):
    buffer = io.BytesIO()
    Image.fromarray(pixels[:, :, 0]).save(buffer, "PNG")
    files.append(buffer.getvalue())
answers = model.predict(pd.DataFrame({"image": files}))
print(json.dumps(answers["class"].tolist()))
"""


@pytest.fixture(scope="module")
def failed(finished, tmp_path_factory):
    """Ask for what no model reaches."""
    project = finished.copy(tmp_path_factory.mktemp("failed") / "copy")
    project.change({"gate.0.at_least": 1.0})
    project.status, project.shown = project.show("dvc", "repro")
    return project


def test_a_failed_gate_is_a_result(failed):
    """`dvc repro` ends well and says FAIL in red; the verdict names the check."""
    assert failed.status == 0
    assert "gate: \033[31mFAIL\033[0m on 90 images" in failed.shown
    verdict = json.loads((failed.folder / "metrics/gate.json").read_text())
    assert verdict["verdict"] == "FAIL"
    assert [check["name"] for check in verdict["checks"] if not check["passed"]] == ["raw_accuracy"]


def test_what_failed_is_not_promoted(failed, tracked):
    """`fct promote` ends with status 1 and names the check; nothing is registered."""
    said = failed.run("fct", "promote", "--commit", status=1)
    assert "the verdict is FAIL; nothing is registered" in said
    assert "must be at least 1" in said
    assert "  raw_accuracy: " in said
    assert "mean_accuracy: " not in said
    client = tracked(failed).client
    assert list(client.search_registered_models()) == list(client.search_model_versions()) == []


@pytest.fixture(scope="module")
def promoted(finished, tmp_path_factory):
    """Commit what the pipeline made, and promote it."""
    project = finished.copy(tmp_path_factory.mktemp("promoted") / "copy")
    project.run("git", "add", "--all")
    project.run("git", "commit", "--quiet", "--message", "Reproduce")
    project.said = project.run("fct", "promote", "--why", "the first")
    return project


def test_what_passed_is_champion(promoted, tracked):
    """The first model that passed is version 1 and champion, with the commit and the run that made it."""
    assert "version 1 is registered and is champion now" in promoted.said
    server = tracked(promoted)
    version = server.client.get_model_version_by_alias("clothes", "champion")
    (pipeline,) = server.client.search_runs([server.experiment], "tags.`fct.kind` = 'pipeline'")
    assert (str(version.version), version.run_id) == ("1", pipeline.info.run_id)
    tags = version.tags
    assert (tags["fct.verdict"], tags["fct.why"], tags["fct.dirty"]) == ("PASS", "the first", "false")
    assert tags["fct.commit"] == promoted.run("git", "rev-parse", "HEAD").strip()


def test_the_champion_predicts_what_was_judged(promoted):
    """A fresh process loads the champion by its alias; it says of the gate's images what the evaluation recorded.

    Of those that never were a JPEG: it is given PNGs, which do not tell the quality of the others.
    """
    said = json.loads(promoted.run("python", "-c", PREDICT).splitlines()[-1])
    recorded = np.load(promoted.folder / "evaluation/gate.npy")[0]
    lossless = np.load(promoted.folder / "data/splits/gate/quality.npy") == UNKNOWN_QUALITY
    classes = json.loads((promoted.folder / "data/splits/meta.json").read_text())["classes"]
    assert lossless.mean() > 0.5
    assert np.array(said)[lossless].tolist() == [classes[each] for each in recorded[lossless]]


@pytest.mark.slow
@pytest.mark.parametrize("how", [(), ("--full",)], ids=["export", "training"])
def test_the_champion_can_be_made_again(promoted, how):
    """From its commit and DVC's cache the same file comes out, and the user's tree is as it was."""
    before = promoted.run("git", "status", "--porcelain")
    assert "the same file." in promoted.run("fct", "verify", "champion", *how)
    assert promoted.run("git", "status", "--porcelain") == before


@pytest.mark.slow
def test_a_rebuild_with_another_interpreter_says_so(promoted, tracked):
    """A version that another Python was promoted with is rebuilt, and one line has both versions."""
    client = tracked(promoted).client
    here = client.get_model_version("clothes", "1").tags["fct.python"]
    assert "promoted with" not in promoted.run("fct", "verify", "1")
    client.set_model_version_tag("clothes", "1", "fct.python", "3.0.1")
    assert f"  promoted with Python 3.0.1; rebuilt with Python {here}\n" in promoted.run("fct", "verify", "1")
    client.set_model_version_tag("clothes", "1", "fct.python", here)


@pytest.mark.slow
def test_an_ignored_file_in_weights_is_not_promoted(finished, tmp_path):
    """A file that git ignores in weights/ is named, and so is a training that did not read it."""
    project = finished.copy(tmp_path / "copy")
    (project.folder / "weights/start.pt").write_bytes(b"weights")
    with (project.folder / ".gitignore").open("a") as file:
        file.write("*.pt\n")
    project.run("git", "add", "--all")
    project.run("git", "commit", "--quiet", "--message", "Reproduce")
    said = project.run("fct", "promote", status=2)
    assert "weights/start.pt is in neither git nor DVC. Run `dvc add weights/start.pt` and commit" in said
    project.run("dvc", "add", "--quiet", "weights/start.pt")
    assert "weights/start.pt.dvc is not committed" in project.run("fct", "promote", status=2)
    assert "weights is not what the stage baseline read" in project.run("fct", "promote", "--commit", status=2)
    assert "is champion now" in project.run("fct", "promote", "--allow-dirty")


@pytest.mark.slow
def test_a_machine_that_never_trained_can_verify(promoted, tmp_path):
    """A clone whose DVC cache is empty takes data and network from the remote."""
    promoted.run("dvc", "remote", "add", "--local", "--default", "kept", str(tmp_path / "remote"))
    promoted.run("dvc", "push", "--quiet")
    other = promoted.copy(tmp_path / "other")
    shutil.rmtree(other.folder / ".dvc/cache")
    assert "the same file." in other.run("fct", "verify", "1")


def test_promoting_again_registers_nothing(promoted, tracked):
    """The same file again stays version 1."""
    assert "champion already" in promoted.run("fct", "promote")
    assert len(tracked(promoted).client.search_model_versions("name='clothes'")) == 1
