"""docs/reference/params.md: every key of params.yaml with its type, range, default and comment.

Types and ranges are those of the pydantic models that validate the file. Defaults and comments are the file's own.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from typing import Any

from ruamel.yaml import YAML

from benchmarks.markdown import table
from documentation import comments
from documentation.comments import ROOT

PARAMS = ROOT / "params.yaml"
HEADER = ("key", "type", "values", "default", "what it is")
LONGEST = 12  # values that are listed in a cell
LINES = "gate"  # the section that is a list


def sections() -> str:
    """Return a heading and a table for each section."""
    from pipelines.params import Params

    schema = Params.model_json_schema()
    values = YAML(typ="safe").load(PARAMS)
    notes = comments.of_keys(PARAMS)
    readers = stages_by_section()
    parts = []
    for name in values:
        about, section = notes.get(name, ""), resolve(schema["properties"][name], schema)
        about = about or str(section.get("description", "")).partition("\n")[0]
        parts += [f"## {name}", sentence(about.removeprefix(f"The section `{name}`: "))]
        if readers.get(name):
            parts.append("A change reruns the stages that read it: " + listed(readers[name]) + ".")
        if name == LINES:
            lines = resolve(section["items"], schema)
            shown = [row[:3] for row in rows(lines, schema, {}, {}, "")]
            parts += ["A list. [The gate](../explanation/gate.md) says what each key of a line means."]
            parts += [table(HEADER[:3], shown), "The default:", f"```yaml\n{lines_of(name)}\n```"]
        else:
            parts.append(table(HEADER, rows(section, schema, values[name], notes, f"{name}.")))
    return "\n\n".join(parts)


def sentence(text: str) -> str:
    """Return text with a full stop, and a capital letter unless it begins with a path."""
    first = text.partition(" ")[0]
    return f"{text[:1].upper() if first.isalpha() else text[:1]}{text[1:].rstrip('.')}."


def listed(names: Iterable[object]) -> str:
    """Return names as code, with commas."""
    return ", ".join(f"`{name}`" for name in names)


def stages_by_section() -> dict[str, list[str]]:
    """Return the stages of dvc.yaml that depend on each section."""
    readers: dict[str, list[str]] = {}
    for stage, content in YAML(typ="safe").load(ROOT / "dvc.yaml")["stages"].items():
        for section in content["params"]:
            if isinstance(section, str):
                readers.setdefault(section, []).append(stage)
    return readers


def lines_of(section: str) -> str:
    """Return the lines of a section of params.yaml as they are."""
    _, _, rest = f"\n{PARAMS.read_text()}".partition(f"\n{section}:")
    lines = f"{section}:{rest}".splitlines()
    end = next((n for n, line in enumerate(lines) if n and line and not line.startswith((" ", "#"))), len(lines))
    return "\n".join(lines[:end]).rstrip()


def resolve(node: dict[str, Any], schema: dict[str, Any]) -> dict[str, Any]:
    """Return the definition that a node of the schema refers to, or the node itself."""
    reference = node.get("$ref")
    return schema["$defs"][reference.rpartition("/")[2]] if reference else node


def rows(
    section: dict[str, Any], schema: dict[str, Any], defaults: Any, notes: dict[str, str], prefix: str
) -> Iterator[list[str]]:
    """Yield a row for each key of a section, and for the keys below it."""
    for key, node in section["properties"].items():
        name = f"{prefix}{key}"
        options = [resolve(each, schema) for each in node.get("anyOf", node.get("oneOf", [node]))]
        default = defaults.get(key, "") if isinstance(defaults, dict) else ""
        nested = [each for each in options if "properties" in each]
        own = [each for each in options if "properties" not in each]
        absent = not defaults
        if own or not isinstance(default, dict):
            types = [kind(each, schema) for each in own] + ["keys" for _ in nested]
            limits = "; ".join(filter(None, (limit(each, schema) for each in own)))
            shown = "" if absent else f"`{flow(default)}`"
            note = "" if is_list_of_values(notes.get(name, ""), own) else notes.get(name, "")
            yield [f"`{name}`", " or ".join(dict.fromkeys(types)), limits, shown, escape(note)]
        elif name in notes:
            yield [f"`{name}`", "keys", "", "", escape(notes[name])]
        for each in nested:
            yield from rows(each, schema, default if isinstance(default, dict) else {}, notes, f"{name}.")


def is_list_of_values(note: str, options: list[dict[str, Any]]) -> bool:
    """Return whether a comment names the possible values and nothing else: the column beside it does."""
    return note.split(" | ") in [[str(value) for value in option.get("enum", [])] for option in options]


def kind(node: dict[str, Any], schema: dict[str, Any]) -> str:
    """Return the type of a value in plain words."""
    if node.get("type") == "null":
        return "`null`"
    if node.get("type") == "array":
        items = resolve(node["items"], schema) if "items" in node else None
        inner = kind(items, schema) if items else "number"
        many = {"whole number": "whole numbers", "number": "numbers", "text": "texts"}.get(inner, inner)
        return f"two {many}" if "prefixItems" in node else f"list of {many}"
    if "enum" in node or "const" in node:
        first = node.get("enum", [node.get("const")])[0]
        return "text" if isinstance(first, str) else "whole number"
    words = {"integer": "whole number", "number": "number", "boolean": "true or false", "string": "text"}
    return words[node["type"]] if node.get("format") != "path" else "path"


def limit(node: dict[str, Any], schema: dict[str, Any]) -> str:
    """Return the values that are possible, as far as the type does not say it."""
    if "prefixItems" in node:
        return f"each {limit(node['prefixItems'][0], schema)}"
    if node.get("type") == "array":
        inner = limit(resolve(node["items"], schema), schema)
        least = f"at least {node['minItems']}" if node.get("minItems") else ""
        if inner.startswith(("`", "one of")):
            return f"{least or 'any'} of {inner.removeprefix('one of ')}"
        return ", ".join(filter(None, [least, f"each {inner}" if inner else ""]))
    values = node.get("enum", [node["const"]] if "const" in node else [])
    if len(values) > LONGEST:
        return f"one of [{len(values)} distortions](../explanation/distortions.md)"
    if values:
        return listed(values)
    bounds = [
        f"from {number(node['minimum'])}" if "minimum" in node else "",
        f"above {number(node['exclusiveMinimum'])}" if "exclusiveMinimum" in node else "",
        f"to {number(node['maximum'])}" if "maximum" in node else "",
        f"below {number(node['exclusiveMaximum'])}" if "exclusiveMaximum" in node else "",
    ]
    return " ".join(filter(None, bounds)).replace(" below", ", below")


def number(value: float) -> str:
    """Return a bound as people write it: 2^20 in the place of 1048576."""
    if value > 2**16 and value == int(value) and int(value) & (int(value) - 1) == 0:
        return f"2^{int(value).bit_length() - 1}"
    return f"{value:,.0f}" if value == int(value) else f"{value:g}"


def flow(value: Any) -> str:
    """Return a default on one line, as YAML has it."""
    if isinstance(value, list):
        return f"[{', '.join(map(flow, value))}]"
    if isinstance(value, dict):
        return f"{{ {', '.join(f'{key}: {flow(each)}' for key, each in value.items())} }}"
    return value if isinstance(value, str) else json.dumps(value)


def escape(text: str) -> str:
    """Return text for a cell of a table."""
    return text.replace("|", "\\|")
