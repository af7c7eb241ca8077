"""Other values in a YAML file, in place: comments, order and layout of everything else stay as they are."""

from __future__ import annotations

import io
import re
from collections.abc import Mapping
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.nodes import MappingNode, Node, SequenceNode

from fct.core.errors import FctError


def edit_yaml(text: str, values: Mapping[str, Any], *, name: str) -> str:
    """Return the text of a YAML file with other values for some keys.

    Args:
        text: valid YAML, sections at its top.
        values: new values by dotted key, such as {"train.epochs": 5}, or {"gate.0.at_least": 0.8} in a list. Of a
            mapping, only the keys that are named change.
        name: of the file, for errors.

    Raises:
        FctError: the file has no such key; the message names those that stand there.
    """
    for key, value in _leaves(text, values, name):
        node = _find(YAML().compose(io.StringIO(text)), key, name)
        start, end = node.start_mark.index, node.end_mark.index
        after = text[end:]
        if isinstance(node, MappingNode | SequenceNode) and not node.flow_style:
            end = start + len(text[start:end].rstrip())  # a block ends where the next key begins
            after = text[end:]
        text = text[:start] + _flow(value) + after
    return text


def _leaves(text: str, values: Mapping[str, Any], name: str) -> list[tuple[str, Any]]:
    """Return `values` without mappings: their keys, where the file has a mapping too."""
    found: list[tuple[str, Any]] = []
    root = YAML().compose(io.StringIO(text))
    for key, value in values.items():
        if isinstance(value, Mapping) and isinstance(_find(root, key, name), MappingNode):
            found += _leaves(text, {f"{key}.{inner}": each for inner, each in value.items()}, name)
        else:
            found.append((key, value))
    return found


def _find(root: Node, key: str, name: str) -> Node:
    """Return the value of a dotted key."""
    node, above = root, ""
    for part in key.split("."):
        inside = _children(node)
        if part not in inside:
            known = ", ".join(f"{above}{each}" for each in inside or _children(root))
            raise FctError(f"{key}: there is no such key in {name}. Known: {known}.")
        node, above = inside[part], f"{above}{part}."
    return node


def _children(node: Node) -> dict[str, Node]:
    """Return what is in a mapping or a list by the names that a dotted key has for it: a list's are 0, 1, ..."""
    if isinstance(node, MappingNode):
        return {str(key.value): value for key, value in node.value}
    if isinstance(node, SequenceNode):
        return {str(place): value for place, value in enumerate(node.value)}
    return {}


def _flow(value: Any) -> str:
    """Return a value as YAML on one line."""
    yaml, stream = YAML(), io.StringIO()
    yaml.default_flow_style, yaml.width = True, 1 << 20
    yaml.representer.add_representer(type(None), lambda to, _: to.represent_scalar("tag:yaml.org,2002:null", "null"))
    yaml.dump([value], stream)
    return re.sub(r"^\[(.*)\]$", r"\1", stream.getvalue().strip(), flags=re.DOTALL)
