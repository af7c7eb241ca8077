"""The documentation site: it builds without a warning, loads nothing from elsewhere, and its reference is complete."""

import inspect
import os
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import pytest
from ruamel.yaml import YAML

import fct
from fct.cli import main as command
from fct.core import errors

ROOT = Path(__file__).parents[2]
FOREIGN = re.compile(r"(https?:)?//")
CALLABLE = [name for name in fct.__all__ if callable(getattr(fct, name))]
LOADED = {  # attributes by which a page loads something at once; `a href` waits for a click
    *(("script", "src"), ("img", "src"), ("iframe", "src"), ("link", "href"), ("source", "srcset"), ("form", "action")),
}


class Page(HTMLParser):
    """The text of a page, its anchors, and what it loads."""

    def __init__(self, path):
        super().__init__()
        self.text, self.anchors, self.loads, self.classes = "", set(), [], set()
        self.feed(path.read_text())

    def handle_starttag(self, tag, attributes):
        for name, value in attributes:
            if (tag, name) in LOADED:
                self.loads.append(value)
            if name == "id":
                self.anchors.add(value)
            if name == "class":
                self.classes.update((value or "").split())

    def handle_data(self, data):
        self.text += data


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """Build the site as `make docs` does. A broken link, a missing page or a warning of Python ends it."""
    folder = tmp_path_factory.mktemp("site")
    subprocess.run(
        [sys.executable, "-W", "error", "-m", "mkdocs", "build", "--strict", "--site-dir", folder],
        cwd=ROOT,
        env={**os.environ, "NO_MKDOCS_2_WARNING": "1"},
        check=True,
        capture_output=True,
        text=True,
    )
    return {str(path.relative_to(folder)): Page(path) for path in folder.rglob("*.html")} | {"": folder}


def pages(built):
    return {name: page for name, page in built.items() if name}


def test_pages_load_nothing_from_elsewhere(built):
    """Styles, scripts and pictures are the site's own. Mermaid's script would come from another host."""
    foreign = [(name, url) for name, page in pages(built).items() for url in page.loads if FOREIGN.match(url)]
    assert foreign == []
    assert [name for name, page in pages(built).items() if "mermaid" in page.classes] == []
    styles = "".join(path.read_text() for path in built[""].rglob("*.css"))
    assert [url for url in re.findall(r"(?:url\(|@import)\s*[\"']?([^)\"']+)", styles) if FOREIGN.match(url)] == []


def test_equations_need_no_script(built):
    """What stands between dollars is MathML in the page."""
    page = built["explanation/method.html"]
    assert "arithmatex" not in page.classes
    assert "\\mathrm" not in page.text
    assert "<math" in (built[""] / "explanation/method.html").read_text()


def test_every_public_name_has_an_entry(built):
    """The API page has each name of `fct.__all__`, and each is found under its own address."""
    anchors = {anchor.rpartition(".")[2] for anchor in built["reference/api.html"].anchors if anchor.startswith("fct.")}
    assert set(fct.__all__) - anchors == set()


@pytest.mark.parametrize("name", CALLABLE)
def test_a_docstring_has_what_a_reader_needs(name):
    """One sentence first; every argument; what is returned; an example. Or the name of the class that has them."""
    value = getattr(fct, name)
    text = inspect.getdoc(value)
    first = text.partition("\n\n")[0].replace("\n", " ")
    assert first.endswith(".")
    assert len(first) <= 120
    assert "Example:\n    >>> " in text
    arguments = [one for one in inspect.signature(value).parameters if one != "self"]
    documented = re.findall(r"^    (\w+): ", text.partition("Args:\n")[2].partition("\n\n")[0], re.MULTILINE)
    inherited = re.search(r"Arguments and errors are those of `(\w+)`", text)
    assert documented == arguments or (inherited and inherited[1] in fct.__all__)
    if not isinstance(value, type):
        assert first.split()[0] in ("Return", "Compress")


def test_every_key_of_params_has_a_row(built):
    """With its default: the page is made from the file."""
    text = built["reference/params.html"].text

    def keys(node, above=""):
        for key, value in node.items():
            yield from keys(value, f"{above}{key}.") if isinstance(value, dict) else [f"{above}{key}"]

    params = YAML(typ="safe").load(ROOT / "params.yaml")
    assert [key for key in keys(params) if key not in text] == []
    assert "file_mib, at_most: 10" in text  # the section `gate`, which is a list
    assert "from 1 to 100,000" in text


def test_every_command_has_a_section(built):
    """With its options, as `--help` shows them."""
    page = built["reference/cli.html"]
    assert [name for name in command.commands if f"fct {name} [OPTIONS]" not in page.text] == []
    assert "--allow-weaker-gate" in page.text
    assert "Sentinel" not in page.text
    assert "<registry.name>" in page.text


def test_every_exit_status_is_explained():
    """The table has each status that `fct.core.errors` defines."""
    statuses = [value for value in vars(errors).values() if isinstance(value, int)]
    rows = re.findall(r"^\| (\d+) \|", (ROOT / "docs/reference/exit-status.md").read_text(), re.MULTILINE)
    assert sorted(map(int, rows)) == sorted([0, *statuses])


def test_the_picture_has_every_stage_and_every_package():
    """It is drawn by hand: a new stage or package is missing from it until someone draws it."""
    picture = (ROOT / "docs/explanation/architecture.svg").read_text()
    drawn = set(re.findall(r">([a-z0-9-]+)(?:@Q)?</text>", picture))
    stages = YAML(typ="safe").load(ROOT / "dvc.yaml")["stages"]
    packages = {path.parent.name for path in (ROOT / "fct").glob("*/__init__.py")}
    assert {*stages, *packages} - drawn == set()


def test_files_are_described_by_the_code_that_writes_them(built):
    """The page has the layouts of the modules' docstrings and the fields of their classes."""
    text = built["reference/files.html"].text
    for part in ("manifest.json", "data_digest", "<split>-confidence.npy", "quality  int64 [B]", "follows"):
        assert part in text
    named = set(re.findall(r"`metrics/([\w-]+)\.json`", (ROOT / "docs/reference/files.md").read_text()))
    listed = set(re.findall(r"metrics/([\w-]+)\.json", (ROOT / "dvc.yaml").read_text()))
    assert named == listed | {path.stem for path in (ROOT / "metrics").glob("*.json")} - {"export-"}
