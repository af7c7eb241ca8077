"""What a node checks before it works: the same folders, and the same code."""

import pytest

from fct.engine.identity import code_identity
from fct.engine.shared import answer, has_answered, probing


@pytest.fixture
def probe(tmp_path, monkeypatch):
    """Ask about a folder of two files and a folder to write into."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "images").mkdir()
    for name in ("a", "b"):
        (tmp_path / "images" / name).touch()
    with probing([tmp_path / "images"], tmp_path / "build") as made:
        yield made


def test_a_node_that_shares_all_answers_with_a_file(probe):
    """Both machines see what the other wrote."""
    assert not has_answered(probe, "f00d")
    assert answer(probe, "f00d") is None
    assert has_answered(probe, "f00d")


def test_the_files_of_a_probe_are_removed(tmp_path):
    """Neither question nor answers stay."""
    with probing([], tmp_path / "build") as probe:
        answer(probe, "f00d")
        assert len(list((tmp_path / "build").iterdir())) == 2
    assert not list((tmp_path / "build").iterdir())


def test_a_node_without_the_folder_says_so(probe):
    """The probe's file is not there, as if something else were mounted."""
    probe.file.unlink()
    assert f"does not share the folder {probe.writes} (No such file or directory" in answer(probe, "f00d")


def test_a_node_with_another_folder_in_its_place_says_so(probe):
    """The probe's file has another content."""
    probe.file.write_text("another probe's")
    assert answer(probe, "f00d") == f"sees another file {probe.file}"


def test_a_node_with_other_files_says_so(probe, tmp_path):
    """A folder that tasks read has other names in it."""
    (tmp_path / "images/c").touch()
    assert answer(probe, "f00d") == f"sees other files in {tmp_path / 'images'}"


@pytest.mark.parametrize("name", ["python", "numba", "numpy", "pillow", "fct"])
def test_a_node_with_other_code_says_so(probe, name):
    """The message has both versions."""
    other = probe._replace(code=code_identity() | {name: "0.0"})
    assert answer(other, "f00d") == f"has another version of {name}: {code_identity()[name]}, not 0.0"
