"""Turning logits into captions: greedy, beam search and sampling, the same code for torch and for ONNX.

A session runs the model; everything that decides a caption is here, in numpy, so that two runtimes with the same
logits give the same words. Ties break by the lowest token id.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from numbers import Integral
from typing import Any, Literal, Protocol

import numpy as np

from core.jobs import JobContext, QuietContext

_BLOCK = 64
"""Scores looked at together in a search for the best few: their maximum is quick to find."""


class DecoderSession(Protocol):
    """A model with a key/value cache. A cache that was passed in is used up; only the one returned counts."""

    end_token_id: int

    def prefill(self, embeddings: np.ndarray) -> tuple[np.ndarray, Any]:
        """``[B, dim]`` to logits ``[B, V]`` of the first token, and a cache of B rows."""
        ...

    def step(self, cache: Any, tokens: np.ndarray) -> tuple[np.ndarray, Any]:
        """Append one token to each row, ``[B]``; logits ``[B, V]`` of the next one."""
        ...

    def select(self, cache: Any, rows: np.ndarray) -> Any:
        """Keep, repeat or reorder the rows of a cache."""
        ...


@dataclass(frozen=True)
class DecodingOptions:
    """How captions are chosen.

    ``no_repeat_ngram``: no run of so many tokens occurs twice (0: off). ``candidates``: captions per photo (beam: at
    most ``beams``). ``bad_endings``: token ids after which a caption may not end ("a dog with a"). ``max_rows``: rows
    run at once; it bounds memory.
    """

    method: Literal["greedy", "beam", "sample"] = "greedy"
    beams: int = 4
    max_tokens: int = 32
    temperature: float = 0.9
    no_repeat_ngram: int = 3
    candidates: int = 1
    seed: int = 0
    bad_endings: tuple[int, ...] = ()
    max_rows: int = 256

    def __post_init__(self) -> None:
        if self.method not in ("greedy", "beam", "sample"):
            raise ValueError(f"the decoding method must be greedy, beam or sample, not {self.method!r}")
        whole = (self.beams, self.max_tokens, self.candidates, self.max_rows, self.no_repeat_ngram, self.seed)
        if not all(isinstance(number, Integral) for number in (*whole, *self.bad_endings)):
            raise ValueError("beams, candidates, seed, tokens and rows are whole numbers")
        if self.seed < 0:
            raise ValueError("the seed must be at least 0")
        if min(self.beams, self.max_tokens, self.candidates, self.max_rows) < 1 or self.no_repeat_ngram < 0:
            raise ValueError("beams, max_tokens, candidates and max_rows must be at least 1")
        if not self.temperature > 0:
            raise ValueError("the temperature must be above 0")

    @property
    def rows_per_photo(self) -> int:
        return {"greedy": 1, "beam": self.beams, "sample": self.candidates}[self.method]


@dataclass(frozen=True)
class Hypothesis:
    """One caption: token ids without the end token, its log-probability in nats (end token included), did it end."""

    tokens: tuple[int, ...]
    log_prob: float
    finished: bool

    @property
    def average(self) -> float:
        """Log-probability per token, the end token counted: what captions of different lengths are compared by."""
        return self.log_prob / max(1, len(self.tokens) + self.finished)


def decode(
    session: DecoderSession,
    embeddings: np.ndarray,
    options: DecodingOptions | None = None,
    ctx: JobContext | None = None,
    *,
    row_seeds: Sequence[int] | None = None,
) -> list[list[Hypothesis]]:
    """Captions of each photo, best first: finished ones before unfinished ones, then by :attr:`Hypothesis.average`.

    Args:
        session: the model.
        embeddings: unit rows float32 ``[n, dim]``.
        options: greedy by default.
        ctx: asked per decoding step whether to stop.
        row_seeds: for sampling, a number per photo (by default its position) that with ``options.seed`` decides its
            draws, whatever else is in the batch.
    """
    options, ctx = options or DecodingOptions(), ctx or QuietContext()
    seeds = list(range(len(embeddings))) if row_seeds is None else list(row_seeds)
    chunk = max(1, options.max_rows // options.rows_per_photo)
    search = _beam_search if options.method == "beam" else _one_at_a_time
    results: list[list[Hypothesis]] = []
    for start in range(0, len(embeddings), chunk):
        part = slice(start, start + chunk)
        for hypotheses in search(session, embeddings[part], options, ctx, seeds[part]):
            hypotheses.sort(key=lambda h: (not h.finished, -h.average, h.tokens))
            results.append(hypotheses[: options.candidates])
    return results


def log_softmax(logits: np.ndarray) -> np.ndarray:
    """Row-wise log-probabilities, float64.

    Only the exponentials are taken in single precision, for half the time over a large vocabulary: their sum is off by
    some 1e-8 of itself, and that by the same for all tokens of a row.
    """
    largest = logits.max(axis=-1, keepdims=True)
    total = np.exp(np.subtract(logits, largest, dtype=np.float32)).sum(axis=-1, keepdims=True, dtype=np.float64)
    return logits - (largest + np.log(total))


def blocked_tokens(tokens: Sequence[int], options: DecodingOptions, end_token_id: int) -> Iterator[int]:
    """Token ids that may not follow ``tokens``: they would repeat an n-gram, or end the caption badly
    or before its first word."""
    n = options.no_repeat_ngram
    if n and len(tokens) >= n:
        tail = tuple(tokens[len(tokens) - n + 1 :])
        for i in range(len(tokens) - n + 1):
            if tuple(tokens[i : i + n - 1]) == tail:
                yield tokens[i + n - 1]
    if not tokens or tokens[-1] in options.bad_endings:
        yield end_token_id


def _one_at_a_time(
    session: DecoderSession, embeddings: np.ndarray, options: DecodingOptions, ctx: JobContext, seeds: list[int]
) -> list[list[Hypothesis]]:
    """Greedy decoding and sampling: every row goes its own way; a row that has ended leaves the batch."""
    ctx.check_cancelled()
    logits, cache = session.prefill(embeddings)
    copies = options.rows_per_photo
    if copies > 1:
        repeat = np.repeat(np.arange(len(embeddings)), copies)
        logits, cache = logits[repeat], session.select(cache, repeat)
    choose = _sampler(options, seeds) if options.method == "sample" else _greedy
    tokens: list[list[int]] = [[] for _ in range(len(logits))]
    log_probs = [0.0] * len(logits)
    finished = [False] * len(logits)
    active = np.arange(len(logits))
    for position in range(options.max_tokens):
        chosen = np.zeros(len(active), np.int64)
        scores = log_softmax(logits)
        for i, row in enumerate(active):
            allowed = _masked(scores[i], tokens[row], options, session.end_token_id)
            chosen[i] = choose(allowed, int(row))
            log_probs[row] += float(scores[i, chosen[i]])
            finished[row] = bool(chosen[i] == session.end_token_id)
            if not finished[row]:
                tokens[row].append(int(chosen[i]))
        going_on = np.flatnonzero(chosen != session.end_token_id)
        if len(going_on) == 0 or position + 1 == options.max_tokens:
            break
        if len(going_on) < len(active):
            active, chosen, cache = active[going_on], chosen[going_on], session.select(cache, going_on)
        ctx.check_cancelled()
        logits, cache = session.step(cache, chosen)
    found = [Hypothesis(tuple(t), p, f) for t, p, f in zip(tokens, log_probs, finished, strict=True)]
    return [found[i : i + copies] for i in range(0, len(found), copies)]


def _masked(scores: np.ndarray, tokens: Sequence[int], options: DecodingOptions, end_token_id: int) -> np.ndarray:
    blocked = list(blocked_tokens(tokens, options, end_token_id))
    if not blocked:
        return scores
    masked = scores.copy()
    masked[blocked] = -np.inf
    return masked


def _greedy(scores: np.ndarray, _row: int) -> int:
    return int(scores.argmax())


def _sampler(options: DecodingOptions, seeds: list[int]) -> Callable[[np.ndarray, int], int]:
    """Draws by inverse distribution function; each row has a random stream of its own."""
    streams = [np.random.default_rng([options.seed, seed, k]) for seed in seeds for k in range(options.candidates)]

    def draw(scores: np.ndarray, row: int) -> int:
        weights = np.exp((scores - scores.max()) / options.temperature)
        cumulative = np.cumsum(weights)
        return int(np.searchsorted(cumulative, streams[row].random() * cumulative[-1], side="right"))

    return draw


@dataclass(frozen=True)
class _Beam:
    """A hypothesis in the search; ``row`` is its row in the cache, -1 once it has ended."""

    tokens: tuple[int, ...]
    log_prob: float
    row: int

    @property
    def ended(self) -> bool:
        return self.row < 0

    @property
    def average(self) -> float:
        return self.log_prob / max(1, len(self.tokens) + self.ended)


def _beam_search(
    session: DecoderSession, embeddings: np.ndarray, options: DecodingOptions, ctx: JobContext, _seeds: list[int]
) -> list[list[Hypothesis]]:
    """ClipCap's beam search: ``beams`` slots a photo, ordered by log-probability per token; an ended hypothesis keeps
    its slot, so the search of a photo ends when all its slots hold ended ones."""
    ctx.check_cancelled()
    logits, cache = session.prefill(embeddings)
    beams = [[_Beam((), 0.0, row)] for row in range(len(embeddings))]
    for position in range(options.max_tokens):
        scores = log_softmax(logits)
        beams = [_extend(slots, scores, options, session.end_token_id) for slots in beams]
        alive = [beam for slots in beams for beam in slots if not beam.ended]
        if not alive or position + 1 == options.max_tokens:
            break
        cache = session.select(cache, np.array([beam.row for beam in alive], np.int64))
        ctx.check_cancelled()
        logits, cache = session.step(cache, np.array([beam.tokens[-1] for beam in alive], np.int64))
        rows = iter(range(len(alive)))
        beams = [[b if b.ended else _Beam(b.tokens, b.log_prob, next(rows)) for b in slots] for slots in beams]
    return [[Hypothesis(b.tokens, b.log_prob, b.ended) for b in slots] for slots in beams]


def _extend(slots: list[_Beam], scores: np.ndarray, options: DecodingOptions, end_token_id: int) -> list[_Beam]:
    """The best ``beams`` among ended hypotheses and all one-token extensions of the others."""
    candidates = [beam for beam in slots if beam.ended]
    for beam in slots:
        if beam.ended:
            continue
        row = _masked(scores[beam.row], beam.tokens, options, end_token_id)
        for token in _best(row, options.beams):
            total = beam.log_prob + float(row[token])
            if token == end_token_id:
                candidates.append(_Beam(beam.tokens, total, -1))
            else:
                candidates.append(_Beam((*beam.tokens, int(token)), total, beam.row))
    candidates.sort(key=lambda b: (-b.average, not b.ended, b.tokens))
    return candidates[: options.beams]


def _best(scores: np.ndarray, count: int) -> np.ndarray:
    """Positions of the ``count`` largest finite scores, best first, the lowest position first on ties."""
    blocks = len(scores) // _BLOCK
    if blocks >= count:
        # Each of the best blocks holds a score of at least this, so no score below it is among the best.
        maxima = scores[: blocks * _BLOCK].reshape(blocks, _BLOCK).max(axis=1)
        positions = np.flatnonzero(scores >= np.partition(maxima, -count)[-count])
    else:
        positions = np.arange(len(scores))
    positions = positions[np.isfinite(scores[positions])]
    return positions[np.argsort(-scores[positions], kind="stable")][:count]
