"""The files of an ONNX model: the ONNX file itself, and those that hold its weights.

ONNX can keep tensors outside the file (`external_data` in onnx.proto), and torch's exporter does so by default. A
model's identity and size are those of all its files.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from fct.core.errors import FctError
from fct.core.files import sha256


def model_files(path: Path) -> list[Path]:
    """Return the ONNX file at `path` and the files that hold its weights, each once.

    Raises:
        FctError: the file is not ONNX, or its weights are missing or outside its folder.
    """
    import onnx
    from google.protobuf.message import DecodeError

    try:
        model = onnx.load(path, format="protobuf", load_external_data=False)  # whatever the file is called
    except DecodeError:
        raise FctError(f"{path}: the file is not ONNX.") from None
    folder = path.parent.resolve()
    files = {}
    for location in _locations(model):
        try:
            file = (folder / location).resolve()
        except (TypeError, ValueError):  # bytes that are not UTF-8, or a null byte
            raise FctError(
                f"{path}: its weights are in {location!r}, which is no name of a file. Export it again."
            ) from None
        if not file.is_relative_to(folder):
            raise FctError(f"{path}: its weights are in {location!r}, outside of its folder. Export it again.")
        if not file.is_file():
            raise FctError(f"{path}: its weights are in {location!r}, which is not beside it. Copy that file too.")
        files[file] = path.parent / location
    return [path, *files.values()]


def model_digest(path: Path) -> str:
    """Return the SHA-256 of a model: of its file, or of the digests of all its files if there are several.

    The errors are those of `model_files`.
    """
    first, *others = model_files(path)
    if not others:
        return sha256(first)
    digests = (f"{file.relative_to(path.parent)} {sha256(file)}\n" for file in sorted(others))
    return hashlib.sha256("".join([f"{sha256(first)}\n", *digests]).encode()).hexdigest()


def model_bytes(path: Path) -> int:
    """Return the size of all files of a model. The errors are those of `model_files`."""
    return sum(file.stat().st_size for file in model_files(path))


def _locations(message: Any) -> Iterator[str]:
    """Yield the places of the tensors outside the file, in graphs, sub-graphs, functions and attributes."""
    import onnx
    from google.protobuf.message import Message

    if isinstance(message, onnx.TensorProto):
        if message.data_location == onnx.TensorProto.EXTERNAL:
            yield next((entry.value for entry in message.external_data if entry.key == "location"), "")
        return
    for field, value in message.ListFields():
        if field.message_type is not None:
            for one in (value,) if isinstance(value, Message) else value:
                yield from _locations(one)
