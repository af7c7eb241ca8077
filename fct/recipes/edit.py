"""Change values in a YAML file. Comments, order and layout of everything else stay the same."""

from __future__ import annotations

import copy
import io
import re
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError
from ruamel.yaml.nodes import MappingNode, Node, SequenceNode

from fct.core.errors import FctError


class _Place(NamedTuple):
    """The place of a value."""

    value: Node
    key: Node | None  # None in a list
    has_anchor: bool  # the value, or something around it, is an anchor or an alias


def edit_yaml(text: str, values: Mapping[str, Any], *, name: str) -> str:
    """Return the text of a YAML file with new values for some keys. A value that is already right stays as it is.

    Args:
        text: valid YAML with sections at the top level.
        values: new values by dotted key, such as {"train.epochs": 5}, or {"gate.0.at_least": 0.8} in a list. In a
            mapping, only the named keys change.
        name: the name of the file, for errors.

    Raises:
        FctError: the file does not have the key, or a value cannot be changed without losing something: it has an
            anchor, or is a list over several lines with comments in it.
    """
    try:
        expected, root = YAML(typ="safe").load(text), _compose(text)
        for key, value in list(_leaves(root, values, name)):
            place = _find(root, key, name)
            if not _same(value_of(expected, key), value):
                text = _replace(text, place, key, value, name)
                root = _compose(text)  # the positions after the change have moved
                _set(expected, key, value)
        edited = YAML(typ="safe").load(text)
    except YAMLError as error:
        raise FctError(f"{name}: its values cannot be changed in place ({str(error).partition(chr(10))[0]}).") from None
    if edited != expected:
        raise FctError(f"{name}: its values cannot be changed in place. Change {', '.join(values)} by hand.")
    return text


def _replace(text: str, place: _Place, key: str, value: Any, name: str) -> str:
    if place.has_anchor:
        raise FctError(f"{name}: {key}: there is an anchor or an alias here. Write the value out, then try again.")
    start, end = place.value.start_mark.index, _end(place.value)
    is_block = isinstance(place.value, MappingNode | SequenceNode) and not place.value.flow_style
    if is_block or start == end:  # over several lines, or nothing at all: the value comes behind its key
        if place.key is None:
            raise FctError(f"{name}: {key}: this value is on several lines. Write it on one line, then try again.")
        start = place.key.end_mark.index + text[place.key.end_mark.index :].index(":") + 1
        end = max(start, end) if is_block else start
    if isinstance(place.value, MappingNode | SequenceNode) and re.search(r"(^|\s)#", text[start:end]):
        raise FctError(f"{name}: {key}: there are comments inside this value. Move them, then try again.")
    gap = " " if text[start - 1] in ":-" else ""
    return text[:start] + gap + _to_line(value) + text[end:]


def _leaves(root: Node, values: Mapping[str, Any], name: str) -> Iterator[tuple[str, Any]]:
    """Yield `values` as pairs of dotted key and value. Where a value is a mapping, the file must have one, too."""
    for key, value in values.items():
        if isinstance(value, Mapping):
            if not isinstance(_find(root, key, name).value, MappingNode):
                raise FctError(f"{name}: {key}: the value must have the keys {', '.join(value)}.")
            yield from _leaves(root, {f"{key}.{inner_key}": inner for inner_key, inner in value.items()}, name)
        else:
            yield key, value


def _compose(text: str) -> Node:
    node: Node = YAML().compose(io.StringIO(text))
    return node


def _find(root: Node, key: str, name: str) -> _Place:
    """Return the place of the value of a dotted key."""
    place, prefix = _Place(root, None, has_anchor=False), ""
    for part in key.split("."):
        children = _children(place.value)
        if part not in children:
            inner = [f"{prefix}{child}" for child in children]
            known = ", ".join(inner) or "none"
            raise FctError(f"{key}: there is no such key in {name}. Known: {known}.")
        key_node, value = children[part]
        has_anchor = place.has_anchor or getattr(value, "anchor", None) is not None
        place, prefix = _Place(value, key_node, has_anchor), f"{prefix}{part}."
    return place


def _children(node: Node) -> dict[str, tuple[Node | None, Node]]:
    """Return the key and value nodes in a mapping or list, by name. The names in a list are 0, 1, ..."""
    if isinstance(node, MappingNode):
        return {str(key.value): (key, value) for key, value in node.value}
    if isinstance(node, SequenceNode):
        return {str(index): (None, value) for index, value in enumerate(node.value)}
    return {}


def _end(node: Node) -> int:
    """Return where a value ends. YAML's own mark of a block's end is at the next key, behind the comments before it."""
    if isinstance(node, MappingNode | SequenceNode) and not node.flow_style and node.value:
        last = node.value[-1]
        return _end(last[1] if isinstance(last, tuple) else last)
    end: int = node.end_mark.index
    return end


def value_of(document: Any, key: str) -> Any:
    """Return the value of a dotted key."""
    for part in key.split("."):
        document = document[int(part) if isinstance(document, list) else part]
    return document


def _set(document: Any, key: str, value: Any) -> None:
    parent, _, last = key.rpartition(".")
    inside = value_of(document, parent) if parent else document
    inside[int(last) if isinstance(inside, list) else last] = copy.deepcopy(value)


def _same(one: Any, other: Any) -> bool:
    """Return whether two values are equal, and of one type: 1 is not true."""
    return type(one) is type(other) and bool(one == other)


def _to_line(value: Any) -> str:
    """Return a value as YAML on one line."""
    yaml, stream = YAML(), io.StringIO()
    yaml.default_flow_style, yaml.width = True, 1 << 20
    yaml.representer.add_representer(type(None), lambda to, _: to.represent_scalar("tag:yaml.org,2002:null", "null"))
    yaml.dump([value], stream)
    return re.sub(r"^\[(.*)\]$", r"\1", stream.getvalue().strip(), flags=re.DOTALL)
