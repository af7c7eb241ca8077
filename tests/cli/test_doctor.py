"""`fct doctor` finds damage that opening a file does not show, and names the command that repairs it."""

import json
import re
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from fct import cli
from fct.core.files import atomic_folder, write_json
from fct.core.params import to_yaml
from fct.core.paths import ORIGINALS, SPLITS
from fct.data import dataset
from fct.data import folder as folder_source
from fct.data.dataset import Dataset, LabelledImages
from fct.data.params import DataParams, FolderParams

PARAMS = DataParams.model_validate(
    {"source": "cifar-10", "mirror": None, "seed": 0, "fractions": {"val": 0.2, "gate": 0.1, "test": 0.1}}
    | {"folder": {"path": "images", "pixels": 16, "keep": 1.0, "channels": 3, "on_error": "fail"}}
)


@pytest.fixture
def healthy(toy, scenes):
    """Work in a working copy without damage."""
    Path("params.yaml").write_text(
        to_yaml(
            {
                "data": PARAMS.model_dump(),
                "jpeg": {"subsampling": "4:2:0"},
                "cache": {"qualities": [20, 60], "shard": 256},
            }
        )
    )
    shutil.rmtree("data")
    images = scenes(count=120)
    drawn = Dataset(("left", "right", "top"), LabelledImages(images.images, images.labels), None)
    with atomic_folder(SPLITS) as splits, atomic_folder(ORIGINALS) as originals:
        digest = dataset.build(drawn, PARAMS, splits, originals)["digest"]
    for quality in toy.qualities:
        toy.build_cache(quality, source_digest=digest)
    return replace(toy, digest=digest)


def flip(path):
    """Change one bit in the middle of a file; its size and time stay."""
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def run_doctor():
    return CliRunner().invoke(cli.main, ["doctor"])


@pytest.mark.usefixtures("healthy")
def test_undamaged_data_are_called_whole():
    """The splits and each quality have one line each, and the exit status is 0."""
    result = run_doctor()
    assert result.exit_code == 0
    assert result.stdout == "splits and originals: whole\ncache at quality 20: whole\ncache at quality 60: whole\n"


def test_one_flipped_bit_of_a_cache_is_found(healthy):
    """The cache still opens; the doctor names the file and the command that rebuilds it, and exits with 1."""
    flip(Path("data/cache/q60/train-00000.npy"))
    healthy.views()
    result = run_doctor()
    assert result.exit_code == 1
    assert result.stdout.splitlines()[1] == "cache at quality 20: whole"
    assert result.stdout.splitlines()[2] == (
        "cache at quality 60: data/cache/q60/train-00000.npy is damaged (its checksum is not the manifest's). "
        "Rebuild it with `dvc repro --force --single-item cache@60`."
    )


@pytest.mark.usefixtures("healthy")
def test_one_flipped_bit_of_a_split_is_found():
    """The splits' own digest covers every byte of them."""
    flip(Path("data/splits/gate/labels.npy"))
    result = run_doctor()
    assert result.exit_code == 1
    assert "data/splits or data/originals is damaged" in result.stdout
    assert "dvc repro --force --single-item data" in result.stdout


@pytest.mark.usefixtures("healthy")
@pytest.mark.parametrize("path", ["data/splits/meta.json", "data/originals/meta.json"])
def test_a_changed_description_is_found(path):
    """The checksums cover the description of the splits too."""
    text = Path(path).read_text()
    Path(path).write_text(text.replace("16", "17").replace("false", "true"))
    assert Path(path).read_text() != text
    result = run_doctor()
    assert result.exit_code == 1
    assert "dvc repro --force --single-item data" in result.stdout


@pytest.mark.usefixtures("healthy")
@pytest.mark.parametrize("text", ["", "{", "[]", "{}"])
def test_an_unreadable_description_is_found(text):
    """A meta.json that cannot be read is a finding, not a traceback."""
    Path("data/splits/meta.json").write_text(text)
    result = run_doctor()
    assert result.exit_code == 1
    assert isinstance(result.exception, SystemExit)
    assert "splits and originals: data/splits" in result.stdout


@pytest.mark.usefixtures("healthy")
@pytest.mark.parametrize("key", ["quality", "source", "subsampling", "codec", "sha256"])
def test_a_cache_that_training_would_refuse_is_found(key):
    """A cache of another quality, source, subsampling or codec, or without checksums, is not whole."""
    path = Path("data/cache/q60/manifest.json")
    write_json(path, json.loads(path.read_text()) | {key: {}})
    result = run_doctor()
    assert result.exit_code == 1
    assert "cache@60" in result.stdout


@pytest.mark.usefixtures("healthy")
@pytest.mark.parametrize("text", ["{", "{}", "[]"])
def test_an_unreadable_manifest_is_found(text):
    """Half a manifest, or one without checksums, is a finding, not a traceback."""
    Path("data/cache/q20/manifest.json").write_text(text)
    result = run_doctor()
    assert result.exit_code == 1
    assert "cache@20" in result.stdout


@pytest.mark.usefixtures("healthy")
def test_a_missing_file_is_found():
    """The doctor names a file that is not there."""
    Path("data/cache/q20/val-00000.npy").unlink()
    result = run_doctor()
    assert result.exit_code == 1
    assert "data/cache/q20/val-00000.npy is not here" in result.stdout


@pytest.mark.usefixtures("place")
def test_without_params_it_says_so():
    """Outside a project the error is one line without a traceback."""
    result = run_doctor()
    assert result.exit_code == 2
    assert "params.yaml is not here" in result.stderr


@pytest.mark.usefixtures("place")
def test_images_of_train_that_were_kept_at_another_size_are_found():
    """After a change of `data.folder.keep` alone the doctor names the key, both sizes and the folder."""
    folder = FolderParams.model_validate(PARAMS.folder.model_dump() | {"keep": 1.5})
    data = PARAMS.model_copy(update={"source": "folder", "folder": folder})
    Path("params.yaml").write_text(
        to_yaml(
            {"data": data.model_dump(), "jpeg": {"subsampling": "4:2:0"}, "cache": {"qualities": [20], "shard": 256}}
        )
    )
    for label in ("left", "right"):
        (Path("images") / label).mkdir(parents=True)
        for number in range(4):
            pixels = np.random.default_rng([number, label == "left"]).integers(0, 256, (20, 20, 3), np.uint8)
            Image.fromarray(pixels).save(Path("images") / label / f"{number}.png")
    with atomic_folder(SPLITS) as splits, atomic_folder(ORIGINALS) as originals:
        folder_source.build(data, splits, originals)
    assert "splits and originals: whole" in run_doctor().stdout
    path = Path("params.yaml")
    path.write_text(path.read_text().replace("keep: 1.5", "keep: 1.0"))
    assert re.search(
        r"data\.folder\.keep is 1\.0, .* 16 pixels, but those in data/splits/train have 24", run_doctor().stdout
    )


@pytest.mark.usefixtures("healthy")
@pytest.mark.parametrize(
    ("old", "new", "key"),
    [
        ("seed: 0", "seed: 7", "data.seed is 7"),
        ("source: cifar-10", "source: folder", "data.source is folder"),
    ],
)
def test_splits_of_other_params_are_found(old, new, key):
    """Whole splits that are not those of params.yaml are a finding, with the key, both values and the file."""
    path = Path("params.yaml")
    path.write_text(path.read_text().replace(old, new))
    result = run_doctor()
    assert result.exit_code == 1
    assert key in result.stdout
    assert "data/splits/meta.json has" in result.stdout
