"""Running a bundle: an encoder and a decoder session on onnxruntime, with tokenizers, numpy and Pillow and no more."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import numpy as np
from tokenizers import Tokenizer

from core.captioner.decoding import DecoderSession, DecodingOptions
from core.devices import card_asked_for
from core.onnx import bundle as files
from core.onnx.bundle import BundleError, EncoderPart, Manifest, load_manifest
from core.onnx.decoder import BoundDecoder, OnnxDecoder, run
from core.onnx.provider_table import CPU, Provider
from core.onnx.providers import (
    LOAD_ERRORS,
    Inputs,
    ProviderChoice,
    Trial,
    provider_options,
    session_options,
    start_sessions,
)
from core.onnx.runtime import ort
from core.onnx.text import EncoderTokenizer, load_tokenizer

_TEXT_BATCH = 128
_TOLERANCES = {"fp32": 1e-3, "fp16": 3e-2, "int8": 3e-2}
"""How far a provider's numbers may be from the processor's, see :func:`core.onnx.providers.start_sessions`."""


class BundleEncoder:
    """The encoder of a bundle; implements :class:`core.encoders.encoder.Encoder`."""

    def __init__(
        self,
        part: EncoderPart,
        image_session: ort.InferenceSession,
        text_session: ort.InferenceSession,
        tokenizer: EncoderTokenizer,
    ) -> None:
        self.id, self.fingerprint, self.dim = part.id, part.fingerprint, part.dim
        self.preprocess, self.prompt, self.logit_scale = part.preprocess, part.prompt, part.logit_scale
        self.context_length = part.context_length
        self._images, self._texts, self._tokenizer = image_session, text_session, tokenizer

    def encode_images(self, pixels: np.ndarray) -> np.ndarray:
        """``[B, 3, H, W]`` float32, preprocessed, to unit rows float32 ``[B, dim]``."""
        if len(pixels) == 0:
            return np.zeros((0, self.dim), np.float32)
        return run(self._images, pixels=np.ascontiguousarray(pixels, np.float32))[0]

    def encode_texts(self, texts: Sequence[str], prompt: bool = True) -> np.ndarray:
        """Sentences to unit rows float32 ``[n, dim]``, batched by length; ``prompt`` puts the prompt before each."""
        full = [self.prompt + text if prompt else text for text in texts]
        result = np.zeros((len(full), self.dim), np.float32)
        order = sorted(range(len(full)), key=lambda at: len(full[at]))
        for start in range(0, len(order), _TEXT_BATCH):
            rows = order[start : start + _TEXT_BATCH]
            result[rows] = run(self._texts, input_ids=self._tokenizer([full[at] for at in rows]))[0]
        return result

    def count_too_long(self, texts: Sequence[str], prompt: bool = True) -> int:
        """How many of ``texts`` have more tokens than the text tower reads; their ends do not count in any score."""
        return self._tokenizer.count_too_long([self.prompt + text if prompt else text for text in texts])


@dataclass(frozen=True)
class Bundle:
    """An open bundle. ``provider`` says where it runs and why there."""

    folder: Path
    manifest: Manifest
    encoder: BundleEncoder
    decoder: DecoderSession
    tokenizer: Tokenizer
    provider: ProviderChoice

    def text(self, tokens: Sequence[int]) -> str:
        """The caption that the tokens spell, special tokens left out."""
        return " ".join(self.tokenizer.decode(list(tokens), skip_special_tokens=True).split())

    def decoding(self, **changes: object) -> DecodingOptions:
        """The decoding options the bundle was made with, with ``changes``. Raises :class:`BundleError`."""
        try:
            return decoding_options(self.manifest, **changes)
        except BundleError as error:
            raise BundleError(f"{self.folder}: {error.message}", error.next_step) from error


def decoding_options(manifest: Manifest, **changes: object) -> DecodingOptions:
    """The manifest's decoding defaults with ``changes``. :class:`BundleError` for settings that make no sense."""
    values = {**manifest.decoding, **changes}
    if isinstance(values.get("bad_endings"), list):
        values["bad_endings"] = tuple(values["bad_endings"])
    try:
        options = DecodingOptions(**values)
    except (TypeError, ValueError) as error:
        raise BundleError(f"The bundle's decoding settings are not understood: {error}.") from error
    room = manifest.decoder.max_positions - manifest.decoder.prefix_length
    if options.max_tokens > room:
        raise BundleError(
            f"Captions of {options.max_tokens} tokens do not fit: this model has room for {room}.",
            f"Ask for at most {room} tokens.",
        )
    return options


def open_bundle(folder: Path, threads: int | None = None, provider: str = "auto") -> Bundle:
    """Verify the bundle in ``folder`` and load it.

    Args:
        folder: holds ``manifest.json``.
        threads: for matrix products; ``None`` takes every usable core.
        provider: ``auto`` or another of :data:`core.onnx.provider_table.NAMES`. One that does not run the graphs, or
            gives other numbers than the processor, is not used; ``Bundle.provider`` then says why.

    Raises:
        BundleError: names what is wrong with the bundle, before any of its graphs is loaded where that can be told.
    """
    manifest = load_manifest(folder)
    tokenizer = load_tokenizer(folder / files.TOKENIZER)
    part = manifest.encoder
    texts = EncoderTokenizer(
        load_tokenizer(folder / part.tokenizer), part.context_length, part.pad_token_id, part.fixed_length
    )
    graphs = _graphs(manifest)
    trials = [
        Trial(functools.partial(_load_checked, folder / graph.file, graph, threads), graph.runs) for graph in graphs
    ]
    tolerance = _TOLERANCES.get(manifest.precision, _TOLERANCES["fp32"])
    sessions, choice, chosen = start_sessions(trials, provider, tolerance=tolerance)
    image_session, text_session, decoder_session = cast("list[ort.InferenceSession]", sessions)
    if chosen.memory is None:
        decoder = OnnxDecoder(decoder_session, manifest)
    else:
        decoder = BoundDecoder(
            decoder_session,
            manifest,
            (chosen.memory, card_asked_for() or 0),
            lambda graph: _new_session(graph, threads, chosen),
        )
    encoder = BundleEncoder(part, image_session, text_session, texts)
    return Bundle(folder, manifest, encoder, decoder, tokenizer, choice)


@dataclass(frozen=True)
class _Graph:
    """A graph of a bundle as its manifest describes it: shapes of inputs and outputs (``None``: any size), and inputs
    to try it with."""

    file: str
    inputs: dict[str, list[int | None]]
    outputs: dict[str, list[int | None]]
    runs: tuple[Inputs, ...]


def _graphs(manifest: Manifest) -> tuple[_Graph, _Graph, _Graph]:
    """The image encoder, the text encoder and the decoder. The decoder is tried as a prefill and as a step, since
    sizes of 0 are what providers trip over."""
    part, shape = manifest.encoder, manifest.decoder
    size, dim = part.preprocess.size, part.dim
    length = part.context_length if part.fixed_length else None
    past = [shape.layers, 2, None, shape.heads, None, shape.head_dim]
    rng = np.random.default_rng(0)

    def numbers(*sizes: int) -> np.ndarray:
        return rng.normal(size=sizes).astype(np.float32)

    ids = np.arange(2 * (length or min(7, part.context_length)), dtype=np.int64).reshape(2, -1) % 11 + 1
    prefill = {
        "embeddings": numbers(2, 1, dim),
        "input_ids": np.zeros((2, 0), np.int64),
        "past": numbers(shape.layers, 2, 2, shape.heads, 0, shape.head_dim),
    }
    step = {
        "embeddings": numbers(2, 0, dim),
        "input_ids": np.array([[0], [1]], np.int64),
        "past": numbers(shape.layers, 2, 2, shape.heads, 3, shape.head_dim),
    }
    return (
        _Graph(
            files.IMAGE_ENCODER,
            {"pixels": [None, 3, size, size]},
            {"embedding": [None, dim]},
            ({"pixels": numbers(2, 3, size, size)},),
        ),
        _Graph(files.TEXT_ENCODER, {"input_ids": [None, length]}, {"embedding": [None, dim]}, ({"input_ids": ids},)),
        _Graph(
            files.DECODER,
            {"embeddings": [None, None, dim], "input_ids": [None, None], "past": past},
            {"logits": [None, shape.vocab_size], "present": past},
            (prefill, step),
        ),
    )


def _load_checked(path: Path, graph: _Graph, threads: int | None, provider: Provider) -> ort.InferenceSession:
    """A session of a graph that is what the manifest says; :class:`BundleError` where it is none."""
    try:
        session = _new_session(str(path), threads, provider)
    except LOAD_ERRORS as error:
        if provider is not CPU:
            raise
        raise BundleError(f"{path} could not be loaded: {str(error).splitlines()[0]:.300}") from error
    _check(path, session, graph)
    return session


def _new_session(graph: str | bytes, threads: int | None, provider: Provider) -> ort.InferenceSession:
    options = session_options(provider, threads)
    # Without a fallback of its own: it would print lines, and go on elsewhere without a word.
    return ort.InferenceSession(graph, options, providers=provider_options(provider), enable_fallback=0)


def _check(path: Path, session: ort.InferenceSession, graph: _Graph) -> None:
    """Refuse a graph that takes or gives something else than the manifest says."""
    for wanted, found in ((graph.inputs, session.get_inputs()), (graph.outputs, session.get_outputs())):
        shapes = {value.name: value.shape for value in found}
        fits = list(shapes) == list(wanted) and all(_fits(shapes[name], shape) for name, shape in wanted.items())
        if not fits:
            raise BundleError(f"{path} is another graph than the manifest describes: it has {shapes}, not {wanted}.")


def _fits(found: Sequence[int | str | None], wanted: Sequence[int | None]) -> bool:
    """Whether a shape is the one wanted; a size that the graph leaves open fits any."""
    if len(found) != len(wanted):
        return False
    return all(
        want is None or size == want or not isinstance(size, int) for size, want in zip(found, wanted, strict=True)
    )
