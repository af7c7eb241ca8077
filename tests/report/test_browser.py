"""In a browser no text of the page is cut, on a desk and on a telephone."""

import shutil

import pytest

from fct.core.params import load
from fct.evaluate import __main__ as evaluate
from fct.gate import __main__ as gate
from fct.report import build

CUT = """[...document.querySelectorAll('td, th, p, figcaption, h1, h2, h3')]
    .filter(e => e.scrollWidth > e.clientWidth + 1 || e.getBoundingClientRect().right > innerWidth + 1)
    .map(e => e.textContent.trim())"""


@pytest.mark.system
def test_nothing_is_cut_at_either_width(workplace):
    """Long notes, such as that of a check that is too close to call, break into lines."""
    sync_api = pytest.importorskip("playwright.sync_api")
    browser = shutil.which("chromium") or pytest.skip("Debian's chromium is not installed")
    params = (workplace / "params.yaml").read_text()
    (workplace / "params.yaml").write_text(
        params.replace("at_least: 0.7}", "at_least: 0.86}") + "registry: {name: a}\n"
    )
    evaluate.measure(load(evaluate.Params))
    gate.judge_model(load(gate.Params))
    path = build({}).resolve()
    assert "too close to call" in path.read_text()
    with sync_api.sync_playwright() as playwright:
        page = playwright.chromium.launch(executable_path=browser, args=["--no-sandbox"]).new_page()
        for width in (1100, 400):  # pixels
            page.set_viewport_size({"width": width, "height": 900})
            page.goto(path.as_uri())
            assert page.evaluate(CUT) == []
            assert page.evaluate("document.documentElement.scrollWidth") <= width
