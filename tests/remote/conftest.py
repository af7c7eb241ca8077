"""A tiny DVC project with a file and a folder as outs of stages, and a folder of its own images, all pushed."""

import os
import shutil
import subprocess

import pytest

DAG = """
stages:
  make:
    cmd: mkdir -p views && for i in $(seq 12); do seq $i $((i * 900)) > views/$i; done
    outs: [views]
  join:
    cmd: cat views/* > all
    deps: [views]
    outs: [all]
    metrics: [{count: {cache: false}}]
"""
FILES = 12


class Working:
    """A working copy, and what a person types in it."""

    def __init__(self, folder, **environment):
        self.folder = folder
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "DVC_", "FCT_"))}
        self.environment = kept | {"DVC_SITE_CACHE_DIR": str(folder / ".dvc/tmp/site"), "DVC_NO_ANALYTICS": "1"}
        self.environment |= {"GIT_CONFIG_GLOBAL": os.devnull} | environment

    def start(self, *command):
        return subprocess.Popen(
            command,
            cwd=self.folder,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )

    def run(self, *command, status=0):
        process = self.start(*command)
        said = process.communicate()[0]
        assert process.returncode == status, said
        return said

    def contents(self):
        """Return every file that DVC keeps, with what it holds."""
        files = [*self.folder.glob("all"), *(self.folder / "views").glob("*"), *(self.folder / "images").glob("*.txt")]
        return {str(file.relative_to(self.folder)): file.read_bytes() for file in files}

    def clone(self, folder):
        self.run("git", "clone", "--quiet", ".", str(folder))
        return Working(folder, **{name: value for name, value in self.environment.items() if name.startswith("AWS_")})


def make_project(folder):
    folder.mkdir(parents=True)
    project = Working(folder)
    (folder / "dvc.yaml").write_text(DAG.replace("cat views/* > all", "cat views/* > all && wc -l all > count"))
    (folder / "images").mkdir()
    for number in range(3):
        (folder / f"images/{number}.txt").write_text(f"image {number}\n" * 50)
    for command in (
        "git init --quiet",
        "git config user.name Ada",
        "git config user.email ada@example.org",
        "dvc init --quiet",
        "dvc add --quiet images",
        "dvc repro --quiet",
        "dvc remote add --quiet --default store ../store",  # DVC keeps it relative, so it travels with copies
        "dvc push --quiet",
        "git add --all",
        "git commit --quiet --message Start",
    ):
        project.run(*command.split())


@pytest.fixture(scope="session")
def made(once):
    return once("remote", lambda folder: make_project(folder / "project"))


@pytest.fixture
def project(made, tmp_path, monkeypatch):
    """Stand in a copy of the project, with its remote in the folder `store` beside it."""
    shutil.copytree(made / "project", tmp_path / "project", symlinks=True)
    shutil.copytree(made / "store", tmp_path / "store")
    monkeypatch.chdir(tmp_path / "project")
    monkeypatch.setenv("DVC_SITE_CACHE_DIR", str(tmp_path / "site"))
    return Working(tmp_path / "project")


@pytest.fixture
def store(project):
    """Return a function that finds the object of an out in the remote's folder."""
    from fct.remote.store import open_stores

    def place(path):
        from fct.remote.store import iterate_files

        ((opened, outs),) = open_stores(None)
        for out in list(outs):
            if out.oid.endswith(".dir"):
                outs += iterate_files(opened.cached(out.oid).read_bytes(), out)
        (oid,) = {out.oid for out in outs if out.path == path}
        return project.folder.parent / "store/files/md5" / oid[:2] / oid[2:]

    return place
