"""What source files say about themselves: comments of YAML, comments of fields, docstrings. Imports none of them."""

from __future__ import annotations

import ast
import io
import tokenize
from pathlib import Path

from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap

ROOT = Path(__file__).parents[1]


def of_line(line: str) -> str:
    """Return the comment at the end of a line of YAML, or nothing."""
    quoted = ""
    for place, character in enumerate(line):
        if quoted:
            quoted = "" if character == quoted else quoted
        elif character in "\"'":
            quoted = character
        elif character == "#" and (place == 0 or line[place - 1] == " "):
            return line[place + 1 :].strip()
    return ""


def of_keys(path: Path) -> dict[str, str]:
    """Return the comment of each dotted key of a YAML file that has one; keys on their parent's line have none."""
    lines = path.read_text().splitlines()
    found: dict[str, str] = {}

    def walk(node: CommentedMap, above: str, line_above: int) -> None:
        for key, value in node.items():
            name, number = f"{above}{key}", node.lc.key(key)[0]
            if number != line_above and (comment := of_line(lines[number])):
                found[name] = comment
            if isinstance(value, CommentedMap):
                walk(value, f"{name}.", number)

    walk(YAML().load("\n".join(lines)), "", -1)
    return found


def of_module(name: str) -> str:
    """Return the docstring of a module."""
    return ast.get_docstring(ast.parse(source(name))) or ""


def of_fields(module: str, name: str) -> list[tuple[str, str, str]]:
    """Return (field, type, comment) of each field of a class, in the order of the source."""
    text = source(module)
    comments = {
        token.start[0]: token.string.lstrip("# ")
        for token in tokenize.generate_tokens(io.StringIO(text).readline)
        if token.type == tokenize.COMMENT
    }
    [found] = [node for node in ast.parse(text).body if isinstance(node, ast.ClassDef) and node.name == name]
    return [
        (ast.unparse(node.target), ast.unparse(node.annotation), comments.get(node.end_lineno or 0, ""))
        for node in found.body
        if isinstance(node, ast.AnnAssign)
    ]


def source(module: str) -> str:
    """Return the source of a module or package of this repository."""
    path = ROOT / module.replace(".", "/")
    return (path / "__init__.py" if path.is_dir() else path.with_suffix(".py")).read_text()
