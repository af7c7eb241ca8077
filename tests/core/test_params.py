"""Errors of params.yaml have file, line, key and value."""

import re
from pathlib import Path

import pytest

from fct.core import params
from fct.core.errors import FctError

ROOT = Path(__file__).parents[2]


class Inner(params.Section):
    path: str
    size: int
    share: float = 0


class Data(params.Section):
    seed: int
    folder: Inner


class Sections(params.Section):
    data: Data


GOOD = "data:\n  seed: 3\n  folder:\n    path: here\n    size: 32\njpeg: {}\n"


@pytest.fixture
def file(tmp_path: Path):
    def write(text: str) -> Path:
        path = tmp_path / "params.yaml"
        path.write_text(text)
        return path

    return write


def test_a_good_file_gives_values(file):
    """A valid file gives typed values."""
    assert params.load(Sections, file(GOOD)).data.folder.size == 32


def test_only_the_declared_sections_are_loaded(file):
    """A section that is not declared is not loaded or checked."""
    assert set(params.load(Sections, file(GOOD + "cache: nonsense\n")).model_dump()) == {"data"}


@pytest.mark.parametrize(
    ("broken", "message"),
    [
        (GOOD.replace("seed: 3", "seed: three"), r"line 2: data\.seed: .*integer.*\(it is 'three'\)"),
        (GOOD.replace("  seed: 3\n", ""), r"line 1: data\.seed: this key is missing"),
        (GOOD.replace("path:", "pth:"), r"line 4: data\.folder\.pth: unknown key\. Did you mean 'path'\?"),
        (GOOD.replace("jpeg:", "jpg:"), r"line 6: jpg: unknown section\. Did you mean 'jpeg'\?"),
        (GOOD.replace("data:", "data"), "not valid YAML"),
        ("- 1\n- 2\n", "expected sections"),
        ("jpeg: {}\n", r"data: this key is missing"),
        (GOOD.replace("here", "a\x07b"), "not valid YAML: .*special characters"),
        (GOOD.replace("size: 32", "size: 32\n    share: .inf"), r"line 6: data\.folder\.share: .*finite number"),
    ],
)
def test_errors_have_their_place(file, broken, message):
    """The error for a wrong value, a missing or unknown key or section, or invalid YAML has its line and key."""
    with pytest.raises(FctError, match=message):
        params.load(Sections, file(broken))


def test_a_file_in_another_encoding_is_named(tmp_path):
    """The error for a file that is not UTF-8 has the file's name."""
    path = tmp_path / "params.yaml"
    path.write_bytes(GOOD.replace("here", "café").encode("latin-1"))
    with pytest.raises(FctError, match=r"params\.yaml: not valid YAML: 'utf-8' codec"):
        params.load(Sections, path)


def test_the_error_for_an_old_section_says_what_to_do(file):
    """The error for a section of an earlier version says what to do."""
    with pytest.raises(FctError, match=r"line 1: recipe: .*`fct recipe apply NAME`"):
        params.load(Sections, file("recipe: pair\n" + GOOD))


def test_the_error_for_a_removed_key_says_what_to_do(file):
    """The seed of an older gate is not taken for one that still decides something."""
    with pytest.raises(FctError, match=r"line 2: evaluate\.seed: this key was removed.* Delete this line"):
        params.load(Sections, file("evaluate:\n  seed: 0\n" + GOOD))


@pytest.mark.parametrize("old", [key for key, now in params.RENAMED.items() if "is called" in now])
def test_the_error_for_an_old_key_has_the_new_one(tmp_path, old):
    """The error for a key of an earlier version has the new name, which params.yaml uses."""
    from pipelines.params import Params

    text = (ROOT / "params.yaml").read_text()
    new = re.search(r"is called (\w+) now", params.RENAMED[old])[1]
    section, _, key = old.rpartition(".")
    path = tmp_path / "params.yaml"
    before, head, after = text.partition(f"\n{section.partition('.')[0]}:")
    path.write_text(before + head + re.sub(rf"\b{new}: ", f"{key}: ", after, count=1))
    with pytest.raises(FctError, match=rf"params\.yaml, line \d+: {re.escape(old)}: it is called {new} now"):
        params.load(Params, path)


def test_a_missing_file_is_an_error(tmp_path):
    """The error for a missing params.yaml says where to run the command."""
    with pytest.raises(FctError, match="Run the command in the folder"):
        params.load(Sections, tmp_path / "params.yaml")


def test_the_defaults_stand_in_for_a_missing_file(tmp_path, monkeypatch, capsys):
    """A command that makes sense without params.yaml reads the package's copy, and says so once on stderr."""
    monkeypatch.chdir(tmp_path)
    path = params.present_or_defaults("Mind that.")
    assert path.read_text() == (ROOT / "params.yaml").read_text()
    assert capsys.readouterr() == ("", f"params.yaml is not here. {path} is used. Mind that.\n")


def test_a_file_that_is_here_goes_before_the_defaults(file, monkeypatch, capsys):
    """Also if it is wrong: its error is for the user to see."""
    monkeypatch.chdir(file("nonsense").parent)
    assert params.present_or_defaults() == Path("params.yaml")
    assert capsys.readouterr() == ("", "")
