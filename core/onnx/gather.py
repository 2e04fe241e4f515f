"""A graph of one node that takes rows of the decoder's cache, for where the cache does not leave the device.

It is written out as the few bytes that it is: the package ``onnx`` is no part of what runs a bundle. Field numbers are
those of ``onnx.proto``.
"""

from __future__ import annotations

from collections.abc import Sequence

CACHE, ROWS, TAKEN = "cache", "rows", "taken"
FLOAT, INT64, FLOAT16 = 1, 7, 10
"""Element types of ``onnx.TensorProto``."""
_IR_VERSION, _OPSET, _INT_ATTRIBUTE = 8, 17, 2


def gather_model(rank: int, axis: int, element: int = FLOAT) -> bytes:
    """``cache`` (``rank`` dimensions of any size, of type ``element``) and ``rows`` ``[R]`` int64 to ``taken``: the
    rows along ``axis``, in that order."""
    attribute = _text(1, "axis") + _number(3, axis) + _number(20, _INT_ATTRIBUTE)
    node = _text(1, CACHE) + _text(1, ROWS) + _text(2, TAKEN) + _text(4, "Gather") + _part(5, attribute)
    sizes = [f"d{i}" for i in range(rank)]
    graph = (
        _part(1, node)
        + _text(2, "take_rows")
        + _part(11, _value(CACHE, element, sizes))
        + _part(11, _value(ROWS, INT64, ["R"]))
        + _part(12, _value(TAKEN, element, [*sizes[:axis], "R", *sizes[axis + 1 :]]))
    )
    return _number(1, _IR_VERSION) + _part(7, graph) + _part(8, _text(1, "") + _number(2, _OPSET))


def _value(name: str, element: int, sizes: Sequence[str]) -> bytes:
    shape = b"".join(_part(1, _text(2, size)) for size in sizes)
    return _text(1, name) + _part(2, _part(1, _number(1, element) + _part(2, shape)))


def _number(field: int, value: int) -> bytes:
    return _varint(field << 3) + _varint(value)


def _text(field: int, value: str) -> bytes:
    return _part(field, value.encode("ascii"))


def _part(field: int, content: bytes) -> bytes:
    return _varint(field << 3 | 2) + _varint(len(content)) + content


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    return bytes([*out, value])
