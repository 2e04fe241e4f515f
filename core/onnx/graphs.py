"""The three graphs of a bundle as torch modules, and their export to ONNX."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import torch
from torch import nn
from torch.export import Dim

from core.captioner.captioner import Captioner
from core.encoders.open_clip_encoder import OpenClipEncoder

OPSET = 20
_LARGEST_SINGLE_FILE = 1_900_000_000
"""Bytes of weights from which on they go to a file beside the graph: a protocol buffer cannot exceed 2 GB."""


@dataclass(frozen=True)
class CacheShape:
    """The shape of a language model's key/value cache for one position of one row."""

    layers: int
    heads: int
    head_dim: int


class ImageGraph(nn.Module):
    """``pixels [B, 3, H, W]`` to ``embedding [B, dim]``, unit rows."""

    def __init__(self, encoder: OpenClipEncoder) -> None:
        super().__init__()
        self.model, self._encoder = encoder.model, encoder

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        return self._encoder.image_embeddings(pixels)


class TextGraph(nn.Module):
    """``input_ids [B, L]`` to ``embedding [B, dim]``, unit rows."""

    def __init__(self, encoder: OpenClipEncoder) -> None:
        super().__init__()
        self.model, self._encoder = encoder.model, encoder

    def forward(self, input_ids: torch.Tensor) -> torch.Tensor:
        return self._encoder.text_embeddings(input_ids)


class DecoderGraph(nn.Module):
    """Mapper and language model as one graph for the prefill and for a step.

    ``embeddings [B, V, dim]``, ``input_ids [B, L]`` and ``past [layers, 2, B, heads, P, head_dim]`` to ``logits
    [B, vocab]`` of the last position and ``present`` (as ``past``, V·k + L longer). The sequence is the mapper's output
    for each vector, then the tokens. V, L and P may each be 0.
    """

    def __init__(self, captioner: Captioner) -> None:
        super().__init__()
        self.captioner = captioner

    def forward(
        self, embeddings: torch.Tensor, input_ids: torch.Tensor, past: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        from transformers import DynamicCache

        model = self.captioner
        rows, vectors, dim = embeddings.shape
        prefix = model.prefix(embeddings.reshape(rows * vectors, dim))
        prefix = prefix.reshape(rows, vectors * model.info.prefix_length, prefix.shape[-1])
        inputs = torch.cat([prefix, model.embed_tokens(input_ids)], dim=1)
        length, before = inputs.shape[1], past.shape[4]
        positions = torch.arange(length) + before
        # The mask is spelled out: transformers' own depends on values that are not known while exporting.
        visible = torch.arange(before + length)[None, :] <= positions[:, None]
        mask = torch.where(visible, 0.0, torch.finfo(inputs.dtype).min).to(inputs.dtype)
        cache = DynamicCache([(past[layer, 0], past[layer, 1]) for layer in range(past.shape[0])])
        output = cast(Any, model.lm).base_model(
            inputs_embeds=inputs,
            past_key_values=cache,
            attention_mask=mask[None, None].expand(rows, 1, length, before + length),
            position_ids=positions[None],
            use_cache=True,
        )
        layers = output.past_key_values.layers
        present = torch.stack([torch.stack([layer.keys, layer.values]) for layer in layers])
        return model.head(output.last_hidden_state[:, -1]), present


def cache_shape(captioner: Captioner) -> CacheShape:
    """Read from a real run: configurations name these numbers differently in every family of models."""
    from core.captioner.torch_decoder import TorchDecoder

    _, cache = TorchDecoder(captioner).prefill(torch.zeros(1, captioner.info.dim).numpy())
    keys = cache.layers[0].keys
    return CacheShape(layers=len(cache.layers), heads=keys.shape[1], head_dim=keys.shape[3])


def export_image_graph(encoder: OpenClipEncoder, path: Path) -> None:
    size = encoder.preprocess.size
    shapes = {"pixels": {0: Dim.DYNAMIC}}
    _export(ImageGraph(encoder), (torch.rand(2, 3, size, size),), shapes, ["embedding"], path)


def export_text_graph(encoder: OpenClipEncoder, path: Path) -> bool:
    """Export the text tower; returns whether texts must always have the whole context length."""
    fixed = not encoder.trims_texts
    shapes = {"input_ids": {0: Dim.DYNAMIC} if fixed else {0: Dim.DYNAMIC, 1: Dim.DYNAMIC}}
    length = encoder.context_length if fixed else min(7, encoder.context_length)
    ids = torch.arange(2 * length).reshape(2, length) % 11 + 1
    _export(TextGraph(encoder), (ids,), shapes, ["embedding"], path)
    return fixed


def export_decoder_graph(captioner: Captioner, shape: CacheShape, path: Path) -> None:
    # Example sizes are 2 and more, all different: the exporter takes a size of 0 or 1 for a constant.
    rows, vectors, tokens, past = 2, 3, 4, 5
    example = (
        torch.randn(rows, vectors, captioner.info.dim),
        torch.ones(rows, tokens, dtype=torch.long),
        torch.randn(shape.layers, 2, rows, shape.heads, past, shape.head_dim),
    )
    shapes = {
        "embeddings": {0: Dim.DYNAMIC, 1: Dim.DYNAMIC},
        "input_ids": {0: Dim.DYNAMIC, 1: Dim.DYNAMIC},
        "past": {2: Dim.DYNAMIC, 4: Dim.DYNAMIC},
    }
    _export(DecoderGraph(captioner), example, shapes, ["logits", "present"], path)


def _export(
    graph: nn.Module, example: tuple[torch.Tensor, ...], shapes: dict[str, Any], outputs: list[str], path: Path
) -> None:
    with torch.inference_mode(), _quiet():
        program = torch.onnx.export(
            graph.eval(),
            example,
            dynamo=True,
            dynamic_shapes=shapes,
            input_names=list(shapes),
            output_names=[f"{name}_out" for name in outputs],
            opset_version=OPSET,
            verbose=False,
        )
    assert program is not None
    _name_outputs(program.model.graph, outputs)
    _forget_origin(program.model)
    weights = sum(p.numel() * p.element_size() for p in graph.parameters())
    program.save(str(path), external_data=weights > _LARGEST_SINGLE_FILE)


def _name_outputs(graph: Any, names: list[str]) -> None:
    """Name the outputs here: asked to, the exporter also gives a name to an inner value that happens to have it."""
    for node in graph:
        for value in node.outputs:
            if value.name in names:
                value.name = f"{value.name}_inner"
    for value, name in zip(graph.outputs, names, strict=True):
        value.name = name


def _forget_origin(model: Any) -> None:
    """Drop the exporter's notes: where each node stood in the source code, paths of this machine included."""
    model.metadata_props.clear()
    for graph in model.graphs():
        graph.metadata_props.clear()
        for value in (*graph.inputs, *graph.initializers.values()):
            value.metadata_props.clear()
        for node in graph:
            node.metadata_props.clear()
            for value in node.outputs:
                value.metadata_props.clear()


@contextmanager
def _quiet() -> Iterator[None]:
    """The exporter tells its developers a lot on the way; what matters is checked afterwards, by running."""
    names = ("torch.onnx", "torch.export", "onnxscript", "onnx_ir")
    levels = {name: logging.getLogger(name).level for name in names}
    try:
        for name in names:
            logging.getLogger(name).setLevel(logging.ERROR)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for name, level in levels.items():
            logging.getLogger(name).setLevel(level)
