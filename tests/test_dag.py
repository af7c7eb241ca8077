"""dvc.yaml declares what the stages really use."""

import copy
import importlib
from pathlib import Path

import grimp
import pytest
from ruamel.yaml import YAML

ROOT = Path(__file__).parents[1]
STAGES = YAML(typ="safe").load(ROOT / "dvc.yaml")["stages"]
LEAVES_NO_TRACE = "fct.tracking"  # records what happened, with fct.vcs; nothing of it reaches an out
ENVIRONMENT = "environment.yaml"
TRAININGS = ("baseline", "search", "train", "spread")


@pytest.fixture(scope="module")
def imports():
    """Every import of the project, however late."""
    return grimp.build_graph("fct")


def command(stage):
    """Return what a stage runs: its body in dvc.yaml, and the module of its command."""
    body = STAGES[stage]
    python, minus_m, module, *_ = body["cmd"].split()
    assert (python, minus_m) == ("python", "-m")
    spec = importlib.util.find_spec(module)
    return body, f"{module}.__main__" if spec.submodule_search_locations else module


def rooms_of(stage, imports):
    """Return the folders of all code that the stage imports, however late and however far."""
    todo, seen = [command(stage)[1]], set()
    while todo:
        module = todo.pop()
        if module in seen or f"{module}.".startswith(f"{LEAVES_NO_TRACE}."):
            continue
        seen.add(module)
        todo += imports.find_modules_directly_imported_by(module)
    return {"/".join(module.split(".")[:2]) for module in seen - {"fct"}}


@pytest.mark.parametrize("stage", STAGES)
def test_a_stage_depends_on_the_folders_whose_code_it_imports(stage, imports):
    """What a stage imports lies in the folders that it declares, and it declares none that it does not use."""
    declared = {dep for dep in command(stage)[0]["deps"] if dep.startswith("fct/")}
    assert declared == rooms_of(stage, imports)


@pytest.mark.parametrize("stage", STAGES)
def test_a_stage_depends_on_the_params_it_reads(stage):
    """Declared sections are those of the stage's `Params`, which is all that it is given."""
    body, module = command(stage)
    read = importlib.import_module(module).Params.model_fields
    assert {key.partition(".")[0] for key in body["params"] if isinstance(key, str)} == set(read)


def test_trainings_depend_on_the_packages_that_decide_weights():
    """Another torch or numba makes them stale, and nothing else."""
    from fct.core.environment import Environment

    declared = {
        stage: [set(each[ENVIRONMENT]) for each in body["params"] if isinstance(each, dict)]
        for stage, body in STAGES.items()
    }
    packages = set(Environment.model_fields)
    assert declared == {stage: [packages] if stage in TRAININGS else [] for stage in STAGES}


def test_a_stage_is_run_by_the_room_of_its_name():
    """The code of stage X is in fct/X; cache-index is a second command of the room `cache`."""
    rooms = {stage: command(stage)[1].split(".")[1] for stage in STAGES}
    assert rooms == {stage: stage.partition("-")[0] for stage in STAGES}


def test_every_room_with_a_command_is_in_the_dag():
    """No folder under fct/ has a command that dvc.yaml does not run."""
    commands = {file.parent.name for file in (ROOT / "fct").glob("*/__main__.py")}
    assert commands == {command(stage)[1].split(".")[1] for stage in STAGES}


def leaves(content, key=()):
    """Yield the path of each value in params.yaml. A list of plain values is one value."""
    if isinstance(content, list) and content and isinstance(content[0], dict):
        content = dict(enumerate(content))
    if not isinstance(content, dict):
        yield key
        return
    for name, value in content.items():
        yield from leaves(value, (*key, name))


PARAMS = YAML(typ="safe").load(ROOT / "params.yaml")
KEYS = {".".join(map(str, key)): key for key in leaves(PARAMS)}
READERS = {stage: {each for each in body["params"] if isinstance(each, str)} for stage, body in STAGES.items()}


def value(content, key):
    """Return a section or a key of it, such as `cache.shard`."""
    for part in key.split("."):
        content = content[part]
    return content


def changed(key):
    """Return params.yaml with another value for one key."""
    content = copy.deepcopy(PARAMS)
    inside = content
    for part in key[:-1]:
        inside = inside[part]
    inside[key[-1]] = "another value"
    return content


@pytest.mark.parametrize("key", KEYS)
def test_a_change_of_any_key_is_a_new_entry_of_the_run_cache(key):
    """Else DVC would check out the outs of the old value. Its hash leaves out keys of certain names, such as `size`."""
    from dvc.stage.cache import _get_cache_hash

    def hashes(content):
        locks = {
            stage: {"cmd": "python", "params": {"params.yaml": {each: value(content, each) for each in declared}}}
            for stage, declared in READERS.items()
        }
        return {stage: _get_cache_hash(lock, key=True) for stage, lock in locks.items()}

    before, after = hashes(PARAMS), hashes(changed(KEYS[key]))
    assert {stage for stage in STAGES if before[stage] != after[stage]} == {
        stage for stage, declared in READERS.items() if any(f"{key}.".startswith(f"{each}.") for each in declared)
    }


def test_no_stage_depends_on_where_work_is_done():
    """Another engine makes nothing again."""
    assert not [stage for stage, declared in READERS.items() if any(each.startswith("compute") for each in declared)]


def test_every_section_of_params_is_known():
    """params.yaml has the sections that the loader knows, each read by a stage or a command."""
    from fct.core.params import SECTIONS

    assert set(PARAMS) == set(SECTIONS)
