"""Promotion needs proof, a champion is replaced only by a model that is not worse, and rollback is one step."""

import base64
import io
import json
import os
import platform
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
import venv
from importlib.metadata import version
from pathlib import Path

import numpy as np
import onnx
import pytest
from click.testing import CliRunner
from onnx import TensorProto, helper, numpy_helper
from PIL import Image

from fct import cli, registry, tracking
from fct.core.errors import FctError
from fct.core.files import md5, sha256
from fct.core.params import load
from fct.core.paths import FP32, INT8
from fct.data import dataset
from fct.data.params import DataParams
from fct.evaluate import record
from fct.evaluate.sweep import predict_views
from fct.images.decode import decode
from fct.registry import messages, promotion
from fct.report import models_beside
from fct.splits.store import open_split, write_split
from fct.tracking.server import connect

pytestmark = pytest.mark.xdist_group("mlflow")  # one server for all
NAME = "toy"
MODEL = FP32.model
PARAMS = (
    "evaluate: {qualities: [30, 90], unseen: [], unseen_images: null, batch_size: 16, confidence: 0.95}\n"
    "gate: [{slice: raw, metric: accuracy, at_least: 0.7}, {slice: mean, metric: accuracy, champion: 0.05}]\n"
    "int8: {images: 16, max_drop: 0.1}\n"
    "registry: {name: toy}\n"
)
PREDICT = """
import json, sys, warnings
from pathlib import Path
warnings.simplefilter("ignore")
import mlflow, pandas as pd
model = mlflow.pyfunc.load_model("models:/toy@champion")
out = model.predict(pd.DataFrame({"image": [Path(name).read_bytes() for name in sys.argv[1:]]}))
imported = {"torch", "fct"} & set(sys.modules)
print(json.dumps([out["class"].tolist(), out["quality"].tolist(), sorted(imported)]))
"""


def draw(count, seed):
    """Draw images whose left or right half is bright, and their labels."""
    random = np.random.default_rng(seed)
    labels = random.integers(0, 2, count)
    images = random.integers(0, 60, (count, 8, 8, 1), dtype=np.uint8)
    for image, label in zip(images, labels, strict=True):
        image[:, label * 4 : label * 4 + 4] += 120
    return images, labels


def divide(images, labels, seed, **fractions):
    """Divide the images anew, as the stage `data` does."""
    for name in ("splits", "originals"):
        shutil.rmtree(f"data/{name}", ignore_errors=True)
        Path(f"data/{name}").mkdir(parents=True)
    params = DataParams.model_validate(
        {
            "source": "fashion-mnist",
            "mirror": None,
            "seed": seed,
            "fractions": {"val": 0.1, "gate": 0.3, "test": 0.1} | fractions,
            "folder": {"path": "images", "pixels": 8, "keep": 1.0, "channels": 1, "on_error": "fail"},
        }
    )
    pool = dataset.Dataset(("left", "right"), dataset.LabelledImages(images, labels), None)
    dataset.build(pool, params, Path("data/splits"), Path("data/originals"))


def shared(images, with_images):
    """Return how many images are also among the others."""
    others = {image.tobytes() for image in with_images}
    return sum(image.tobytes() in others for image in images)


def save_model(signs, *, takes_quality=False, classes=("left", "right")):
    """Write a linear classifier of 8 x 8 images whose logits are the brightness of the halves, times `signs`."""
    half = np.repeat([[1.0, 0.0]] * 8, 4, axis=1).reshape(-1)  # [64]
    weights = np.stack([half, 1 - half], axis=1).astype(np.float32) * np.asarray(signs, np.float32)
    nodes = [
        helper.make_node("Cast", ["image"], ["pixels"], to=TensorProto.FLOAT),
        helper.make_node("Flatten", ["pixels"], ["flat"]),
        helper.make_node("MatMul", ["flat", "weights"], ["scores"]),
    ]
    inputs = [helper.make_tensor_value_info("image", TensorProto.UINT8, ["B", 1, 8, 8])]
    constants = [numpy_helper.from_array(weights, "weights")]
    if takes_quality:  # it does not change the order of the logits
        inputs.append(helper.make_tensor_value_info("quality", TensorProto.INT64, ["B"]))
        constants.append(numpy_helper.from_array(np.array([1]), "axis"))
        nodes += [
            helper.make_node("Cast", ["quality"], ["float_quality"], to=TensorProto.FLOAT),
            helper.make_node("Unsqueeze", ["float_quality", "axis"], ["column"]),
            helper.make_node("Add", ["scores", "column"], ["logits"]),
        ]
    else:
        nodes.append(helper.make_node("Identity", ["scores"], ["logits"]))
    outputs = [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["B", 2])]
    graph = helper.make_graph(nodes, "toy", inputs, outputs, constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    helper.set_model_props(model, {"fct.classes": json.dumps(classes)})
    MODEL.parent.mkdir(exist_ok=True)
    onnx.save(model, MODEL)


GOOD, EQUAL, BAD = (
    (1, 1),
    (2, 2),
    (1, 0),
)  # EQUAL is another file that has the same predictions; BAD always predicts left


def commit():
    """Write dvc.lock for the files that are here, and commit it."""
    paths = [path for candidate in (FP32, INT8) for path in (candidate.model, candidate.verdict) if path.exists()]
    outs = [f"    - {{path: {path}, hash: md5, md5: {md5(path)}}}" for path in paths]
    data = "    - {path: data/splits, hash: md5, md5: d41d8cd98f00b204e9800998ecf8427e.dir}"
    Path("dvc.lock").write_text(
        "\n".join(["schema: '2.0'", "stages:", "  made:", "    cmd: x", "    outs:", *outs, data, ""])
    )
    subprocess.run(["git", "add", "-A"], check=True)
    subprocess.run(["git", "commit", "-qm", "made", "--allow-empty"], check=True)


def judge(verdict="PASS", candidate=FP32):
    """Evaluate the model that is here and write the verdict, as the stages do."""
    split = open_split("gate")
    evaluate = load(promotion.PromoteParams).evaluate
    predictions = predict_views(candidate.model, split, evaluate, "4:2:0")
    made_with = {"model_sha256": sha256(candidate.model), "subsampling": "4:2:0"}
    record.write({"gate": predictions}, [split], made_with=made_with, evaluation=candidate.evaluation)
    check = {
        "name": "raw_accuracy",
        "images_to_settle": None,
        "value": 0.9,
        "low": 0.8,
        "high": 0.95,
        "threshold": 0.7,
        "direction": "at least",
    }
    against = {**check, "name": "mean_accuracy_vs_fp32", "value": 0.0, "low": 0.0, "high": 0.0, "threshold": -0.1}
    content = {
        "verdict": verdict,
        "model_sha256": sha256(candidate.model),
        "split": {"name": "gate", "images": len(split), "digest": record.digest(split)},
        **evaluate.conditions,
        "checks": [
            {**line, "passed": verdict == "PASS"} for line in ([check] if candidate is FP32 else [check, against])
        ],
    }
    Path("metrics").mkdir(exist_ok=True)
    candidate.verdict.write_text(json.dumps(content))


def make(signs=GOOD, **more):
    """Write another model that can be promoted."""
    save_model(signs, **more)
    judge()
    commit()


def versions():
    return connect().client.search_model_versions(f"name='{NAME}'")


def aliases():
    return {alias: int(number) for alias, number in connect().client.get_registered_model(NAME).aliases.items()}


def tags(number):
    return connect().client.get_model_version(NAME, str(number)).tags


@pytest.fixture(autouse=True)
def workplace(place, monkeypatch):
    """Work in a repository with a passed model and a gate split of images whose left or right half is bright."""
    for role in ("AUTHOR", "COMMITTER"):
        monkeypatch.setenv(f"GIT_{role}_NAME", "Ada")
        monkeypatch.setenv(f"GIT_{role}_EMAIL", "ada@example.org")
    settle(place)
    return place


def settle(place, signs=GOOD):
    """Make such a repository in an empty folder, where the process stands."""
    (place / "data/splits").mkdir(parents=True)
    for seed, (name, count) in enumerate({"gate": 120, "train": 40, "val": 20}.items()):
        images, labels = draw(count, seed)
        write_split(place / "data/splits" / name, images, labels, np.full(count, 100))
    (place / "data/originals").mkdir()
    (place / "data/originals/meta.json").write_text('{"native": false}')
    (place / "params.yaml").write_text(PARAMS)
    (place / ".gitignore").write_text("/mlflow.db*\n/mlruns\n/.fct\n/model\n/data\n")
    subprocess.run(["git", "init", "-q"], check=True)
    subprocess.run(["git", "config", "user.name", "Ada"], check=True)
    subprocess.run(["git", "config", "user.email", "ada@example.org"], check=True)
    make(signs)


def test_the_first_model_that_passes_is_champion():
    """Without a champion, the model becomes challenger and champion; its version carries the proof."""
    result = registry.promote(why="the first")
    assert (result.version, result.outcome, result.is_new) == ("1", "champion", True)
    assert aliases() == {"champion": 1, "challenger": 1}
    stored = tags(1)
    assert stored["fct.sha256"] == sha256(MODEL)
    assert (stored["fct.verdict"], stored["fct.why"], stored["fct.who"]) == (
        "PASS",
        "the first",
        "Ada <ada@example.org>",
    )
    head = subprocess.run(["git", "rev-parse", "HEAD"], capture_output=True, text=True, check=True).stdout.strip()
    assert stored["fct.commit"] == head
    assert json.loads(stored["fct.data"]) == {"data/splits": "d41d8cd98f00b204e9800998ecf8427e.dir"}


def test_the_version_points_to_the_run_that_made_the_file():
    """A file that a tracked stage wrote is linked to its pipeline's run by its content."""
    with tracking.stage("export", outputs=[MODEL]):
        pass
    registry.promote()
    server = connect()
    (parent,) = server.client.search_runs([server.experiment], "tags.fct.kind = 'pipeline'")
    assert versions()[0].run_id == parent.info.run_id


def test_the_same_file_is_registered_once():
    """Promoting the champion again registers nothing."""
    registry.promote()
    result = registry.promote()
    assert (result.version, result.outcome) == ("1", "already champion")
    assert len(versions()) == 1


def test_a_model_that_is_not_worse_takes_over():
    """An equal model becomes champion; the old one becomes previous, and both versions carry the time."""
    registry.promote()
    make(EQUAL)
    result = registry.promote()
    assert (result.outcome, result.against.number) == ("champion", "1")
    assert [(check.name, check.estimate.value) for check in result.checks] == [("mean_accuracy_vs_champion", 0)]
    assert aliases() == {"champion": 2, "challenger": 2, "previous": 1}
    assert "fct.champion_until" in tags(1)
    assert "fct.champion_since" in tags(2)


def test_a_worse_model_stays_challenger():
    """A model that may be worse by more than the margin is registered, and the champion stays."""
    registry.promote()
    make(BAD)
    result = registry.promote()
    assert result.outcome == "challenger"
    (check,) = result.failed
    assert check.estimate.value == pytest.approx(-open_split("gate").labels.mean())
    assert check.estimate.low < check.estimate.value
    assert aliases() == {"champion": 1, "challenger": 2}
    assert registry.promote().version == "2"


def test_a_promotion_without_a_new_champion_has_its_own_exit_status():
    """`fct promote` ends with 1 for a challenger, also for one that was rolled back, and with 0 for a champion."""

    def status():
        return CliRunner().invoke(cli.main, ["promote"]).exit_code

    assert [status(), status()] == [0, 0]
    make(BAD)
    assert [status(), status()] == [1, 1]
    make(EQUAL)
    assert status() == 0
    registry.rollback()
    assert status() == 1


def test_a_lagging_commit_is_made_on_request():
    """With `commit`, dvc.lock and what git holds of the outs are committed, and nothing else that has changed."""
    make(EQUAL)
    subprocess.run(["git", "reset", "-q", "--soft", "HEAD~1"], check=True)
    subprocess.run(["git", "reset", "-q"], check=True)
    Path("code.py").write_text("unfinished")
    result = registry.promote(commit=True)
    log = subprocess.run(
        ["git", "show", "--name-only", "--format=%an", "HEAD"], capture_output=True, text=True, check=True
    )
    assert log.stdout.split() == ["Ada", "dvc.lock"]
    head = subprocess.run(["git", "rev-parse", "HEAD"], capture_output=True, text=True, check=True).stdout.strip()
    stored = tags(result.version)
    assert (stored["fct.commit"], stored["fct.dirty"]) == (head, "true")


def test_a_failed_gate_commits_nothing():
    """A FAIL is refused before anything is committed."""
    judge("FAIL")
    commit()
    Path("dvc.lock").write_text(Path("dvc.lock").read_text() + "# changed\n")
    with pytest.raises(FctError, match="FAIL"):
        registry.promote(commit=True)
    assert subprocess.run(["git", "diff", "--quiet", "dvc.lock"], check=False).returncode == 1


def test_caches_of_removed_qualities_are_not_the_models_data():
    """dvc.lock keeps caches of removed qualities; the version's data do not have them."""
    lock = Path("dvc.lock")
    entries = "".join(f"    - {{path: data/cache/q{quality}, md5: {quality}.dir}}\n" for quality in (10, 50))
    lock.write_text(lock.read_text() + entries)
    Path("data/cache").mkdir()
    Path("data/cache/index.json").write_text('{"qualities": [50]}')
    result = registry.promote(commit=True)
    assert set(json.loads(tags(result.version)["fct.data"])) == {"data/splits", "data/cache/q50"}


def test_a_failed_gate_registers_nothing():
    """A FAIL is refused with the checks that failed."""
    judge("FAIL")
    commit()
    with pytest.raises(FctError, match=r"(?s)FAIL; nothing is registered.*raw_accuracy: 0\.9 .*at least 0\.7"):
        registry.promote()
    assert versions() == []


@pytest.mark.parametrize(("word", "passed"), [("PASS", False), ("FAIL", True)])
def test_a_verdict_that_contradicts_itself_is_refused(word, passed):
    """The verdict must be PASS, and every check must have passed."""
    judge()
    verdict = json.loads(FP32.verdict.read_text())
    verdict["verdict"], verdict["checks"][0]["passed"] = word, passed
    FP32.verdict.write_text(json.dumps(verdict))
    commit()
    with pytest.raises(FctError, match=rf"the verdict is {word}; nothing is registered"):
        registry.promote()
    assert versions() == []


def test_a_verdict_of_another_file_is_refused():
    """A model that changed after its verdict is refused."""
    save_model(EQUAL)
    commit()
    with pytest.raises(FctError, match="about another file"):
        registry.promote()
    assert versions() == []


def test_a_file_that_the_commit_does_not_name_is_refused():
    """A dvc.lock that is right here but not committed is not enough; the error says to commit it."""
    old = Path("dvc.lock").read_text()
    make(EQUAL)
    new = Path("dvc.lock").read_text()
    Path("dvc.lock").write_text(old)
    with pytest.raises(FctError, match=r"dvc\.lock does not name model/model\.onnx"):
        registry.promote()
    subprocess.run(["git", "reset", "-q", "--soft", "HEAD~1"], check=True)
    Path("dvc.lock").write_text(new)
    with pytest.raises(FctError, match="git commit"):
        registry.promote()
    assert versions() == []


def test_a_verdict_that_was_edited_is_refused():
    """A verdict that is not the one the pipeline wrote has another checksum than the commit's dvc.lock names."""
    judge("FAIL")
    commit()
    path = Path("metrics/gate.json")
    path.write_text(path.read_text().replace("FAIL", "PASS").replace("false", "true"))
    with pytest.raises(FctError, match=r"dvc\.lock does not name metrics/gate\.json"):
        registry.promote()


def test_another_gate_split_is_refused(workplace):
    """A verdict on other images than the present ones is refused."""
    images = np.load(workplace / "data/splits/gate/images.npy")
    np.save(workplace / "data/splits/gate/images.npy", 255 - images)
    with pytest.raises(FctError, match="not the one that the verdict is about"):
        registry.promote()


def test_another_task_is_refused():
    """A model of other classes cannot be compared with the champion, and nothing is registered."""
    registry.promote()
    make(EQUAL, classes=("top", "bottom"))
    with pytest.raises(FctError, match=r"another task.*registry\.name"):
        registry.promote()
    assert len(versions()) == 1


def test_a_champion_that_was_trained_on_the_gate_images_is_not_compared():
    """After another data.seed the champion has seen most gate images: the error has the numbers and the remedy."""
    images, labels = draw(400, 5)
    divide(images, labels, seed=0)
    make()
    registry.promote()
    seen = [*open_split("train").images, *open_split("val").images]
    divide(images, labels, seed=1)
    make(EQUAL)
    gate = open_split("gate").images
    count = shared(gate, seen)
    with pytest.raises(
        FctError, match=rf"of the {len(gate)} images of the gate split, {count} are training images of version 1 of toy"
    ) as caught:
        registry.promote()
    assert all(word in str(caught.value) for word in ("data.seed", "data.fractions", "registry.name"))
    assert len(versions()) == 1
    divide(images, labels, seed=0)
    make(EQUAL)
    assert registry.promote().outcome == "champion"


def test_gate_images_that_the_champion_has_seen_are_left_out():
    """As the data grow, images of val move into the gate split: the comparison is without them, and says so."""
    images, labels = draw(1000, 5)
    divide(images[:800], labels[:800], seed=0)
    make()
    registry.promote()
    seen = [*open_split("train").images, *open_split("val").images]
    divide(images, labels, seed=0)
    make(EQUAL)
    gate = open_split("gate").images
    count = shared(gate, seen)
    assert 0 < count < len(gate) / 10
    result = registry.promote()
    assert (result.outcome, result.left_out) == ("champion", count)
    assert [check.images for check in result.checks] == [len(gate) - count]
    assert f"neither has seen ({count} left out)" in messages.format_promotion(result)


def test_nothing_is_left_out_where_views_are_measured_on_fewer_images(workplace):
    """Unseen distortions have a sample of the gate split; what neither model has seen is another matter."""
    sampled = PARAMS.replace("unseen: [], unseen_images: null", "unseen: [blur], unseen_images: 10")
    (workplace / "params.yaml").write_text(sampled.replace("slice: mean", "slice: unseen"))
    make()
    registry.promote()
    make(EQUAL)
    result = registry.promote()
    assert (result.outcome, result.left_out) == ("challenger", 0)  # ten images show no margin of 0.05
    assert [check.images < len(open_split("gate")) for check in result.checks] == [True]


def test_a_version_without_training_images_is_compared_on_its_own_gate_split_alone():
    """Where nobody knows what a version has seen, the same gate split is enough, and another one is refused."""
    registry.promote()
    connect().client.delete_model_version_tag(NAME, "1", "fct.training_images")
    make(EQUAL)
    assert registry.promote().outcome == "champion"
    connect().client.delete_model_version_tag(NAME, "2", "fct.training_images")
    divide(*draw(400, 5), seed=0)
    make((3, 3))
    with pytest.raises(FctError, match="version 2 of toy does not name the images that it was trained on"):
        registry.promote()


def test_training_images_that_were_changed_in_the_registry_are_refused():
    """A file of fingerprints that is not the registered one is named."""
    registry.promote()
    import mlflow

    path = mlflow.artifacts.download_artifacts(f"models:/{NAME}/1", tracking_uri=connect().uri)
    np.save(Path(path) / "training-images.npy", np.zeros(0, np.uint64))
    make(EQUAL)
    with pytest.raises(FctError, match=r"version 1 of toy: its training-images\.npy is not the registered file"):
        registry.promote()


def test_a_version_names_its_interpreter_and_packages():
    """Its tags have the version of Python and of the packages that decide its weights and its file."""
    registry.promote()
    stored = tags(1)
    assert stored["fct.python"] == platform.python_version()
    assert json.loads(stored["fct.packages"])["torch"] == version("torch")


def test_rollback_goes_one_step_back_and_no_further():
    """The previous champion is champion again; a second rollback has nothing to return to and changes nothing."""
    registry.promote()
    make(EQUAL)
    registry.promote()
    result = registry.rollback(why="slow")
    assert (result.champion.number, result.gone.number) == ("1", "2")
    again = registry.rollback()
    assert (again.changed, again.champion.number) == (False, "1")
    assert aliases() == {"champion": 1, "challenger": 2}
    assert tags(2)["fct.rolled_back"].endswith("Ada <ada@example.org>: slow")


def test_what_was_rolled_back_comes_back_only_when_told():
    """Promoting a rolled-back file does not change the champion without `again`."""
    registry.promote()
    make(EQUAL)
    registry.promote()
    registry.rollback()
    assert registry.promote().outcome == "rolled back"
    assert aliases()["champion"] == 1
    assert registry.promote(again=True).outcome == "champion"
    assert aliases() == {"champion": 2, "challenger": 2, "previous": 1}
    assert "fct.rolled_back" not in tags(2)


def test_a_rollback_may_go_to_any_version_that_passed():
    """`to` names the version; the history has the new champion and the reason."""
    for signs in (GOOD, EQUAL, (3, 3)):
        make(signs)
        registry.promote()
    result = registry.rollback(to="1", why="back to the first")
    assert (result.champion.number, result.gone.number) == ("1", "3")
    assert aliases() == {"champion": 1, "challenger": 3}
    last = registry.history()[1][-1]
    assert (last.what, last.version, last.before, last.why) == ("rolled back", "1", "3", "back to the first")


def test_a_rollback_to_the_champion_changes_nothing():
    """The message says that it is champion already, and the exit status is 1."""
    registry.promote()
    done = CliRunner().invoke(cli.main, ["rollback", "--to", "1"])
    assert (done.exit_code, "toy: version 1 is champion already; nothing to do." in done.output) == (1, True)
    assert aliases() == {"champion": 1, "challenger": 1}


def test_a_rollback_that_changes_the_champion_ends_with_0():
    """A script can tell it from one that had nothing to return to."""
    registry.promote()
    make(EQUAL)
    registry.promote()
    done = CliRunner().invoke(cli.main, ["rollback"])
    assert (done.exit_code, "version 1 is champion again in place of version 2" in done.output) == (0, True)


@pytest.mark.parametrize(("to", "message"), [("7", "there is no version 7"), ("1", "has no verdict PASS")])
def test_a_rollback_to_what_never_passed_is_refused(to, message):
    """A version that is not there, or without a verdict, does not become champion."""
    registry.promote()
    make(EQUAL)
    registry.promote()
    connect().client.delete_model_version_tag(NAME, "1", "fct.verdict")
    with pytest.raises(FctError, match=message):
        registry.rollback(to=to)
    assert aliases()["champion"] == 2


def test_a_commit_knows_its_versions():
    """Any name that git has for a commit finds its versions; an unknown commit is an error."""
    registry.promote()
    make(EQUAL)
    registry.promote()
    assert [version.number for version in registry.versions_of_commit("HEAD")[1]] == ["2"]
    assert [version.number for version in registry.versions_of_commit("HEAD~1")[1]] == ["1"]
    with pytest.raises(FctError, match="git has no commit 'nothing'"):
        registry.versions_of_commit("nothing")


def test_the_history_remembers_every_champion():
    """The history has each event in order, with its version, the one before, the user and the reason."""
    registry.promote(why="the first")
    make(EQUAL)
    registry.promote(why="the second")
    registry.rollback(why="slow")
    name, events, state = registry.history()
    assert (name, state.is_proven) == (NAME, True)
    assert [(event.what, event.version, event.before, event.why) for event in events] == [
        ("promoted", "1", None, "the first"),
        ("promoted", "2", "1", "the second"),
        ("rolled back", "1", "2", "slow"),
    ]
    assert {event.who for event in events} == {"Ada <ada@example.org>"}


def test_readers_do_not_wait_for_a_promotion(capsys, tmp_path):
    """Status, history and downloads answer while the registry is being changed, and stderr says that it is."""
    registry.promote()
    code = (
        "from fct.core.locks import locked; from fct.core.paths import REGISTRY_LOCK\n"
        "with locked(REGISTRY_LOCK): print('in', flush=True); input()"
    )
    command = [sys.executable, "-c", code]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout.readline() == "in\n"
        assert registry.status()[1].champion.number == "1"
        assert len(registry.history()[1]) == 1
        assert registry.fetch("champion", tmp_path).exists()
        holder.communicate("\n")
    assert capsys.readouterr().err.count("A promotion or rollback is running") == 3


def test_a_champion_that_was_changed_meanwhile_stops_a_promotion(monkeypatch):
    """A champion that another host changed meanwhile is not overwritten."""
    registry.promote()
    make(EQUAL)
    compare = promotion._compare

    def meanwhile(*arguments):
        connect().client.delete_registered_model_alias(NAME, "champion")
        return compare(*arguments)

    monkeypatch.setattr(promotion, "_compare", meanwhile)
    with pytest.raises(FctError, match="the champion was changed meanwhile"):
        registry.promote()


def test_a_gate_weaker_than_the_champions_is_refused():
    """A looser threshold is named, and `weaker` allows it."""
    registry.promote()
    Path("params.yaml").write_text(PARAMS.replace("champion: 0.05", "champion: 0.5"))
    make(EQUAL)
    with pytest.raises(FctError, match=r"mean_accuracy_vs_champion: at least -0\.05 then, at least -0\.5 now"):
        registry.promote()
    assert registry.promote(weaker=True).outcome == "champion"


def test_thresholds_changed_after_the_verdict_are_seen():
    """A verdict by another threshold than that in params.yaml is refused."""
    Path("params.yaml").write_text(PARAMS.replace("at_least: 0.7", "at_least: 0.2"))
    commit()
    with pytest.raises(
        FctError, match=r"raw_accuracy was judged by at least 0\.7, but params\.yaml says at least 0\.2"
    ):
        registry.promote()


def test_a_line_that_was_not_judged_is_seen():
    """A line that was added after the verdict is refused: no model passed it."""
    worst = "{slice: worst, metric: accuracy, at_least: 0.9}"
    Path("params.yaml").write_text(PARAMS.replace("gate: [", f"gate: [{worst}, "))
    commit()
    with pytest.raises(FctError, match=r"worst_accuracy was not judged, but params\.yaml asks for at least 0\.9"):
        registry.promote()


@pytest.mark.parametrize(
    ("then", "now"),
    [
        ("confidence: 0.95", "confidence: 0.5"),
        ("qualities: [30, 90]", "qualities: [90]"),
        ("unseen_images: null", "unseen_images: 10"),
    ],
)
def test_another_yardstick_after_the_verdict_is_seen(then, now):
    """A verdict with another confidence, other qualities or other images is refused."""
    Path("params.yaml").write_text(PARAMS.replace(then, now))
    commit()
    with pytest.raises(FctError, match=r"it was judged with evaluate\..*Run `dvc repro gate`"):
        registry.promote()


def test_a_quality_that_is_no_longer_measured_makes_a_gate_weaker():
    """The same lines over fewer qualities are a weaker gate."""
    registry.promote()
    Path("params.yaml").write_text(PARAMS.replace("qualities: [30, 90]", "qualities: [90]"))
    make(EQUAL)
    verdict = json.loads(FP32.verdict.read_text()) | {"qualities": [90]}
    FP32.verdict.write_text(json.dumps(verdict))
    commit()
    with pytest.raises(FctError, match=r"evaluate\.qualities: 30 then, not now"):
        registry.promote()


def test_a_stricter_gate_that_the_champion_passed_is_remembered():
    """If the champion passes a stricter gate later, the stricter gate is the one to keep."""
    registry.promote()
    verdict = json.loads(FP32.verdict.read_text())
    verdict["checks"][0]["threshold"] = 0.75
    FP32.verdict.write_text(json.dumps(verdict))
    Path("params.yaml").write_text(PARAMS.replace("at_least: 0.7", "at_least: 0.75"))
    commit()
    assert registry.promote().outcome == "already champion"
    Path("params.yaml").write_text(PARAMS)
    make(EQUAL)
    with pytest.raises(FctError, match=r"raw_accuracy: at least 0\.75 then, at least 0\.7 now"):
        registry.promote()


def test_the_8_bit_form_is_a_version_of_its_own():
    """The 8-bit model has its own verdict, is compared with the champion, and its tag says int8."""
    registry.promote()
    mine = MODEL.read_bytes()
    save_model(EQUAL)
    MODEL.rename(INT8.model)
    MODEL.write_bytes(mine)
    judge(candidate=INT8)
    commit()
    result = registry.promote(int8=True)
    assert (result.version, result.outcome) == ("2", "champion")
    assert (tags(1)["fct.precision"], tags(2)["fct.precision"]) == ("fp32", "int8")
    assert tags(2)["fct.sha256"] == sha256(INT8.model)


def test_what_is_not_committed_is_not_promoted():
    """Nobody could rebuild a model from uncommitted params; `dirty` allows it and a tag says so."""
    Path("params.yaml").write_text(PARAMS + "# changed\n")
    with pytest.raises(FctError, match=r"params\.yaml is not committed"):
        registry.promote()
    registry.promote(dirty=True)
    assert tags(1)["fct.dirty"] == "true"


def test_rollback_before_any_promotion_has_nothing_to_return_to():
    """An empty registry is no error."""
    assert not registry.rollback().changed


def test_a_champion_moved_by_hand_is_unproven():
    """An alias that no command moved is seen, and proven again by a promotion that passes."""
    registry.promote()
    make(BAD)
    registry.promote()
    assert registry.status()[1].is_proven
    connect().client.set_registered_model_alias(NAME, "champion", "2")
    assert not registry.status()[1].is_proven
    result = registry.promote()
    assert (result.outcome, result.against.number) == ("challenger", "1")
    assert not registry.status()[1].is_proven


def test_rollback_refuses_a_version_that_never_passed():
    """A previous version without a verdict PASS is refused by its number."""
    registry.promote()
    make(EQUAL)
    registry.promote()
    connect().client.delete_model_version_tag(NAME, "1", "fct.verdict")
    with pytest.raises(FctError, match="version 1 has no verdict PASS"):
        registry.rollback()


def test_rollback_undoes_a_move_by_hand():
    """Without a previous version, rollback from an unproven champion returns to the proven one."""
    registry.promote()
    make(BAD)
    registry.promote()
    connect().client.set_registered_model_alias(NAME, "champion", "2")
    assert registry.rollback().champion.number == "1"
    assert registry.status()[1].is_proven


def test_the_next_promotion_is_compared_with_the_proven_champion():
    """A champion made by hand is not what a promotion compares with, nor does it become previous."""
    registry.promote()
    make(BAD)
    registry.promote()
    connect().client.set_registered_model_alias(NAME, "champion", "2")
    make(EQUAL)
    result = registry.promote()
    assert (result.outcome, result.against.number) == ("champion", "1")
    assert aliases()["previous"] == 1


def test_the_report_says_whether_the_champion_is_proven(tmp_path):
    """The page calls a champion unproven if its alias was moved by hand."""
    Path("data/splits/meta.json").write_text('{"classes": ["left", "right"], "digest": "d"}')
    registry.promote()
    make(BAD)
    registry.promote()
    assert list(models_beside([], tmp_path, champion=True)) == ["champion"]
    connect().client.set_registered_model_alias(NAME, "champion", "2")
    assert list(models_beside([], tmp_path, champion=True)) == ["champion (unproven)"]


def test_the_registered_file_is_the_judged_one():
    """The artifact has the bytes of the file that the gate judged; the signature and the example are of image files."""
    make(GOOD, takes_quality=True)
    registry.promote()
    import mlflow

    folder = Path(mlflow.artifacts.download_artifacts(f"models:/{NAME}/1", tracking_uri=connect().uri))
    assert sha256(folder / "model.onnx") == sha256(MODEL)
    signature = mlflow.models.Model.load(folder).signature
    assert [(column.name, str(column.type)) for column in signature.inputs.inputs] == [("image", "Any")]
    example = mlflow.models.Model.load(folder).load_input_example(folder)["image"]
    assert [decode(base64.b64decode(cell), 1).tolist() for cell in example] == open_split("gate").images[:2].tolist()


def test_mlflow_confirms_the_verdict():
    """MLflow's validation refuses a passed check whose bound misses its threshold."""
    registry.promote()
    assert tags(1)["fct.validated"].startswith("mlflow ")
    make(EQUAL)
    verdict = json.loads(FP32.verdict.read_text())
    verdict["checks"][0]["low"] = 0.6  # of at least 0.7
    FP32.verdict.write_text(json.dumps(verdict))
    commit()
    with pytest.raises(FctError, match=r"MLflow's validation does not: .*raw_accuracy"):
        registry.promote()
    assert len(versions()) == 1


def test_the_version_has_a_model_card():
    """The card in MLflow's UI has the classes, the verdict and the commit."""
    registry.promote()
    card = connect().client.get_model_version(NAME, "1").description
    for part in ("2 classes (left, right)", "**PASS** on 120 images", "| raw_accuracy | 0.9 |", tags(1)["fct.commit"]):
        assert part in card


def test_the_tensors_stay_reachable_as_onnx():
    """The ONNX flavour loads the model with its inputs for pixels."""
    make(GOOD, takes_quality=True)
    registry.promote()
    import mlflow.onnx

    loaded = mlflow.onnx.load_model(f"models:/{NAME}/1")
    assert [node.name for node in loaded.graph.input] == ["image", "quality"]


def test_a_registry_that_breaks_half_way_registers_nothing():
    """If the artifact cannot be stored, there is no version and no logged model."""
    server = connect()
    root = Path(server.client.get_experiment(server.experiment).artifact_location.removeprefix("file://"))
    root.parent.mkdir(parents=True, exist_ok=True)
    root.write_text("in the way")
    with pytest.raises((FctError, OSError)):
        registry.promote()
    root.unlink()
    assert versions() == []
    assert server.client.search_logged_models([server.experiment]) == []


@pytest.mark.e2e
@pytest.mark.usefixtures("server")
def test_the_command_line_promotes_on_a_real_server():
    """Over HTTP, promote, status and rollback print their lines and nothing on stderr."""
    outputs = []
    for command, status in ((["promote", "--why", "the first"], 0), (["status"], 0), (["rollback"], 1)):
        code = f"from fct.cli import main; main({command})"
        result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
        assert (result.returncode, result.stderr) == (status, "")
        outputs.append(result.stdout)
    assert outputs[0] == "toy: version 1 is registered and is champion now.\n"
    assert [line.split()[:5] for line in outputs[1].splitlines()] == [
        ["toy"],
        ["champion", "version", "1", "PASS", "sha256"],
        ["challenger", "version", "1", "PASS", "sha256"],
        ["previous", "-"],
    ]
    assert "unproven" not in outputs[1]
    assert outputs[2] == "toy: there is no previous champion; version 1 stays champion.\n"


def test_an_unreachable_registry_is_said_in_seconds(monkeypatch):
    """Every command reports a server that does not answer as one error."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")  # the discard port: nobody listens
    for command in (registry.promote, registry.rollback, registry.status):
        with pytest.raises(FctError, match="does not answer"):
            command()


@pytest.mark.e2e
def test_a_fresh_process_loads_the_champion(workplace):
    """`models:/toy@champion` classifies image files in a process without torch and without this project."""
    make(GOOD, takes_quality=True)
    registry.promote()
    split = open_split("gate")
    names = [f"{index}.jpg" for index in range(len(split))]
    for name, image in zip(names, split.images, strict=True):
        Image.fromarray(image[:, :, 0]).save(workplace / name, quality=30)
    result = subprocess.run([sys.executable, "-c", PREDICT, *names], capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    classes = [["left", "right"][label] for label in split.labels]
    assert json.loads(result.stdout) == [classes, [30] * len(names), []]


@pytest.mark.e2e
def test_mlflow_serves_the_champion_over_http(workplace):
    """A real server takes base64 and returns JSON: an error per broken cell, a prediction per whole image."""
    registry.promote()
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port = one.getsockname()[1]
    command = [sys.executable, "-m", "mlflow", "models", "serve", "-m", f"models:/{NAME}@champion"]
    command += ["--env-manager", "local", "-h", "127.0.0.1", "-p", str(port)]
    image = open_split("gate").images[0]
    cells = [*(base64.b64encode(content).decode() for content in (jpeg(image, 40), b"broken")), "no base64!"]
    body = {"dataframe_records": [{"image": cell} for cell in cells]}
    request = urllib.request.Request(  # the server below
        f"http://127.0.0.1:{port}/invocations", json.dumps(body).encode(), {"Content-Type": "application/json"}
    )
    here = os.environ | {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}  # where uvicorn is
    with (workplace / "serve.log").open("w") as log:
        process = subprocess.Popen(command, env=here, stdout=log, stderr=log, start_new_session=True)
    try:
        answer = json.loads(wait_for_answer(request, process, workplace / "serve.log"))
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    whole, broken, no_base64 = answer["predictions"]
    assert whole["class"] == ["left", "right"][open_split("gate").labels[0]]
    assert (whole["quality"], whole["error"]) == (40, None)
    assert broken["error"].startswith("not a JPEG")
    assert no_base64["error"] == "neither bytes nor base64"


def wait_for_answer(request, process, log):
    """Return the server's answer once it is up."""
    deadline = time.monotonic() + 120  # seconds
    while True:
        try:
            return urllib.request.urlopen(request, timeout=30).read()  # this machine
        except urllib.error.HTTPError as error:
            raise AssertionError(error.read().decode()) from None
        except OSError:
            assert process.poll() is None, log.read_text()
            assert time.monotonic() < deadline, log.read_text()
            time.sleep(0.5)


def jpeg(image, quality):
    buffer = io.BytesIO()
    Image.fromarray(image[:, :, 0]).save(buffer, "JPEG", quality=quality)
    return buffer.getvalue()


@pytest.mark.slow
def test_a_fresh_environment_loads_the_champion_by_its_own_requirements(workplace):
    """The model's requirements are enough: neither torch nor a checkout of this project is needed."""
    make(GOOD, takes_quality=True)
    registry.promote()
    import mlflow

    folder = Path(mlflow.artifacts.download_artifacts(f"models:/{NAME}/1", dst_path=str(workplace / "copy")))
    venv.create(workplace / "fresh", with_pip=True)
    python = workplace / "fresh/bin/python"
    subprocess.run([python, "-m", "pip", "install", "-q", "-r", folder / "requirements.txt"], check=True)
    image = open_split("gate").images[0]
    (workplace / "one.jpg").write_bytes(jpeg(image, 30))
    code = PREDICT.replace(f"models:/{NAME}@champion", str(folder))
    alone = {key: value for key, value in os.environ.items() if not key.startswith(("MLFLOW", "FCT", "PYTHON"))}
    result = subprocess.run(
        [python, "-c", code, workplace / "one.jpg"], cwd=folder, env=alone, capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stderr
    assert json.loads(result.stdout) == [[["left", "right"][open_split("gate").labels[0]]], [30], []]
