"""`fct predict`: a line a file, a reason where there is no answer, JSON for programs."""

import json
import shutil

import pytest
from click.testing import CliRunner

from fct import cli


@pytest.fixture
def shop(colour_model, picture, tmp_path, monkeypatch):
    """Stand in a folder with a model and a folder of three images, one of them broken."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "model").mkdir()
    shutil.move(colour_model(), tmp_path / "model/model.onnx")
    (tmp_path / "images/deep").mkdir(parents=True)
    (tmp_path / "images/.hidden").write_bytes(b"")
    (tmp_path / "images/a.jpg").write_bytes(picture("green", "JPEG", quality=20))
    (tmp_path / "images/b.jpg").write_bytes(b"broken")
    (tmp_path / "images/deep/c.png").write_bytes(picture("blue"))
    return tmp_path


def run(*arguments):
    return CliRunner().invoke(cli.main, ["predict", *arguments])


def test_a_folder_is_a_table(shop):
    """Every file below it is a line: class, probability, quality, a note, or the reason; and the status says so."""
    assert shop
    done = run("images")
    lines = [line.split() for line in done.stdout.splitlines()]
    assert lines[0] == ["file", "class", "probability", "quality"]
    assert lines[1][:2] == ["images/a.jpg", "green"]
    assert lines[1][3:] == ["20", "below", "every", "trained", "quality"]
    assert lines[2][:4] == ["images/b.jpg", "not", "a", "JPEG,"]
    assert lines[3][:2] == ["images/deep/c.png", "blue"]
    assert done.exit_code == 1


def test_json_is_an_object_a_line(shop):
    """Programs read file, class, all probabilities, quality and flag; all is well, so the status is 0."""
    assert shop
    done = run("--json", "images/deep/c.png", "images/a.jpg")
    told = [json.loads(line) for line in done.stdout.splitlines()]
    assert done.exit_code == 0
    assert [(each["file"], each["class"], each["quality"]) for each in told] == [
        ("images/deep/c.png", "blue", 100),
        ("images/a.jpg", "green", 20),
    ]
    assert sum(told[0]["probabilities"].values()) == pytest.approx(1)
    assert [each["below_trained"] for each in told] == [False, True]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--model", "gone.onnx", "images"], "gone.onnx is not here"),
        (["images/empty"], "images/empty: there is no file in this folder"),
    ],
)
def test_what_cannot_begin_is_one_line(shop, arguments, said):
    """A model that is not there and an empty folder are errors for people."""
    (shop / "images/empty").mkdir()
    done = run(*arguments)
    assert done.exit_code == 1
    assert said in done.stderr
    assert "Traceback" not in done.stderr
