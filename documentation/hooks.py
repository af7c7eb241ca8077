"""What mkdocs does not do itself: generated tables, links to files of the repository, equations without a script.

mkdocs calls the functions on_... for each page. A page asks for what is made from the code by a line of its own:

    <!-- params -->                     the tables of params.yaml
    <!-- docstring: MODULE -->          what a module says about itself
    <!-- fields: MODULE.CLASS -->       a table of the fields of a class
"""

from __future__ import annotations

import re
import sys
import textwrap
from html import unescape
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))  # mkdocs loads this file by its path

from benchmarks.markdown import table  # noqa: E402
from documentation import comments, params  # noqa: E402

MADE = re.compile(r"^<!-- (params|docstring|fields)(?:: (\S+))? -->$", re.MULTILINE)
LINK = re.compile(r"(?<!!)\[([^\]]*)\]\((?!https?:|#|mailto:)([^)#\s]+)(#[^)\s]*)?\)")
MEAN = re.compile(r'<mover>(<mrow>.*?</mrow>)<mo accent="true">&#x02015;</mo></mover>')  # most fonts have no long line
SCRIPT_L = '<mi mathvariant="script">L</mi>', "<mi>&#x02112;</mi>"  # browsers know no other variant than normal
MATHS = re.compile(r'<(span|div) class="arithmatex">\s*\\([(\[])(.*?)\\[)\]]\s*</\1>', re.DOTALL)


def on_page_markdown(markdown: str, *, page: Any, config: Any, **_: Any) -> str:
    """Put generated tables in, and name files outside of docs/ instead of linking to them.

    Raises:
        ValueError: a link leads out of docs/ to a file that is not there.
    """
    markdown = MADE.sub(lambda found: made(found[1], found[2]), markdown)
    folder, docs = Path(page.file.abs_src_path).parent, Path(config["docs_dir"]).resolve()

    def replace(found: re.Match[str]) -> str:
        target = (folder / found[2]).resolve()
        if target.is_relative_to(docs):
            return found[0]
        if not target.exists():
            raise ValueError(f"{page.file.src_uri}: the link {found[2]} leads to no file of the repository.")
        path = f"`{target.relative_to(ROOT)}`"
        return path if found[1].strip("`") in path else f"{found[1]} ({path})"

    return LINK.sub(replace, markdown)


def on_page_content(html: str, **_: Any) -> str:
    """Turn equations into MathML, which browsers draw without a script."""
    from latex2mathml.converter import convert

    def replace(found: re.Match[str]) -> str:
        equation = str(convert(unescape(found[3]), display="block" if found[2] == "[" else "inline"))
        return MEAN.sub(r'<mrow class="mean">\1</mrow>', equation).replace(*SCRIPT_L)

    return MATHS.sub(replace, html)


def made(what: str, name: str) -> str:
    """Return the Markdown that a page asks for.

    Raises:
        OSError, ValueError: there is no such module or class.
    """
    if what == "params":
        return params.sections()
    if what == "docstring":
        return layouts_as_code(comments.of_module(name))
    fields = comments.of_fields(*name.rsplit(".", 1))
    rows = [(f"`{field}`", f"`{kind}`", params.escape(note)) for field, kind, note in fields]
    return table(("field", "type", "what it is"), rows)


def layouts_as_code(docstring: str) -> str:
    """Return a docstring as Markdown: a paragraph that lays out files, indented or not, is a block of code."""
    parts = docstring.split("\n\n")
    laid_out = [part.startswith(("    ", "<")) for part in parts]
    texts = [textwrap.dedent(part) for part in parts]
    shown = [f"```text\n{text}\n```" if code else text for text, code in zip(texts, laid_out, strict=True)]
    return "\n\n".join(shown).replace("```\n\n```text\n", "\n")
