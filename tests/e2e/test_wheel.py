"""The wheel holds `fct` alone and works where it is installed: outside the repository, without a params.yaml."""

import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tomllib
import venv
from importlib.metadata import PackageNotFoundError, distribution, packages_distributions, version
from pathlib import Path
from zipfile import ZipFile

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from fct import recipes
from fct.core.errors import DISTRIBUTION

pytestmark = pytest.mark.e2e

REPOSITORY = Path(__file__).parents[2]
PYPROJECT = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())
BUILT_FROM = ("fct", "pipelines", "benchmarks", "tests", "pyproject.toml", "params.yaml", "README.md", "LICENSE")
CACHES = shutil.ignore_patterns("__pycache__", "*.tmp.*", "*.pyc.*", "results")
LOOP = """
import torch
from torch.nn.functional import cross_entropy
from torchvision.models import resnet18

import fct

images, labels = torch.randint(256, (4, 3, 32, 32), dtype=torch.uint8), torch.tensor([0, 1, 2, 0])
model = resnet18(num_classes=3)
def normalise(batch):
    return batch / 255
{five_lines}
gradients = [weight.grad for weight in model.parameters()]
assert all(gradient is not None and gradient.isfinite().all() for gradient in gradients)
print(fct.__file__)
"""


def call(*command, cwd=None, status=0, **environment):
    """Run a command, which is to end with `status`, without what this process has in its environment for Python."""
    kept = {name: value for name, value in os.environ.items() if not re.match("PYTHON|MLFLOW|FCT", name)}
    done = subprocess.run(
        [str(word) for word in command], cwd=cwd, env=kept | environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == status, done.stdout + done.stderr
    return done


def if_setuptools_is_here(option):
    """Return the option that builds with the setuptools of this environment, if that is new enough."""
    [setuptools] = map(Requirement, PYPROJECT["build-system"]["requires"])
    try:
        return [option] if setuptools.specifier.contains(version("setuptools")) else []
    except PackageNotFoundError:
        return []


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    """Copy what could get into a wheel, so that nothing that was built here before does."""
    folder = tmp_path_factory.mktemp("source")
    for name in BUILT_FROM:
        if (REPOSITORY / name).is_dir():
            shutil.copytree(REPOSITORY / name, folder / name, symlinks=True, ignore=CACHES)
        else:
            shutil.copy(REPOSITORY / name, folder)
    return folder


@pytest.fixture(scope="module")
def wheel(source, tmp_path_factory):
    """Build the wheel as pip does."""
    folder = tmp_path_factory.mktemp("wheel")
    options = ["--no-deps", *if_setuptools_is_here("--no-build-isolation"), "--wheel-dir", folder]
    call(sys.executable, "-m", "pip", "wheel", *options, source)
    [path] = folder.iterdir()
    return path


class Environment:
    """A new virtual environment, and an empty folder to run commands in."""

    def __init__(self, folder):
        venv.create(folder / "venv")
        self.folder, self.home, self.bin = folder / "empty", folder / "venv", folder / "venv/bin"
        self.folder.mkdir()

    def install(self, *arguments):
        call(sys.executable, "-m", "pip", "--python", self.bin / "python", "install", *arguments)

    def run(self, command, *arguments, status=0):
        path = f"{self.bin}{os.pathsep}{os.environ['PATH']}"
        return call(self.bin / command, *arguments, cwd=self.folder, status=status, PATH=path)

    @property
    def packages(self):
        """Return the folder that packages are installed in."""
        return Path(sysconfig.get_path("purelib", "venv", {"base": str(self.home)}))


@pytest.fixture(scope="module")
def installed(wheel, tmp_path_factory):
    """Install the wheel alone. What it depends on is that of this environment, but the repository is not."""
    environment = Environment(tmp_path_factory.mktemp("installed"))
    environment.install("--no-deps", "--no-index", wheel)
    here = {sysconfig.get_path(name) for name in ("purelib", "platlib")}
    (environment.packages / "dependencies.pth").write_text("\n".join(here))
    for cache in (REPOSITORY / "fct").glob("**/__pycache__/*.nb[ci]"):  # what numba compiled of these very files
        target = environment.packages / cache.relative_to(REPOSITORY)
        file = f"{cache.name.partition('.')[0]}.py"
        if (target.parents[1] / file).exists():
            shutil.copy2(cache, target)
            shutil.copystat(cache.parents[1] / file, target.parents[1] / file)
    return environment


def loop():
    """Return a script with the five lines of the README."""
    blocks = re.findall(r"```python\n(.*?)```", (REPOSITORY / "README.md").read_text(), re.DOTALL)
    [five_lines] = [block for block in blocks if "fct.RandomJPEG" in block]
    return LOOP.replace("{five_lines}", five_lines)


def files(wheel):
    with ZipFile(wheel) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def test_the_wheel_holds_the_files_of_fct_and_no_others(source, wheel):
    """Code, types, defaults, recipes and the report's template are in it; pipelines, benchmarks and tests are not."""
    packed = files(wheel)
    expected = {
        path.relative_to(source).as_posix(): path.read_bytes() for path in (source / "fct").rglob("*") if path.is_file()
    }
    assert {name: content for name, content in packed.items() if ".dist-info/" not in name} == expected
    assert {"fct/py.typed", "fct/recipes/pair.yaml", "fct/report/page.html.jinja"} < set(packed)
    assert packed["fct/defaults.yaml"] == (source / "params.yaml").read_bytes()


def test_a_source_distribution_gives_the_same_wheel(source, wheel, tmp_path):
    """The link to params.yaml is a file with its content there too."""
    call(sys.executable, "-m", "build", *if_setuptools_is_here("--no-isolation"), "--outdir", tmp_path, source)
    [again] = tmp_path.glob("*.whl")
    assert files(again) == files(wheel)


def test_the_five_lines_train(installed):
    """The README's loop runs with the installed package."""
    said = installed.run("python", "-c", loop()).stdout
    assert Path(said.strip()).is_relative_to(installed.home)


@pytest.mark.slow
def test_an_example_runs(installed, picture, tmp_path):
    """Anyone can copy it to anywhere and run it."""
    example = shutil.copy(REPOSITORY / "examples/plain_loop.py", tmp_path)
    for colour in ("red", "green", "blue"):
        (tmp_path / "data" / colour).mkdir(parents=True)
        for number in range(10):
            (tmp_path / "data" / colour / f"{number}.png").write_bytes(picture(colour, size=(40, 40)))
    said = installed.run("python", example, "--data", tmp_path / "data", "--size", "32", "--epochs", "1").stdout
    assert "accuracy at JPEG quality 10" in said


def test_the_command_knows_its_version(installed):
    """It is that of the distribution, which has another name than the package."""
    assert installed.run("fct", "--version").stdout == f"fct, version {PYPROJECT['project']['version']}\n"


def test_recipes_are_listed(installed):
    """They travel with the package."""
    assert [line.split()[0] for line in installed.run("fct", "recipe", "list").stdout.splitlines()] == recipes.names()


def test_layers_are_listed_without_params(installed):
    """The package's defaults take the place of params.yaml, and one line on stderr says so."""
    done = installed.run("fct", "layers", "resnet18", "--size", "64")
    assert done.stdout.startswith("resnet18: 3 x 64 x 64 pixels, 11,181,642 parameters\n")
    assert done.stderr == f"params.yaml is not here. {installed.packages / 'fct/defaults.yaml'} is used.\n"


def test_a_model_is_judged_without_params(installed, colour_model, picture, tmp_path):
    """Every line of the default gate that is about images is judged, and stderr says what the thresholds are for."""
    for colour in ("red", "green", "blue"):
        (tmp_path / "data" / colour).mkdir(parents=True)
        for number in range(12):
            (tmp_path / "data" / colour / f"{number}.png").write_bytes(picture(colour, size=(12 + number, 16)))
    done = installed.run("fct", "gate", colour_model(), "--data", tmp_path / "data", status=1)
    results = dict(re.findall(r"^(\w+) .* (PASS|FAIL)\b", done.stdout, re.MULTILINE))
    verdicts = {name: results[name] for name in ("raw_accuracy", "mean_accuracy", "worst_accuracy", "unseen_accuracy")}
    assert set(verdicts.values()) == {"PASS"}
    assert results["mean_ece"] == "FAIL"  # the model is never sure
    assert "Its thresholds are for Fashion-MNIST. Choose yours with --params FILE.\n" in done.stderr


def test_an_image_is_classified(installed, colour_model, picture, tmp_path):
    """An exported file is all that `fct predict` needs."""
    (tmp_path / "image.jpg").write_bytes(picture("green", "JPEG", quality=40))
    said = installed.run("fct", "predict", tmp_path / "image.jpg", "--model", colour_model()).stdout
    assert re.search(r"image\.jpg +green +\d+\.\d% +40$", said, re.MULTILINE)


def test_what_needs_the_pipelines_folder_says_so(installed):
    """The defaults stand in for params.yaml only where there is no pipeline to run."""
    said = installed.run("fct", "doctor", status=2).stderr
    assert said == "error: params.yaml is not here. Run the command in the folder that has it.\n"


def others(*extras):
    """Return the names of installed packages that the distribution does not install with these extras."""
    todo = [DISTRIBUTION + (f"[{','.join(extras)}]" if extras else "")]
    seen = set()
    while todo:
        requirement = Requirement(todo.pop())
        if str(requirement) in seen:
            continue
        seen.add(str(requirement))
        for line in distribution(requirement.name).requires or []:
            needed = Requirement(line)
            asked = [{"extra": extra} for extra in ("", *requirement.extras)]
            if needed.marker is None or any(map(needed.marker.evaluate, asked)):
                todo.append(needed.name + (f"[{','.join(needed.extras)}]" if needed.extras else ""))
    wanted = {canonicalize_name(Requirement(each).name) for each in seen}
    packages = packages_distributions().items()
    return {name for name, owners in packages if not wanted & {canonicalize_name(owner) for owner in owners}}


def run_without(environment, packages, *arguments, status=0):
    """Run `fct` as if these packages were not installed."""
    hide = f"import sys; sys.modules.update(dict.fromkeys({packages})); from fct.__main__ import main; main()"
    return environment.run("python", "-c", hide, *arguments, status=status)


def test_the_core_alone_says_what_the_command_needs(installed):
    """Without any extra the command is there, and ends with one line instead of a traceback."""
    assert {"click", "dvc", "mlflow", "prefect"} < others()
    done = run_without(installed, others(), "--help", status=2)
    remedy = "Install what fct needs: pip install '.[pipeline]' in a clone of FCT's repository"
    assert done.stderr == f"error: click is not installed. {remedy}\n"


def test_serve_is_all_that_predict_needs(installed, colour_model, picture, tmp_path):
    """The extra `serve` installs what classifies images, and not what trains."""
    hidden = others("serve")
    assert {"dvc", "optuna", "prefect"} < hidden
    (tmp_path / "image.png").write_bytes(picture("blue"))
    said = run_without(installed, hidden, "predict", tmp_path / "image.png", "--model", colour_model()).stdout
    assert "blue" in said


@pytest.fixture
def core(wheel, tmp_path):
    """Install the wheel with what it depends on and nothing else, for one test: it takes gigabytes."""
    environment = Environment(tmp_path)
    environment.install(wheel)
    yield environment
    shutil.rmtree(environment.home)


@pytest.mark.slow
@pytest.mark.timeout(1800)  # seconds: CUDA's libraries are most of it
def test_the_core_trains_in_an_empty_environment(core):
    """Without any extra the library trains, and the command says what it needs."""
    names = {canonicalize_name(path.name.partition("-")[0]) for path in core.packages.glob("*.dist-info")}
    size = sum(path.stat().st_size for path in core.packages.rglob("*") if path.is_file())
    print(f"{len(names)} packages, {size / 1e6:.0f} MB")
    assert not names & {"click", "dvc", "mlflow", "prefect", "pydantic", "onnxruntime"}
    said = core.run("python", "-c", loop()).stdout
    assert Path(said.strip()).is_relative_to(core.home)
    assert "pip install '.[pipeline]' in a clone of FCT's repository" in core.run("fct", status=2).stderr
