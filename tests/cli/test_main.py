"""The command line answers quickly and explains itself."""

import subprocess
import sys
import time
from types import SimpleNamespace

import pytest
from click.testing import CliRunner

import fct
from fct import cli
from fct.registry import messages


def test_help_imports_nothing_heavy():
    """`fct --help` imports neither MLflow, numpy nor torch, so it answers in a fraction of a second."""
    code = (
        "import sys; from fct.cli import main\n"
        "try: main(['--help'])\n"
        "except SystemExit: print(sorted({'mlflow', 'numpy', 'torch', 'pydantic', 'scipy'} & set(sys.modules)))"
    )
    before = time.monotonic()
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.endswith("\n[]\n")
    assert time.monotonic() - before < 5  # 0.5 on a machine that does nothing else; the imports are what matters


@pytest.mark.parametrize(
    "command",
    ["promote", "rollback", "status", "history", "report", "verify", "doctor", "layers", "predict", "gate"],
)
def test_every_command_has_help(command):
    """The help of each command has more than 30 words."""
    result = CliRunner().invoke(cli.main, [command, "--help"])
    assert result.exit_code == 0
    assert len(result.output.split()) > 30


@pytest.mark.usefixtures("place")
def test_an_error_is_one_line_without_a_traceback():
    """For a missing file the status is 2 and the message says what to do."""
    done = subprocess.run(
        [sys.executable, "-c", "from fct.cli import main; main()", "promote"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "error: params.yaml is not here. Run the command in the folder that has it.\n"


@pytest.mark.usefixtures("place")
def test_an_empty_registry_says_how_to_begin(place):
    """Status and rollback work without any version. The status of a rollback is 1, because nothing was rolled back."""
    (place / "params.yaml").write_text("registry: {name: toy}\n")
    result = CliRunner().invoke(cli.main, ["status"])
    assert (result.exit_code, result.output) == (
        0,
        "toy: nothing is registered. `fct promote` registers a model that passed the gate.\n",
    )
    result = CliRunner().invoke(cli.main, ["rollback"])
    assert (result.exit_code, result.output) == (1, "toy: there is no previous champion; there is no champion.\n")
    result = CliRunner().invoke(cli.main, ["rollback", "--to", "best"])
    assert (result.exit_code, "toy: there is no version best." in result.output) == (2, True)


def test_status_names_verdict_file_and_doubt():
    """Every role has a line with version, verdict and checksum; an alias moved by hand is called unproven."""
    version = SimpleNamespace(number="2", tags={"fct.sha256": "0123456789abcdef", "fct.verdict": "PASS"})
    state = SimpleNamespace(champion=version, challenger=version, previous=None, is_proven=False)
    name, champion, challenger, previous = messages.format_status("toy", state).splitlines()
    assert name == "toy"
    assert champion.split() == [
        *["champion", "version", "2", "PASS", "sha256", "0123456789ab"],
        *messages.UNPROVEN.split(),
    ]
    assert "unproven" not in challenger
    assert previous.split() == ["previous", "-"]


def test_the_version_is_that_of_the_distribution():
    """Its name for pip is not that of the command."""
    assert CliRunner().invoke(cli.main, ["--version"]).output == f"main, version {fct.__version__}\n"


def test_the_command_is_a_module_too():
    """`python -m fct` is `fct`."""
    done = subprocess.run([sys.executable, "-m", "fct", "--help"], capture_output=True, text=True, check=True)
    assert done.stdout.startswith("Usage: python -m fct [OPTIONS] COMMAND")
