"""DVC's remote on S3: what is pushed arrives, whatever dies on the way, and nothing is silently wrong."""

import os
import random
import shutil
import signal
import time

import pytest
from click.testing import CliRunner

from fct.cli import main

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(900), pytest.mark.xdist_group("s3")]
KILLS = 10
OBJECTS = 18


@pytest.fixture
def project(project, s3, monkeypatch, request):
    """Stand in the project, with an empty remote of its own on S3."""
    for name, value in s3.environment.items():
        monkeypatch.setenv(name, value)
        project.environment[name] = value
    project.prefix = f"{request.node.name}-{time.time_ns()}"
    configure(project, s3.address)
    project.run("git", "commit", "--quiet", "--all", "--message", "S3")
    return project


def configure(project, address):
    """Write what `dvc remote modify` writes, in no time."""
    remote = f"    url = s3://dvc/{project.prefix}\n    endpointurl = {address}\n    verify = true\n"
    (project.folder / ".dvc/config").write_text(f"[core]\n    remote = store\n['remote \"store\"']\n{remote}")


def verify(*arguments):
    return CliRunner().invoke(main, ["remote", "verify", *arguments])


def key_of(project, s3, path):
    """Return the name of the object of an out."""
    from fct.core.files import md5

    digest = md5(project.folder / path)
    (key,) = [key for key in s3.keys(project.prefix) if key.endswith(f"{digest[:2]}/{digest[2:]}")]
    return key


def test_what_is_pushed_here_is_pulled_there(project, tmp_path):
    """A fresh clone pulls every byte, and `dvc status` and `dvc repro` find nothing to do."""
    project.run("dvc", "push", "--quiet")
    there = project.clone(tmp_path / "there")
    there.run("dvc", "pull", "--quiet")
    assert there.contents() == project.contents()
    assert there.run("dvc", "status", "--quiet") == ""
    assert "Running stage" not in there.run("dvc", "repro")
    assert "all are whole" in verify().stdout


def test_damage_on_the_server_is_not_pulled_and_is_repaired(project, s3, tmp_path):
    """DVC calls the remote up to date; a pull with `verify` refuses, `fct remote verify` names and restores it."""
    project.run("dvc", "push", "--quiet")
    s3.truncate(key_of(project, s3, "all"))
    s3.delete(key_of(project, s3, "views/7"))
    assert "up to date" in project.run("dvc", "push")  # the trap
    there = project.clone(tmp_path / "there")
    there.run("dvc", "pull", "--quiet", status=1)
    assert not (there.folder / "all").exists()
    result = verify()
    assert result.exit_code == 1
    assert "damaged  all (" in result.stdout
    assert "missing  views/7 (" in result.stdout
    assert verify("--repair").exit_code == 0
    there.run("dvc", "pull", "--quiet")
    assert there.contents() == project.contents()


def test_a_server_that_is_away_is_said_to_be_away(project):
    """The exit status says that the same command may succeed later."""
    configure(project, "http://127.0.0.1:9")
    result = verify()
    assert result.exit_code == 75
    assert f"s3://dvc/{project.prefix} cannot be used" in result.stderr


@pytest.mark.usefixtures("project")
def test_wrong_keys_are_said_to_be_refused(monkeypatch):
    """The message names the variable, and not the key."""
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "wrong-secret")
    result = verify()
    assert result.exit_code == 2
    assert "AWS_ACCESS_KEY_ID" in result.stderr
    assert "wrong-secret" not in result.output


@pytest.mark.slow
def test_pushes_killed_at_any_moment_lose_nothing(project, s3, tmp_path):
    """Ten pushes die by kill -9, each after a random number of objects; the next one completes, and all are whole."""
    counts = []
    for number in range(KILLS):
        for key in s3.keys(project.prefix):
            s3.delete(key)
        shutil.rmtree(project.folder / ".dvc/tmp/site", ignore_errors=True)  # what DVC remembers of the remote
        enough = random.Random(number).randrange(OBJECTS)
        _kill_at(enough, lambda: s3.keys(project.prefix), project, "dvc", "push", "--quiet", "--jobs", "1")
        counts.append(len(s3.keys(project.prefix)))
        project.run("dvc", "push", "--quiet")
        result = verify()
        assert result.exit_code == 0, result.output
    print("objects on the server after each kill:", counts)
    there = project.clone(tmp_path / "there")
    there.run("dvc", "pull", "--quiet")
    assert there.contents() == project.contents()


@pytest.mark.slow
def test_pulls_killed_at_any_moment_leave_nothing_wrong(project, tmp_path):
    """Ten pulls die by kill -9, each after a random number of files; the next one completes, with every byte right."""
    project.run("dvc", "push", "--quiet")
    there = project.clone(tmp_path / "there")
    cache, right, counts = there.folder / ".dvc/cache/files", project.contents(), []
    for number in range(KILLS):
        shutil.rmtree(there.folder / ".dvc/cache", ignore_errors=True)
        there.run("git", "clean", "--quiet", "-dfx", "--exclude=.dvc")
        enough = random.Random(number).randrange(OBJECTS)
        _kill_at(enough, lambda: _objects(cache), there, "dvc", "pull", "--quiet", "--jobs", "1")
        assert there.contents().items() <= right.items()  # never half a file
        counts.append((len(_objects(cache)), len(there.contents())))
        there.run("dvc", "pull", "--quiet")
        assert there.contents() == right
        assert there.run("dvc", "status", "--quiet") == ""
    print("objects in the cache, and files, after each kill:", counts)


@pytest.mark.slow
def test_a_server_that_stops_half_way_loses_nothing(project, s3, tmp_path):
    """The server dies during a push and comes back: the push ends or fails, and the next one leaves all whole."""
    for number in range(20):
        (project.folder / f"images/more-{number}.txt").write_text(f"{number}\n" * 200_000)
    project.run("dvc", "add", "--quiet", "images")
    process = project.start("dvc", "push", "--quiet", "--jobs", "1")
    while process.poll() is None and len(s3.keys(project.prefix)) < 5:
        time.sleep(0.05)
    for one in s3.program.processes():
        os.kill(one.pid, signal.SIGKILL)
    time.sleep(5)
    s3.program.start()
    process.communicate()
    print("the push that lost its server ended with", process.returncode)
    project.run("dvc", "push", "--quiet")
    result = verify()
    assert result.exit_code == 0, result.output
    project.run("git", "commit", "--quiet", "--all", "--message", "More")
    there = project.clone(tmp_path / "there")
    there.run("dvc", "pull", "--quiet")
    assert there.contents() == project.contents()


def _objects(cache):
    return [path for path in cache.rglob("*") if path.is_file() and path.parent.parent.name == "md5"]


def _kill_at(enough, objects, project, *command):
    """Start a command, and kill it with all its processes once there are enough objects."""
    process = project.start(*command)
    while process.poll() is None and len(objects()) < enough:
        time.sleep(0.005)
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
