"""Data and caches on a Ray cluster of three nodes on this machine, in which things die."""

import hashlib
import os
import re
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import numpy as np
import psutil
import pytest
from PIL import Image

from fct.core.params import to_yaml
from tests.engine.nodes import ENVIRONMENT, cluster

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]

QUALITIES = (20, 50, 80)
IMAGES, SIDE, PIXELS = 500, 240, 64  # files, pixels of their sides, and of the model's
PARAMS = {
    "data": {
        "source": "folder",
        "mirror": None,
        "seed": 0,
        "fractions": {"val": 0.1, "gate": 0.05, "test": 0.05},
        "folder": {"path": "images", "pixels": PIXELS, "keep": 1.0, "channels": 3, "on_error": "fail"},
    },
    "jpeg": {"subsampling": "4:2:0"},
    "cache": {"qualities": list(QUALITIES), "shard": 1},
}
DATA = ("-m", "fct.data")


def cache(quality):
    return ("-m", "fct.cache", "--quality", str(quality))


class Project:
    """A working copy with photographs of two classes."""

    def __init__(self, folder, images, compute):
        folder.mkdir()
        (folder / "images").symlink_to(images, target_is_directory=True)
        (folder / "params.yaml").write_text(to_yaml(PARAMS | {"compute": compute}))
        self.folder = folder
        self.environment = os.environ | ENVIRONMENT

    def start(self, *command):
        return subprocess.Popen(
            [sys.executable, *command],
            cwd=self.folder,
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def run(self, *command, status=0):
        process = self.start(*command)
        output, _ = process.communicate()
        assert process.returncode == status, output
        return output

    def digests(self):
        data = self.folder / "data"
        return {
            str(path.relative_to(data)): hashlib.sha256(path.read_bytes()).hexdigest()
            for path in sorted(data.rglob("*"))
            if path.is_file()
        }

    def shards(self):
        """Return the finished shards of the build in progress."""
        return sorted((self.folder / ".fct/cache-build").glob("*/q*/*.npy"))


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    """Draw noisy scenes, which take as long as photographs."""
    folder, rng = tmp_path_factory.mktemp("photographs"), np.random.default_rng(0)
    for number in range(IMAGES):
        pixels = rng.normal(rng.integers(40, 200, 3), 25, (SIDE, SIDE, 3)).clip(0, 255).astype(np.uint8)
        path = folder / "ab"[number % 2] / f"{number}.jpg"
        path.parent.mkdir(exist_ok=True)
        Image.fromarray(pixels).save(path, quality=90)
    return folder


@pytest.fixture(scope="module")
def on_threads(images, tmp_path_factory):
    """Build everything on threads; return the digests of all files."""
    project = Project(tmp_path_factory.mktemp("threads") / "project", images, {"engine": "local"})
    project.run(*DATA)
    for quality in QUALITIES:
        project.run(*cache(quality))
    return project.digests()


@pytest.fixture(scope="module")
def nodes():
    with cluster(3) as made:
        yield made


@pytest.fixture
def project(images, tmp_path, nodes):
    return Project(tmp_path / "project", images, {"engine": "ray", "address": nodes.address})


def wait_for(condition, process):
    """Wait until `condition()` is true, while `process` runs; return its value."""
    deadline = time.monotonic() + 600  # seconds
    while not (value := condition()):
        assert process.poll() is None, process.stdout.read()
        assert time.monotonic() < deadline
        time.sleep(0.02)
    return value


def busy(node):
    """Return the processes of a node that run a task now."""
    found = []
    for process in node.processes():
        with suppress(psutil.NoSuchProcess):
            if process.name() == "ray::_run" or "ray::_run" in " ".join(process.cmdline()):
                found.append(process)
    return found


def finish(project, process):
    """Wait for the command, build the other qualities, and return the digests."""
    output, _ = process.communicate()
    assert process.returncode == 0, output
    for quality in QUALITIES[1:]:
        project.run(*cache(quality))
    return project.digests()


def test_a_cluster_gives_the_same_bytes(project, on_threads):
    """Splits, originals and caches are those of threads, and the build leaves nothing beside them."""
    project.run(*DATA)
    for quality in QUALITIES:
        project.run(*cache(quality))
    assert project.digests() == on_threads
    assert not project.shards()
    assert sum(name.startswith("cache/q20/train") for name in on_threads) > 2


def test_a_killed_task_runs_again(project, on_threads, nodes):
    """A task's process is killed -9 in the middle of a shard. The build ends as if nothing had happened."""
    project.run(*DATA)
    process = project.start(*cache(QUALITIES[0]))
    wait_for(project.shards, process)
    (victim, *_) = wait_for(lambda: [each for node in nodes.nodes for each in busy(node)], process)
    victim.kill()
    assert finish(project, process) == on_threads


def test_a_killed_node_is_not_missed(project, on_threads, nodes):
    """All processes of a node are killed -9 at once, while it works. Other nodes do its tasks."""
    project.run(*DATA)
    process = project.start(*cache(QUALITIES[0]))
    wait_for(project.shards, process)
    wait_for(lambda: busy(nodes.nodes[-1]), process)
    nodes.nodes.pop().kill()
    try:
        assert finish(project, process) == on_threads
    finally:
        nodes.start(f"--address={nodes.address}")


def test_a_killed_build_goes_on(project, on_threads):
    """The command is killed -9. Run again, it takes the shards that were finished, and ends with the same bytes."""
    project.run(*DATA)
    process = project.start(*cache(QUALITIES[0]))
    wait_for(project.shards, process)
    process.kill()
    process.communicate()
    before = {path.name: path.stat().st_ino for path in project.shards() if path.parent.name == "q20"}
    assert before
    assert not (project.folder / "data/cache").exists()
    assert finish(project, project.start(*cache(QUALITIES[0]))) == on_threads
    after = {path.stat().st_ino for path in (project.folder / "data/cache/q20").iterdir()}
    assert set(before.values()) <= after


def test_a_killed_head_ends_the_command(images, tmp_path, on_threads):
    """With the head, which the command needs, all of Ray ends. On a new cluster the build goes on."""
    with cluster(2) as first:
        project = Project(tmp_path / "project", images, {"engine": "ray", "address": first.address})
        project.run(*DATA)
        process = project.start(*cache(QUALITIES[0]))
        wait_for(project.shards, process)
        first.nodes.pop(0).kill()
        process.communicate(timeout=300)
        assert process.returncode != 0
    with cluster(1) as second:
        params = project.folder / "params.yaml"
        params.write_text(params.read_text().replace(first.address, second.address))
        assert finish(project, project.start(*cache(QUALITIES[0]))) == on_threads


def test_an_unshared_folder_is_refused(project, nodes):
    """A node that has another folder in this place is named, before any work starts."""
    project.run(*DATA)
    apart = ["unshare", "--mount", "sh", "-c", f'mount -t tmpfs none {project.folder} && exec "$@"', "sh"]
    if subprocess.run([*apart, "true"], capture_output=True, check=False).returncode:
        pytest.skip("mounting needs root")
    node = nodes.start(f"--address={nodes.address}", before=apart)
    try:
        output = project.run(*cache(20), status=2)
        assert "error: the Ray node" in output
        assert f"does not share the folder {project.folder}/.fct/cache-build" in output
        assert "Traceback" not in output
        assert not project.shards()
    finally:
        nodes.nodes.remove(node)
        node.kill()


def test_without_a_cluster_the_error_says_how_to_start_one(images, tmp_path):
    """Nothing listens at the address: the error names the key, the address and the command."""
    project = Project(tmp_path / "project", images, {"engine": "ray", "address": "127.0.0.1:1"})
    output = project.run(*DATA, status=75)
    assert re.search(r"params\.yaml, line \d+: compute\.address: 127\.0\.0\.1:1: no Ray cluster answers", output)
    assert "ray start --head" in output
    assert "Traceback" not in output


def test_a_cluster_that_ended_is_not_waited_for(images, tmp_path):
    """With `auto`, Ray remembers the last cluster of this machine, and would wait for it without end."""
    project = Project(tmp_path / "project", images, {"engine": "ray", "address": "auto"})
    (tmp_path / "ray").mkdir()
    (tmp_path / "ray/ray_current_cluster").write_text("127.0.0.1:1")
    project.environment["RAY_TMPDIR"] = str(tmp_path)
    assert "compute.address: auto: no Ray cluster answers" in project.run(*DATA, status=75)


def test_nothing_is_left_of_a_cluster():
    """Its processes end, and its folder is deleted."""
    with cluster(2) as made:
        processes = [each for node in made.nodes for each in node.processes()]
        assert len(processes) > 4
    assert not made.folder.exists()
    assert not [each for each in processes if each.is_running() and each.status() != psutil.STATUS_ZOMBIE]
    assert not Path("/tmp/ray").exists()
