"""The cache stays where the graph runs: the same words come out as when it is handed over as arrays."""

from __future__ import annotations

import numpy as np
import onnxruntime as ort
import pytest

from core.captioner.decoding import DecodingOptions, decode
from core.onnx.bundle import DECODER, BundleError, load_manifest
from core.onnx.decoder import BoundDecoder, OnnxDecoder
from core.onnx.gather import CACHE, FLOAT, FLOAT16, ROWS, gather_model
from core.onnx.session import open_bundle
from tests.onnx.test_session import unit_rows


def new_session(graph):
    return ort.InferenceSession(graph, providers=["CPUExecutionProvider"])


@pytest.fixture(scope="module")
def manifest(tiny_bundle):
    return load_manifest(tiny_bundle)


@pytest.fixture(scope="module")
def session(tiny_bundle):
    return new_session(str(tiny_bundle / DECODER))


@pytest.fixture
def plain(session, manifest):
    return OnnxDecoder(session, manifest)


@pytest.fixture
def bound(session, manifest):
    return BoundDecoder(session, manifest, ("cpu", 0), new_session)


def test_arrays_are_handed_over_on_the_processor(tiny_bundle):
    assert isinstance(open_bundle(tiny_bundle, threads=1, provider="cpu").decoder, OnnxDecoder)


@pytest.mark.parametrize(
    "options",
    [
        DecodingOptions(),
        DecodingOptions(max_tokens=5, max_rows=7),
        DecodingOptions(method="beam"),
        DecodingOptions(method="beam", beams=7, candidates=5, no_repeat_ngram=0),
        DecodingOptions(method="sample", candidates=3, seed=4),
    ],
    ids=str,
)
def test_same_tokens_through_both_paths(plain, bound, options):
    vectors = unit_rows(23, seed=3)
    ours, theirs = decode(bound, vectors, options), decode(plain, vectors, options)
    assert [[(h.tokens, h.finished) for h in photo] for photo in ours] == [
        [(h.tokens, h.finished) for h in photo] for photo in theirs
    ]
    assert len({photo[0].tokens for photo in ours}) > 5  # or equality would say little


def test_two_captionings_at_the_same_time_do_not_mix(plain, bound):
    """A cache brings its own memory: nobody must finish one batch before beginning another."""
    first, second = unit_rows(3, seed=1), unit_rows(4, seed=2)
    caches = {id(decoder): [decoder.prefill(v)[1] for v in (first, second)] for decoder in (plain, bound)}
    for word in range(5):
        for i, rows in enumerate((3, 4)):
            tokens = np.arange(rows) + word
            expected, caches[id(plain)][i] = plain.step(caches[id(plain)][i], tokens)
            found, caches[id(bound)][i] = bound.step(caches[id(bound)][i], tokens)
            np.testing.assert_allclose(found, expected, atol=1e-5)


def test_memory_is_lent_again_once_no_cache_is_left(bound):
    _, first = bound.prefill(unit_rows(3))
    _, second = bound.prefill(unit_rows(3))
    assert first.pair.memories is not second.pair.memories
    memories = second.pair.memories
    _, second = bound.step(second, np.array([1, 2, 3]))
    assert second.pair.memories is memories
    del second
    _, third = bound.prefill(unit_rows(5))
    assert third.pair.memories is memories and first.pair.memories is not memories


def test_rows_taken_many_times_over_and_none(plain, bound):
    (_, ours), (_, theirs) = bound.prefill(unit_rows(2)), plain.prefill(unit_rows(2))
    for rows in ([1, 0, 1, 1, 0, 0, 1], [6, 0, 3], [], []):
        chosen = np.array(rows, np.int64)
        ours, theirs = bound.select(ours, chosen), plain.select(theirs, chosen)
        assert ours.shape == theirs.shape
        (found, ours), (expected, theirs) = bound.step(ours, chosen), plain.step(theirs, chosen)
        np.testing.assert_allclose(found, expected, atol=1e-5)


def test_a_step_that_cannot_run_says_so(bound):
    _, cache = bound.prefill(unit_rows(2))
    with pytest.raises(BundleError, match="could not be run"):
        bound.step(cache, np.array([1, 10_000]))  # no such word


@pytest.mark.parametrize(("element", "dtype"), [(FLOAT, np.float32), (FLOAT16, np.float16)])
def test_the_graph_that_takes_rows(element, dtype):
    import onnx

    graph = gather_model(6, 2, element)
    onnx.checker.check_model(onnx.load_from_string(graph), full_check=True)
    cache = np.random.default_rng(0).normal(size=(2, 2, 5, 3, 4, 2)).astype(dtype)
    rows = np.array([4, 0, 0, 3])
    (taken,) = new_session(graph).run(None, {CACHE: cache, ROWS: rows})
    np.testing.assert_array_equal(taken, cache[:, :, rows])
