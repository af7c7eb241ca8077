"""Other web pages and the servers of `make ui`: a page that is open in the browser changes nothing."""

import json
import shutil
import stat
import threading
import urllib.error
import urllib.request
from base64 import b64encode
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

pytestmark = [pytest.mark.e2e, pytest.mark.flows, pytest.mark.timeout(600)]

CHROMIUM = ("--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update")
EVIL = "http://evil.example"


@pytest.fixture(scope="module")
def night(fresh, nights):
    """Run all servers of a project in which nothing has run yet."""
    night = nights(fresh("pages"))
    with night.open():
        yield night


def status_of(url, body=None, method=None, **headers):
    """Send a request without a proxy; return its status."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    content = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, content, {"Content-Type": "application/json"} | named, method=method)
    try:
        with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=20) as answer:
            return answer.status
    except urllib.error.HTTPError as error:
        return error.code


@pytest.fixture(scope="module")
def prefect(night):
    return f"http://127.0.0.1:{night.ports['prefect']}/api"


@pytest.fixture(scope="module")
def known(night):
    """Return the header of somebody who knows the password."""
    return {"Authorization": f"Basic {b64encode(night.password().encode()).decode()}"}


def test_the_password_is_in_a_file_of_its_owners(night):
    """Nobody else on the machine can read it, and what `make ui` wrote to a log does not hold it."""
    file = night.project.folder / ".fct/ui-password"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    said = night.said.read_text()
    assert "Prefect asks for a password: it is in .fct/ui-password" in said
    assert night.password() not in said


def test_prefect_answers_nobody_without_the_password(prefect, known):
    """Reading and writing are 401 without it; its health, which says nothing, is open."""
    variable = {"name": "stolen", "value": 1}
    assert status_of(f"{prefect}/health") == 200
    assert status_of(f"{prefect}/version") == 401
    assert status_of(f"{prefect}/csrf-token?client=stranger") == 401
    assert status_of(f"{prefect}/variables/", variable) in {401, 403}  # whichever protection comes first
    wrong = {"Authorization": "Basic " + b64encode(b"fct:wrong").decode()}
    assert status_of(f"{prefect}/version", **wrong) == 401
    assert status_of(f"{prefect}/variables/", variable, **wrong) in {401, 403}
    assert status_of(f"{prefect}/variables/name/stolen", **known) == 404


def test_a_password_that_the_browser_adds_is_not_enough(prefect, known):
    """A change needs the token of the page that asks for it as well, which no other page can read."""
    assert status_of(f"{prefect}/variables/", {"name": "forged", "value": 1}, **known) == 403
    assert status_of(f"{prefect}/variables/name/forged", **known) == 404


def test_prefect_knows_only_its_own_page(prefect, known):
    """No other origin is told that it may read an answer."""
    request = urllib.request.Request(f"{prefect}/version", headers=known | {"Origin": EVIL})
    with urllib.request.urlopen(request, timeout=20) as answer:
        assert answer.headers.get("Access-Control-Allow-Origin") is None


@pytest.mark.parametrize("host", ["evil.example", "10.evil.example", "127.0.0.1:1"])
def test_another_name_for_this_machine_is_refused(night, host):
    """A page whose name was bound anew to loopback gets nothing from MLflow and optuna-dashboard."""
    optuna = f"http://127.0.0.1:{night.ports['optuna']}/api/studies"
    assert status_of(optuna, Host=host) == 403
    assert status_of(f"{night.mlflow}/api/2.0/mlflow/experiments/search?max_results=9", Host=host) == 403


def test_another_origin_changes_nothing(night):
    """MLflow and optuna-dashboard refuse what another page sends, and take the same from no page."""
    studies = f"http://127.0.0.1:{night.ports['optuna']}/api/studies"
    experiments = f"{night.mlflow}/api/2.0/mlflow/experiments/create"
    study = {"study_name": "s", "directions": ["minimize"]}
    assert status_of(studies, study, Origin=EVIL) == 403
    assert status_of(experiments, {"name": "e"}, Origin=EVIL) == 403
    assert status_of(studies, study) == 201
    assert status_of(experiments, {"name": "e"}) == 200


def test_our_own_flows_still_work(night):
    """The deployments' process polls, starts a run and reports its state, all with the password."""
    run = night.start("rollback/rollback-by-hand")
    state = night.finish(run)
    assert "Unauthorized" not in (state.message or "")
    assert state.name in {"Completed", "Failed"}
    assert any(part in state.message for part in ("no previous champion", "no champion", "registered"))


HOSTILE = """<!doctype html><title>hostile</title><script>
const send = (url, body, type) => fetch(url, {method: "POST", mode: "no-cors", credentials: "include",
  headers: {"Content-Type": type}, body: JSON.stringify(body)}).catch(() => 0);
(async () => {
  for (const type of ["text/plain", "application/json"]) {
    await send(PREFECT + "/variables/", {name: "hostile", value: 1}, type);
    await send(PREFECT + "/v2/concurrency_limits/", {name: "hostile", limit: 1}, type);
    await send(PREFECT + "/work_pools/", {name: "hostile", type: "process"}, type);
    await send(MLFLOW + "/api/2.0/mlflow/experiments/create", {name: "hostile"}, type);
    await send(MLFLOW + "/ajax-api/2.0/mlflow/registered-models/create", {name: "hostile"}, type);
    await send(MLFLOW + "/graphql", {query: "mutation { __typename }"}, type);
    await send(MLFLOW + "/v1/traces", {}, type);
    await send(OPTUNA + "/api/studies", {study_name: "hostile", directions: ["minimize"]}, type);
  }
  document.title = "done";
})();
</script>"""


@pytest.fixture
def hostile(night, prefect):
    """Serve a page of another site that attacks the servers; return its port."""
    addresses = {"PREFECT": prefect, "MLFLOW": night.mlflow, "OPTUNA": f"http://127.0.0.1:{night.ports['optuna']}"}
    page = f"<script>const {', '.join(f'{name} = {url!r}' for name, url in addresses.items())};</script>{HOSTILE}"

    class Page(BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200)
            self.send_header("Content-Type", "text/html")
            self.end_headers()
            self.wfile.write(page.encode())

        def log_message(self, *_):
            pass

    server = HTTPServer(("127.0.0.1", 0), Page)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server.server_port
    server.shutdown()
    server.server_close()


def contents(night):
    """Return what the servers hold that a page would like to change."""
    from prefect.client.orchestration import get_client

    held = {}
    with get_client(sync_client=True) as client:
        for kind in ("variables", "v2/concurrency_limits", "work_pools", "automations"):
            held[kind] = sorted(each["name"] for each in client.request("POST", f"/{kind}/filter", json={}).json())
    for name, url in (
        ("studies", f"http://127.0.0.1:{night.ports['optuna']}/api/studies"),
        ("experiments", f"{night.mlflow}/api/2.0/mlflow/experiments/search?max_results=99"),
        ("models", f"{night.mlflow}/api/2.0/mlflow/registered-models/search"),
    ):
        with urllib.request.urlopen(url, timeout=20) as answer:
            held[name] = answer.read()
    return held


@pytest.mark.system
def test_a_hostile_page_changes_nothing(night, hostile):
    """In a browser that is logged in to Prefect, a page of another site sends all it can, and all stays as it was."""
    from playwright.sync_api import expect, sync_playwright

    browser = shutil.which("chromium")
    assert browser, "this test needs a browser: apt-get install chromium"
    ui = f"http://127.0.0.1:{night.ports['prefect']}"
    with sync_playwright() as playwright:
        rule = f"--host-resolver-rules=MAP evil.example 127.0.0.1:{hostile}"
        chromium = playwright.chromium.launch(executable_path=browser, args=[*CHROMIUM, rule])
        user = chromium.new_context()
        user.set_default_timeout(60_000)
        page = user.new_page()
        page.goto(f"{ui}/deployments")
        page.locator("input[type=password]").fill(night.password())
        page.get_by_role("button", name="Login").click()
        expect(page.get_by_text("nightly").first).to_be_visible(timeout=60_000)  # the UI works with the password
        before = contents(night)
        other = user.new_page()
        other.goto(f"{EVIL}/")
        expect(other).to_have_title("done", timeout=60_000)
        assert contents(night) == before
        chromium.close()
