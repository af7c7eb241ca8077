"""params.yaml as validated, frozen objects.

Each part of the library declares its own section as a subclass of `Section`, without defaults: params.yaml is the only
place that has them. A stage declares the sections it reads as the fields of one `Section` of its own, and `load` gives
it those and no others, so that what dvc.yaml declares can be held against what the code can see.
"""

from __future__ import annotations

import difflib
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError
from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError

from fct.core.errors import FctError
from fct.core.paths import PARAMS

SECTIONS = (
    "recipe",
    "data",
    "jpeg",
    "cache",
    "model",
    "method",
    "train",
    "search",
    "export",
    "evaluate",
    "features",
    "gate",
    "int8",
    "registry",
    "pipeline",
    "intake",
)


class Section(BaseModel):
    """A part of params.yaml: unknown keys and infinite numbers are refused, values do not change after loading."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


Sections = TypeVar("Sections", bound=Section)


def load(
    sections: type[Sections], path: Path = PARAMS, *, instead: Mapping[str, Mapping[str, Any]] | None = None
) -> Sections:
    """Read from `path` the sections that are the fields of `sections`.

    Args:
        sections: what to read.
        path: the file.
        instead: section -> key -> a value that takes the place of the file's own.

    Raises:
        FctError: the file is missing or not YAML, a section or key is missing or unknown, or a value is impossible; it
            names the key, its line and the value.
    """
    document = _parse(path)
    unknown = [name for name in document if name not in SECTIONS]
    if unknown:
        raise FctError(f"{_place(path, document, (unknown[0],))}: unknown section.{_nearest(unknown[0], SECTIONS)}")
    wanted = {name: document[name] for name in sections.model_fields if name in document}
    for section, values in (instead or {}).items():
        if isinstance(wanted.get(section), Mapping):  # else it is refused below
            wanted[section] = {**wanted[section], **values}
    return _validated(sections, path, wanted)


def read(model: type[Sections], path: Path) -> Sections:
    """Read another YAML file, whose keys are the fields of `model`; errors as for `load`."""
    return _validated(model, path, _parse(path))


def value(key: str, path: Path = PARAMS) -> Any:
    """Return what `path` says under a key at its top; None where it says nothing."""
    return _parse(path).get(key)


def place(*key: str | int, path: Path = PARAMS) -> str:
    """Return `file, line N: section.key`, for an error about a value that came here by another way than `load`."""
    return _place(path, _parse(path), key)


def as_yaml(values: Mapping[str, Any]) -> str:
    """Return `values` as they could stand in params.yaml, a line each."""
    yaml, stream = YAML(), io.StringIO()
    yaml.default_flow_style = False
    yaml.dump(values, stream)
    return stream.getvalue()


def _validated(model: type[Sections], path: Path, document: Mapping[str, Any]) -> Sections:
    try:
        return model.model_validate(document)
    except ValidationError as error:
        problems = [_explain(path, _parse(path), dict(problem), model) for problem in error.errors()]
        raise FctError("\n       ".join(problems)) from None


def _parse(path: Path) -> Mapping[str, Any]:
    try:
        document = YAML(typ="rt").load(path.read_text("utf-8"))  # YAML 1.2, as DVC reads it, with line numbers
    except FileNotFoundError:
        raise FctError(f"{path} is not here. Run the command in the folder that has it.") from None
    except MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else "?"
        raise FctError(f"{path}, line {line}: not valid YAML: {error.problem}") from None
    except (UnicodeDecodeError, YAMLError) as error:  # not UTF-8, or a character that no text has
        raise FctError(f"{path}: not valid YAML: {str(error).partition(chr(10))[0]}") from None
    if not isinstance(document, Mapping):
        raise FctError(f"{path}: expected sections with keys, found {type(document).__name__}.")
    return document


def _explain(path: Path, document: Mapping[str, Any], problem: dict[str, Any], sections: type[Section]) -> str:
    location = problem["loc"]
    place = _place(path, document, location)
    if problem["type"] == "missing":
        return f"{place}: this key is missing."
    if problem["type"] == "extra_forbidden":
        known = _keys_beside(sections, location)
        return f"{place}: unknown key.{_nearest(str(location[-1]), known)}"
    value = problem["input"]
    shown = "" if isinstance(value, Mapping) else f" (it is {value!r})"
    return f"{place}: {problem['msg'].removeprefix('Value error, ')}{shown}"


def _keys_beside(sections: type[Section], location: Sequence[Any]) -> list[str]:
    model: Any = sections
    for part in location[:-1]:
        field = getattr(model, "model_fields", {}).get(part)
        if field is None:
            return []
        model = field.annotation
    return list(getattr(model, "model_fields", {}))


def _place(path: Path, document: Any, location: Sequence[Any]) -> str:
    """Return `file, line N: section.key`, with the line of the deepest part of `location` that the file has."""
    line: int | None = None
    node: Any = document
    for part in location:
        try:
            position = node.lc.key(part) if isinstance(part, str) else node.lc.item(part)
            line, node = position[0] + 1, node[part]
        except (AttributeError, KeyError, IndexError, TypeError):
            break
    where = f"{path}, line {line}" if line else str(path)
    return f"{where}: {'.'.join(str(part) for part in location)}"


def _nearest(name: str, known: Sequence[str]) -> str:
    near = difflib.get_close_matches(name, known, n=1)
    return f" Did you mean {near[0]!r}?" if near else f" Known: {', '.join(known)}." if known else ""
