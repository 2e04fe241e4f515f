"""Matrix products that bytes would spoil, found by running the graph once. No torch.

A few activations of some language models are hundreds of times the others (Sun et al. 2024, arXiv 2402.17762): with one
scale for a whole tensor nothing is left of the rest.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

PRODUCTS = ("MatMul", "Gemm")
MOST_LOST = 0.05
"""Of a product's outputs: all of the starter lose less, of SmolLM2 three quarters, and its worst all there is."""


def spoilt(path: Path, inputs: Mapping[str, np.ndarray]) -> list[str]:
    """Names of the products with constant weights of whose outputs more than :data:`MOST_LOST` is gone, where the graph
    runs on ``inputs``, once activations have 8 bits: the length of the error over that of the row, median over rows."""
    import onnx
    from onnx import numpy_helper

    model = onnx.load(path, load_external_data=False)
    weights = {weight.name: weight for weight in model.graph.initializer}
    flat = {name for name, weight in weights.items() if len(weight.dims) == 2}
    products = [node for node in model.graph.node if node.op_type in PRODUCTS and node.input[1] in flat]
    read = _activations(path, model, [node.input[0] for node in products], inputs)
    found = []
    for node in products:
        weight = numpy_helper.to_array(weights[node.input[1]], str(path.parent))
        turned = any(one.name == "transB" and one.i for one in node.attribute)
        if lost(read[node.input[0]], weight.T if turned else weight) > MOST_LOST:
            found.append(node.name)
    return found


def lost(activations: np.ndarray, weight: np.ndarray) -> float:
    """The share of ``activations @ weight`` that is gone with 8 bits an activation and one scale for all of them.

    ``activations`` ``[..., k]``, ``weight`` ``[k, n]``; all is gone of what is no number.
    """
    rows = activations.reshape(-1, activations.shape[-1])
    if not np.isfinite(rows).all():
        return 1.0
    scale = (max(0.0, float(rows.max())) - min(0.0, float(rows.min()))) / 255 or 1.0
    error = (np.round(rows / scale) * scale - rows) @ weight
    exact = np.linalg.norm(rows @ weight, axis=1)
    return float(np.median(np.linalg.norm(error, axis=1) / np.maximum(exact, 1e-12)))


def _activations(path: Path, model: Any, names: list[str], inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """What the named tensors are where the graph runs on ``inputs``; its weights may lie beside it."""
    import onnx

    from core.onnx.runtime import ort

    inner = list(dict.fromkeys(name for name in names if name not in inputs))
    known = {one.name for one in model.graph.output}
    model.graph.output.extend(
        onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, None) for name in inner if name not in known
    )
    probe = path.with_suffix(".probe")
    try:
        onnx.save(model, probe)
        options = ort.SessionOptions()
        options.log_severity_level = 3
        session = ort.InferenceSession(str(probe), options, providers=["CPUExecutionProvider"])
        found = [np.asarray(one) for one in session.run(inner, dict(inputs))] if inner else []
    finally:
        probe.unlink(missing_ok=True)
    return {**inputs, **dict(zip(inner, found, strict=True))}
