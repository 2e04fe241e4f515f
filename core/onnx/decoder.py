"""The decoder graph as a :class:`core.captioner.decoding.DecoderSession`, its cache kept where the graph runs.

``session.run`` hands every output over as a new numpy array: the whole cache is copied once a step, on a graphics card
through the bus and back. Here a cache is a piece of device memory that one step reads while the next one is written
beside it, and taking rows is a graph of its own on the same device.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from math import prod

import numpy as np

from core.onnx import gather
from core.onnx.bundle import BundleError, Manifest
from core.onnx.providers import LOAD_ERRORS
from core.onnx.runtime import ort

_FLOATS = {"tensor(float)": (np.float32, gather.FLOAT), "tensor(float16)": (np.float16, gather.FLOAT16)}
_ROWS = 2
"""The axis of a cache ``[layers, 2, rows, heads, positions, head_dim]`` along which its rows lie."""


class OnnxDecoder:
    """Runs the decoder graph and hands its cache about as numpy arrays: for providers that can do no better."""

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
        logits, cache = run(
            self._session,
            embeddings=np.ascontiguousarray(embeddings, np.float32)[:, None],
            input_ids=np.zeros((rows, 0), np.int64),
            past=np.zeros((layers, two, rows, heads, 0, head_dim), np.float32),
        )
        return logits, cache

    def step(self, cache: np.ndarray, tokens: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Append ``tokens`` ``[B]``; logits ``[B, vocab]`` of the next word, and the longer cache."""
        logits, longer = run(
            self._session,
            embeddings=np.zeros((len(tokens), *self._no_vectors), np.float32),
            input_ids=np.asarray(tokens, np.int64)[:, None],
            past=cache,
        )
        return logits, longer

    def select(self, cache: np.ndarray, rows: np.ndarray) -> np.ndarray:
        """Keep, repeat or reorder rows; costs nothing when they stay as they are."""
        if len(rows) == cache.shape[_ROWS] and np.array_equal(rows, np.arange(len(rows))):
            return cache
        return cache.take(rows, axis=_ROWS)


class _Memory:
    """A piece of device memory for ``dtype`` numbers that is made anew, larger, when it is too small."""

    def __init__(self, device: tuple[str, int], dtype: type[np.floating]) -> None:
        self._device, self._dtype = device, dtype
        self._held: ort.OrtValue | None = None
        self._room = 0

    def address(self, numbers: int) -> int:
        """Where it lies, with room for so many numbers; what was in it is lost if it had less."""
        if self._held is None or numbers > self._room:
            # Captions grow a word a step: with twice the room a batch asks for new memory a few times, not each step.
            wanted, self._held, self._room = max(1, 2 * numbers if self._room else numbers), None, 0
            try:
                self._held = self._allocated(wanted)
            except LOAD_ERRORS:
                if wanted <= numbers:
                    raise
                wanted = numbers  # there is no room for more, but there may be for what is needed
                self._held = self._allocated(wanted)
            self._room = wanted
        return self._held.data_ptr()

    def _allocated(self, numbers: int) -> ort.OrtValue:
        return ort.OrtValue.ortvalue_from_shape_and_type((numbers,), self._dtype, *self._device)


class _Pair:
    """Two memories that a batch's caches take turns in, lent out until nothing holds a cache of them any more."""

    def __init__(self, memories: tuple[_Memory, _Memory], back: Callable[[tuple[_Memory, _Memory]], object]) -> None:
        self.memories = memories
        weakref.finalize(self, back, memories).atexit = False


@dataclass(frozen=True)
class DeviceCache:
    """Keys and values ``[layers, 2, rows, heads, positions, head_dim]`` in one memory of ``pair``, by ``turn``."""

    shape: tuple[int, ...]
    pair: _Pair
    turn: int = 0

    def next(self, rows: int, positions: int) -> DeviceCache:
        """The cache that a run writes; this one is used up with it."""
        layers, two, _, heads, _, head_dim = self.shape
        return DeviceCache((layers, two, rows, heads, positions, head_dim), self.pair, 1 - self.turn)


class BoundDecoder:
    """Runs the decoder graph with its cache in the memory of ``device``.

    Args:
        session: of the decoder graph, on a provider that works in that memory.
        manifest: of its bundle.
        device: what onnxruntime calls the memory, ``cpu`` or ``cuda``, and which of several.
        load: makes a session from the bytes of a graph on the same provider.
    """

    def __init__(
        self,
        session: ort.InferenceSession,
        manifest: Manifest,
        device: tuple[str, int],
        load: Callable[[bytes], ort.InferenceSession],
    ) -> None:
        part = manifest.decoder
        self.end_token_id = part.end_token_id
        self._session, self._device, self._load = session, device, load
        self._dim, self._vocabulary, self._prefix = manifest.encoder.dim, part.vocab_size, part.prefix_length
        self._one_row = (part.layers, 2, 1, part.heads, 0, part.head_dim)
        types = {value.name: value.type for value in (*session.get_inputs(), *session.get_outputs())}
        self._cache_type, self._element = _FLOATS[types["past"]]
        self._logits_type = _FLOATS[types["logits"]][0]
        self._gather: ort.InferenceSession | None = None
        self._free: list[tuple[_Memory, _Memory]] = []
        self._give_back = ort.RunOptions()
        if device[0] != "cpu":
            # What the last batch's longest captions needed is given back to other programs before the next batch.
            self._give_back.add_run_config_entry("memory.enable_memory_arena_shrinkage", f"gpu:{device[1]}")

    def prefill(self, embeddings: np.ndarray) -> tuple[np.ndarray, DeviceCache]:
        """Run the prefix of ``[B, dim]`` once; logits ``[B, vocab]`` of the first word, and the cache."""
        rows = len(embeddings)
        nothing = DeviceCache(self._one_row, self._lend()).next(rows, 0)
        vectors = np.ascontiguousarray(embeddings, np.float32)[:, None]
        return self._run(nothing, vectors, np.zeros((rows, 0), np.int64), self._prefix, self._give_back)

    def step(self, cache: DeviceCache, tokens: np.ndarray) -> tuple[np.ndarray, DeviceCache]:
        """Append ``tokens`` ``[B]``; logits ``[B, vocab]`` of the next word, and the longer cache."""
        vectors = np.zeros((len(tokens), 0, self._dim), np.float32)
        return self._run(cache, vectors, np.ascontiguousarray(tokens, np.int64)[:, None], 1)

    def select(self, cache: DeviceCache, rows: np.ndarray) -> DeviceCache:
        """Keep, repeat or reorder rows; costs nothing when they stay as they are."""
        if len(rows) == cache.shape[_ROWS] and np.array_equal(rows, np.arange(len(rows))):
            return cache
        taken = cache.next(len(rows), cache.shape[4])
        with _in_words("The cache"):
            if self._gather is None:
                self._gather = self._load(gather.gather_model(len(cache.shape), _ROWS, self._element))
            binding = self._gather.io_binding()
            binding.bind_cpu_input(gather.ROWS, np.ascontiguousarray(rows, np.int64))
            self._bind(binding.bind_input, gather.CACHE, cache)
            self._bind(binding.bind_output, gather.TAKEN, taken)
            self._gather.run_with_iobinding(binding)
        return taken

    def _lend(self) -> _Pair:
        """Memory of an earlier batch, if one is done with it: new memory costs as much as the copies it saves."""
        if self._free:
            return _Pair(self._free.pop(), self._free.append)
        return _Pair(
            (_Memory(self._device, self._cache_type), _Memory(self._device, self._cache_type)), self._free.append
        )

    def _run(
        self,
        past: DeviceCache,
        vectors: np.ndarray,
        tokens: np.ndarray,
        longer: int,
        options: ort.RunOptions | None = None,
    ) -> tuple[np.ndarray, DeviceCache]:
        rows, before = past.shape[_ROWS], past.shape[4]
        logits = np.empty((rows, self._vocabulary), self._logits_type)
        present = past.next(rows, before + longer)
        with _in_words(getattr(self._session, "_model_path", "The graph")):
            binding = self._session.io_binding()
            binding.bind_cpu_input("embeddings", vectors)
            binding.bind_cpu_input("input_ids", tokens)
            self._bind(binding.bind_input, "past", past)
            binding.bind_output("logits", "cpu", 0, self._logits_type, logits.shape, logits.ctypes.data)
            self._bind(binding.bind_output, "present", present)
            self._session.run_with_iobinding(binding, options)
        return logits.astype(np.float32, copy=False), present

    def _bind(self, bind: Callable[..., None], name: str, cache: DeviceCache) -> None:
        address = cache.pair.memories[cache.turn].address(prod(cache.shape))
        bind(name, *self._device, self._cache_type, cache.shape, address)


def run(session: ort.InferenceSession, **inputs: np.ndarray) -> list[np.ndarray]:
    """All outputs of a graph; :class:`BundleError` with onnxruntime's own words where it cannot be run."""
    with _in_words(getattr(session, "_model_path", "The graph")):
        return session.run(None, inputs)  # pyright: ignore[reportReturnType] - all outputs here are arrays


@contextmanager
def _in_words(what: str) -> Iterator[None]:
    try:
        yield
    except (RuntimeError, *LOAD_ERRORS) as error:  # a bound run raises the plain one
        raise BundleError(f"{what} could not be run: {str(error).splitlines()[0]:.300}") from error
