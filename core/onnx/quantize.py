"""Smaller numbers in a bundle's graphs: what is offered, and the conversion, with onnx and onnxruntime alone."""

from __future__ import annotations

import math
import tempfile
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from core.errors import UserError
from core.onnx import bundle as files
from core.onnx.half import halved
from core.onnx.onnx_file import external_locations
from core.onnx.outliers import PRODUCTS, spoilt
from core.telemetry import send_nothing

OFFERED = ("fp32", "fp16", "int8")
_FEW = 0.2
"""Below this share of weights in convolutions an encoder is one of matrix products: ViT 0.03, EfficientNet 0.9."""
_LARGEST_SINGLE_FILE = 1_900_000_000
"""Bytes from which on weights lie beside a graph, as when it is exported."""


def check_precision(precision: str) -> None:
    """Raise ``UserError`` for a precision that cannot be exported."""
    if precision not in OFFERED:
        raise UserError(f"There is no precision {precision!r}.", f"Use one of: {', '.join(OFFERED)}.")


def convert(folder: Path, precision: str, read: Mapping[str, np.ndarray]) -> None:
    """Convert the fp32 graphs in ``folder`` in place.

    ``int8``: weights of matrix products in 7 of the 8 bits with a scale per column, activations quantised while
    running; in the decoder, and in an image encoder that consists of such products (docs/decisions/0030 says why not in
    one of convolutions). Products of the decoder that would lose too much of what it makes of its inputs ``read`` stay
    exact, and the text encoder: scores stand beside those of other bundles. ``fp16``: all three.
    """
    if precision == "fp16":
        for name in (files.IMAGE_ENCODER, files.TEXT_ENCODER, files.DECODER):
            _rewrite(folder / name, halved)
    elif precision == "int8":
        _to_int8(folder / files.DECODER, read)
        if _of_products(folder / files.IMAGE_ENCODER):
            _to_int8(folder / files.IMAGE_ENCODER)


def _of_products(path: Path) -> bool:
    """Whether few of a graph's weights are those of convolutions: a ViT has one, which cuts the patches."""
    import onnx

    graph = onnx.load(path, load_external_data=False).graph
    sizes = {weight.name: math.prod(weight.dims) for weight in graph.initializer}
    convolved = sum(sizes.get(name, 0) for node in graph.node if node.op_type == "Conv" for name in node.input)
    return convolved < _FEW * sum(sizes.values())


def _rewrite(path: Path, change: Callable[[Any], Any]) -> None:
    """Put the changed graph in place of the one at ``path``."""
    import onnx

    _put(change(onnx.load(path)), path)


def _put(model: Any, path: Path) -> None:
    """Save ``model`` in place of the graph at ``path``, and take away the file of weights that lay beside that."""
    import onnx

    for file in (path, *(path.with_name(name) for name in external_locations(path))):
        file.unlink()
    large = sum(len(weight.raw_data) for weight in model.graph.initializer) > _LARGEST_SINGLE_FILE
    onnx.save(model, path, save_as_external_data=large, location=f"{path.name}.data" if large else None)


def _to_int8(path: Path, read: Mapping[str, np.ndarray] | None = None) -> None:
    """On the way weights lie beside their graphs: none of more than 2 GB can be in one file."""
    import logging

    import onnx

    send_nothing()
    from onnxruntime.quantization import QuantType, quantize_dynamic

    exact = _cosines(path)
    with tempfile.TemporaryDirectory(prefix=f"{path.name}.", dir=path.parent) as place:
        folded, small = Path(place) / "folded.onnx", Path(place) / "int8.onnx"
        _fold_constants(path, folded)
        exact += spoilt(folded, read) if read else []
        exact += [f"{name}_MatMul" for name in exact]  # what the quantiser first makes of a Gemm
        logging.disable(logging.WARNING)  # it advises, through the root logger, what has just been done
        try:
            quantize_dynamic(
                folded,
                small,
                weight_type=QuantType.QInt8,
                per_channel=True,
                reduce_range=True,  # 7 bits: two products of 8 bits overflow in processors without VNNI
                op_types_to_quantize=list(PRODUCTS),
                nodes_to_exclude=exact,
                use_external_data_format=True,
            )
        finally:
            logging.disable(logging.NOTSET)
        _put(onnx.load(small), path)


def _cosines(path: Path) -> list[str]:
    """The products with the mapper's sentences: a softmax over fifty times a cosine needs all its digits."""
    import onnx

    graph = onnx.load(path, load_external_data=False).graph
    shapes = {weight.name: tuple(weight.dims) for weight in graph.initializer}
    own = next((shape for name, shape in shapes.items() if name.endswith("mapper.sentences")), None)
    if own is None:
        return []
    turned = (own, own[::-1])  # the export turns them beforehand, under another name
    return [
        node.name
        for node in graph.node
        if node.op_type in PRODUCTS and any(shapes.get(name) in turned for name in node.input)
    ]


def _fold_constants(path: Path, out: Path) -> None:
    """Let onnxruntime compute what is constant: a transposed output matrix is a weight only after that."""
    import onnx

    from core.onnx.runtime import ort

    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_BASIC
    options.optimized_model_filepath = str(out)
    options.add_session_config_entry("session.optimized_model_external_initializers_file_name", f"{out.name}.data")
    options.log_severity_level = 3
    ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    model = onnx.load(out, load_external_data=False)
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
        if node.op_type in PRODUCTS and uses[node.input[1]] > 1 and node.input[1] in weights:
            copy = graph.initializer.add()
            copy.CopyFrom(weights[node.input[1]])
            copy.name = f"{node.name}_weight"
            node.input[1] = copy.name
