"""A YAML file that a person wrote, as plain values: bounded, so that no file keeps a command busy or fills the memory.

It refuses what has no meaning in params.yaml: too much text, too many or too deeply nested values (also by aliases that
multiply), keys that are not text, dates, binary data, tags, and invisible characters.
"""

from __future__ import annotations

import unicodedata
import warnings
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, ReusedAnchorWarning, YAMLError
from ruamel.yaml.events import MappingEndEvent, MappingStartEvent, NodeEvent, SequenceEndEvent, SequenceStartEvent
from ruamel.yaml.scalarbool import ScalarBoolean

from fct.core.errors import FctError
from fct.core.paths import BEST_METHOD, PARAMS

LARGEST = 64 << 10  # bytes of a file; params.yaml has 9 KiB
MOST = 5_000  # values; params.yaml has 250
DEEPEST = 16  # levels; params.yaml has 4
LARGEST_INTEGER = 2**64 - 1  # of a seed
DIRECTIONS = ("LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI")  # characters that reorder others
ADVICE = {  # for files that are not there
    PARAMS: " Run the command in the folder that has it.",
    BEST_METHOD: " Make it with `dvc repro search`.",
}
MARKS = "\u200e\u200f\u061c\u200b\u2060\ufeff"  # invisible, although they are no control characters


def parse(path: Path) -> Mapping[str, Any]:
    """Return the content of a YAML file, with line numbers. All values are plain, as `to_plain` says.

    Raises:
        FctError: the file is missing, not YAML or too large, or holds anything but plain values by name.
    """
    text = _read(path)
    try:
        _check_size(path, text)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ReusedAnchorWarning)  # the last one counts, as YAML says
            content = YAML(typ="rt").load(text)  # YAML 1.2, as DVC reads it, with line numbers
    except MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else "?"
        raise FctError(f"{path}, line {line}: not valid YAML: {error.problem}") from None
    except (YAMLError, ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
        # a control character, or a tag or number that ruamel.yaml cannot construct
        reason = str(error).partition("\n")[0] or type(error).__name__
        raise FctError(f"{path}: not valid YAML: {reason}") from None
    if not isinstance(content, Mapping):
        found = "nothing" if content is None else "a list" if isinstance(content, list) else "one value"
        raise FctError(
            f"{path}: expected sections with keys, found {found}. Write each section as `name:`, with its keys "
            "indented below it: params.yaml as delivered shows how."
        )
    to_plain(content, path)
    return content


def to_plain(content: Mapping[str, Any], source: Path | str) -> dict[str, Any]:
    """Return dicts, lists, text, numbers, booleans and None instead of ruamel.yaml's types.

    Args:
        content: the content of a YAML or JSON document.
        source: its name in errors.

    Raises:
        FctError: there is another type, a key that is not text, an integer beyond 64 bits, an invisible character, or
            too many or too deeply nested values.
    """
    count = iter(range(MOST))

    def convert(value: Any, key: tuple[Any, ...]) -> Any:
        if next(count, None) is None:
            raise FctError(f"{source}: more than {MOST:,} values, counting those of aliases. Write fewer.")
        if len(key) > DEEPEST:
            place = locate(source, content, key[:3])
            raise FctError(f"{place}: nested more than {DEEPEST} levels deep. Write it flat.")
        if isinstance(value, Mapping):
            for name in value:
                if not isinstance(name, str):
                    raise FctError(f"{locate(source, content, key)}: the key {name!r} is not text. Quote or rename it.")
                _check_text(name, source, content, (*key, name))
            return {str(name): convert(inner, (*key, name)) for name, inner in value.items()}
        if isinstance(value, str):
            _check_text(value, source, content, key)
            return str(value)
        if isinstance(value, Sequence) and not isinstance(value, bytes):
            return [convert(inner, (*key, index)) for index, inner in enumerate(value)]
        return _plain_scalar(value, source, content, key)

    plain: dict[str, Any] = convert(content, ())
    return plain


def locate(source: Path | str, content: Any, key: Sequence[Any]) -> str:
    """Return `file, line N: section.key`, with the line of the deepest part of `key` that the file has."""
    line: int | None = None
    node: Any = content
    for part in key:
        try:
            position = node.lc.key(part) if isinstance(part, str) else node.lc.item(part)
            line, node = position[0] + 1, node[part]
        except (AttributeError, KeyError, IndexError, TypeError):
            break
    where = f"{source}, line {line}" if line else str(source)
    return f"{where}: {'.'.join(map(_visible, key))}" if key else where


def hidden_character(text: str) -> str | None:
    """Return the name of the first invisible character in `text`, such as NUL or a right-to-left mark."""
    for character in text:
        is_control = unicodedata.category(character) in ("Cc", "Cs", "Zl", "Zp") and character not in "\n\t"
        if is_control or character in MARKS or unicodedata.bidirectional(character) in DIRECTIONS:
            return unicodedata.name(character, f"U+{ord(character):04X}")
    return None


def _read(path: Path) -> str:
    try:
        with path.open("rb") as file:
            content = file.read(LARGEST + 1)
    except FileNotFoundError:
        raise FctError(f"{path} is not here.{ADVICE.get(path, '')}") from None
    if len(content) > LARGEST:
        raise FctError(f"{path}: larger than {LARGEST >> 10} KiB. Shorten it; params.yaml as delivered has 9 KiB.")
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError as error:
        raise FctError(f"{path}: not valid YAML: {error}") from None


def _check_size(path: Path, text: str) -> None:
    """Count values and levels, and stop at the first one too many: building the document could take a minute."""
    depth, count = 0, 0
    for event in _events(text):
        count += isinstance(event, NodeEvent)
        depth += isinstance(event, MappingStartEvent | SequenceStartEvent)
        depth -= isinstance(event, MappingEndEvent | SequenceEndEvent)
        if count > 2 * MOST or depth > DEEPEST:  # a key is a node, too
            limit = f"more than {MOST:,} values" if depth <= DEEPEST else f"nested more than {DEEPEST} levels deep"
            raise FctError(f"{path}, line {event.start_mark.line + 1}: {limit}. Write less.")


def _events(text: str) -> Iterator[Any]:
    events: Iterator[Any] = YAML(typ="safe", pure=True).parse(text)
    return events


def _plain_scalar(value: Any, source: Path | str, content: Any, key: Sequence[Any]) -> Any:
    if isinstance(value, ScalarBoolean):  # one with an anchor
        return bool(value)
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, int):
        if abs(value) > LARGEST_INTEGER:
            raise FctError(f"{locate(source, content, key)}: an integer of more than 64 bits. Choose a smaller one.")
        return int(value)
    if isinstance(value, float):
        return float(value)
    kind = type(value).__name__
    raise FctError(f"{locate(source, content, key)}: a {kind} is not a plain value. Quote it, or remove its tag.")


def _check_text(text: str, source: Path | str, content: Any, key: Sequence[Any]) -> None:
    if hidden := hidden_character(text):
        raise FctError(f"{locate(source, content, key)}: it contains the invisible character {hidden}. Remove it.")


def _visible(part: Any) -> str:
    return str(part) if hidden_character(str(part)) is None else ascii(part)
