"""Documents name what is there: files, modules, commands, keys and make targets."""

import importlib.util
import re
import subprocess
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from fct.cli import main

ROOT = Path(__file__).parents[1]
DOCUMENTS = [
    ROOT / name
    for name in subprocess.run(
        ["git", "ls-files", "*.md"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.split()
    if name != "CHANGELOG.md"  # speaks of the past
]
DVC = YAML(typ="safe").load(ROOT / "dvc.yaml")["stages"]
PARAMS = YAML(typ="safe").load(ROOT / "params.yaml")

documents = pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))


@documents
def test_links_lead_somewhere(document):
    """Every relative link is a file of the repository."""
    links = re.findall(r"\]\((?!https?:|#|mailto:)([^)#\s]+)", document.read_text())
    assert [link for link in links if not (document.parent / link).exists()] == []


@documents
def test_code_that_is_named_is_there(document):
    """Every path under fct/, pipelines/, benchmarks/ and tests/ that stands in backticks exists."""
    paths = re.findall(r"`((?:fct|pipelines|benchmarks|tests)/[\w./-]*\w)`", document.read_text())
    assert [path for path in paths if not (ROOT / path).exists()] == []


@documents
def test_modules_that_are_run_are_there(document):
    """Every `python -m` of this project's own names a module."""
    modules = re.findall(r"python -m ((?:fct|pipelines|benchmarks)[\w.]*)", document.read_text())
    assert [name for name in modules if importlib.util.find_spec(name) is None] == []


@documents
def test_commands_are_known(document):
    """Every `fct COMMAND` in backticks is a command."""
    commands = re.findall(r"`fct ([a-z]+)", document.read_text())
    assert [name for name in commands if name not in main.commands] == []


@documents
def test_make_targets_are_known(document):
    """Every `make TARGET` is a target of the Makefile."""
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    named = re.findall(r"(?:^|`|    )make ([a-z][a-z-]+)", document.read_text(), re.MULTILINE)
    assert [name for name in named if name not in targets] == []


@documents
def test_keys_of_params_are_known(document):
    """Every `section.key` in backticks whose section params.yaml has is a key of it."""

    def has(key):
        node = PARAMS
        for part in key.split("."):
            if not isinstance(node, dict) or part not in node:
                return False
            node = node[part]
        return True

    named = re.findall(r"`((?:" + "|".join(PARAMS) + r")(?:\.[a-z_0-9]+)+)(?::[^`]*)?`", document.read_text())
    assert [key for key in named if not has(key) and not key.endswith((".json", ".yaml", ".pt", ".onnx"))] == []
