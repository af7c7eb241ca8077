"""params.yaml as validated, frozen objects.

Each part of the code declares its own section as a subclass of `Section`, without defaults: only params.yaml has them.
A stage declares a `Section` whose fields are the sections that it reads. `load` returns these sections and no others. A
test compares them with those that dvc.yaml declares for the stage.

The package has a copy of params.yaml, for commands that make sense without one.
"""

from __future__ import annotations

import difflib
import io
import json
import os
import re
import reprlib
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError
from ruamel.yaml import YAML

from fct.core.document import locate, parse, to_plain
from fct.core.errors import FctError
from fct.core.paths import PARAMS

DEFAULTS = Path(__file__).parents[1] / "defaults.yaml"  # in the repository a link to params.yaml
SECTIONS = (
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
    "spread",
    "gate",
    "int8",
    "registry",
    "compute",
    "pipeline",
    "intake",
    "watch",
)
RENAMED = {  # keys of earlier versions, and what to do about them
    "recipe": "this key was removed. Delete this line; `fct recipe apply NAME` writes a recipe's values into the file",
    "data.folder.size": "it is called pixels now",
    "model.mirror": "it is called flip_tta now",
    "method.gradient": "it is called target now: raw (was both), raw-detached, teacher (was frozen-teacher) or "
    "ema-teacher (was average-teacher)",
    "method.pulled": "it is called matched_views now",
    "method.momentum": "it is called ema_momentum now",
    "method.block.unknown": "it is called unknown_quality now",
    "search.gain": "it is called min_gain now",
    "search.clean_loss": "it is called max_raw_drop now",
    "search.gradients": "it is called targets now, with the values of method.target",
    "train.sampler": "it is called quality_sampler now",
    "int8.worse": "it is called max_drop now",
    "evaluate.resamples": "this key was removed: intervals need no resampling now. Delete this line",
    "evaluate.seed": "this key was removed: intervals need no resampling now. Delete this line",
    "intake.settle": "it is called min_age_seconds now",
}

HAD_OLD_VALUES = (("method", "target"), ("search", "targets"))
OLD_VALUES = {"both": "raw", "frozen-teacher": "teacher", "average-teacher": "ema-teacher"}


IN_PLAIN_WORDS = {  # pydantic's types of problems
    "bool_type": "this must be true or false",
    "float_type": "this must be a number",
    "int_type": "this must be a whole number",
    "json_invalid": "this is no JSON, or a part of it is missing",
    "list_type": "this must be a list",
    "tuple_type": "this must be a list",
    "missing": "this key is missing",
    "extra_forbidden": "this key is unknown",
    "model_type": "this must have keys of its own",
    "string_type": "this must be text",
    "too_long": "this has too many values; at most {max_length} are possible",
    "too_short": "this has too few values; it needs at least {min_length}",
}
MOST_PROBLEMS = 20  # in one message
LONGEST_NAME = 256  # characters; the limit of MLflow's registry and of file systems


class Section(BaseModel):
    """A part of params.yaml. Unknown keys and infinite numbers are errors, and values are frozen.

    In a file, a value must have the right type: neither `true` nor text is a number.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


KIND = ":"  # begins the tag of a value that may be text or a section; errors leave it out

Sections = TypeVar("Sections", bound=Section)
Text = TypeVar("Text", str, Path)


def check_name(name: Text) -> Text:
    """Return a name or path, if commands and file systems take it.

    Raises:
        ValueError: a command or file system would not take the name.
    """
    text = str(name)
    if text != text.strip() or "\n" in text or "\t" in text:
        raise ValueError("white space at an end, a tab or a line break in a name; remove it")
    if text.startswith("-"):
        raise ValueError("it begins with a dash, so commands would take it for an option; choose another name")
    if not 0 < len(text) <= LONGEST_NAME:
        raise ValueError(f"a name has 1 to {LONGEST_NAME} characters")
    return name


def check_folder(folder: Text) -> Text:
    """Return the path of a folder, if it is neither the project's own nor one around it.

    Raises:
        ValueError: the folder is one of these, or `check_name` refuses it.
    """
    if set(Path(os.path.normpath(check_name(folder))).parts) <= {"..", "/"}:
        raise ValueError("this is the project's own folder or one around it; name a folder of its own")
    return folder


Seed = Annotated[int, Field(ge=0, lt=2**64)]
Name = Annotated[str, AfterValidator(check_name)]  # or the path of a file


def load(sections: type[Sections], path: Path = PARAMS, *, with_defaults: Sequence[str] = ()) -> Sections:
    """Read the sections that are the fields of `sections` from `path`.

    Args:
        sections: the class whose fields are the sections to read.
        path: the file.
        with_defaults: names of sections whose missing keys take the values of the package's defaults.

    Raises:
        FctError: the file is missing or not YAML, a section or key is missing or unknown, or a value is impossible. The
            message has the key, its line and the value.
    """
    content = parse(path)
    refuse_old_keys(content, path)
    if unknown := [name for name in content if name not in SECTIONS]:
        raise FctError(f"{locate(path, content, (unknown[0],))}: unknown section.{nearest(unknown[0], SECTIONS)}")
    values = {name: content[name] for name in sections.model_fields if name in content}
    if with_defaults:
        defaults = parse(DEFAULTS)
        for name in with_defaults:
            if isinstance(own := values.get(name, {}), Mapping):
                values[name] = {**defaults[name], **own}
    return _validate(sections, path, values, content)


def present_or_defaults(hint: str = "") -> Path:
    """Return params.yaml. If it is not here, return the package's copy of it, and say so on stderr.

    Args:
        hint: a sentence about what that means.
    """
    if PARAMS.exists():
        return PARAMS
    print(f"{PARAMS} is not here. {DEFAULTS} is used. {hint}".rstrip(), file=sys.stderr)
    return DEFAULTS


def refuse_old_keys(content: Mapping[str, Any], path: Path = PARAMS) -> None:
    """Refuse keys of earlier versions.

    Raises:
        FctError: there are some. The message names each with its line, and the new key.
    """
    old = [key for key in RENAMED if _has(content, key.split("."))]
    if old:
        raise FctError("\n       ".join(f"{locate(path, content, key.split('.'))}: {RENAMED[key]}." for key in old))


def _has(content: Any, key: Sequence[str]) -> bool:
    for part in key:
        if not isinstance(content, Mapping) or part not in content:
            return False
        content = content[part]
    return True


def read(model: type[Sections], path: Path) -> Sections:
    """Read another YAML file, whose keys are the fields of `model`. Errors are those of `load`."""
    content = parse(path)
    return _validate(model, path, content, content)


def check(model: type[Sections], values: Mapping[str, Any], source: str) -> Sections:
    """Return `values`, whose keys are fields of `model`. Errors are those of `load` and name `source`, not a file.

    Numbers may be text, as every value on a command line is.
    """
    return _validate(model, Path(source), values, values, strict=False)


def location(key: str, path: Path = PARAMS) -> str:
    """Return `file, line N: section.key`, for an error about a value that `load` did not check.

    Args:
        key: dotted, such as train.epochs, or gate.0.at_least in a list.
        path: the file. If it is not here, there is no line.
    """
    parts = [int(part) if part.isdecimal() else part for part in key.split(".")]
    return locate(path, parse(path) if path.exists() else {}, parts)


def to_yaml(values: Mapping[str, Any]) -> str:
    """Return `values` as YAML, in the layout of params.yaml."""
    yaml, stream = YAML(), io.StringIO()
    yaml.default_flow_style = False
    yaml.dump(values, stream)
    return stream.getvalue()


def _validate(
    model: type[Sections], path: Path, values: Mapping[str, Any], content: Mapping[str, Any], *, strict: bool = True
) -> Sections:
    """Return `values` validated. They are all or part of the file's `content`, which knows their lines.

    If `strict` is false, text that spells a number is accepted as that number.
    """
    try:
        # As JSON, because in Python's strict mode a list is no tuple and text no path.
        return model.model_validate_json(json.dumps(to_plain(values, path)), strict=strict)
    except ValidationError as error:
        problems = error.errors()
        lines = [_explain(path, content, dict(problem), model) for problem in problems[:MOST_PROBLEMS]]
        more = [f"and {len(problems) - MOST_PROBLEMS:,} more"] if len(problems) > MOST_PROBLEMS else []
        raise FctError("\n       ".join([*lines, *more])) from None


def _explain(path: Path, content: Mapping[str, Any], problem: dict[str, Any], sections: type[Section]) -> str:
    key = [part for part in problem["loc"] if not (isinstance(part, str) and part.startswith(KIND))]
    where = locate(path, content, key)
    if problem["type"] == "missing":
        return f"{where}: {in_plain_words(problem)}."
    if problem["type"] == "extra_forbidden":
        return f"{where}: unknown key.{nearest(str(key[-1]), _sibling_keys(sections, key))}"
    value = problem["input"]
    is_old = isinstance(value, str) and tuple(key[:2]) in HAD_OLD_VALUES and value in OLD_VALUES
    if problem["type"] == "literal_error" and isinstance(value, str) and not is_old:
        known = [name.strip(" '") for name in re.split(",| or ", problem["ctx"]["expected"])]
        return f"{where}: {value!r} is not possible.{nearest(value, known)}"
    current = (
        "" if isinstance(value, dict) else f" (it is {json.dumps(value) if value is None else reprlib.repr(value)})"
    )
    renamed = f". {value} is called {OLD_VALUES[value]} now" if is_old else ""
    return f"{where}: {in_plain_words(problem)}{current}{renamed}"


def in_plain_words(problem: Mapping[str, Any]) -> str:
    """Return what is wrong with a value, from one of the `errors()` of pydantic's ValidationError."""
    message: str = problem["msg"].removeprefix("Value error, ")
    if problem["type"] in IN_PLAIN_WORDS:
        message = IN_PLAIN_WORDS[problem["type"]].format(**problem.get("ctx", {}))
    return message.replace("Input should", "this must")


def _sibling_keys(sections: type[Section], key: Sequence[Any]) -> list[str]:
    model: Any = sections
    for part in key[:-1]:
        field = getattr(model, "model_fields", {}).get(part)
        if field is None:
            return []
        model = field.annotation
    return list(getattr(model, "model_fields", {}))


def nearest(name: str, known: Sequence[str]) -> str:
    """Return a sentence, after a space, that names the known name nearest to `name`, or else all of them."""
    near = difflib.get_close_matches(name, known, n=1)
    return f" Did you mean {near[0]!r}?" if near else f" Known: {', '.join(known)}." if known else ""
