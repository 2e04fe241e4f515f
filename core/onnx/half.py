"""Graphs in half precision, for graphics cards: weights and products in 16 bits, inputs and outputs in 32."""

from __future__ import annotations

from typing import Any

from core.telemetry import send_nothing

_FLOAT, _HALF = 1, 10  # ``TensorProto.FLOAT``, ``TensorProto.FLOAT16``
KEPT_EXACT = ("LayerNormalization", "Softmax", "ReduceL2")
"""Sums of squares and of exponentials leave the range of 16 bits (65,504) long before their terms do."""


def halved(model: Any) -> Any:
    """An ``onnx.ModelProto``, changed in place: the same inputs and outputs, inner numbers float16.

    Numbers beyond the range of float16 (a mask's lowest) are cut to it. What follows a norm is kept in 32 bits with it:
    rows that are divided by a rounded norm are no unit rows.
    """
    import warnings

    send_nothing()
    from onnxruntime.transformers.float16 import DEFAULT_OP_BLOCK_LIST, convert_float_to_float16

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it tells of each matrix with a number that is cut or rounded
        model = convert_float_to_float16(
            model,
            keep_io_types=True,
            op_block_list=[*DEFAULT_OP_BLOCK_LIST, *KEPT_EXACT],
            node_block_list=_names_after(model.graph, "ReduceL2"),
        )
    _mend_casts(model.graph)
    return model


def _names_after(graph: Any, kind: str) -> list[str]:
    """The nodes that read what nodes of this ``kind`` wrote, at first or at second hand."""
    found: list[str] = []
    written: set[str] = set()
    for node in graph.node:  # sorted: a node stands behind those it reads from
        after = not written.isdisjoint(node.input)
        if after:
            found.append(node.name)
        if after or node.op_type == kind:
            written.update(node.output)
    return found


def _mend_casts(graph: Any) -> None:
    """Two habits of the converter: it writes a cast anew, under the same name, for each node that reads it; and between
    two nodes that stay in 32 bits it goes through 16."""
    casts: dict[str, Any] = {}
    for node in [node for node in graph.node if node.op_type == "Cast"]:
        if node.output[0] in casts:
            graph.node.remove(node)
        else:
            casts[node.output[0]] = node
    for node in list(casts.values()):
        before = casts.get(node.input[0])
        if before is not None and _to(node) == _FLOAT and _to(before) == _HALF:
            _read_instead(graph, node, before.input[0])


def _read_instead(graph: Any, cast: Any, name: str) -> None:
    """Let those who read what ``cast`` wrote read ``name``; it stays where it writes an output of the graph."""
    if any(output.name == cast.output[0] for output in graph.output):
        cast.op_type, cast.input[0] = "Identity", name
        del cast.attribute[:]
        return
    for node in graph.node:
        for at, read in enumerate(node.input):
            if read == cast.output[0]:
                node.input[at] = name
    graph.node.remove(cast)


def _to(cast: Any) -> int:
    return next(attribute.i for attribute in cast.attribute if attribute.name == "to")
