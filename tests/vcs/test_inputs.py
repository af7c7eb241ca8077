"""What the stages read is in git or in DVC as they read it, or it is named."""

import shutil
import subprocess
from pathlib import Path

import pytest

from fct.vcs import inputs

DVC_YAML = """
stages:
  train:
    cmd: mkdir -p model && cat weights/*.pt code/*.py > model/model.pt
    deps: [weights, images, code]
    outs: [model/model.pt]
  gate:
    cmd: cp model/model.pt verdict
    deps: [model]
    outs: [verdict]
"""
FILES = {
    "dvc.yaml": DVC_YAML,
    ".dvcignore": "__pycache__\n/weights/README.md\n",
    ".gitignore": "*.pt\n*.secret\n",
    "weights/README.md": "Weights lie here.",
    "weights/start.pt": "weights",
    "images/cat/a/1.png": "a cat",
    "images/cat/a.png": "another cat",
    "code/train.py": "train()",
    "requirements.lock": "torch==2.14.1",
}


def write(files):
    for name, text in files.items():
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        Path(name).write_text(text)


def run(*command):
    subprocess.run(command, check=True, capture_output=True)


def commit():
    run("git", "add", "--all")
    run("git", "-c", "user.name=Ada", "-c", "user.email=a@b", "commit", "--quiet", "--message", "x", "--allow-empty")


@pytest.fixture(scope="module")
def built(once):
    """Make a project whose weights and images are in DVC, whose stages ran, and whose commit has all the rest."""

    def build(folder):
        with pytest.MonkeyPatch.context() as patch:
            patch.chdir(folder)
            write(FILES)
            run("git", "init", "--quiet")
            run("dvc", "init", "--quiet")
            run("dvc", "add", "--quiet", "weights/start.pt", "images/cat")
            run("dvc", "repro", "--quiet")
            commit()

    return once("inputs", build)


@pytest.fixture(autouse=True)
def project(built, tmp_path, monkeypatch):
    """Stand in a copy of the project."""
    shutil.copytree(built, tmp_path / "copy", symlinks=True)
    monkeypatch.chdir(tmp_path / "copy")


def named():
    """Return each problem as one sentence."""
    return [str(problem) for problem in inputs.problems(Path("dvc.lock").read_text())]


def test_what_git_and_dvc_hold_is_in_order():
    """Files in DVC, files in git, outs, and what .dvcignore leaves out are no problem, changed or not."""
    write({"code/__pycache__/train.pyc": "compiled", "weights/README.md": "Other words.", "notes.txt": "mine"})
    assert named() == []


def test_an_ignored_file_that_a_stage_reads_is_named():
    """A file that .gitignore hides is in the training all the same. `dvc add` and a commit are enough."""
    run("dvc", "remove", "weights/start.pt.dvc")
    run("dvc", "repro", "--quiet")
    commit()
    remedy = "Run `dvc add weights/start.pt` and commit weights/start.pt.dvc, add it to git, or remove it."
    assert named() == [f"weights/start.pt is in neither git nor DVC. {remedy}"]
    run("dvc", "add", "--quiet", "weights/start.pt")
    assert named() == ["weights/start.pt.dvc is not committed. Commit it."]
    commit()
    assert named() == []


def test_a_folder_that_git_does_not_know_is_added_whole():
    """The remedy for images of a new class names the folder of the class."""
    write({f"images/dog/{number}.png": "a dog" for number in range(2)})
    for number, problem in enumerate(named()[:2]):
        assert problem.startswith(f"images/dog/{number}.png is in neither git nor DVC. Run `dvc add images/dog` and")


@pytest.mark.parametrize(
    "name", ["requirements.lock", "dvc.yaml", ".dvcignore", "code/train.py", "params.yaml", "fct/new.py"]
)
def test_what_git_holds_must_be_committed(name):
    """A changed or new file is named, though no stage names it as a dep."""
    write({name: f"{FILES.get(name, '')}\n"})
    assert f"{name} is not committed. Commit it." in named()


def test_a_dvc_file_that_is_not_committed_is_named():
    """A new version of a file in DVC counts once its .dvc file is committed."""
    write({"weights/start.pt": "other weights"})
    run("dvc", "add", "--quiet", "weights/start.pt")
    run("dvc", "repro", "--quiet")
    (problem,) = inputs.problems(Path("dvc.lock").read_text())
    assert str(problem) == "weights/start.pt.dvc is not committed. Commit it."
    assert inputs.is_uncommitted_dvc_file(problem)
    commit()
    assert named() == []


@pytest.mark.parametrize("name", ["weights/start.pt", "images/cat/a/1.png"])
def test_a_file_that_is_not_what_its_dvc_file_names_is_named(name):
    """A file in DVC that was changed since `dvc add` is another file, and not what the stages read."""
    write({name: "changed"})
    held = name if name.startswith("weights") else "images/cat"
    assert [problem.partition(". Run")[0] for problem in named()] == [
        f"{held} is not what {held}.dvc names",
        f"{Path(held).parent} is not what the stage train read, says dvc.lock",
    ]


def test_a_stage_that_read_other_weights_is_named():
    """Weights that are in DVC and committed are not the training's if dvc.lock has another checksum for them."""
    write({"weights/start.pt": "other weights"})
    run("dvc", "add", "--quiet", "weights/start.pt")
    commit()
    assert named() == ["weights is not what the stage train read, says dvc.lock. Run `dvc repro`."]


def test_a_link_in_git_holds_no_file(tmp_path):
    """Git has no more than the name of what a link leads to."""
    (tmp_path / "elsewhere.py").write_text("train()")
    Path("code/more.py").symlink_to(tmp_path / "elsewhere.py")
    commit()
    assert [problem.partition(":")[0] for problem in named()] == ["code/more.py is a link"]


def test_stages_that_are_no_more_read_nothing():
    """dvc.lock keeps the deps of a stage that dvc.yaml no longer has."""
    write({"old.secret": "x"})
    lock = Path("dvc.lock").read_text()
    old = "  old:\n    cmd: x\n    deps:\n    - {path: old.secret, md5: abc}\n"
    assert [str(problem) for problem in inputs.problems(lock + old)] == []
    write({"dvc.yaml": f"{DVC_YAML}  old:\n    cmd: x\n"})
    assert "old.secret is in neither git nor DVC" in str(inputs.problems(lock + old)[-1])
