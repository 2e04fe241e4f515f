"""Running a bundle: an encoder and a decoder session on onnxruntime, with tokenizers, numpy and Pillow and no more."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnxruntime as ort
from tokenizers import Tokenizer

from core.captioner.decoding import DecodingOptions
from core.onnx import bundle as files
from core.onnx.bundle import BundleError, EncoderPart, Manifest, load_manifest
from core.onnx.providers import LOAD_ERRORS, ProviderChoice, choose_provider, provider_options, session_options
from core.onnx.text import EncoderTokenizer, load_tokenizer

_TEXT_BATCH = 128


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
        self.preprocess, self.prompt = part.preprocess, part.prompt
        self._images, self._texts, self._tokenizer = image_session, text_session, tokenizer

    def encode_images(self, pixels: np.ndarray) -> np.ndarray:
        """``[B, 3, H, W]`` float32, preprocessed, to unit rows float32 ``[B, dim]``."""
        if len(pixels) == 0:
            return np.zeros((0, self.dim), np.float32)
        return _run(self._images, pixels=np.ascontiguousarray(pixels, np.float32))[0]

    def encode_texts(self, texts: Sequence[str], prompt: bool = True) -> np.ndarray:
        """Sentences to unit rows float32 ``[n, dim]``, batched by length; ``prompt`` puts the prompt before each."""
        full = [self.prompt + text if prompt else text for text in texts]
        result = np.zeros((len(full), self.dim), np.float32)
        order = sorted(range(len(full)), key=lambda at: len(full[at]))
        for start in range(0, len(order), _TEXT_BATCH):
            rows = order[start : start + _TEXT_BATCH]
            result[rows] = _run(self._texts, input_ids=self._tokenizer([full[at] for at in rows]))[0]
        return result


class OnnxDecoder:
    """Implements :class:`core.captioner.decoding.DecoderSession`. A cache is the ``past`` array of the graph."""

    def __init__(self, session: ort.InferenceSession, manifest: Manifest) -> None:
        part = manifest.decoder
        self.end_token_id = part.end_token_id
        self._session = session
        self._no_vectors = (0, manifest.encoder.dim)
        self._empty = (part.layers, 2, part.heads, part.head_dim)

    def prefill(self, embeddings: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Run the prefix of ``[B, dim]`` once; logits ``[B, vocab]`` of the first word, and the cache."""
        rows = len(embeddings)
        layers, two, heads, head_dim = self._empty
        logits, cache = _run(
            self._session,
            embeddings=np.ascontiguousarray(embeddings, np.float32)[:, None],
            input_ids=np.zeros((rows, 0), np.int64),
            past=np.zeros((layers, two, rows, heads, 0, head_dim), np.float32),
        )
        return logits, cache

    def step(self, cache: np.ndarray, tokens: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Append ``tokens`` ``[B]``; logits ``[B, vocab]`` of the next word, and the longer cache."""
        logits, longer = _run(
            self._session,
            embeddings=np.zeros((len(tokens), *self._no_vectors), np.float32),
            input_ids=np.asarray(tokens, np.int64)[:, None],
            past=cache,
        )
        return logits, longer

    def select(self, cache: np.ndarray, rows: np.ndarray) -> np.ndarray:
        """Keep, repeat or reorder rows; costs nothing when they stay as they are."""
        if len(rows) == cache.shape[2] and np.array_equal(rows, np.arange(len(rows))):
            return cache
        return cache.take(rows, axis=2)


@dataclass(frozen=True)
class Bundle:
    """An open bundle. ``provider`` says where it runs and why there."""

    folder: Path
    manifest: Manifest
    encoder: BundleEncoder
    decoder: OnnxDecoder
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
        provider: ``auto``, ``cpu`` or ``cuda``.

    Raises:
        BundleError: names what is wrong with the bundle, before any of its graphs is loaded where that can be told.
    """
    manifest = load_manifest(folder)
    tokenizer = load_tokenizer(folder / files.TOKENIZER)
    part = manifest.encoder
    texts = EncoderTokenizer(
        load_tokenizer(folder / part.tokenizer), part.context_length, part.pad_token_id, part.fixed_length
    )
    choice = choose_provider(provider, probe=folder / files.TEXT_ENCODER)
    image_session, text_session, decoder_session = (
        _load(folder / name, threads, choice) for name in (files.IMAGE_ENCODER, files.TEXT_ENCODER, files.DECODER)
    )
    size, dim, shape = part.preprocess.size, part.dim, manifest.decoder
    past = [shape.layers, 2, None, shape.heads, None, shape.head_dim]
    _check(folder / files.IMAGE_ENCODER, image_session, {"pixels": [None, 3, size, size]}, {"embedding": [None, dim]})
    length = part.context_length if part.fixed_length else None
    _check(folder / files.TEXT_ENCODER, text_session, {"input_ids": [None, length]}, {"embedding": [None, dim]})
    _check(
        folder / files.DECODER,
        decoder_session,
        {"embeddings": [None, None, dim], "input_ids": [None, None], "past": past},
        {"logits": [None, shape.vocab_size], "present": past},
    )
    encoder = BundleEncoder(part, image_session, text_session, texts)
    return Bundle(folder, manifest, encoder, OnnxDecoder(decoder_session, manifest), tokenizer, choice)


def _load(path: Path, threads: int | None, choice: ProviderChoice) -> ort.InferenceSession:
    try:
        return ort.InferenceSession(str(path), session_options(threads), providers=provider_options(choice.name))
    except LOAD_ERRORS as error:
        raise BundleError(f"{path} could not be loaded: {str(error).splitlines()[0]:.300}") from error


def _run(session: ort.InferenceSession, **inputs: np.ndarray) -> list[np.ndarray]:
    try:
        return session.run(None, inputs)  # pyright: ignore[reportReturnType] - all outputs here are arrays
    except LOAD_ERRORS as error:
        path, reason = getattr(session, "_model_path", "The graph"), f"{str(error).splitlines()[0]:.300}"
        raise BundleError(f"{path} could not be run: {reason}") from error


def _check(
    path: Path, session: ort.InferenceSession, inputs: dict[str, list[int | None]], outputs: dict[str, list[int | None]]
) -> None:
    """Refuse a graph that takes or gives something else than the manifest says (``None``: any size)."""
    for wanted, found in ((inputs, session.get_inputs()), (outputs, session.get_outputs())):
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
