"""The doctor finds damage that opening a file does not show, and names the command that mends it."""

from pathlib import Path

import pytest
from click.testing import CliRunner

from fct import cli
from fct.core.files import digest, sha256, write_json
from fct.data.store import read_meta


@pytest.fixture
def healthy(toy):
    """Stand in a working copy in which all is well."""
    Path("params.yaml").write_text("cache: {qualities: [20, 60]}\n")
    meta = read_meta()
    files = sorted(path for path in Path("data/splits").rglob("*") if path.is_file() and path.name != "meta.json")
    sums = [[str(path.relative_to("data/splits")), sha256(path)] for path in files]
    write_json(Path("data/splits/meta.json"), meta | {"source": "toy", "digest": digest([meta["classes"], *sums])})
    return toy


def flip(path):
    """Change one bit in the middle of a file; its size and time stay."""
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def ask():
    return CliRunner().invoke(cli.main, ["doctor"])


@pytest.mark.usefixtures("healthy")
def test_what_is_whole_is_said_to_be():
    """Splits and each quality are a line each, and the exit status is 0."""
    told = ask()
    assert told.exit_code == 0
    assert told.output == "splits and originals: whole\ncache at quality 20: whole\ncache at quality 60: whole\n"


def test_one_flipped_bit_of_a_cache_is_found(healthy):
    """It opens as ever; the doctor names the file, the command that rebuilds it, and exits with 1."""
    flip(Path("data/cache/q60/train.npy"))
    healthy.views()
    told = ask()
    assert told.exit_code == 1
    assert told.output.splitlines()[1] == "cache at quality 20: whole"
    assert told.output.splitlines()[2] == (
        "cache at quality 60: data/cache/q60/train.npy is damaged (its checksum is not the manifest's). "
        "Rebuild it with `dvc repro --force --single-item cache@60`."
    )


@pytest.mark.usefixtures("healthy")
def test_one_flipped_bit_of_a_split_is_found():
    """The splits' own digest covers every byte of them."""
    flip(Path("data/splits/gate/labels.npy"))
    told = ask()
    assert told.exit_code == 1
    assert "data/splits or data/originals is damaged" in told.output
    assert "dvc repro --force --single-item data" in told.output


@pytest.mark.usefixtures("healthy")
@pytest.mark.parametrize("text", ["{", "{}", "[]"])
def test_a_manifest_that_is_none_is_found(text):
    """Half a manifest, or one without checksums, is a finding too, not a traceback."""
    Path("data/cache/q20/manifest.json").write_text(text)
    told = ask()
    assert told.exit_code == 1
    assert "cache@20" in told.output


@pytest.mark.usefixtures("healthy")
def test_what_is_missing_is_found():
    """A file that is not there is named."""
    Path("data/cache/q20/val.npy").unlink()
    told = ask()
    assert told.exit_code == 1
    assert "data/cache/q20/val.npy is not here" in told.output


@pytest.mark.usefixtures("place")
def test_without_params_it_says_so():
    """Outside of a project there is one line, and no traceback."""
    told = ask()
    assert told.exit_code == 1
    assert "params.yaml is not here" in told.output
