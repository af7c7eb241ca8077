"""What a change makes stale, and what it leaves alone."""

import json

import numpy as np
import pytest
from PIL import Image

from fct.models import saved as candidate

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(900)]

HARMLESS = '\n\ndef harmless() -> None:\n    """Do nothing."""\n'


TRAININGS = {"baseline", "search", "train", "spread"}
CACHES = {"cache@10", "cache@50", "cache-index"}
EXPORTS = {"export@model", "export@standard"}


@pytest.mark.parametrize(
    ("path", "stale"),
    [
        ("fct/train/loop.py", {"check"} | TRAININGS),
        ("fct/methods/fct.py", {"check"} | TRAININGS),
        ("fct/cache/store.py", {"check", "int8"} | CACHES | TRAININGS),
        (
            "fct/splits/views.py",
            {"check", "data", "evaluate", "features", "gate", "int8"} | CACHES | TRAININGS | EXPORTS,
        ),
        ("fct/gate/checks.py", {"check", "spread", "gate", "int8"}),
        ("fct/tracking/record.py", set()),
        ("fct/registry/promotion.py", set()),
        ("images/README.md", set()),
        ("weights/README.md", set()),
    ],
)
def test_a_file_makes_stale_what_its_folder_runs(copy, path, stale):
    """A line more makes those stages stale whose room, or a room that they use, has the file, and no others."""
    copy.append(path, HARMLESS)
    assert copy.stale() == stale


def test_another_torch_makes_the_trainings_stale(copy):
    """environment.yaml names the packages that decide weights; what does not train leaves them alone."""
    path = copy.folder / "environment.yaml"
    path.write_text(path.read_text().replace("torch: ", "torch: 1."))
    assert copy.stale() == TRAININGS


def test_another_engine_makes_nothing_stale(copy):
    """Where work is done decides no result: `dvc status` says nothing."""
    copy.change({"compute.engine": "ray", "compute.address": "local"})
    assert copy.stale() == set()


def test_another_size_of_images_makes_the_splits_again(copy, ran):
    """Also where DVC's run cache is on: it once took splits of another size for those of this one."""
    copy.change({"data.folder.pixels": 20})
    assert ran(copy.run("dvc", "repro", "data")) == ["check", "data"]
    assert json.loads((copy.folder / "data/splits/meta.json").read_text())["size"] == 20


def test_a_frozen_baseline_is_not_trained_again(copy, ran):
    """`dvc freeze baseline` keeps the one that is there, whatever changes."""
    copy.run("dvc", "freeze", "baseline")
    copy.change({"train.epochs": 7})
    would_run = ran(copy.run("dvc", "repro", "--dry"))
    assert "train" in would_run
    assert "baseline" not in would_run


def test_a_floor_reruns_the_verdicts_alone(copy, ran):
    """A changed threshold is judged anew, on what was measured before, for both forms; `spread` looks at the lines."""
    copy.change({"gate.0.at_least": 0.45})
    assert ran(copy.run("dvc", "repro")) == ["check", "spread", "gate", "int8"]


@pytest.fixture(scope="module")
def swapped(finished, tmp_path_factory):
    """In place of quality 10, train on quality 95."""
    project = finished.copy(tmp_path_factory.mktemp("swapped") / "copy")
    project.change({"cache.qualities": [50, 95]})
    project.run("git", "add", "--all")
    project.run("git", "commit", "--quiet", "--message", "Other qualities")
    project.said = project.run("dvc", "repro", "train")
    return project


def test_a_new_quality_computes_its_own_cache_alone(swapped, ran):
    """Of the caches, only the new one is computed; then what is trained on them."""
    assert sorted(ran(swapped.said)) == ["baseline", "cache-index", "cache@95", "check", "search", "train"]


def test_a_removed_quality_leaves_nothing_behind(swapped):
    """The folder of a quality that params.yaml no longer names is gone."""
    assert sorted(path.name for path in (swapped.folder / "data/cache").glob("q*")) == ["q50", "q95"]
    assert json.loads((swapped.folder / "data/cache/index.json").read_text()) == {"qualities": [50, 95]}


def test_training_reads_the_named_qualities(swapped):
    """The trained network says that it saw the qualities that params.yaml names, and no other."""
    _, description = candidate.load(swapped.folder / "model/model.pt")
    assert description.qualities == [50, 95]


def test_what_was_swapped_is_at_rest(swapped):
    """After it, no stage up to the training is stale."""
    assert not swapped.stale() & {"data", "cache@50", "cache@95", "cache-index", "search", "train"}


def test_a_new_quality_changes_no_code(swapped, tracked):
    """Once params.yaml is committed, what is trained on the new quality counts as made from a commit."""
    server = tracked(swapped)
    last = server.client.search_runs([server.experiment], "tags.`fct.stage` = 'train'", max_results=1)[0]
    assert last.data.tags["dirty"] == "false"
    assert last.data.tags["mlflow.source.git.commit"] == swapped.run("git", "rev-parse", "HEAD").strip()


def test_an_added_image_reruns_what_depends_on_it(copy, ran):
    """With folders tracked by `dvc add`, one new image reruns the data stage, the caches, and what reads them."""
    pixels = np.random.default_rng(7).integers(0, 256, (28, 28), np.uint8)
    Image.fromarray(pixels).save(copy.folder / "images/Bag/new.png")
    assert ran(copy.run("dvc", "repro", "cache@50")) == ["data", "cache@50"]
    later = {"evaluate", "features", "gate", "int8"} | TRAININGS | EXPORTS
    assert copy.stale() == {"cache@10"} | later
