"""Change values in a YAML file. Comments, order and layout of everything else stay the same."""

from __future__ import annotations

import io
import re
from collections.abc import Mapping
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.nodes import MappingNode, Node, SequenceNode

from fct.core.errors import FctError


def edit_yaml(text: str, values: Mapping[str, Any], *, name: str) -> str:
    """Return the text of a YAML file with new values for some keys.

    Args:
        text: valid YAML with sections at the top level.
        values: new values by dotted key, such as {"train.epochs": 5}, or {"gate.0.at_least": 0.8} in a list. In a
            mapping, only the named keys change.
        name: of the file, for errors.

    Raises:
        FctError: the file does not have the key. The message lists the keys that it has.
    """
    for key, value in _leaves(text, values, name):
        node = _find(YAML().compose(io.StringIO(text)), key, name)
        start, end = node.start_mark.index, node.end_mark.index
        after = text[end:]
        if isinstance(node, MappingNode | SequenceNode) and not node.flow_style:
            end = start + len(text[start:end].rstrip())  # the mark of a block's end is at the next key
            after = text[end:]
        text = text[:start] + _to_line(value) + after
    return text


def _leaves(text: str, values: Mapping[str, Any], name: str) -> list[tuple[str, Any]]:
    """Return `values` as pairs of dotted key and value. Mappings are flattened where the file has a mapping, too."""
    leaves: list[tuple[str, Any]] = []
    root = YAML().compose(io.StringIO(text))
    for key, value in values.items():
        if isinstance(value, Mapping) and isinstance(_find(root, key, name), MappingNode):
            nested = {f"{key}.{inner_key}": inner_value for inner_key, inner_value in value.items()}
            leaves += _leaves(text, nested, name)
        else:
            leaves.append((key, value))
    return leaves


def _find(root: Node, key: str, name: str) -> Node:
    """Return the value of a dotted key."""
    node, prefix = root, ""
    for part in key.split("."):
        children = _children(node)
        if part not in children:
            known = ", ".join(f"{prefix}{child}" for child in children or _children(root))
            raise FctError(f"{key}: there is no such key in {name}. Known: {known}.")
        node, prefix = children[part], f"{prefix}{part}."
    return node


def _children(node: Node) -> dict[str, Node]:
    """Return the children of a mapping by key, or those of a list by index, "0", "1", ..."""
    if isinstance(node, MappingNode):
        return {str(key.value): value for key, value in node.value}
    if isinstance(node, SequenceNode):
        return {str(index): value for index, value in enumerate(node.value)}
    return {}


def _to_line(value: Any) -> str:
    """Return a value as YAML on one line."""
    yaml, stream = YAML(), io.StringIO()
    yaml.default_flow_style, yaml.width = True, 1 << 20
    yaml.representer.add_representer(type(None), lambda to, _: to.represent_scalar("tag:yaml.org,2002:null", "null"))
    yaml.dump([value], stream)
    return re.sub(r"^\[(.*)\]$", r"\1", stream.getvalue().strip(), flags=re.DOTALL)
