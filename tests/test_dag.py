"""dvc.yaml declares what the stages really use."""

import ast
import importlib
from pathlib import Path

import grimp
import pytest
from ruamel.yaml import YAML

ROOT = Path(__file__).parents[1]
STAGES = YAML(typ="safe").load(ROOT / "dvc.yaml")["stages"]
LEAVES_NO_TRACE = "fct.tracking"  # records what happened; nothing of it reaches an out


def module(stage):
    return f"fct.stages.{stage.replace('-', '_')}"


def declared_code(stage):
    """Every Python file that the stage's dependencies name, one by one or by their folder."""
    named = [ROOT / dep for dep in STAGES[stage]["deps"] if dep.startswith("fct/")]
    files = {file for dep in named for file in (dep.rglob("*.py") if dep.is_dir() else [dep])}
    return {str(file.relative_to(ROOT)) for file in files if has_code(file)}


def imported_code(stage):
    """Every Python file of the project that the stage imports, however late and however far."""
    graph = grimp.build_graph("fct")
    names = graph.find_upstream_modules(module(stage)) | {module(stage)}
    kept = {name for name in names if not f"{name}.".startswith(f"{LEAVES_NO_TRACE}.")}
    files = {Path(importlib.util.find_spec(name).origin) for name in kept}
    return {str(file.relative_to(ROOT)) for file in files if has_code(file)}


def has_code(file):
    """Whether a file holds more than a docstring."""
    return len(ast.parse(file.read_text()).body) > 1


@pytest.mark.parametrize("stage", STAGES)
def test_a_stage_depends_on_the_code_it_imports(stage):
    """Declared code and imported code are the same files, no more and no fewer."""
    assert declared_code(stage) == imported_code(stage)


@pytest.mark.parametrize("stage", STAGES)
def test_a_stage_depends_on_the_params_it_reads(stage):
    """Declared sections are those of the stage's `Params`, which is all that it is given."""
    read = importlib.import_module(module(stage)).Params.model_fields
    assert set(STAGES[stage]["params"]) == set(read)


def test_every_stage_is_in_the_dag():
    """Each module of fct.stages is run by a stage that has its name."""
    modules = {file.stem for file in (ROOT / "fct/stages").glob("*.py")} - {"__init__"}
    assert {stage.replace("-", "_") for stage in STAGES} == modules


def test_every_section_of_params_is_known():
    """params.yaml has the sections that the loader knows, each read by a stage or a command."""
    from fct.core.params import SECTIONS

    assert set(YAML(typ="safe").load(ROOT / "params.yaml")) == set(SECTIONS)
