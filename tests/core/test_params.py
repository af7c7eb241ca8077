"""params.yaml: what is wrong is said with file, line, key and value."""

import re
from pathlib import Path

import pytest

from fct.core import params
from fct.core.errors import FctError


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
    """A valid file becomes the typed values it holds."""
    assert params.load(Sections, file(GOOD)).data.folder.size == 32


def test_only_the_declared_sections_are_seen(file):
    """A section that is not a field of the asked-for type never reaches the caller, even if it is nonsense."""
    assert set(params.load(Sections, file(GOOD + "cache: nonsense\n")).model_dump()) == {"data"}


@pytest.mark.parametrize(
    ("broken", "said"),
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
def test_what_is_wrong_is_named(file, broken, said):
    """A wrong value, a missing or unknown key or section, and broken YAML are each named with their place."""
    with pytest.raises(FctError, match=said):
        params.load(Sections, file(broken))


def test_a_file_in_another_encoding_is_named(tmp_path):
    """YAML is UTF-8; a byte that is not gives a sentence with the file's name."""
    path = tmp_path / "params.yaml"
    path.write_bytes(GOOD.replace("here", "café").encode("latin-1"))
    with pytest.raises(FctError, match=r"params\.yaml: not valid YAML: 'utf-8' codec"):
        params.load(Sections, path)


def test_a_section_of_an_earlier_version_is_answered_with_what_to_do(file):
    """Who brings an old params.yaml is told what to do, not that the section is unknown."""
    with pytest.raises(FctError, match=r"line 1: recipe: .*`fct recipe apply NAME`"):
        params.load(Sections, file("recipe: pair\n" + GOOD))


@pytest.mark.parametrize("old", [key for key in params.RENAMED if "." in key])
def test_a_key_of_an_earlier_version_is_answered_with_the_new_one(tmp_path, old):
    """An old key names the new one, which params.yaml has in its place."""
    from pipelines.params import Params

    text = (Path(__file__).parents[2] / "params.yaml").read_text()
    new = re.search(r"is called (\w+) now", params.RENAMED[old])[1]
    section, _, key = old.rpartition(".")
    path = tmp_path / "params.yaml"
    before, head, after = text.partition(f"\n{section.partition('.')[0]}:")
    path.write_text(before + head + re.sub(rf"\b{new}: ", f"{key}: ", after, count=1))
    with pytest.raises(FctError, match=rf"params\.yaml, line \d+: {re.escape(old)}: it is called {new} now"):
        params.load(Params, path)


def test_a_missing_file_says_where_to_run(tmp_path):
    """Without params.yaml the error says so, and what to do."""
    with pytest.raises(FctError, match="Run the command in the folder"):
        params.load(Sections, tmp_path / "params.yaml")
