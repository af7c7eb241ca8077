"""`make env` and `make stack`: secrets of one's own, real servers that are repaired, and nothing left behind."""

import json
import os
import re
import shutil
import signal
import socket
import stat
import subprocess
import sys
import tempfile
import urllib.error
import urllib.request
from base64 import b64encode
from pathlib import Path

import psutil
import pytest

from fct.core.errors import FctError
from pipelines.stack import dotenv, rights
from tests.s3 import free_values

REPOSITORY = Path(__file__).parents[2]


def test_the_file_of_secrets_is_for_its_owner_alone(tmp_path):
    """Mode 600, each secret random and different, and none of them a default."""
    file, other = tmp_path / ".env", tmp_path / "other"
    dotenv.write(file)
    dotenv.write(other)
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    values, others = dotenv.read(file), dotenv.read(other)
    secrets = [values[name] for name in dotenv.SECRETS]
    assert len(set(secrets)) == len(secrets)
    assert not set(secrets) & {others[name] for name in dotenv.SECRETS}
    assert min(map(len, secrets)) == 32


def test_git_ignores_the_file_of_secrets():
    """Neither git nor an image ever gets it."""
    lines = (REPOSITORY / ".gitignore").read_text().splitlines()
    assert "/.env" in lines
    assert "**/.env" in (REPOSITORY / ".dockerignore").read_text().splitlines()


def test_a_second_time_keeps_what_is_there(tmp_path):
    """Secrets, ports and lines of the person stay; a changed port changes the addresses."""
    file = tmp_path / ".env"
    dotenv.write(file)
    before = dotenv.read(file)
    assert dotenv.write(file) == []
    assert dotenv.read(file) == before
    port = before["FCT_MLFLOW_PORT"]
    file.write_text(file.read_text().replace(f"FCT_MLFLOW_PORT={port}", "FCT_MLFLOW_PORT=5999") + "MINE=1\n")
    dotenv.write(file)
    after = dotenv.read(file)
    assert after["MLFLOW_TRACKING_URI"] == "http://127.0.0.1:5999"
    assert after["MINE"] == "1"
    assert {name: after[name] for name in dotenv.SECRETS} == {name: before[name] for name in dotenv.SECRETS}


def in_shell(file, *names):
    """Return the values that a shell gets from a .env. It must execute nothing of it."""
    script = f"set -eau; . {file}; printf '%s\\n' " + " ".join(f'"${name}"' for name in names)
    done = subprocess.run(["sh", "-c", script], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout.splitlines()


YOURS = """\
# mine; see `pass show proxy`
export GREETING='hello; world $HOME' # not expanded

TWICE="$FCT_S3_PORT # $FCT_S3_PORT"
# secrets
if true; then SEVERAL="1
2"; fi
"""


def test_lines_of_the_person_stay_as_they_are(tmp_path):
    """Quotes, `export`, comments and commands stay, however often the file is written."""
    file = tmp_path / ".env"
    dotenv.write(file)
    file.write_text(file.read_text() + YOURS)
    for _ in range(2):
        dotenv.write(file)
        assert file.read_text().endswith(f"\n# yours\n{YOURS}")
    port = dotenv.read(file)["FCT_S3_PORT"]
    expected = ["hello; world $HOME", f"{port} # {port}", "1", "2"]
    assert in_shell(file, "GREETING", "TWICE", "SEVERAL") == expected


def test_lines_of_a_file_that_a_person_began_stay(tmp_path):
    """Before `make env` has written it, all of it is the person's, but not what the program would write twice."""
    file = tmp_path / ".env"
    file.write_text(f"{YOURS}AWS_DEFAULT_REGION=elsewhere\n")
    dotenv.write(file)
    assert file.read_text().endswith(f"\n# yours\n{YOURS}")
    assert in_shell(file, "AWS_DEFAULT_REGION") == [rights.REGION]


@pytest.mark.parametrize(
    ("line", "value"),
    [
        ("export FCT_MLFLOW_PASSWORD='a; b $c'  # the old one", "a; b $c"),
        ('FCT_MLFLOW_PASSWORD="it\'s"', "it's"),
        ("FCT_MLFLOW_PASSWORD=abc # comment", "abc"),
    ],
)
def test_a_secret_stays_as_the_person_wrote_it(tmp_path, line, value):
    """This program, a shell and the clients' variables have the same value, and a comment is no part of it."""
    file = tmp_path / ".env"
    dotenv.write(file)
    file.write_text(re.sub("FCT_MLFLOW_PASSWORD=.*", lambda _: line, file.read_text(), count=1))
    for _ in range(2):
        dotenv.write(file)
        assert f"{line}\n" in file.read_text()
    assert dotenv.read(file)["FCT_MLFLOW_PASSWORD"] == value
    assert in_shell(file, "FCT_MLFLOW_PASSWORD", "MLFLOW_TRACKING_PASSWORD") == [value, value]


def test_a_value_that_a_shell_would_execute_gets_quotes(tmp_path):
    """Host names with a space after the comma work for this program, and so they must for a shell."""
    file = tmp_path / ".env"
    dotenv.write(file)
    line = "export FCT_HOST_NAMES=one.example.org, two.example.org # proxies"
    file.write_text(file.read_text().replace("FCT_HOST_NAMES=", line))
    for _ in range(2):
        dotenv.write(file)
        assert "export FCT_HOST_NAMES='one.example.org, two.example.org' # proxies\n" in file.read_text()
    assert in_shell(file, "FCT_HOST_NAMES") == ["one.example.org, two.example.org"]
    assert ",one.example.org,two.example.org," in dotenv.read(file)["FCT_MLFLOW_ALLOWED_HOSTS"]


def test_a_port_that_is_taken_is_not_chosen():
    """The next one is, and its port for gRPC is free too."""
    busy = {20_000, 30_001}
    assert dotenv.free_port(20_000, taken=[20_002], is_free=lambda port: port not in busy) == 20_003


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        (r"FCT_S3_PORT=\d+", "FCT_S3_PORT=60000", "FCT_S3_PORT=60000 is not a port below 55536"),
        (r"FCT_DB_PASSWORD=\w+", "FCT_DB_PASSWORD=", "has no FCT_DB_PASSWORD"),
    ],
)
def test_a_wrong_value_is_named(tmp_path, old, new, words):
    """The message has the file and the variable, and no secret."""
    file = tmp_path / ".env"
    dotenv.write(file)
    file.write_text(re.sub(old, new, file.read_text()))
    with pytest.raises(FctError, match=words):
        dotenv.read(file)


def test_without_the_file_it_says_how_to_write_it(tmp_path):
    """The message names the command."""
    with pytest.raises(FctError, match="`make env` writes it"):
        dotenv.read(tmp_path / ".env")


def test_mlflow_answers_its_hosts_with_port_and_without():
    """Clients send the port, proxies may remove it, and other containers use the service's name."""
    hosts = dotenv.allowed_hosts("mlflow", "5001", "mlflow.example.org")
    for name in ("127.0.0.1", "127.0.0.1:5001", "localhost:5001", "mlflow:5000", "mlflow", "mlflow.example.org"):
        assert name in hosts
    assert "mlflow.example.org:5001" in hosts


def test_each_key_of_s3_opens_one_bucket(tmp_path):
    """Only the administrator may do more."""
    dotenv.write(tmp_path / ".env")
    identities = json.loads(rights.s3_rights(dotenv.read(tmp_path / ".env")))["identities"]
    for identity in identities:
        if identity["name"] != "admin":
            assert {action.partition(":")[2] for action in identity["actions"]} == {identity["name"]}


def test_mlflow_remembers_passwords_for_a_minute():
    """Without, each request takes half a second longer."""
    text = rights.mlflow_rights("postgresql://mlflow:secret@127.0.0.1:5432/mlflow")
    assert "auth_cache_ttl_seconds = 60" in text
    assert "postgresql+psycopg://" in text


class Stack:
    """The services in a folder of their own, and what a person types there."""

    def __init__(self, folder):
        self.folder = folder
        self.values = free_values(folder)
        self.environment = {name: value for name, value in os.environ.items() if not name.startswith("FCT_")}
        self.environment |= {"PYTHONPATH": str(REPOSITORY), "OMP_NUM_THREADS": "1"}

    def run(self, command, status=0):
        done = subprocess.run(
            [sys.executable, "-m", "pipelines.stack", command],
            cwd=self.folder,
            env=self.environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == status, done.stdout + done.stderr
        return done.stdout

    def status(self, url, login=None, **headers):
        if login:
            headers["Authorization"] = f"Basic {b64encode(login.encode()).decode()}"
        try:
            with urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=30) as answer:
                return answer.status
        except urllib.error.HTTPError as error:
            return error.code

    def sockets(self):
        """Return SeaweedFS's sockets in /tmp."""
        ports = [int(value) for name, value in self.values.items() if re.fullmatch(r"FCT_S3_(\w+_)?PORT", name)]
        numbers = {*ports, *(port + dotenv.GRPC for port in ports)}
        return [path for path in Path("/tmp").glob("seaweedfs-*.sock") if int(path.stem.split("-")[-1]) in numbers]

    def processes(self):
        """Return all processes that belong to this stack, by their environment or their working folder."""
        mark = str(self.folder)
        return [process for process in psutil.process_iter() if mark in _traces(process)]

    def listening(self):
        found = []
        for name in dotenv.PORTS:
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", int(self.values[name]))) == 0:
                    found.append(name)
        return found


def _traces(process):
    try:
        if process.pid == os.getpid() or process.status() == psutil.STATUS_ZOMBIE:
            return ""
        return f"{process.environ().get('FCT_STACK_PROGRAM', '')} {process.cwd()}"
    except psutil.Error:
        return ""


@pytest.fixture(scope="module")
def stack(postgres):  # noqa: ARG001  # skips where PostgreSQL is not installed
    """Start the services; PostgreSQL's user must be able to enter the folder."""
    folder = Path(tempfile.mkdtemp(prefix="fct-stack-"))
    folder.chmod(0o755)
    one = Stack(folder)
    try:
        one.run("start")
        yield one
    finally:
        one.run("stop")
        shutil.rmtree(folder)


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_the_servers_work_and_refuse_strangers(stack):
    """MLflow and Prefect ask for passwords; MLflow answers its own hosts alone; no command line has a secret."""
    assert stack.run("status").count(" up") == 4
    values = stack.values
    search = f"{values['MLFLOW_TRACKING_URI']}/api/2.0/mlflow/experiments/search?max_results=1"
    login = f"fct:{values['FCT_MLFLOW_PASSWORD']}"
    assert stack.status(search) == 401
    assert stack.status(search, login) == 200
    assert stack.status(search, login, Host="localhost") == 200  # without the port
    assert stack.status(search, login, Host="evil.example.org") == 403
    admin = f"{values['PREFECT_API_URL']}/admin/version"
    assert stack.status(admin) == 401
    assert stack.status(admin, values["PREFECT_API_AUTH_STRING"]) == 200
    said = " ".join(" ".join(process.cmdline()) for process in stack.processes())
    assert [name for name in dotenv.SECRETS if values[name] in said] == []


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("name", ["postgres", "s3", "mlflow", "prefect"])
def test_a_killed_server_is_repaired_by_the_same_command(stack, name):
    """`make stack-status` says that it is down, and `make stack` starts it again beside the others."""
    if name == "postgres":
        victims = [p for p in stack.processes() if p.cwd().endswith("postgres/data")]
    else:
        victims = [p for p in stack.processes() if p.environ().get("FCT_STACK_PROGRAM", "").endswith(f":{name}")]
    assert victims
    for process in victims:
        process.send_signal(signal.SIGKILL)
    psutil.wait_procs(victims, timeout=20)
    assert re.search(rf"^{name} .*down", stack.run("status", status=1), re.MULTILINE)
    assert stack.run("start").count("was running") == 3
    assert stack.run("status").count(" up") == 4


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_stopping_leaves_nothing_behind(stack):
    """No process, no port and no socket is left, and the data is there after the next start."""
    assert stack.sockets()
    stack.run("stop")
    assert stack.processes() == []
    assert stack.listening() == []
    assert stack.sockets() == []
    stack.run("start")
    assert stack.run("status").count(" up") == 4
