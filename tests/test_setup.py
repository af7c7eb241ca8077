"""Set-up: one vocabulary, nothing installed twice, one lock for everything, an image of what git tracks."""

import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import grimp
import pathspec
import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import fct
from fct.core.errors import DISTRIBUTION

REPOSITORY = Path(__file__).parents[1]
PROJECT = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]
EXTRAS = PROJECT["optional-dependencies"]
LIBRARY = ("fct.images", "fct.jpeg", "fct.nn", "fct.losses")
IMPORTED_AS = {"cv2": "opencv-python-headless", "google": "protobuf", "PIL": "pillow", "ruamel": "ruamel-yaml"}
RUN = {"onnxscript"}  # torch's exporter imports it
LOCK = (REPOSITORY / "requirements.lock").read_text()
TARGETS = {"setup", "repro", "test", "test-fast", "test-all", "lint", "format", "clean", "help"}


@pytest.fixture
def make(tmp_path):
    """Run make in a folder that has the project's set-up files and an environment of now."""
    for name in ("Makefile", "pyproject.toml", "requirements.lock"):
        shutil.copy2(REPOSITORY / name, tmp_path)
    (tmp_path / ".venv").mkdir()
    (tmp_path / ".venv" / ".installed").touch()

    def run(*arguments: str, path: str = "") -> subprocess.CompletedProcess:
        environment = {
            "PATH": f"{path}:{os.environ['PATH']}",
            "PYTHONPATH": os.pathsep.join([str(REPOSITORY), *sys.path]),
        }
        return subprocess.run(
            ["make", *arguments], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
        )

    run.folder = tmp_path
    return run


def program(path: Path, script: str) -> None:
    """Write an executable shell script."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)


def without_pipeline(folder: Path) -> None:
    """Give `make` a python that runs everything but the pipeline."""
    program(folder / ".venv/bin/python", f'[ "$2" = pipelines.repro ] || exec {sys.executable} "$@"')


def test_help_is_the_default_and_lists_every_target(make):
    """`make` alone names the targets that people and CI share."""
    assert set(re.findall(r"^make (\S+)", make().stdout, re.MULTILINE)) >= TARGETS


def test_a_second_run_installs_nothing(make):
    """An environment newer than pyproject.toml and the lock is left alone, by every target."""
    for target in ("setup", "test", "test-fast", "test-all", "lint", "format"):
        assert "pip install" not in make("--dry-run", target).stdout


@pytest.mark.parametrize("name", ["pyproject.toml", "requirements.lock"])
def test_a_changed_requirement_is_installed(make, name):
    """A changed project file or lock brings the installation back before anything else runs."""
    newer = (make.folder / ".venv/.installed").stat().st_mtime + 10
    os.utime(make.folder / name, (newer, newer))
    assert "--constraint requirements.lock" in make("--dry-run", "test").stdout


@pytest.mark.parametrize(
    ("python", "said"),
    [
        ("exit 1", "no venv module: apt-get install python"),  # Debian's python3.11 without python3.11-venv
        ("", "no Python 3.11 or newer here"),
    ],
)
def test_a_missing_package_is_named(make, python, said):
    """Where Python or its venv module is missing, the error names the Debian package, and nothing is left behind."""
    shutil.rmtree(make.folder / ".venv")
    if python:
        program(make.folder / "bin/python", f'case "$2" in *ensurepip*) {python};; *) echo python3.11;; esac')
    done = make("setup", f"PYTHON={make.folder / 'bin/python' if python else ''}")
    assert done.returncode != 0
    assert said in done.stderr
    assert "apt-get install" in done.stderr
    assert not (make.folder / ".venv").exists()


@pytest.mark.parametrize(("verdict", "promoted"), [("PASS", True), ("FAIL", False)])
def test_only_a_passed_gate_is_promoted(make, verdict, promoted):
    """`make repro` ends well either way, and calls `fct promote` only where the gate says PASS."""
    (make.folder / "metrics").mkdir()
    (make.folder / "metrics/gate.json").write_text(f'{{"verdict": "{verdict}"}}')
    without_pipeline(make.folder)
    program(make.folder / ".venv/bin/fct", 'echo "ran fct $*"')
    done = make("repro")
    assert done.returncode == 0
    assert ("ran fct promote" in done.stdout) == promoted
    assert (f"gate: {verdict}" in done.stdout) != promoted


@pytest.mark.parametrize(("status", "ends_well"), [(1, True), (2, False), (75, False)])
def test_a_model_that_stays_challenger_is_no_failure(make, status, ends_well):
    """`make repro` ends well where `fct promote` leaves a challenger, and fails where it refuses or must try again."""
    (make.folder / "metrics").mkdir()
    (make.folder / "metrics/gate.json").write_text('{"verdict": "PASS"}')
    without_pipeline(make.folder)
    program(make.folder / ".venv/bin/fct", f"echo what became of it; exit {status}")
    done = make("repro")
    assert (done.returncode == 0) == ends_well
    assert "what became of it" in done.stdout


def test_the_lock_covers_every_extra():
    """Each requirement of the project and of its extras is pinned, to a version in its range."""
    pins = {canonicalize_name(name): version for name, version in re.findall(r"^([\w.-]+)==(\S+)$", LOCK, re.MULTILINE)}
    for requirement in map(
        Requirement, [*PROJECT["dependencies"], *(line for extra in EXTRAS.values() for line in extra)]
    ):
        if requirement.name == PROJECT["name"]:
            assert requirement.extras <= set(EXTRAS)
            continue
        assert requirement.specifier.contains(pins[canonicalize_name(requirement.name)], prereleases=True), requirement


def test_the_distribution_has_one_name():
    """The version and the hints about extras ask for the distribution by the name that it is built under."""
    assert {PROJECT["name"], DISTRIBUTION, fct._DISTRIBUTION} == {"feature-consistency"}


def named(requirements):
    """Return the names of requirements, without this project's own."""
    return {canonicalize_name(Requirement(line).name) for line in requirements} - {PROJECT["name"]}


def imported(package, prefixes=("",)):
    """Return the distributions that modules of a package import, however late: those with one of these prefixes."""
    graph = grimp.build_graph(package, include_external_packages=True)
    ours = [name for name in graph.modules if f"{name}.".startswith(f"{package}.") and name.startswith(prefixes)]
    names = {found.partition(".")[0] for name in ours for found in graph.find_modules_directly_imported_by(name)}
    return {
        canonicalize_name(IMPORTED_AS.get(name, name)) for name in names - sys.stdlib_module_names - {"fct", package}
    }


def test_the_core_installs_what_the_library_imports():
    """The library's rooms import what is installed without an extra, and all of it."""
    assert imported("fct", LIBRARY) == named(PROJECT["dependencies"])


def test_the_extras_install_what_the_pipeline_imports():
    """All rooms together import what the core, `pipeline`, `ray` and `timm` install; `serve` is a part.

    Where FCT_DATABASE_URL is set, they import psycopg of `stack` too.
    """
    rest = imported("fct") - named(PROJECT["dependencies"])
    assert rest - {"psycopg"} == named(EXTRAS["pipeline"]) - RUN | named(EXTRAS["timm"]) | named(EXTRAS["ray"])
    assert named(EXTRAS["serve"]) < named(EXTRAS["pipeline"])


def test_flows_install_what_the_night_shift_imports():
    """Beside what `pipeline` and, for `make stack`, `stack` install; FastAPI is Prefect's."""
    rest = imported("pipelines") - named(EXTRAS["pipeline"]) - named(EXTRAS["stack"]) - named(PROJECT["dependencies"])
    assert rest == named(EXTRAS["flows"]) - named(EXTRAS["pipeline"]) - {"fastapi"}


def test_the_lock_names_no_place():
    """Where packages come from is the machine's setting: the lock holds names and versions only."""
    assert all(re.fullmatch(r"#.*|[\w.-]+==[\w.!+]+( ; .*)?|", line) for line in LOCK.splitlines())
    assert "://" not in LOCK


def ignored_by_the_image() -> pathspec.GitIgnoreSpec:
    """Return .dockerignore as a matcher; its patterns mean there what they mean to git."""
    lines = [line for line in (REPOSITORY / ".dockerignore").read_text().splitlines() if line and line[0] != "#"]
    assert all(re.match(r"!?(/|\*\*/)", line) for line in lines)
    return pathspec.GitIgnoreSpec.from_lines(lines)


def test_the_image_gets_all_that_git_tracks():
    """A tracked file missing from the image would make every model from it count as made from uncommitted code."""
    tracked = subprocess.run(["git", "ls-files"], cwd=REPOSITORY, capture_output=True, text=True, check=True).stdout
    assert not [name for name in tracked.splitlines() if ignored_by_the_image().match_file(name)]


def test_the_image_gets_nothing_that_git_ignores():
    """What is ignored here, DVC's outs among it, stays out of the image; hardly a test in a clone where nothing ran."""
    listing = ["git", "ls-files", "--others", "--ignored", "--exclude-standard", "--directory"]
    listed = subprocess.run(listing, cwd=REPOSITORY, capture_output=True, text=True, check=True).stdout
    assert not [name for name in listed.splitlines() if not ignored_by_the_image().match_file(name)]


@pytest.mark.parametrize(
    "name",
    [
        *(".git/config", ".dvc/config.local", ".env", "a/.env.local", "deploy/server.key"),
        *(".venv/bin/python", "fct/__pycache__/x", ".dvc/cache/files/md5/00/1", "mlflow.db"),
        *("data/splits/meta.json", ".fct/checkpoint", "model/model.onnx", "images/boots/1.png"),
    ],
)
def test_the_image_gets_nothing_private_or_made(name):
    """Credentials, environments and the pipeline's outputs stay out of the image."""
    assert ignored_by_the_image().match_file(name)
