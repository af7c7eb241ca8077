"""What a person sees in a browser: a run started with another parameter, its artifacts, MLflow's curve and registry.

With SCREENSHOTS=docs the pictures of docs/ are taken anew.
"""

import os
import re
import shutil
from pathlib import Path

import pytest
from playwright.sync_api import expect, sync_playwright

pytestmark = [pytest.mark.e2e, pytest.mark.system, pytest.mark.timeout(600)]

QUIET = [  # a browser that talks to this machine alone
    *("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
]
MINUTES = 60_000  # milliseconds


@pytest.fixture
def page():
    """Open Debian's browser."""
    browser = shutil.which("chromium")
    assert browser, "this test needs a browser: apt-get install chromium"
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=browser, args=QUIET)
        page = chromium.new_page(viewport={"width": 1280, "height": 900})
        page.set_default_timeout(30_000)
        yield page
        chromium.close()


@pytest.fixture
def take(page, tmp_path):
    """Return a function that takes a picture of the page, once `sight` is there to be seen."""
    folder = Path(os.environ.get("SCREENSHOTS", tmp_path))

    def picture(name, sight, *, settle=1500):
        expect(sight).to_be_visible(timeout=30_000)
        page.wait_for_timeout(settle)  # milliseconds: charts draw themselves
        page.screenshot(path=folder / f"{name}.png")

    return picture


def test_a_person_starts_a_run_and_sees_what_came_of_it(finished, tmp_path, nights, page, take):
    """From the form in Prefect's UI to the verdict, the curve in MLflow and the registered model with its aliases."""
    project = finished.copy(tmp_path / "seen")
    night = nights(project)
    with night.open():
        prefect = f"http://127.0.0.1:{night.ports['prefect']}"
        night.finish(night.start("reproduce/nightly", promote=True))

        page.goto(f"{prefect}/deployments")
        page.locator("input[type=password]").fill(night.password())
        page.get_by_role("button", name="Login").click()
        page.get_by_role("link", name="nightly").click()
        page.get_by_role("button", name="Run", exact=True).click()
        page.get_by_text("Custom run").click()
        page.locator("textarea").first.fill('{"train.epochs": 8}')
        name = page.locator("input[type=text]").first.input_value()
        take("start", page.get_by_text("Other values for keys of params.yaml"))
        page.get_by_role("button", name="Submit").click()

        page.wait_for_url("**tab=Runs")
        [run] = [run for run in night.runs("reproduce") if run["name"] == name]
        page.goto(f"{prefect}/runs/flow-run/{run['id']}")
        expect(page.get_by_role("button", name="Retry")).to_be_visible(timeout=4 * MINUTES)  # it has ended
        page.reload()  # so that the graph fits its frame
        take("run", page.get_by_text("Completed").first, settle=4000)
        assert "epochs: 8" in project.run("git", "show", f"fct/{name}:params.yaml")

        page.get_by_text("Artifacts").last.click()
        expect(page.get_by_text("verdict").first).to_be_visible()
        for key, sight in (
            ("verdict", page.get_by_role("heading", name=re.compile("PASS"))),
            ("stages", page.get_by_text("cache@10")),
            ("metrics", page.get_by_text("gate.worst_accuracy")),
            ("accuracy-by-quality", page.locator("img")),
            ("branch", page.get_by_text(f"fct/{name}").first),
        ):
            page.goto(f"{prefect}/artifacts/artifact/{night.latest(key)['latest_id']}")
            expect(sight.first).to_be_visible(timeout=30_000)
            if key == "verdict":
                take("artifact-verdict", sight.first)

        page.goto(f"{prefect}/artifacts/artifact/{night.latest('mlflow')['latest_id']}")
        page.goto(page.get_by_role("link", name="the run in MLflow").get_attribute("href"))
        page.get_by_role("tab", name=re.compile("Model metrics")).click()
        take("mlflow-curves", page.get_by_text("accuracy_gate").first, settle=5000)
        page.goto(f"{night.mlflow}/#/models/clothes")
        expect(page.get_by_text("champion").first).to_be_visible(timeout=30_000)


def test_a_reader_sees_the_report(page, finished, take):
    """The page is whole in a browser: verdict on top, charts and examples, nothing fetched, no sideways scroll."""
    finished.run("fct", "report", "--no-open", "--no-champion")
    asked = []
    page.on("request", lambda request: asked.append(request.url))
    desk, phone = 1100, 390
    for width in (desk, phone):
        page.set_viewport_size({"width": width, "height": 900})
        page.goto((finished.folder / "report.html").as_uri())
        expect(page.locator(".badge")).to_have_text("PASS")
        if width == desk:
            take("report", page.locator(".badge"))
        assert page.locator(".badge").bounding_box()["y"] < 200
        for title in ("The gate", "By class and quality", "Calibration", "Provenance"):
            expect(page.get_by_role("heading", name=title)).to_be_visible()
        for chart in (
            "Accuracy against JPEG quality",
            "Accuracy under unseen distortions",
            "Feature distortion by layer",
        ):
            expect(page.get_by_role("img", name=chart)).to_be_visible()
        assert page.locator("tbody tr").first.is_visible()
        expect(page.get_by_role("cell", name="standard", exact=True)).to_be_visible()
        assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert all(url.startswith(("file:", "data:")) for url in asked)
