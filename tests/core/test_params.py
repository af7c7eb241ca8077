"""Errors of params.yaml have file, line, key and value."""

import re
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fct.cache.params import CacheParams
from fct.core import params
from fct.core.errors import FctError
from fct.data.params import DataParams
from fct.gate.params import GateParams
from fct.methods.params import MethodParams
from fct.models.params import ModelParams
from fct.train.params import TrainParams

ROOT = Path(__file__).parents[2]


class Inner(params.Section):
    path: str
    pixels: int
    share: float = 0


class Data(params.Section):
    seed: int
    folder: Inner


class Sections(params.Section):
    data: Data


class TrainSection(params.Section):
    train: TrainParams


class MethodSection(params.Section):
    method: MethodParams


class ModelSection(params.Section):
    model: ModelParams


GOOD = "data:\n  seed: 3\n  folder:\n    path: here\n    pixels: 32\njpeg: {}\n"


@pytest.fixture
def file(tmp_path: Path):
    def write(text: str) -> Path:
        path = tmp_path / "params.yaml"
        path.write_text(text)
        return path

    return write


def test_a_good_file_gives_values(file):
    """A valid file gives typed values."""
    assert params.load(Sections, file(GOOD)).data.folder.pixels == 32


def test_only_the_declared_sections_are_loaded(file):
    """A section that is not declared is not loaded or checked."""
    assert set(params.load(Sections, file(GOOD + "cache: nonsense\n")).model_dump()) == {"data"}


@pytest.mark.parametrize(
    ("broken", "message"),
    [
        (GOOD.replace("seed: 3", "seed: three"), r"line 2: data\.seed: .*whole number.*\(it is 'three'\)"),
        (GOOD.replace("  seed: 3\n", ""), r"line 1: data\.seed: this key is missing"),
        (GOOD.replace("path:", "pth:"), r"line 4: data\.folder\.pth: unknown key\. Did you mean 'path'\?"),
        (GOOD.replace("jpeg:", "jpg:"), r"line 6: jpg: unknown section\. Did you mean 'jpeg'\?"),
        (GOOD.replace("data:", "data"), "not valid YAML"),
        ("- 1\n- 2\n", r"expected sections with keys, found a list\. Write each section as `name:`"),
        ("", r"expected sections with keys, found nothing\. Write each section as `name:`"),
        ("jpeg: {}\n", r"data: this key is missing"),
        (GOOD.replace("here", "a\x07b"), "not valid YAML: .*special characters"),
        (GOOD.replace("pixels: 32", "pixels: 32\n    share: .inf"), r"line 6: data\.folder\.share: .*finite number"),
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
    path.write_text(before + head + re.sub(rf"(?<=\n)( +){new}: ", rf"\1{key}: ", after, count=1))
    with pytest.raises(FctError, match=rf"params\.yaml, line \d+: {re.escape(old)}: it is called {new} now"):
        params.load(Params, path)


def test_a_missing_file_is_an_error(tmp_path, monkeypatch):
    """The error says where to run the command, or how to make the answer of the search."""
    monkeypatch.chdir(tmp_path)
    for path, advice in (("params.yaml", "Run the command in the folder"), ("search/best.yaml", "dvc repro search")):
        with pytest.raises(FctError, match=f"{path} is not here. .*{advice}"):
            params.load(Sections, Path(path))


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


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("true", "this must be a whole number"),
        ("'2_0'", "this must be a whole number"),
        ("3.0", "this must be a whole number"),
        ("1" + "0" * 34, "more than 64 bits"),
        (str(2**64), "more than 64 bits"),
        ("9" * 5000, "not valid YAML: Exceeds the limit"),
        ("2020-01-01", "a date is not a plain value"),
        ("!!python/object:os.system x", "a TaggedScalar is not a plain value"),
        ("!!int x", "not valid YAML"),
        ("!!set {a}", "is not a plain value|this must be a whole number"),
    ],
)
def test_a_number_is_a_number_of_64_bits(file, value, message):
    """Neither true, nor text, nor a date, nor what no integer of a library can hold counts as one."""
    with pytest.raises(FctError, match=message):
        params.load(Sections, file(GOOD.replace("seed: 3", f"seed: {value}")))


@pytest.mark.parametrize("key", ["1", "null", "true", "2020-01-01", "[a]", '"\\0"'])
@pytest.mark.parametrize("place", ["", "data:\n  ", "data:\n  folder:\n    "])
def test_a_key_that_is_no_text_is_an_error(file, key, place):
    """In a section or in the place of one."""
    with pytest.raises(FctError, match=r"is not text\. Quote or rename it|NULL|U\+0000"):
        params.load(Sections, file(f"{place}{key}: 1\n"))


@pytest.mark.parametrize("mark", ["\\0", "\\e[31m", "\\u202e", "\\u200f", "\\u2066", "\\ufeff", "\\ud800", "\\u2028"])
def test_a_character_that_nobody_sees_is_an_error(file, mark):
    """NUL, escapes of terminals, and marks that turn the direction of text stand in no value."""
    with pytest.raises(FctError, match=r"line 4: data\.folder\.path: it contains the invisible character .*") as error:
        params.load(Sections, file(GOOD.replace("here", f'"a{mark}b"')))
    assert str(error.value).isprintable()


BOMB = "a0: &a0 [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]\n" for i in range(1, 12)
)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("# a comment\n" * 900_000, "larger than 64 KiB"),
        (BOMB, r"more than 5,000 values"),
        ("data: &a {a: *a}\n", "levels deep|this key is missing"),
        ("data: " + "[" * 30_000, "levels deep"),
        ("data: " + "{a: " * 10_000, "levels deep"),
        ("".join(" " * depth + "a:\n" for depth in range(300)), "levels deep"),
        ("data: [" + "0, " * 20_000 + "0]\n", r"more than 5,000 values"),
        ("".join(f"k{number}: 1\n" for number in range(4_000)), "unknown section"),
    ],
    ids=["comments", "aliases that multiply", "itself", "lists", "mappings", "blocks", "a long list", "many keys"],
)
@pytest.mark.timeout(20)  # seconds; one on an idle machine
def test_a_file_without_measure_is_refused_at_once(file, text, message):
    """Whatever is vast or multiplies costs little and is one error of a few lines."""
    with pytest.raises(FctError, match=message) as error:
        params.load(Sections, file(text))
    assert len(str(error.value)) < 500


def test_many_problems_are_one_message_of_some_lines(file):
    """The first twenty are named; the others are counted."""
    unknown = "".join(f"  key{number}: 1\n" for number in range(100))
    with pytest.raises(FctError, match="and 80 more") as error:
        params.load(Sections, file(GOOD.replace("  seed: 3\n", "  seed: 3\n" + unknown)))
    assert len(str(error.value).splitlines()) == 21


NONSENSE = st.one_of(
    st.text(max_size=20),
    st.sampled_from(
        ["&a [*a]", "*a", "!!binary x", "%YAML 9", "---", "? [a]", "{", "1e999", ".nan", "2020-13-45", "<<: 1"]
    ),
    st.sampled_from(
        ["!!timestamp x", "!!bool x", "!!float x", "|", ">\n x", "'", '"\\x"', "- - -", "0o9", "0x", "~: ~"]
    ),
)


class Everything(params.Section):
    """Sections of every kind of value."""

    data: DataParams
    cache: CacheParams
    train: TrainParams
    gate: GateParams


@given(st.data())
@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_damaged_file_is_valid_or_an_error(tmp_path, data):
    """Whatever stands in a file: values, or an error that names the file; never another exception."""
    text = (ROOT / "params.yaml").read_text()
    lines = [line.partition(" #")[0] for line in text.splitlines() if line.strip() and not line.startswith("#")]
    for _ in range(data.draw(st.integers(1, 3))):
        place = data.draw(st.integers(0, len(lines) - 1))
        name, colon, _ = lines[place].partition(":")
        lines[place] = data.draw(st.sampled_from([f"{name}{colon} ", name, "", " "])) + data.draw(NONSENSE)
    path = tmp_path / "params.yaml"
    path.write_bytes("\n".join(lines).encode("utf-8", "surrogatepass"))
    try:
        assert params.load(Everything, path)
    except FctError as error:
        assert "params.yaml" in str(error)  # noqa: PT017  # both outcomes are right


@pytest.mark.parametrize("name", ["", " ", " a", "a ", "-rf", "a\tb", "a\nb", "x" * 257])
def test_a_name_that_a_command_would_misread_is_refused(name):
    """White space at its ends, a leading dash, no character or too many."""
    with pytest.raises(ValueError, match="name"):
        params.check_name(name)


@pytest.mark.parametrize("folder", [".", "..", "../..", "./", "/", "a/..", "images/../..", Path("..")])
def test_a_folder_around_the_project_is_refused(folder):
    """It would hold what the pipeline writes."""
    with pytest.raises(ValueError, match="the project's own folder or one around it"):
        params.check_folder(folder)


@pytest.mark.parametrize("folder", ["images", "../images", "/data/images", "bilder für müller", "a.b", "میخواهم"])
def test_any_other_folder_is_taken(folder):
    """Inside the project or elsewhere, in any script."""
    assert params.check_folder(folder) == folder


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("sdg", r"train\.optimiser: there is no such optimiser\. Did you mean 'sgd'\?"),
        ("null", r"train\.optimiser: this must be text \(it is null\)"),
        ("[sgd]", r"train\.optimiser: this must be text \(it is \['sgd'\]\)"),
        ("timm/", r"train\.optimiser: there is no such optimiser"),
    ],
)
def test_a_wrong_optimiser_is_one_plain_line(tmp_path, value, message):
    """No name of a type of the checker's stands in the message."""
    path = tmp_path / "params.yaml"
    path.write_text(re.sub(r"  optimiser: sgd", f"  optimiser: {value}", params.DEFAULTS.read_text()))
    with pytest.raises(FctError, match=message) as error:
        params.load(TrainSection, path)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("imagenet", r"model\.normalisation: 'imagenet' is not possible\. Did you mean 'images'\?"),
        ("{ mean: [0.5] }", r"model\.normalisation\.std: this key is missing"),
        ("{ mean: [0.5, 0.5], std: [0.2, 0.2] }", r"model\.normalisation: mean and std need one value .* 1 or 3"),
    ],
)
def test_a_wrong_normalisation_is_one_plain_line(tmp_path, value, message):
    """The key is the one in the file."""
    path = tmp_path / "params.yaml"
    path.write_text(params.DEFAULTS.read_text().replace("normalisation: auto", f"normalisation: {value}"))
    with pytest.raises(FctError, match=message) as error:
        params.load(ModelSection, path)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("value", ["[teacher]", "[[teacher]]"])
def test_a_list_in_the_place_of_a_name_that_was_renamed(tmp_path, value):
    """method.target had other values once; what is no text is none of them."""
    path = tmp_path / "params.yaml"
    path.write_text(params.DEFAULTS.read_text().replace("  target: teacher", f"  target: {value}"))
    with pytest.raises(FctError, match=r"method\.target: this must be 'raw'"):
        params.load(MethodSection, path)


def test_a_key_may_have_dots(file):
    """Its place is that of its parts."""
    path = file(GOOD)
    assert params.location("data.seed", path) == f"{path}, line 2: data.seed"


def test_a_number_in_a_dotted_key_is_a_place_in_a_list(tmp_path):
    """As in the keys that recipes and overrides take."""
    path = tmp_path / "params.yaml"
    path.write_text("gate:\n  - slice: raw\n  - metric: parity\n    slice: worst\n")
    assert params.location("gate.1.slice", path) == f"{path}, line 4: gate.1.slice"


def test_without_the_file_a_key_has_no_line(tmp_path):
    """Commands that take the package's defaults have no params.yaml."""
    assert params.location("data.seed", path=tmp_path / "none.yaml") == f"{tmp_path}/none.yaml: data.seed"
