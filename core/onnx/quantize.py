"""Smaller numbers in a bundle's graphs: what is offered, and the conversion."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

from core.errors import UserError
from core.onnx import bundle as files

OFFERED = ("fp32", "int8")


def check_precision(precision: str) -> None:
    """Raise ``UserError`` for a precision that cannot be exported."""
    if precision == "fp16":
        raise UserError(
            "fp16 bundles are for NVIDIA cards and are not offered yet.",
            "Use --precision fp32, which runs there too, or int8 for the processor.",
        )
    if precision not in OFFERED:
        raise UserError(f"There is no precision {precision!r}.", f"Use one of: {', '.join(OFFERED)}.")


def convert(folder: Path, precision: str) -> None:
    """Convert the fp32 graphs in ``folder`` in place.

    ``int8``: weights of the decoder's matrix products as signed bytes with a scale per column, activations quantised
    while running. The encoders stay exact: their vectors and scores stand beside those of other bundles.
    """
    if precision == "int8":
        _to_int8(folder / files.DECODER)


def _to_int8(path: Path) -> None:
    import logging

    from onnxruntime.quantization import QuantType, quantize_dynamic

    folded, small = path.with_suffix(".folded"), path.with_suffix(".int8")
    try:
        _fold_constants(path, folded)
        logging.disable(logging.WARNING)  # it advises, through the root logger, what has just been done
        quantize_dynamic(
            folded, small, weight_type=QuantType.QInt8, per_channel=True, op_types_to_quantize=["MatMul", "Gemm"]
        )
        small.replace(path)
    finally:
        logging.disable(logging.NOTSET)
        folded.unlink(missing_ok=True)
        small.unlink(missing_ok=True)


def _fold_constants(path: Path, out: Path) -> None:
    """Let onnxruntime compute what is constant: a transposed output matrix is a weight only after that."""
    import onnx
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_BASIC
    options.optimized_model_filepath = str(out)
    options.log_severity_level = 3
    ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    model = onnx.load(out)
    # The quantiser transposes weights and then stumbles over the shapes noted down before.
    del model.graph.value_info[:]
    _separate_shared_weights(model.graph)
    onnx.save(model, out)


def _separate_shared_weights(graph: Any) -> None:
    """Give each matrix product a weight of its own: the quantiser transposes in place, under the feet of other users.

    A language model's output matrix is its word embedding: a look-up reads the same numbers.
    """
    weights = {weight.name: weight for weight in graph.initializer}
    uses = Counter(name for node in graph.node for name in node.input)
    for node in graph.node:
        if node.op_type in ("Gemm", "MatMul") and uses[node.input[1]] > 1 and node.input[1] in weights:
            copy = graph.initializer.add()
            copy.CopyFrom(weights[node.input[1]])
            copy.name = f"{node.name}_weight"
            node.input[1] = copy.name
