"""The examples run as they say, learn, and add as few lines to a plain script as they say."""

import difflib
import io
import re
import runpy
import shlex
import subprocess
import sys
from contextlib import redirect_stdout
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

EXAMPLES = Path(__file__).parents[1] / "examples"
SCRIPTS = sorted(path.name for path in EXAMPLES.glob("*.py"))
PAIR = ["existing_script.py", "existing_script_robust.py"]
SMALL = ["--size", "32", "--epochs", "4"]  # three classes are learnt in eight steps
OPTIONS = {  # a later option takes the place of an earlier one
    "timm_training.py": ["--model", "test_resnet", "--epochs", "12"],
    "onnx_export.py": ["--epochs", "2"],
    "existing_script.py": ["--workers", "0", "--epochs", "6"],  # of half as many images
    "existing_script_robust.py": ["--workers", "0"],
}
CHANCE = 0.4  # of the 15 images that are held out with seed 0, six are of one class
MARK = re.compile(r"# FCT$", re.MULTILINE)

pytestmark = [
    pytest.mark.filterwarnings("ignore:.*LeafSpec.*is deprecated:FutureWarning"),  # Lightning 2.6 with torch 2.14
    pytest.mark.filterwarnings("ignore:.*does not have many workers"),  # Lightning's advice
]


@pytest.fixture(scope="module")
def drawings(tmp_path_factory):
    """Draw three shapes, faint and coarse, each with a texture of its own that JPEG removes at low qualities."""
    random = np.random.default_rng(0)
    rows, columns = np.mgrid[:32, :32]
    y, x = rows / 16 - 1, columns / 16 - 1
    shapes = {
        "bar": (abs(x) < 0.4, rows % 2),
        "disc": (y**2 + x**2 < 0.5, columns % 2),
        "triangle": (y > x, (rows + columns) % 2),
    }
    folder = tmp_path_factory.mktemp("drawings")
    for name, (shape, texture) in shapes.items():
        (folder / name).mkdir()
        for number in range(26):
            grey = (50 + 25 * shape + 100 * texture)[:, :, None] + random.normal(0, 10, (32, 32, 3))
            Image.fromarray(grey.clip(0, 255).astype(np.uint8)).save(folder / name / f"{number:02}.png")
    return folder


@pytest.fixture(scope="module")
def run(drawings, tmp_path_factory):
    """Return a function that runs the command of an example's docstring once: what it prints, and where it stood."""
    done = {}

    def once(script, *options):
        if (script, *options) not in done:
            python, path, *arguments = shlex.split(command(script))
            assert (python, path) == ("python", f"examples/{script}")
            arguments = [str(drawings) if word == "FOLDER" else word for word in arguments]
            folder, printed = tmp_path_factory.mktemp("made"), io.StringIO()
            with pytest.MonkeyPatch.context() as patch, redirect_stdout(printed):
                patch.chdir(folder)
                patch.setattr(sys, "argv", [script, *arguments, *SMALL, *OPTIONS.get(script, []), *options])
                runpy.run_path(str(EXAMPLES / script), run_name="__main__")
            done[script, *options] = printed.getvalue(), folder
        return done[script, *options]

    return once


def indented(script):
    """Return the indented lines of an example's docstring: the command, then what it prints."""
    docstring = (EXAMPLES / script).read_text().split('"""')[1]
    return re.findall(r"^    (\S.*)$", docstring, re.MULTILINE)


def command(script):
    return indented(script)[0]


def accuracies(printed):
    """Return the accuracies that an example prints, in order: on raw images, then at quality 10."""
    return [float(number) for number in re.findall(r"^(?!.*loss).*: (\d\.\d+)$", printed, re.MULTILINE)]


def changed_lines():
    before, after = ((EXAMPLES / name).read_text().splitlines() for name in PAIR)
    return [line for line in difflib.ndiff(before, after) if line[:2] in ("- ", "+ ")]


@pytest.mark.parametrize("script", SCRIPTS)
def test_an_example_runs_learns_and_prints_what_its_docstring_says(run, script):
    """The command of the docstring prints the docstring's lines; raw images are classified better than by chance."""
    printed, _ = run(script)
    for line in indented(script)[1:]:
        assert re.search("^" + re.escape(line).replace(r"\.\.\.", r"\d+\.\d+") + "$", printed, re.MULTILINE), printed
    assert min(accuracies(printed)[::2]) > CHANCE


def test_the_robust_script_is_better_at_a_low_quality(run):
    """At JPEG quality 10 the changed script classifies more images than the one that it was, or all."""
    (_, before), (_, after) = (accuracies(run(script)[0]) for script in PAIR)
    assert after > before or after == 1


def test_an_existing_script_becomes_robust_by_a_diff_of_15_lines():
    """Lines that go and lines that come are 15 at most, docstring and all."""
    assert 0 < len(changed_lines()) <= 15


@pytest.mark.parametrize("script", sorted({*SCRIPTS} - {*PAIR, "onnx_export.py"}))
def test_an_example_without_its_marked_lines_is_a_plain_script(script):
    """What is left does not know FCT, has all that it uses and uses all that it has."""
    lines = (EXAMPLES / script).read_text().split('"""', 2)[2].splitlines()
    plain = "\n".join(line for line in lines if not re.search("# FCT(: test)?$", line))
    assert not re.search("fct|jpeg|taps|consistency", plain)
    ruff = [sys.executable, "-m", "ruff", "check", "--isolated", "--select", "F", "-"]
    checked = subprocess.run(ruff, input=plain, capture_output=True, text=True, check=False)
    assert checked.returncode == 0, checked.stdout


def test_the_readme_counts_the_lines_that_examples_add():
    """The table has each script, with the number of its marked lines or of the lines of its diff."""
    rows = re.findall(
        r"^\| \[(\S+)\]\(\1\) \|.*\| (?:a diff of )?(\d+) \|$", (EXAMPLES / "README.md").read_text(), re.MULTILINE
    )
    counts = {script: len(MARK.findall((EXAMPLES / script).read_text())) for script in SCRIPTS}
    assert {script: int(count) for script, count in rows} == counts | {PAIR[1]: len(changed_lines())}


def test_the_seed_decides_what_an_example_prints(run):
    """The same seed prints the same numbers, another one others."""
    first, again, other = (
        run("timm_training.py", "--epochs", "1", *seed)[0] for seed in ([], ["--seed", "0"], ["--seed", "1"])
    )
    assert first == again != other


def test_the_exported_file_takes_images_and_their_qualities(run):
    """The file of the example has two inputs and takes any number of images."""
    import onnxruntime

    session = onnxruntime.InferenceSession(run("onnx_export.py")[1] / "model.onnx", providers=["CPUExecutionProvider"])
    assert [entry.name for entry in session.get_inputs()] == ["image", "quality"]
    for count in (1, 5):
        feeds = {"image": np.zeros((count, 3, 32, 32), np.float32), "quality": np.full(count, 10)}
        assert session.run(None, feeds)[0].shape == (count, 3)
