"""docs/how-to/serve.md, as a client meets it: nginx before MLflow's own server, with the settings of that page."""

import base64
import http.client
import io
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

REPOSITORY = Path(__file__).parents[2]
PAGE = (REPOSITORY / "docs/how-to/serve.md").read_text()
PORTS = ("8080", "8081", "5001")  # of nginx.conf
pytestmark = [pytest.mark.system, pytest.mark.slow, pytest.mark.timeout(600)]


def free_ports(count):
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return ports


@pytest.fixture(scope="module")
def address(tmp_path_factory):
    """Serve a small model as the page says, and return the address that clients use."""
    from onnx import TensorProto, helper, numpy_helper, save

    from fct.registry import package

    if shutil.which("nginx") is None:
        subprocess.run(["apt-get", "install", "--yes", "--no-install-recommends", "nginx-light"], check=True)
    folder = tmp_path_factory.mktemp("serving")
    graph = helper.make_graph(
        [
            helper.make_node("Cast", ["image"], ["pixels"], to=TensorProto.FLOAT),
            helper.make_node("ReduceMean", ["pixels", "places"], ["logits"], keepdims=0),
        ],
        "colours",
        [helper.make_tensor_value_info("image", TensorProto.UINT8, ["B", 3, 8, 8])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["B", 3])],
        [numpy_helper.from_array(np.array([2, 3]), "places")],
    )
    save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10), folder / "colours.onnx")
    model, logged = SimpleNamespace(path=folder / "colours.onnx"), SimpleNamespace(artifact_location="", model_id=None)
    package._pack(model, [file(size=(8, 8))], folder / "model", logged, None)

    ports = free_ports(len(PORTS))
    site = (REPOSITORY / "docs/nginx.conf").read_text()
    for name, port in zip(PORTS, ports, strict=True):
        site = site.replace(f"{name};", f"{port};")
    kinds = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    paths = "".join(f"{kind}_temp_path {folder / kind};" for kind in kinds)
    settings = f"daemon off; pid {folder}/pid; user root; events {{}} http {{ access_log off; {paths}\n{site}}}"
    (folder / "nginx.conf").write_text(settings)

    environment = dict(re.findall(r"^export (\w+)=(\w+)", PAGE, re.MULTILINE))
    assert len(environment) == 6
    (command,) = re.findall(r"^mlflow (models serve .* -h .*)$", PAGE, re.MULTILINE)
    command = command.replace("models:/fct-fashion-mnist@champion", str(folder / "model")).replace(
        "5001", str(ports[2])
    )
    environment |= os.environ | {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    commands = [
        [sys.executable, "-m", "mlflow", *command.split()],
        ["nginx", "-e", str(folder / "error.log"), "-c", str(folder / "nginx.conf")],
    ]
    with (folder / "log").open("w") as log:
        processes = [
            subprocess.Popen(each, env=environment, stdout=log, stderr=log, start_new_session=True) for each in commands
        ]
    try:
        deadline = time.monotonic() + 120
        while status(("127.0.0.1", ports[0]), "GET", "/ping") != 200:
            assert time.monotonic() < deadline, (folder / "log").read_text()
            time.sleep(0.3)
        yield "127.0.0.1", ports[0]
    finally:
        for each in processes:
            os.killpg(each.pid, signal.SIGKILL)
            each.wait()


def file(size=(100, 100), kind="PNG"):
    buffer = io.BytesIO()
    Image.new("RGB", size, (20, 220, 20)).save(buffer, kind)
    return buffer.getvalue()


def body(content):
    return json.dumps({"inputs": {"image": [base64.b64encode(content).decode()]}}).encode()


def ask(address, content):
    """Return the status and the answer of a request, and the seconds that it took."""
    start, connection = time.monotonic(), http.client.HTTPConnection(*address, timeout=120)
    try:
        connection.request("POST", "/invocations", content, {"Content-Type": "application/json"})
        response = connection.getresponse()
        return response.status, response.read(), time.monotonic() - start
    finally:
        connection.close()


def status(address, method, path, headers=None):
    """Return the status of a request whose body is not sent, or None where nobody listens."""
    connection = http.client.HTTPConnection(*address, timeout=30)
    try:
        connection.request(method, path, headers=headers or {})
        return connection.getresponse().status
    except OSError:
        return None
    finally:
        connection.close()


def test_an_image_is_answered(address):
    """Through both servers of nginx."""
    code, answer, _ = ask(address, body(file()))
    assert code == 200
    assert json.loads(answer)["predictions"][0]["class"] == "1"


def test_a_body_that_is_too_large_is_refused_before_it_is_sent(address):
    """Its length is enough to refuse it; the largest file that is read has room."""
    headers = {"Content-Type": "application/json", "Content-Length": str(400 << 20)}
    assert status(address, "POST", "/invocations", headers) == 413
    assert ask(address, body(bytes(64 << 20)))[0] == 200


@pytest.mark.parametrize(
    "content", [b'{"inputs": ' + b"[" * 100_000 + b"]" * 100_000 + b"}", b"{", b"[]", b'{"inputs": 5}']
)
def test_a_request_that_cannot_be_parsed_is_the_clients_error(address, content):
    """Deep JSON too, which MLflow takes for an error of its own."""
    assert ask(address, content)[0] == 400


@pytest.mark.parametrize(
    "part",
    [
        b"",
        b"POST /invocations HTTP/1.1\r\nHost: a\r\n",
        b"POST /invocations HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\n{",
    ],
)
def test_a_half_open_connection_ends(address, part):
    """One that sends nothing, half a header or half a body is closed after ten seconds."""
    with socket.create_connection(address, timeout=30) as connection:
        connection.sendall(part)
        start = time.monotonic()
        try:
            while connection.recv(4096):
                pass
        except ConnectionResetError:
            pass
        assert 5 < time.monotonic() - start < 25


def test_large_images_do_not_hold_small_ones(address):
    """Two large ones are at work, others are asked to come again, and a small one is answered meanwhile."""
    noise = np.kron(np.random.default_rng(0).integers(0, 256, (290, 290, 3), np.uint8), np.ones((32, 32, 1), np.uint8))
    buffer = io.BytesIO()
    Image.fromarray(noise).save(buffer, "JPEG", quality=80, progressive=True)
    large, small = body(buffer.getvalue()), body(file())
    assert len(small) < 100_000 < len(large)
    with ThreadPoolExecutor() as pool:
        waiting = [pool.submit(ask, address, large) for _ in range(6)]
        seconds = []
        while not all(each.done() for each in waiting):
            code, _, took = ask(address, small)
            assert code == 200
            seconds.append(took)
    codes = sorted(each.result()[0] for each in waiting)
    assert set(codes) == {200, 503}
    assert codes.count(200) >= 2
    assert max(seconds) < 10
