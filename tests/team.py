"""What a team has, for tests: a project whose repository, data and tracking are shared, and hosts that take runs."""

import subprocess
import sys
import time
from contextlib import contextmanager, suppress
from datetime import timedelta

import psutil

PATIENCE = 20  # seconds for processes to end


@contextmanager
def started(command, folder, environment):
    """Run a program while the block runs; then kill it with its children, as a power cut would."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "log.txt").open("a") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", *command],
            cwd=folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    try:
        yield process
    finally:
        with suppress(psutil.NoSuchProcess):
            for each in [*psutil.Process(process.pid).children(recursive=True), psutil.Process(process.pid)]:
                each.kill()
        process.wait()


class Host:
    """A host that has the packages, and nothing of the project. All its processes have its HOME."""

    def __init__(self, home):
        self.home, self.worker = home, None
        self.temporary = home / "tmp"
        self.temporary.mkdir(parents=True, exist_ok=True)

    def processes(self, word=""):
        """Return the processes of this host with a word in their command."""
        found = []
        for process in psutil.process_iter():
            with suppress(psutil.Error, OSError):
                is_here = process.environ().get("HOME") == str(self.home)
                if is_here and process.status() != psutil.STATUS_ZOMBIE and word in " ".join(process.cmdline()):
                    found.append(process)
        return found

    def runs(self):
        """Return the processes of flow runs: the worker's children."""
        return psutil.Process(self.worker.pid).children()

    def freeze(self, word):
        """Stop the first process with a word in its command, or return None if there is none yet."""
        found = [process for process in self.processes(word) if "sh" not in process.name()]
        if not found:
            return None
        found[0].suspend()
        return found[0]

    def suspend(self):
        """Let no process of this host go on, as if it slept."""
        for process in self.processes():
            with suppress(psutil.Error):
                process.suspend()

    def resume(self):
        for process in self.processes():
            with suppress(psutil.Error):
                process.resume()

    def kill(self):
        """End all processes, as a power cut would."""
        while found := self.processes():
            for process in found:
                with suppress(psutil.Error):
                    process.kill()
            time.sleep(0.1)

    def orphans(self):
        """Return the commands of processes that are left, after some seconds in which they may end."""
        deadline = time.monotonic() + PATIENCE
        while (left := self.processes()) and time.monotonic() < deadline:
            time.sleep(0.2)
        commands = []
        for process in left:
            with suppress(psutil.Error):
                commands.append(" ".join(process.cmdline()))
        return commands

    def clones(self):
        """Return the number of clones that are there."""
        return len(list(self.temporary.glob("*prefect/*")))

    def log(self):
        """Return what the worker and its runs said."""
        return (self.home / "work/log.txt").read_text(errors="replace")


class Team:
    """A project whose repository, data and tracking are on servers."""

    def __init__(self, project, folder, environment):
        self.project, self.folder = project, folder
        self.environment = project.environment | {
            "PREFECT_HOME": str(folder / "prefect"),
            "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
            "PREFECT_WORKER_QUERY_SECONDS": "2",
            "DO_NOT_TRACK": "1",
            **environment,
        }

    @property
    def origin(self):
        """The address of the shared repository."""
        return f"file://{self.folder}/origin.git"

    def share(self, remote, **settings):
        """Commit everything, and put it on the servers."""
        project = self.project
        project.environment |= {name: value for name, value in self.environment.items() if name.startswith("AWS_")}
        project.change({"pipeline.pool": "gpus"})
        branch = project.run("git", "rev-parse", "--abbrev-ref", "HEAD").strip()
        bare = str(self.folder / "origin.git")
        project.run("git", "init", "--bare", "--quiet", f"--initial-branch={branch}", bare)
        project.run("git", "remote", "add", "origin", self.origin)
        project.run("dvc", "remote", "add", "--default", "store", remote)
        for name, value in settings.items():
            project.run("dvc", "remote", "modify", "store", name, value)
        project.run("git", "add", "--all")
        project.run("git", "commit", "--quiet", "--message", "Use a pool and a remote")
        project.run("git", "push", "--quiet", "origin", branch)
        project.run("dvc", "push", "--quiet")

    @contextmanager
    def host(self, name):
        """Run a worker on a host; a worker before it on the host of this name has left its files."""
        host = Host(self.folder / name)
        environment = {key: value for key, value in self.environment.items() if key != "PYTHONPATH"}
        environment |= {
            "HOME": str(host.home),
            "TMPDIR": str(host.temporary),
            "DVC_SITE_CACHE_DIR": str(host.home / "site"),
        }
        command = ("prefect", "worker", "start", "--pool", "gpus", "--limit", "1")
        try:
            with started(command, host.home / "work", environment) as host.worker:
                yield host
        finally:
            host.kill()

    def deploy(self, patience=None):
        """Register the deployments; after `patience` seconds without a sign of life, a run counts as dead."""
        from prefect.client.orchestration import get_client
        from prefect.events.schemas.automations import AutomationCore

        said = self.project.run(sys.executable, "-m", "pipelines.deploy", **self.environment)
        assert "prefect worker start --pool gpus" in said
        if patience is None:
            return
        with get_client(sync_client=True) as client:
            for automation in client.read_automations():
                short = automation.trigger.model_copy(update={"within": timedelta(seconds=patience)})
                core = AutomationCore(name=automation.name, trigger=short, actions=automation.actions)
                client.update_automation(automation.id, core)

    def start(self, state=None, **parameters):
        """Start a run of `reproduce`."""
        from prefect.client.orchestration import get_client

        with get_client(sync_client=True) as client:
            found = client.read_deployment_by_name("reproduce/nightly")
            return client.create_flow_run_from_deployment(found.id, parameters=parameters, state=state).id

    def read(self, run):
        """Return a run as the UI shows it."""
        from prefect.client.orchestration import get_client

        with get_client(sync_client=True) as client:
            return client.read_flow_run(run)

    def ended(self, run):
        """Return a run that has ended, or None."""
        found = self.read(run)
        return found if found.state.is_final() else None

    def open_runs(self):
        """Return the names of runs that Prefect shows as at work."""
        from prefect.client.orchestration import get_client

        asked = {"flow_runs": {"state": {"type": {"any_": ["RUNNING", "PENDING", "CANCELLING"]}}}}
        with get_client(sync_client=True) as client:
            return [run["name"] for run in client.request("POST", "/flow_runs/filter", json=asked).json()]

    def open_stages(self):
        """Return the stages that Prefect shows as at work although their run has ended."""
        from prefect.client.orchestration import get_client

        asked = {
            "task_runs": {"state": {"type": {"any_": ["RUNNING", "PENDING"]}}},
            "flow_runs": {"state": {"type": {"any_": ["COMPLETED", "FAILED", "CRASHED", "CANCELLED"]}}},
        }
        with get_client(sync_client=True) as client:
            return [stage["name"] for stage in client.request("POST", "/task_runs/filter", json=asked).json()]

    def pulled(self, run):
        """Clone the branch of a run, pull its data, and return what `dvc status` says."""
        name = self.read(run).name
        folder = self.folder / f"clone-of-{name}"
        self.project.run("git", "clone", "--quiet", "--branch", f"fct/{name}", self.origin, str(folder))
        said = ""
        for command in (["dvc", "pull", "--quiet"], ["dvc", "status"]):
            done = subprocess.run(
                command, cwd=folder, env=self.project.environment, capture_output=True, text=True, check=False
            )
            assert done.returncode == 0, done.stderr
            said = done.stdout
        return said.strip()
