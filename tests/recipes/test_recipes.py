"""Recipes: each is complete and valid, and `fct recipe apply` writes it into params.yaml, whose comments stay."""

import difflib
from pathlib import Path

import pytest
from click.testing import CliRunner
from ruamel.yaml import YAML

from fct import recipes
from fct.check.checks import Params
from fct.cli import main
from fct.cli.init import FINE_TUNE, FROM_SCRATCH
from fct.core import params

DEFAULTS = Path(__file__).parents[2] / "params.yaml"


@pytest.fixture
def project(tmp_path, monkeypatch):
    """Stand in a folder with the repository's params.yaml; return the file."""
    path = tmp_path / "params.yaml"
    path.write_text(DEFAULTS.read_text())
    monkeypatch.chdir(tmp_path)
    return path


def fct(*arguments):
    return CliRunner().invoke(main, arguments)


def comments(text):
    return [line.partition("#")[2] for line in text.splitlines() if "#" in line]


@pytest.mark.parametrize("name", recipes.names())
def test_every_recipe_gives_valid_params(project, name):
    """Once applied, params.yaml passes the library's own validation and holds every value of the recipe."""
    assert fct("recipe", "apply", name).exit_code == 0
    read = params.load(Params)
    for section, values in recipes.read(name).params.items():
        assert getattr(read, section).model_dump() | values == getattr(read, section).model_dump()
    assert project.read_text() != DEFAULTS.read_text()


@pytest.mark.parametrize("name", recipes.names())
def test_only_the_lines_of_changed_keys_differ(project, name):
    """All comments stay, and no line differs but those of the keys that the command names."""
    output = fct("recipe", "apply", name).output
    old, new = DEFAULTS.read_text(), project.read_text()
    assert comments(new) == comments(old)
    changed = [line for line in difflib.ndiff(old.splitlines(), new.splitlines()) if line.startswith("+ ")]
    assert len(changed) == sum(" -> " in line for line in output.splitlines())


def test_applying_twice_changes_nothing_more(project):
    """Applying a recipe twice reports that nothing changes."""
    fct("recipe", "apply", "pair")
    once = project.read_text()
    assert "already" in fct("recipe", "apply", "pair").output
    assert project.read_text() == once


def test_a_dry_run_writes_nothing(project):
    """It shows old and new values and leaves the file as it is."""
    output = fct("recipe", "apply", "pair", "--dry-run").output
    assert "method.name: fct-r -> pair" in output
    assert project.read_text() == DEFAULTS.read_text()


@pytest.mark.parametrize("arguments", [[], ["--dry-run"]])
def test_layers_that_the_model_does_not_have_are_a_warning(project, arguments):
    """Without it, the layers of the user's backbone would give way to those of another network unnoticed."""
    project.write_text(project.read_text().replace("name: speednet", "name: resnet18"))
    done = fct("recipe", "apply", "fct-r", *arguments)
    assert "method.layers: no layer is called 'stage1'" in done.stderr
    assert "Write those of your backbone into method.layers, method.block.layers." in done.stderr
    assert done.exit_code == 0


def test_another_fault_is_a_warning_that_does_not_speak_of_layers(project):
    """It was there before the recipe."""
    project.write_text(project.read_text().replace("weights: null", "weights: weights/none.pt"))
    done = fct("recipe", "apply", "fct-r")
    assert "weights/none.pt is not here" in done.stderr
    assert "your backbone" not in done.stderr


def test_a_recipe_that_fits_is_no_warning(project):  # noqa: ARG001
    """Nothing is on stderr."""
    assert fct("recipe", "apply", "fct").stderr == ""


def test_what_the_user_writes_afterwards_stands(project):
    """Nothing overrides params.yaml: a value that is changed after a recipe was applied is what a stage sees."""
    fct("recipe", "apply", "fct")
    project.write_text(project.read_text().replace("weight: 3.0", "weight: 1.5"))
    assert params.load(Params).method.weight == 1.5


def test_a_missing_key_leaves_the_file_alone(project):
    """A params.yaml that lacks a key of the recipe is refused with the key, and not half written."""
    broken = "".join(line for line in DEFAULTS.read_text().splitlines(keepends=True) if "  crops:" not in line)
    project.write_text(broken)
    done = fct("recipe", "apply", "pair")
    assert done.exit_code == 2
    assert "train.crops: there is no such key in params.yaml" in done.output
    assert project.read_text() == broken


def test_the_command_lists_and_shows():
    """A person sees all names, and of one what it is for and what it sets."""
    listed = fct("recipe", "list")
    assert [line.split()[0] for line in listed.output.splitlines()] == recipes.names()
    shown = fct("recipe", "show", "pair")
    assert "control" in shown.output
    assert "name: pair" in shown.output


@pytest.mark.parametrize("command", ["show", "apply"])
def test_the_command_names_those_that_it_knows(command):
    """A wrong name ends with status 1 and no traceback."""
    done = fct("recipe", command, "pear")
    assert done.exit_code == 2
    assert "Choose one of " in done.output


@pytest.mark.parametrize("name", recipes.names())
def test_what_is_shown_can_be_copied(name):
    """After title and use comes the YAML of params.yaml, in which none is null."""
    yaml = fct("recipe", "show", name).output.split("\n\n", 2)[2]
    assert YAML(typ="safe").load(yaml) == recipes.read(name).params


@pytest.mark.parametrize("name", recipes.names())
def test_what_is_shown_fits_a_terminal(name):
    """However the lines of the recipe's file are broken, those on the screen have at most 80 characters."""
    recipe, shown = recipes.read(name), fct("recipe", "show", name).output
    title, use, _ = shown.split("\n\n", 2)
    assert (title.split(), use.split()) == (recipe.title.split(), recipe.use.split())
    assert max(map(len, shown.splitlines())) <= 80


def test_a_link_is_followed_and_the_mode_stays(project, tmp_path):
    """params.yaml may be a link to a file that a team shares: that file changes, and stays as writable as it was."""
    shared = tmp_path / "shared.yaml"
    project.rename(shared)
    shared.chmod(0o664)
    project.symlink_to(shared)
    assert fct("recipe", "apply", "pair").exit_code == 0
    assert project.is_symlink()
    assert "name: pair" in shared.read_text()
    assert shared.stat().st_mode & 0o777 == 0o664


def test_a_read_only_file_is_refused(project):
    """Who protects the file is told, and it stays as it is."""
    project.chmod(0o444)
    done = fct("recipe", "apply", "pair")
    assert done.exit_code == 2
    assert "params.yaml is read-only" in done.output
    assert project.read_text() == DEFAULTS.read_text()


def test_line_ends_stay(project):
    """A file with the line ends of Windows keeps them."""
    project.write_bytes(DEFAULTS.read_bytes().replace(b"\n", b"\r\n"))
    assert fct("recipe", "apply", "jsd").exit_code == 0
    assert project.read_bytes().count(b"\r\n") == DEFAULTS.read_bytes().count(b"\n")


def test_old_keys_are_named_before_anything_is_written(project):
    """A params.yaml of an earlier version is answered with its new keys."""
    project.write_text("recipe: pair\n" + DEFAULTS.read_text())
    done = fct("recipe", "apply", "pair")
    assert done.exit_code == 2
    assert "line 1: recipe: this key was removed. Delete this line" in done.output


def test_the_two_recipes_of_fct_init_set_the_same_keys():
    """What one writes of training and method, the other takes back: `fct init` applies either after the other."""
    one, other = (recipes.read(name).params for name in (FINE_TUNE, FROM_SCRATCH))
    for section in ("train", "method", "features", "search"):
        assert set(one[section]) == set(other[section])
