"""The stage `spread`: none by default and at once, or as many trainings as params.yaml asks for."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from pydantic import ValidationError
from ruamel.yaml import YAML

from fct.core.errors import FctError
from fct.core.params import load, to_yaml
from fct.gate import trainings
from fct.spread.params import Params, SpreadParams

ROOT = Path(__file__).parents[2]
HEAVY = ("torch", "mlflow", "onnxruntime", "scipy", "matplotlib")


@pytest.fixture
def project(toy):
    """Stand in the tiny data set with params.yaml for one short training, and with what the search chose."""
    params = YAML(typ="safe").load(ROOT / "params.yaml")
    params["cache"]["qualities"] = list(toy.qualities)
    params["train"] = toy.setup().train.model_dump() | {"epochs": 1}
    params["model"]["name"] = "resnet8"
    params["evaluate"] |= {"qualities": [20], "unseen": []}
    params["gate"] = [
        {"slice": "raw", "metric": "accuracy", "at_least": 0.1},
        {"slice": "raw", "metric": "accuracy", "at_least": 0.1, "over": "trainings"},
        {"slice": "worst-class", "metric": "accuracy", "at_least": 0.1, "over": "trainings"},
        {"slice": "mean", "metric": "ece", "champion": 0.1},
        {"metric": "file_mib", "at_most": 10},
    ]
    Path("params.yaml").write_text(to_yaml(params))
    Path("search").mkdir()
    method = toy.method(name="pair").model_dump()
    Path("search/best.yaml").write_text(to_yaml({"trial": 0, "method": method}))
    return toy


def run():
    code = "import json, sys; from fct.spread.__main__ import main; main()"
    code += f"; print(json.dumps([name for name in {HEAVY} if name in sys.modules]))"
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.splitlines()


@pytest.mark.usefixtures("project")
def test_without_trainings_it_imports_nothing_heavy_and_says_so():
    """The default, 0, writes a file without trainings, the same each time, and starts no run in MLflow."""
    said, heavy = run()
    first = Path("metrics/spread.json").read_bytes()
    run()
    assert said.startswith("spread.trainings is 0")
    assert json.loads(heavy) == []
    assert trainings.read() == trainings.NONE
    assert Path("metrics/spread.json").read_bytes() == first
    assert not Path("mlflow.db").exists()


@pytest.mark.parametrize("number", [0, 2, 100])
def test_a_number_of_trainings_is_taken(number):
    """None, or as many as can differ."""
    assert SpreadParams(trainings=number).trainings == number


@pytest.mark.parametrize(
    ("number", "message"),
    [(1, "one training shows no difference"), (-1, "greater than or equal to 0"), (101, "less than or equal to 100")],
)
def test_an_impossible_number_of_trainings_is_refused(number, message):
    """One training has no spread, and a hundred are more than anyone waits for."""
    with pytest.raises(ValidationError, match=message):
        SpreadParams(trainings=number)


@pytest.fixture
def trained(project, monkeypatch):  # noqa: ARG001  # it stands in the project
    """Measure without training: the value is the seed over 100. Return the list of seeds that were asked for."""
    from fct.spread import measure

    seeds = []

    def train_and_measure(setup, method, data, meta, checkpoint, gate, lines, params):  # noqa: ARG001
        seeds.append(setup.train.seed)
        return dict.fromkeys(lines, setup.train.seed / 100)

    monkeypatch.setattr(measure, "_train_and_measure", train_and_measure)
    return seeds


def test_trainings_are_measured_once(trained):
    """The seeds follow train.seed, and the values are of the lines about images; of three, two are there already."""
    from fct.spread.measure import measure_trainings

    params = load(Params)
    found = measure_trainings(params, 2)
    assert found.seeds == (0, 1)
    assert found.values == {"raw_accuracy": (0.0, 0.01), "worst-class_accuracy": (0.0, 0.01)}
    assert found.is_of(found.digest, params.evaluate.conditions)
    assert measure_trainings(params, 3).values["raw_accuracy"] == (0.0, 0.01, 0.02)
    assert trained == [0, 1, 2]


def test_another_configuration_is_trained(trained):
    """What was kept is of the params that it was made with."""
    from fct.spread.measure import measure_trainings

    params = load(Params)
    measure_trainings(params, 2)
    measure_trainings(params.model_copy(update={"train": params.train.model_copy(update={"epochs": 2})}), 2)
    assert trained == [0, 1, 0, 1]


@pytest.mark.parametrize("changed", [{"unseen_images": 10}, {"qualities": (20, 60)}])
def test_other_views_or_images_are_measured_anew(trained, changed):
    """What was kept is of the views and the images of unseen distortions that it was measured on."""
    from fct.spread.measure import measure_trainings

    params = load(Params)
    measure_trainings(params, 2)
    measure_trainings(params.model_copy(update={"evaluate": params.evaluate.model_copy(update=changed)}), 2)
    assert trained == [0, 1, 0, 1]


def test_lines_of_both_directions_have_a_value_each(trained):
    """The best class is another value than the worst one, and is measured where a line asks for it."""
    from fct.spread.measure import measure_trainings

    params = load(Params)
    measure_trainings(params, 2)
    best = params.gate[2].model_copy(update={"at_least": None, "at_most": 0.9})
    found = measure_trainings(params.model_copy(update={"gate": [*params.gate, best]}), 2)
    assert list(found.values) == ["raw_accuracy", "worst-class_accuracy", "worst-class_accuracy_at_most"]
    assert trained == [0, 1, 0, 1]


def test_measuring_code_that_changed_measures_anew(trained, monkeypatch):
    """What was kept is not taken for what other code would have measured."""
    from fct.spread import measure

    params = load(Params)
    measure.measure_trainings(params, 2)
    monkeypatch.setattr(measure, "code_digest", lambda *packages: f"other {packages}")
    measure.measure_trainings(params, 2)
    assert trained == [0, 1, 0, 1]


def test_a_threshold_trains_nothing(trained):
    """A changed bound of a line is judged on what was measured before."""
    from fct.spread.measure import measure_trainings

    params = load(Params)
    measure_trainings(params, 2)
    stricter = params.gate[0].model_copy(update={"at_least": 0.9})
    measure_trainings(params.model_copy(update={"gate": [stricter, *params.gate[1:]]}), 2)
    assert trained == [0, 1]


@pytest.mark.usefixtures("project")
def test_a_gate_about_files_alone_has_nothing_to_measure():
    """Without a line about images the error says so, before anything is trained."""
    from fct.spread.measure import measure_trainings

    params = load(Params)
    with pytest.raises(FctError, match="no line is about images"):
        measure_trainings(params.model_copy(update={"gate": params.gate[-1:]}), 2)
