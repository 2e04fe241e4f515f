"""The smallest bundle that is whole: three graphs of a few nodes, which need no model and no torch to be made."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from onnx import TensorProto, helper, numpy_helper, save_model
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import Whitespace

from core.images.preprocess import Preprocess
from core.onnx import bundle

DIM, VOCABULARY, SIZE = 3, 12, 16
_WORDS = ("a", "red", "blue", "kite", "boat", "on", "the", "sea", "sky", ".")


def write_small_bundle(folder: Path) -> Path:
    """A bundle that opens and decodes; what it says has no meaning."""
    folder.mkdir(parents=True)
    for name, graph in (
        (bundle.IMAGE_ENCODER, _image_encoder()),
        (bundle.TEXT_ENCODER, _text_encoder()),
        (bundle.DECODER, _decoder()),
    ):
        save_model(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), folder / name)
    words = {"<pad>": 0, **{word: at + 1 for at, word in enumerate(_WORDS)}, "<end>": VOCABULARY - 1}
    for name in (bundle.TOKENIZER, "encoder_tokenizer.json"):
        tokenizer = Tokenizer(WordLevel(words, unk_token="<pad>"))
        tokenizer.pre_tokenizer = Whitespace()
        tokenizer.save(str(folder / name))
    (folder / bundle.MANIFEST).write_text(_manifest(folder).to_json(), encoding="utf-8")
    return folder


def _manifest(folder: Path) -> bundle.Manifest:
    preprocess = Preprocess(SIZE, (0.5, 0.5, 0.5), (0.5, 0.5, 0.5))
    files = {path.name: bundle.describe_file(path) for path in sorted(folder.iterdir())}
    return bundle.Manifest(
        schema=bundle.SCHEMA,
        made_by="seedcap",
        source="fuzz",
        precision="fp32",
        encoder=bundle.EncoderPart(
            "fuzz", "f" * 64, DIM, "A photo depicts ", preprocess, "encoder_tokenizer.json", 16, 0, False
        ),
        decoder=bundle.DecoderPart("fuzz", "0" * 64, "0" * 64, "0" * 64, 1, 1, 1, DIM, VOCABULARY, 64, VOCABULARY - 1),
        decoding={"method": "greedy", "max_tokens": 6},
        files=files,
    )


def _weights(name: str, *shape: int) -> TensorProto:
    values = np.random.default_rng(len(name)).normal(size=shape).astype(np.float32)
    return numpy_helper.from_array(values, name)


def _value(name: str, kind: int, *shape: int | str) -> Any:
    return helper.make_tensor_value_info(name, kind, shape)


def _image_encoder() -> Any:
    nodes = [
        helper.make_node("ReduceMean", ["pixels"], ["means"], axes=[2, 3], keepdims=0),
        helper.make_node("LpNormalization", ["means"], ["embedding"], axis=1),
    ]
    pixels = _value("pixels", TensorProto.FLOAT, "B", 3, SIZE, SIZE)
    return helper.make_graph(nodes, "image", [pixels], [_value("embedding", TensorProto.FLOAT, "B", DIM)])


def _text_encoder() -> Any:
    nodes = [
        helper.make_node("Gather", ["table", "input_ids"], ["rows"]),
        helper.make_node("ReduceMean", ["rows"], ["mean"], axes=[1], keepdims=0),
        helper.make_node("LpNormalization", ["mean"], ["embedding"], axis=1),
    ]
    ids = _value("input_ids", TensorProto.INT64, "B", "L")
    out = _value("embedding", TensorProto.FLOAT, "B", DIM)
    return helper.make_graph(nodes, "text", [ids], [out], [_weights("table", VOCABULARY, DIM)])


def _decoder() -> Any:
    """``present`` is ``past`` with the new vectors after it; the logits are a product of their mean."""
    nodes = [
        helper.make_node("Gather", ["words", "input_ids"], ["tokens"]),
        helper.make_node("Concat", ["embeddings", "tokens"], ["sequence"], axis=1),
        helper.make_node("Unsqueeze", ["sequence", "axes"], ["once"]),
        helper.make_node("Concat", ["once", "once"], ["twice"], axis=1),
        helper.make_node("Concat", ["past", "twice"], ["present"], axis=4),
        helper.make_node("ReduceMean", ["sequence"], ["mean"], axes=[1], keepdims=0),
        helper.make_node("MatMul", ["mean", "head"], ["logits"]),
    ]
    inputs = [
        _value("embeddings", TensorProto.FLOAT, "B", "V", DIM),
        _value("input_ids", TensorProto.INT64, "B", "L"),
        _value("past", TensorProto.FLOAT, 1, 2, "B", 1, "P", DIM),
    ]
    outputs = [
        _value("logits", TensorProto.FLOAT, "B", VOCABULARY),
        _value("present", TensorProto.FLOAT, 1, 2, "B", 1, "Q", DIM),
    ]
    weights = [_weights("words", VOCABULARY, DIM), _weights("head", DIM, VOCABULARY)]
    axes = numpy_helper.from_array(np.array([0, 1, 3], np.int64), "axes")
    return helper.make_graph(nodes, "decoder", inputs, outputs, [*weights, axes])
