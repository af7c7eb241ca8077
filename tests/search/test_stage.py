"""The stage as DVC runs it: its files, and what MLflow has afterwards."""

import shutil
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from ruamel.yaml import YAML

from fct.core import environment
from fct.core.params import to_yaml
from fct.search import __main__ as stage
from fct.search import plots, run
from fct.tracking.server import connect

pytestmark = pytest.mark.e2e
ROOT = Path(__file__).parents[2]


@pytest.fixture
def run_stage(toy, schema, monkeypatch):
    """Return a function that runs the stage on the tiny data set, with accuracies by chance in place of trainings."""
    shutil.copy(schema, "mlflow.db")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{toy.root}/mlflow.db")
    monkeypatch.setenv("FCT_PIPELINE_RUN", "here")
    monkeypatch.delenv("MLFLOW_EXPERIMENT_NAME", raising=False)
    environment.write()
    rng = np.random.default_rng(0)

    def train(_network, _data, _method, params, *, on_epoch):
        for number in range(params.epochs):
            on_epoch(number, {"val_compressed": rng.uniform(0.5, 0.9), "val_raw": rng.uniform(0.5, 0.9)})

    def run_one(**search):
        params = YAML(typ="safe").load(ROOT / "params.yaml")
        params["cache"]["qualities"] = list(toy.qualities)
        params["train"] = toy.setup().train.model_dump()
        params["method"] = toy.method().model_dump()
        params["search"] |= {"images": 48, "targets": ["raw"]} | search
        Path("params.yaml").write_text(to_yaml(params))
        done = CliRunner().invoke(stage.main)
        assert done.exit_code == 0, done.output
        return done.stdout

    monkeypatch.setattr(run, "train", train)
    return run_one


def artifacts():
    """Return the figures on the pipeline's run."""
    server = connect()
    (pipeline,) = server.client.search_runs([server.experiment], "tags.`fct.kind` = 'pipeline'")
    return {file.path for file in server.client.list_artifacts(pipeline.info.run_id, "plots")}


def test_tables_and_figures_of_all_trials(run_stage):
    """Twelve trials are enough for the importance of what is searched."""
    said = run_stage(trials=12, epochs=2, pruner="successive-halving")
    assert "are a first look" not in said
    points = plots.read_points(Path("plots/search.csv"))
    assert [point.trial for point in points] == list(range(12))
    assert {point.epochs for point in points} == {1, 2}
    names = {name for name, _ in plots.read_shares(Path("plots/importance.csv"))}
    assert {"weight", "layer head", "block stem", "distance", "target"} <= names
    assert artifacts() == {"plots/search.png", "plots/importance.png"}


def test_few_trials_have_no_importance(run_stage):
    """Its table is empty, and there is no figure of it."""
    said = run_stage(trials=2)
    assert "2 trials are a first look" in said
    assert len(plots.read_points(Path("plots/search.csv"))) == 2
    assert plots.read_shares(Path("plots/importance.csv")) == []
    assert artifacts() == {"plots/search.png"}


def test_without_a_search_the_tables_are_empty(run_stage):
    """The stage has the same outs."""
    assert run_stage(trials=1).startswith("no search: ")
    assert plots.read_points(Path("plots/search.csv")) == plots.read_shares(Path("plots/importance.csv")) == []
