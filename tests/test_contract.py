"""What the code as a whole keeps to: its layers, and commands that start fast and say how they are run."""

import ast
import json
import subprocess
import sys
from importlib.metadata import entry_points
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[1]
COMMANDS = sorted((REPOSITORY / "fct").glob("*/__main__.py"))
HEAVY = ("torch", "torchvision", "mlflow", "onnxruntime", "scipy", "pandas", "matplotlib", "optuna")


def test_the_layers_hold():
    """No import goes up a layer or reaches what pyproject.toml forbids."""
    lint = [sys.executable, "-c", "from importlinter.cli import lint_imports_command as lint; lint()", "--no-cache"]
    done = subprocess.run(lint, cwd=REPOSITORY, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_console_script_is_a_command():
    """The installed `fct` points at something that can be called."""
    (script,) = entry_points(group="console_scripts", name="fct")
    assert callable(script.load())


def test_help_imports_nothing_heavy():
    """`fct --help` answers at once, because no package that takes long to import is imported for it."""
    code = "import json, sys; from fct.cli import main; main(['--help'], standalone_mode=False)"
    code += f"; print(json.dumps([name for name in {HEAVY} if name in sys.modules]))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert json.loads(done.stdout.splitlines()[-1]) == []


@pytest.mark.parametrize("command", COMMANDS, ids=lambda path: path.parent.name)
def test_a_stage_says_how_it_is_run(command):
    """The docstring of each room's command holds the words that run it, and running the module runs it."""
    source = command.read_text()
    tree = ast.parse(source)
    assert f"python -m fct.{command.parent.name}" in ast.get_docstring(tree)
    assert "main" in [node.name for node in tree.body if isinstance(node, ast.FunctionDef)]
    assert source.rstrip().endswith('if __name__ == "__main__":\n    main()')
