"""Parameters of the night shift, and runs that change some."""

import re
from pathlib import Path

import pytest

from fct.core.errors import FctError
from fct.core.params import SECTIONS, load
from pipelines.params import Params, Schedules, apply_overrides

REPOSITORY = Path(__file__).parents[2]
DEEP = []
for _ in range(500):
    DEEP = [DEEP]


@pytest.fixture
def params(tmp_path, monkeypatch):
    """Work beside a copy of params.yaml."""
    text = (REPOSITORY / "params.yaml").read_text()
    (tmp_path / "params.yaml").write_text(text)
    monkeypatch.chdir(tmp_path)
    return text


def test_every_section_is_validated():
    """`Params` has every section, so that a run with overrides is checked as a whole."""
    assert set(Params.model_fields) == set(SECTIONS)


def test_changed_params_keep_everything_else(params):
    """Only the lines that an override names differ; comments stay."""
    lines = zip(params.splitlines(), apply_overrides({"train.epochs": 777}).splitlines(), strict=True)
    [(old, new)] = [pair for pair in lines if pair[0] != pair[1]]
    assert re.sub("epochs: [0-9]+", "epochs: 777", old) == new


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        ({"train.epoch": 7}, r"overrides: train\.epoch: there is no such key.*train\.epochs"),
        ({"trian.epochs": 7}, r"overrides: trian\.epochs: there is no such key.*train"),
        ({"train.epochs.x": 7}, r"overrides: train\.epochs\.x: there is no such key"),
        ({"train.epochs": 0}, r"overrides: params\.yaml, line \d+: train\.epochs: .*\(it is 0\)"),
        ({"train.epochs": True}, r"overrides: params\.yaml, line \d+: train\.epochs: .*whole number"),
        ({"train.epochs": "2_0"}, r"overrides: params\.yaml, line \d+: train\.epochs: .*'2_0'"),
        ({"train.epochs": 10**34}, r"overrides: train\.epochs: an integer of more than 64 bits"),
        ({"registry.name": "a\0b"}, r"overrides: registry\.name: it contains the invisible character .*"),
        ({"registry.name": ".."}, r"overrides: params\.yaml, line \d+: registry\.name: .*'\.\.'"),
        ({"registry.name": " "}, r"overrides: params\.yaml, line \d+: registry\.name: white space"),
        ({"data.folder.path": "-rf"}, r"overrides: params\.yaml, line \d+: data\.folder\.path: it begins with a dash"),
        ({"intake.inbox": ".."}, r"overrides: params\.yaml, line \d+: intake\.inbox: this is the project's own folder"),
        ({"method.layers": DEEP}, r"overrides: method\.layers\S*: nested more than 16 levels deep"),
        ({"method.layers": ["x"] * 6_000}, r"overrides: more than 5,000 values"),
        ({"train.epochs": "many"}, r"overrides: params\.yaml, line \d+: train\.epochs: .*'many'"),
    ],
)
@pytest.mark.usefixtures("params")
def test_an_impossible_override_is_named(overrides, message):
    """A key that does not exist and an invalid value are refused, and the message names the key."""
    with pytest.raises(FctError, match=message):
        apply_overrides(overrides)


@pytest.mark.parametrize(
    ("line", "key"),
    [
        ('schedule: "0 25 * * *"', "pipeline.schedule"),
        ('schedule: "0 2 * * * *"', "pipeline.schedule"),
        ('schedule: "0 2 30 2 *"', "pipeline.schedule: no such day comes"),
        ('schedule: ""', "pipeline.schedule"),
        ("timezone: Mars/Olympus", "pipeline.timezone"),
        ("workers: 0", "pipeline.workers"),
    ],
)
def test_a_schedule_that_cannot_be_is_named(params, line, key):
    """A wrong cron line, an unknown time zone and zero workers are errors that name the key."""
    word = line.partition(":")[0]
    before, section, after = params.partition("\npipeline:")
    Path("params.yaml").write_text(before + section + re.sub(rf"{word}: .*", line, after, count=1))
    with pytest.raises(FctError, match=rf"params\.yaml, line \d+: {key}"):
        load(Schedules)
