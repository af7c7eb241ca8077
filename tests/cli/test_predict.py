"""`fct predict` prints one line per file, a reason if there is no prediction, and JSON for programs."""

import json
import os
import shutil
from pathlib import Path

import pytest
from click.testing import CliRunner

from fct import cli


@pytest.fixture
def shop(colour_model, picture, tmp_path, monkeypatch):
    """Work in a folder with a model and a folder of three images, one of them broken."""
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
    """Each file below the folder has a line with class, probability, quality and note, or with the reason."""
    assert shop
    done = run("images")
    lines = [line.split() for line in done.stdout.splitlines()]
    assert lines[0] == ["file", "class", "probability", "quality"]
    assert lines[1][:2] == ["images/a.jpg", "green"]
    assert lines[1][3:] == ["20", "below", "every", "trained", "quality"]
    assert lines[2][:4] == ["images/b.jpg", "not", "a", "JPEG,"]
    assert lines[3][:2] == ["images/deep/c.png", "blue"]
    assert done.exit_code == 2


@pytest.mark.parametrize("name", ["README.md", "deep/readme.txt", "deep.dvc"])
def test_notes_beside_the_images_are_no_images(shop, name):
    """As in the stage data."""
    (shop / "images" / name).write_text("text")
    shutil.copy(shop / "images/a.jpg", shop / "images/readme-1.jpg")
    assert "images/readme-1.jpg" in run("images").stdout
    (shop / "images/readme-1.jpg").unlink()
    assert "ead" not in run("images").stdout.replace("deep/c.png", "")
    assert ".dvc" not in run("images").stdout


def test_json_is_one_object_per_line(shop):
    """Programs read the file, class, probabilities, quality and flag; the status is 0 if all files are usable."""
    assert shop
    done = run("--json", "images/deep/c.png", "images/a.jpg")
    predictions = [json.loads(line) for line in done.stdout.splitlines()]
    assert done.exit_code == 0
    assert [(row["file"], row["class"], row["quality"]) for row in predictions] == [
        ("images/deep/c.png", "blue", None),
        ("images/a.jpg", "green", 20),
    ]
    assert sum(predictions[0]["probabilities"].values()) == pytest.approx(1)
    assert [row["below_trained"] for row in predictions] == [False, True]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--model", "gone.onnx", "images"], "gone.onnx is not here"),
        (["images/empty"], "images/empty: this folder has no image. Name one that has."),
        (["images/notes"], "images/notes: this folder has no image."),
        (["--model", "model.pt", "images"], "--model model.pt: this is not an ONNX file"),
        (["--model", "model/model.pt", "images"], "--model model/model.pt: this is not an ONNX file"),
        (["--model", "champoin", "images"], "or a registered version: champion, challenger, previous, or a number."),
        (["--model", "images", "images"], "--model images: this is not an ONNX file"),
    ],
)
def test_an_error_at_the_start_is_one_line(shop, arguments, message):
    """A model that is not there and an empty folder are errors for people."""
    (shop / "images/empty").mkdir()
    (shop / "images/notes").mkdir()
    (shop / "images/notes/README.md").write_text("text")
    done = run(*arguments)
    assert done.exit_code == 2
    assert message in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("charset", ["utf-8", "latin-1", "ascii"])
@pytest.mark.parametrize("arguments", [["--json"], []], ids=["json", "table"])
def test_a_name_that_the_terminal_cannot_show_is_classified(shop, charset, arguments):
    """A file's name outside of the terminal's encoding, or of UTF-8, or with a line feed, is one line of the output."""
    names = ["\u5317.png", os.fsdecode(b"caf\xe9.png"), "two\nlines.png"]
    for name in names:
        shutil.copy(shop / "images/deep/c.png", shop / name)
    done = CliRunner(charset=charset).invoke(cli.main, ["predict", *arguments, *names])
    assert done.exit_code == 0
    assert len(done.stdout.splitlines()) == len(names) + (not arguments)


def test_what_systems_leave_in_a_folder_is_not_classified(shop):
    """Thumbnails and indexes beside the images are passed over, as in training."""
    (shop / "images/Thumbs.db").write_bytes(b"no image")
    (shop / "images/__MACOSX").mkdir()
    (shop / "images/__MACOSX/a.jpg").write_bytes(b"no image")
    assert "Thumbs" not in run("images").stdout
    assert "__MACOSX" not in run("images").stdout


def test_a_file_of_a_folder_that_cannot_be_looked_at_is_one_line(shop, monkeypatch):
    """A file without permission has its reason, and the others their class."""
    real = Path.stat

    def stat(path, **options):
        if path.name == "a.jpg":
            raise PermissionError(13, "Permission denied", str(path))
        return real(path, **options)

    monkeypatch.setattr(Path, "stat", stat)
    done = run(str(shop / "images"))
    assert "cannot be read: Permission denied" in done.stdout
    assert "blue" in done.stdout


@pytest.mark.parametrize("has_data", [False, True])
def test_a_model_of_other_data_than_those_here_is_told(shop, has_data):
    """The pipeline's model is stale after the data have changed; where there are no splits, nothing is compared."""
    if has_data:
        (shop / "data/splits").mkdir(parents=True)
        (shop / "data/splits/meta.json").write_text('{"digest": "0123456789abcdef"}')
    done = run("images/a.jpg")
    assert done.exit_code == 0
    assert ("was trained on other data than data/splits has now" in done.stderr) == has_data
