"""The report shows the measurements on one page that loads nothing from elsewhere."""

import json
import os
import re
from dataclasses import replace
from pathlib import Path

import pytest

from fct.core.errors import FctError
from fct.core.params import load
from fct.evaluate import __main__ as evaluate
from fct.gate import __main__ as gate
from fct.gate.trainings import NONE, Trainings
from fct.report import build, models_beside
from fct.report.facts import gather_facts
from fct.report.page import render
from fct.search.plots import Point

pytestmark = pytest.mark.usefixtures("judged")


@pytest.fixture
def judged(workplace):
    with (workplace / "params.yaml").open("a") as file:
        file.write("registry: {name: lamps}\n")
    evaluate.measure(load(evaluate.Params))
    gate.judge_model(load(gate.Params))
    (workplace / "metrics/features.json").write_text('{"stage1": {"q5": 0.5, "q90": 0.01}}')
    return workplace


def test_the_page_says_verdict_numbers_and_origin():
    """Verdict, every check, accuracies with intervals, classes, layers, and which file it is about."""
    page = build({}).read_text()
    for text in ("PASS", "lamps", "raw accuracy", "85.0 (", "dark", "bright", "stage1", "60 images", "sha256"):
        assert text in page


def test_it_loads_nothing_from_elsewhere():
    """No script, no link, no source but data of its own; names of XML's vocabularies are no addresses."""
    page = build({}).read_text()
    assert not re.search(r"<(script|link|iframe)|@import|url\((?!#)", page)
    sources = re.findall(r'(?:src|href)="([^"]*)"', page)
    assert all(source.startswith(("data:image/png;base64,", "#")) for source in sources)


def test_the_same_outs_give_the_same_page():
    """But for the latency, which is measured anew, the page follows from what is on disk."""
    first, second = (re.sub(r"[\d.]+ ms.*?\)", "", build({}).read_text(), flags=re.DOTALL) for _ in range(2))
    assert first == second


def test_another_model_is_shown_beside(tmp_path, bright):
    """A champion predicts the same images; the candidate's own file gives the candidate its name."""
    own = tmp_path / "own.onnx"
    own.write_bytes(Path("model/model.onnx").read_bytes())
    mine = Path("model/model.onnx").read_bytes()
    bright(metadata={"fct.classes": '["dark", "bright"]', "fct.params_digest": '"other"'}).rename(tmp_path / "a.onnx")
    Path("model/model.onnx").write_bytes(mine)
    assert build({"champion": tmp_path / "a.onnx"}).read_text().count(">champion</") > 0
    assert "champion, judged" in build({"champion": own}).read_text()


def test_the_baseline_and_named_files_are_shown_beside(tmp_path):
    """The model of the stage `baseline` is called standard; an entry without a file is an error."""
    assert models_beside(["mine=a.onnx"], tmp_path, champion=False) == {"mine": Path("a.onnx")}
    Path("model/standard.onnx").write_bytes(Path("model/model.onnx").read_bytes())
    assert list(models_beside(["mine=a.onnx"], tmp_path, champion=False)) == ["standard", "mine"]
    with pytest.raises(FctError, match="--beside 'mine': give a name and a file"):
        models_beside(["mine"], tmp_path, champion=False)


@pytest.mark.parametrize("taken", ["candidate", "standard"])
def test_no_model_takes_the_name_of_another(tmp_path, taken):
    """A name that another model on the page has is refused."""
    Path("model/standard.onnx").write_bytes(Path("model/model.onnx").read_bytes())
    with pytest.raises(FctError, match=f"another model on the page is called {taken}"):
        models_beside([f"{taken}=a.onnx"], tmp_path, champion=False)


def test_a_baseline_of_other_classes_is_left_out(tmp_path, bright, capsys):
    """A baseline with other classes is left out with a message."""
    mine = Path("model/model.onnx").read_bytes()
    bright(metadata={"fct.classes": '["dark", "light"]'}).rename("model/standard.onnx")
    Path("model/model.onnx").write_bytes(mine)
    assert models_beside([], tmp_path, champion=False) == {}
    assert "The page does not show model/standard.onnx: its classes are ['dark', 'light']" in capsys.readouterr().out


def test_the_page_says_what_the_baseline_is(tmp_path, bright):
    """The page says that `standard` was trained on raw images alone."""
    mine = Path("model/model.onnx").read_bytes()
    bright(metadata={"fct.classes": '["dark", "bright"]', "fct.params_digest": '"raw"'}).rename(tmp_path / "a.onnx")
    Path("model/model.onnx").write_bytes(mine)
    assert "trained on raw images alone" in build({"standard": tmp_path / "a.onnx"}).read_text()
    assert "trained on raw images alone" not in build({}).read_text()


def test_the_page_shows_what_the_method_is_worth(tmp_path, bright):
    """Beside `standard` stand the paired differences, here of a model that computes the same."""
    mine = Path("model/model.onnx").read_bytes()
    bright(metadata={"fct.classes": '["dark", "bright"]', "fct.params_digest": '"raw"'}).rename(tmp_path / "a.onnx")
    Path("model/model.onnx").write_bytes(mine)
    page = build({"standard": tmp_path / "a.onnx"}).read_text()
    assert "The difference from standard" in page
    assert "+0.00 (-" in page
    assert "The difference from standard" not in build({}).read_text()


def test_every_share_is_in_percent():
    """Checks of the gate have the unit of their metric, and no share is left on the scale 0..1."""
    page = build({}).read_text()
    assert "at least 70 %" in page
    assert "at most 1 MiB" in page
    assert "0.7</td>" not in page


def test_the_page_says_when_the_verdict_was_made():
    """The time of the verdict's file, which no commit holds."""
    os.utime("metrics/gate.json", (1_000_000_000, 1_000_000_000))
    assert "on 2001-09-09 01:46 UTC" in build({}).read_text()


def test_the_page_shows_confusions_raw_and_at_the_lowest_quality():
    """One table each."""
    page = build({}).read_text()
    confusions = page[page.index("What is taken for what") : page.index("Calibration")]
    assert re.findall("<h3>(.*?)</h3>", confusions) == ["Raw images", "Quality 5"]


def test_without_the_trained_network_the_page_says_what_is_not_known():
    """Architecture and method are read from files of the training."""
    assert "Architecture and method are not known: model/model.pt is not here." in build({}).read_text()


def test_a_note_says_on_how_many_images_unseen_distortions_were_measured():
    """Where they are fewer than the split has."""
    assert "Measured on" not in build({}).read_text()
    text = Path("params.yaml").read_text().replace("unseen_images: null", "unseen_images: 10")
    Path("params.yaml").write_text(text)
    evaluate.measure(load(evaluate.Params))
    assert re.search(r"Measured on 10 of the\s+40 images", build({}).read_text())


def test_a_verdict_of_another_file_is_refused():
    """A verdict about another file than model.onnx is refused."""
    Path("model/model.onnx").write_bytes(Path("model/model.onnx").read_bytes() + b"\0")
    with pytest.raises(FctError, match="the verdict is about another file"):
        build({})


def test_without_a_verdict_the_error_says_what_makes_it():
    """A missing verdict is an error for people."""
    Path("metrics/gate.json").unlink()
    with pytest.raises(FctError, match=r"metrics/gate\.json is not here\. Make it with `dvc repro gate`"):
        build({})


def write_trainings(**changed):
    split = json.loads(Path("metrics/gate.json").read_text())["split"]
    conditions = load(gate.Params).evaluate.conditions | changed
    Trainings((3, 4, 5), {"raw_accuracy": (0.8, 0.84, 0.82)}, split["digest"], conditions).write()


def test_the_page_shows_how_much_trainings_differ():
    """Mean, deviation and range of each line, of so many trainings."""
    write_trainings()
    page = build({}).read_text()
    for text in (
        "How much trainings differ",
        "3 trainings",
        "82.0 %</td>",
        "2.00 points</td>",
        "80.0 % to 84.0 %</td>",
    ):
        assert text in page
    assert "about one training" not in page


@pytest.mark.parametrize("kind", ["no file", "no trainings", "other conditions"])
def test_without_trainings_the_page_says_that_the_verdict_is_about_one(kind):
    """Where none were measured, or others than the verdict's, a sentence says what the verdict does not cover."""
    if kind == "no trainings":
        NONE.write()
    elif kind == "other conditions":
        write_trainings(qualities=[1])
    page = build({}).read_text()
    assert "The verdict is about one training. <code>fct spread --seeds 5</code> shows how much" in page
    assert "How much trainings differ" not in page


def test_the_page_shows_how_the_method_was_chosen():
    """The trials of the search, and what they say of each value that was varied."""
    points = [Point(0, 2, 0.9, 0.8, is_trained=True), Point(1, 1, 0.7, 0.6, is_trained=False)]
    facts = replace(gather_facts({}), tried=points, importance=[("weight", 0.75), ("layer head", 0.25)])
    page = render(facts)
    for text in ("How the method was chosen", "2 short trainings", "ended early", "layer head"):
        assert text in page
    assert "too few to say" in render(replace(facts, importance=[]))
    assert "How the method was chosen" not in render(replace(facts, tried=[]))
