"""Recipes: each is complete and valid, one is selected by its name, and it takes the place of what the file says."""

from pathlib import Path

import pytest
from click.testing import CliRunner
from ruamel.yaml import YAML

from fct import recipes
from fct.cli import main
from fct.core import params
from fct.core.errors import FctError
from fct.core.params import Section
from fct.methods.params import MethodParams
from fct.stages.search import Params

DEFAULTS = Path(__file__).parents[2] / "params.yaml"


@pytest.fixture
def project(tmp_path, monkeypatch):
    """Stand in a folder with the repository's params.yaml, with other lines in the place of some."""

    def write(**changed):
        text = DEFAULTS.read_text()
        for old, new in changed.items():
            text = text.replace(f"{old}: null", f"{old}: {new}", 1)
        (tmp_path / "params.yaml").write_text(text)
        monkeypatch.chdir(tmp_path)

    return write


@pytest.mark.parametrize("name", recipes.names())
def test_every_recipe_gives_valid_params(project, name):
    """Laid over the defaults, what it names passes the library's own validation."""
    project(recipe=name)
    read = recipes.load(Params)
    assert read.recipe == name
    for section, values in recipes.read(name).params.items():
        assert getattr(read, section).model_dump() | values == getattr(read, section).model_dump()


def test_without_a_recipe_the_file_stands(project):
    """`recipe: null` changes nothing."""
    project()
    assert recipes.load(Params) == params.load(Params, DEFAULTS)


def test_what_a_recipe_does_not_name_stays(project):
    """Other keys of a section, and other sections, are params.yaml's own."""
    project(recipe="pair")
    chosen, plain = recipes.load(Params), recipes.load(Params, DEFAULTS)
    assert chosen.method.name == "pair"
    assert chosen.method.weight == plain.method.weight
    assert chosen.train == plain.train


def test_a_recipe_leaves_sections_that_are_not_read_alone(project):
    """A stage that reads less than the recipe names is given what it reads."""
    project(recipe="pair")

    class Less(Section):
        recipe: recipes.Name
        method: MethodParams

    assert recipes.load(Less).method.name == "pair"


def test_an_unknown_recipe_is_refused(project):
    """The error names the key, the value and the recipes there are."""
    project(recipe="pear")
    with pytest.raises(FctError, match=r"params\.yaml: recipe: there is no recipe 'pear'\. Known: .*pair"):
        recipes.load(Params)


def test_the_command_lists_and_shows():
    """A person sees all names, and of one what it is for and what it sets."""
    listed = CliRunner().invoke(main, ["recipe", "list"])
    assert [line.split()[0] for line in listed.output.splitlines()] == recipes.names()
    shown = CliRunner().invoke(main, ["recipe", "show", "pair"])
    assert "control" in shown.output
    assert "name: pair" in shown.output


def test_the_command_names_those_that_it_knows():
    """A wrong name ends with status 1 and no traceback."""
    done = CliRunner().invoke(main, ["recipe", "show", "pear"])
    assert done.exit_code == 1
    assert "Known: " in done.output


@pytest.mark.parametrize("name", recipes.names())
def test_what_is_shown_can_be_copied(name):
    """It is the YAML of params.yaml, in which none is null."""
    shown = CliRunner().invoke(main, ["recipe", "show", name]).output
    recipe = recipes.read(name)
    yaml = shown.removeprefix(f"{recipe.title}\n\n{recipe.use}\n")
    assert YAML(typ="safe").load(yaml) == recipe.params
