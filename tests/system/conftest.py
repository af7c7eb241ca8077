"""Builds the Dockerfile's image without a container engine.

Its stages' steps run in chroots on a Debian that debootstrap makes. Every step has mount and process namespaces of its
own, so that whatever happens to it, or to the test, the kernel takes its mounts and processes away. Only what the
Dockerfile uses is understood; anything else fails the build.
"""

import ast
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from string import Template

import pathspec
import pytest
from dockerfile_parse import DockerfileParser

REPOSITORY = Path(__file__).parents[2]
SPACE = 12 << 30  # bytes: the stages share what they copy from one another; CUDA's libraries are most of it
STANDARD = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
# Arguments: root, user, working folder, then pairs of what to mount and where, then `--` and the command.
ENTER = """
root=$1 user=$2 folder=$3
shift 3
mount --rbind /dev "$root/dev"
mount -t proc proc "$root/proc"
while [ "$1" != -- ]; do
  if [ -d "$1" ]; then mkdir -p "$root$2"; else mkdir -p "$(dirname "$root$2")"; touch "$root$2"; fi
  mount --bind "$1" "$root$2"
  shift 2
done
shift
exec chroot --userspec="$user" "$root" env --chdir="$folder" "$@"
"""


@dataclass(frozen=True)
class Stage:
    """A root file system and what the instructions so far say about the commands that run in it."""

    root: Path
    environment: dict[str, str] = field(default_factory=lambda: {"PATH": STANDARD})
    folder: str = "/"
    user: str = "0"
    shell: tuple[str, ...] = ("/bin/sh", "-c")
    command: tuple[str, ...] = ()

    def run(self, *command: str, network: bool = False, environment=None, mounts=()) -> subprocess.CompletedProcess:
        """Run `command` as a container would, and return it with its output."""
        accounts = [line.split(":") for line in (self.root / "etc/passwd").read_text().splitlines()]
        home = next(line[5] for line in accounts if self.user in (line[0], line[2]))
        variables = {"HOME": home, **(environment or {}), **self.environment}
        return subprocess.run(
            [
                *("unshare", "--mount", "--pid", "--fork", "--kill-child"),
                *(() if network else ("--net",)),
                *("bash", "-euc", ENTER, "enter", str(self.root), self.user, self.folder),
                *(str(path) for pair in mounts for path in pair),
                *("--", "--ignore-environment", *(f"{name}={value}" for name, value in variables.items()), *command),
            ],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )


def debootstrap(root: Path, tools: Path) -> None:
    """Make the smallest Debian bookworm in `root`, from the server that this machine's apt uses for it."""
    targets = subprocess.run(
        ["apt-get", "indextargets", "--format", "$(CODENAME) $(COMPONENT) $(REPO_URI)", "Created-By: Packages"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout.split("\n")
    mirror = [line.split()[2] for line in targets if line.startswith("bookworm main ")][:1]
    environment = {**os.environ, "PATH": f"{os.environ['PATH']}:{STANDARD}"}
    if (
        shutil.which("debootstrap", path=environment["PATH"]) is None
    ):  # a shell script: it runs from where it is unpacked
        subprocess.run(["apt-get", "download", "debootstrap"], cwd=tools, check=True)
        subprocess.run(["dpkg-deb", "--extract", *tools.glob("debootstrap_*.deb"), tools], check=True)
        environment["DEBOOTSTRAP_DIR"] = str(tools / "usr/share/debootstrap")
        environment["PATH"] += f":{tools / 'usr/sbin'}"
    done = subprocess.run(
        ["unshare", "--mount", "debootstrap", "--variant=minbase", "bookworm", root, *mirror],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-4000:]


def pip_settings() -> tuple[dict[str, str], list[tuple[Path, Path]]]:
    """Return this machine's settings of pip as environment variables, and what to mount for the paths they name."""
    listed = subprocess.run([sys.executable, "-m", "pip", "config", "list"], capture_output=True, text=True, check=True)
    settings, mounts = {}, {}
    for line in sorted(listed.stdout.splitlines(), key=lambda line: line.startswith(":env:")):  # environment goes first
        key, value = line.split("=", 1)
        words = ast.literal_eval(value).split()
        for place, word in enumerate(words):
            scheme = "file://" if word.startswith("file://") else ""
            path = Path(word.removeprefix(scheme))
            if path.is_absolute() and path.exists():
                words[place] = f"{scheme}/mnt{path}"  # not where the system has files of its own: certificates, say
                path = path.parent if scheme else path  # an index links to its neighbours
                mounts[path] = Path(f"/mnt{path}")
        settings["PIP_" + key.split(".", 1)[1].upper().replace("-", "_")] = " ".join(words)
    return settings, list(mounts.items())


def context(target: Path) -> Path:
    """Copy to `target` what the engine would be sent: the repository without what .dockerignore names."""
    ignored = pathspec.GitIgnoreSpec.from_lines((REPOSITORY / ".dockerignore").read_text().splitlines())
    for folder, folders, names in os.walk(REPOSITORY):
        here = Path(folder).relative_to(REPOSITORY)
        folders[:] = [name for name in folders if not ignored.match_file(f"{here / name}/")]
        (target / here).mkdir(exist_ok=True)
        for name in names:
            if not ignored.match_file(here / name):
                shutil.copy2(REPOSITORY / here / name, target / here / name, follow_symlinks=False)
    return target


def number(accounts: Path, name: str) -> str:
    """Return the number of the user or group `name` in an /etc/passwd or /etc/group."""
    return next(line.split(":")[2] for line in accounts.read_text().splitlines() if line.startswith(f"{name}:"))


class Build:
    """Follows a Dockerfile, one instruction a method."""

    def __init__(self, work: Path) -> None:
        self.work = work
        self.base = work / "base"
        self.context = context(work / "context")
        self.stages: dict[str, Stage] = {}
        self.pip, self.mounts = pip_settings()
        self.pip_cache = subprocess.run(
            [sys.executable, "-m", "pip", "cache", "dir"], capture_output=True, text=True, check=True
        ).stdout.strip()
        Path(self.pip_cache).mkdir(parents=True, exist_ok=True)

    def update(self, dockerfile: Path) -> Stage:
        stage = None
        for instruction in DockerfileParser(path=str(dockerfile)).structure:
            name, value = instruction["instruction"], instruction["value"]
            if name != "COMMENT":
                stage = getattr(self, f"do_{name.lower()}")(stage, value)
        return stage

    def do_from(self, _: Stage | None, value: str) -> Stage:
        image, *alias = value.split(" AS ")
        assert image == "debian:bookworm-slim"
        if not self.base.exists():
            (self.work / "tools").mkdir()
            debootstrap(self.base, self.work / "tools")
        stage = Stage(self.work / f"stage-{len(self.stages)}")
        subprocess.run(["cp", "--archive", self.base, stage.root], check=True)
        self.stages[alias[0] if alias else str(len(self.stages))] = stage
        return stage

    def do_shell(self, stage: Stage, value: str) -> Stage:
        return replace(stage, shell=tuple(json.loads(value)))

    def do_cmd(self, stage: Stage, value: str) -> Stage:
        return replace(stage, command=tuple(json.loads(value)))

    def do_user(self, stage: Stage, value: str) -> Stage:
        return replace(stage, user=value)

    def do_arg(self, stage: Stage, value: str) -> Stage:
        assert "=" not in value, "only build arguments without a default are understood"
        return stage

    def do_env(self, stage: Stage, value: str) -> Stage:
        pairs = [pair.split("=", 1) for pair in shlex.split(value)]
        known = stage.environment
        return replace(stage, environment={**known, **{name: Template(text).substitute(known) for name, text in pairs}})

    def do_workdir(self, stage: Stage, value: str) -> Stage:
        (stage.root / value.lstrip("/")).mkdir(parents=True, exist_ok=True)
        return replace(stage, folder=value)

    def do_run(self, stage: Stage, value: str) -> Stage:
        mounts = [*self.mounts, (Path("/etc/resolv.conf").resolve(), "/etc/resolv.conf"), ("/etc/hosts", "/etc/hosts")]
        cache = re.match(r"--mount=type=cache,target=(\S+)\s+", value)
        if cache:
            mounts.append((self.pip_cache, cache[1]))
            value = value[cache.end() :]
        done = stage.run(*stage.shell, value, network=True, environment=self.pip, mounts=mounts)
        assert done.returncode == 0, f"RUN {value}\n{done.stdout[-4000:]}"
        return stage

    def do_copy(self, stage: Stage, value: str) -> Stage:
        words = value.split()
        options = dict(word.removeprefix("--").split("=", 1) for word in words if word.startswith("--"))
        *sources, target = [word for word in words if not word.startswith("--")]
        target = stage.root / (Path(stage.folder) / target).relative_to("/")
        target.mkdir(parents=True, exist_ok=True)
        if "from" in options:  # gigabytes: links within one file system instead of copies
            (source,) = sources
            origin = self.stages[options.pop("from")].root / source.lstrip("/")
            subprocess.run(["cp", "--archive", "--link", f"{origin}/.", target], check=True)
        else:
            user, group = options.pop("chown", "root:root").split(":")
            owner = f"{number(stage.root / 'etc/passwd', user)}:{number(stage.root / 'etc/group', group)}"
            with tempfile.TemporaryDirectory(dir=self.work) as copies:
                for source in sources:
                    origin = self.context / source
                    subprocess.run(
                        ["cp", "--archive", f"{origin}/." if origin.is_dir() else origin, copies], check=True
                    )
                subprocess.run(["chown", "--recursive", "--no-dereference", owner, copies], check=True)
                Path(copies).chmod(0o755)
                subprocess.run(["cp", "--archive", f"{copies}/.", target], check=True)
        assert not options, f"not understood: {options}"
        return stage


@pytest.fixture(scope="session")
def image() -> Iterator[Stage]:
    """The image of the Dockerfile, for commands to run in; gone when the session ends."""
    if os.geteuid() != 0:
        pytest.skip("a chroot needs root")
    if shutil.which("apt-get") is None:
        pytest.skip("debootstrap needs apt-get")
    work = Path(tempfile.mkdtemp(prefix="fct-image-"))
    try:
        assert shutil.disk_usage(work).free > SPACE, f"{work} needs {SPACE >> 30} GiB; TMPDIR chooses another place"
        yield Build(work).update(REPOSITORY / "Dockerfile")
    finally:
        shutil.rmtree(work)
