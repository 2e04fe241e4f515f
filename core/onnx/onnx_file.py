"""Which other files an ONNX file wants to read, found without the onnx package and without loading a weight.

An ONNX file is a protocol-buffer message. A tensor in it may say that its numbers lie in another file; a runtime then
opens that path. This walks the message (the field numbers are those of ``onnx.proto``) and collects those paths, so
that a bundle that points outside its folder is refused before any runtime sees it.
"""

from __future__ import annotations

import mmap
from collections.abc import Iterator
from pathlib import Path

# message -> field number -> message of that field. Anything not named here is skipped unread.
_NESTED: dict[str, dict[int, str]] = {
    "model": {7: "graph", 20: "training", 25: "function"},
    "training": {1: "graph", 2: "graph"},
    "function": {7: "node", 11: "attribute"},
    "graph": {1: "node", 5: "tensor", 15: "sparse"},
    "node": {5: "attribute"},
    "attribute": {5: "tensor", 6: "graph", 10: "tensor", 11: "graph", 22: "sparse", 23: "sparse"},
    "sparse": {1: "tensor", 2: "tensor"},
    "tensor": {13: "external"},
    "external": {},
}
_GRAPH_FIELD = 7
_DEPTH = 100
_LARGEST_TAG, _LONGEST_TAG = 2**32 - 1, 5
_VARINT, _BYTES = 0, 2
_FIXED = {1: 8, 5: 4}


class MalformedOnnxError(ValueError):
    """The bytes are not an ONNX model."""


def external_locations(path: Path) -> list[str]:
    """The paths named by tensors of the model that keep their numbers in other files, each once, in order.

    Raises :class:`MalformedOnnxError` for bytes that are not a whole ONNX model.
    """
    size = path.stat().st_size
    if size == 0:
        raise MalformedOnnxError("the file is empty")
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        found: dict[str, None] = {}
        if not any(field == _GRAPH_FIELD for field, _, _ in _messages(data, 0, size)):
            raise MalformedOnnxError("it holds no graph")
        _walk(data, (0, size), "model", found, 0)
        return list(found)


def _walk(data: mmap.mmap, span: tuple[int, int], message: str, found: dict[str, None], depth: int) -> None:
    if depth > _DEPTH:
        raise MalformedOnnxError("it is nested too deeply")
    nested = _NESTED[message]
    entry: dict[int, str] = {}
    for field, start, end in _messages(data, *span):
        if message == "external" and field in (1, 2):
            entry[field] = data[start:end].decode("utf-8", "surrogateescape")
        elif field in nested:
            _walk(data, (start, end), nested[field], found, depth + 1)
    if entry.get(1) == "location":
        found[entry.get(2, "")] = None


def _messages(data: mmap.mmap, at: int, end: int) -> Iterator[tuple[int, int, int]]:
    """Number, start and end of each field between two offsets that has a length; plain numbers are stepped over."""
    while at < end:
        began = at
        tag, at = _varint(data, at, end)
        # A runtime cuts the number to 32 bits, and would read another field than is seen here.
        if tag > _LARGEST_TAG or at - began > _LONGEST_TAG:
            raise MalformedOnnxError("it holds a field with an impossible number")
        field, kind = tag >> 3, tag & 7
        if field == 0:
            raise MalformedOnnxError("it holds a field without a number")
        if kind == _VARINT:
            _, at = _varint(data, at, end)
            continue
        if kind == _BYTES:
            length, at = _varint(data, at, end)
        elif kind in _FIXED:
            length = _FIXED[kind]
        else:
            raise MalformedOnnxError(f"it holds a field of unknown kind {kind}")
        if length > end - at:
            raise MalformedOnnxError("it ends too early")
        if kind == _BYTES:
            yield field, at, at + length
        at += length


def _varint(data: mmap.mmap, at: int, end: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 70, 7):
        if at >= end:
            raise MalformedOnnxError("it ends too early")
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
    raise MalformedOnnxError("it holds a number that never ends")
