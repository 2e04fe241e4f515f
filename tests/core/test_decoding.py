"""Greedy, beam search and sampling against a session whose every answer is known."""

from __future__ import annotations

import numpy as np
import pytest

from core.captioner.decoding import DecodingOptions, blocked_tokens, decode, log_softmax
from core.jobs import Cancelled, QuietContext
from tests.core.toy_session import ToySession

PHOTOS = np.linspace(0, 1, 7, dtype=np.float32)[:, None]


class Fixed(ToySession):
    """Says the same whatever came before."""

    def __init__(self, logits):
        super().__init__(len(logits))
        self._logits = np.array(logits, np.float32)

    def logits(self, photo, words):
        return self._logits


def best_by_brute_force(session, photo, max_tokens):
    ended = [(t, f) for t, f in session.every_caption(max_tokens) if f and t]
    return max(ended, key=lambda one: session.score(photo, *one) / (len(one[0]) + 1))[0]


def test_greedy_takes_the_likeliest_token_each_time():
    session = ToySession()
    for photo, [caption] in zip(PHOTOS[:, 0], decode(session, PHOTOS, DecodingOptions(no_repeat_ngram=0)), strict=True):
        for i, token in enumerate(caption.tokens):
            assert token == session.logits(photo, caption.tokens[:i])[: 3 if i == 0 else 4].argmax()
        if caption.finished:
            assert session.logits(photo, caption.tokens).argmax() == session.end_token_id
        assert caption.log_prob == pytest.approx(session.score(photo, caption.tokens, caption.finished))


@pytest.mark.parametrize("max_tokens", [2, 3, 5])
def test_a_beam_wide_enough_finds_the_best_caption_of_all(max_tokens):
    session = ToySession()
    options = DecodingOptions(method="beam", beams=400, max_tokens=max_tokens, no_repeat_ngram=0, max_rows=10_000)
    for photo, [caption] in zip(PHOTOS[:, 0], decode(session, PHOTOS, options), strict=True):
        assert caption.finished
        assert caption.tokens == best_by_brute_force(session, photo, max_tokens)
        assert caption.log_prob == pytest.approx(session.score(photo, caption.tokens, True))


def test_a_beam_of_one_is_greedy():
    greedy = decode(ToySession(6), PHOTOS, DecodingOptions(max_tokens=6))
    beam = decode(ToySession(6), PHOTOS, DecodingOptions(method="beam", beams=1, max_tokens=6))
    assert [one[0].tokens for one in greedy] == [one[0].tokens for one in beam]


def test_a_beam_is_never_worse_than_greedy_here():
    session = ToySession(6)
    options = DecodingOptions(max_tokens=8, no_repeat_ngram=0)
    greedy = decode(session, PHOTOS, options)
    beam = decode(session, PHOTOS, DecodingOptions(method="beam", beams=4, max_tokens=8, no_repeat_ngram=0))
    better = [b[0].average - g[0].average for b, g in zip(beam, greedy, strict=True) if b[0].finished == g[0].finished]
    assert np.mean(better) > 0


def test_results_do_not_depend_on_what_else_is_in_the_batch():
    for method in ("greedy", "beam", "sample"):
        options = DecodingOptions(method=method, max_tokens=8, candidates=2, seed=3)
        together = decode(ToySession(6), PHOTOS, options)
        alone = [decode(ToySession(6), PHOTOS[i : i + 1], options, row_seeds=[i])[0] for i in range(len(PHOTOS))]
        few_rows = DecodingOptions(method=method, max_tokens=8, candidates=2, seed=3, max_rows=1)
        assert together == alone == decode(ToySession(6), PHOTOS, few_rows)


def test_ended_rows_leave_the_batch():
    session = ToySession()
    found = decode(session, PHOTOS, DecodingOptions(max_tokens=10, no_repeat_ngram=0))
    lengths = [len(one[0].tokens) + one[0].finished for one in found]
    expected = [sum(length > i for length in lengths) for i in range(max(lengths))]
    assert session.rows_run == expected


def test_ties_go_to_the_lowest_token():
    session = Fixed([1.0, 3.0, 3.0, 0.0])
    assert decode(session, PHOTOS[:1], DecodingOptions(max_tokens=2, no_repeat_ngram=0))[0][0].tokens == (1, 1)
    beam = DecodingOptions(method="beam", beams=2, max_tokens=2, no_repeat_ngram=0, candidates=2)
    assert [one.tokens for one in decode(session, PHOTOS[:1], beam)[0]] == [(1, 1), (1, 2)]


@pytest.mark.parametrize("method", ["greedy", "beam", "sample"])
@pytest.mark.parametrize("n", [1, 2, 3])
def test_no_ngram_repeats(method, n):
    session = ToySession(6, sharpness=1.0)
    session.logits = lambda photo, words: np.array([3, 2, 1, 0.5, 0.2, -3], np.float32)
    options = DecodingOptions(method=method, max_tokens=12, no_repeat_ngram=n, candidates=3)
    for captions in decode(session, PHOTOS, options):
        for one in captions:
            grams = [one.tokens[i : i + n] for i in range(len(one.tokens) - n + 1)]
            assert len(grams) == len(set(grams))


def test_repeats_are_allowed_when_asked_for():
    session = Fixed([5.0, 0.0, 0.0, 0.0])
    [[one]] = decode(session, PHOTOS[:1], DecodingOptions(max_tokens=6, no_repeat_ngram=0))
    assert one.tokens == (0,) * 6
    assert not one.finished


def test_blocked_tokens_are_those_that_would_repeat_or_end_badly():
    options = DecodingOptions(no_repeat_ngram=3, bad_endings=(7,))
    assert list(blocked_tokens([1, 2, 3, 1, 2], options, 9)) == [3]
    assert list(blocked_tokens([1, 2, 3, 1, 7], options, 9)) == [9]
    assert list(blocked_tokens([1], options, 9)) == []
    assert list(blocked_tokens([], options, 9)) == [9]  # an empty caption is none


@pytest.mark.parametrize("method", ["greedy", "beam"])
def test_a_caption_does_not_end_after_a_bad_ending(method):
    session = Fixed([2.0, 0.0, 0.0, 1.9])  # after token 0, the end is what would come
    session.logits = lambda photo, words: np.array([2, 0, 0, 9 if words else 1.9], np.float32)
    free = decode(session, PHOTOS[:1], DecodingOptions(method=method, max_tokens=6))[0][0]
    held = decode(session, PHOTOS[:1], DecodingOptions(method=method, max_tokens=6, bad_endings=(0,)))[0][0]
    assert free.tokens == (0,)
    assert held.finished
    assert held.tokens[-1] != 0


def test_sampling_follows_the_distribution():
    session = Fixed([1.0, 0.0, 0.5, 2.0])
    options = DecodingOptions(method="sample", candidates=4000, max_tokens=2, temperature=0.7, max_rows=5000)
    [found] = decode(session, PHOTOS[:1], options)
    counts = np.bincount([one.tokens[1] if len(one.tokens) > 1 else 3 for one in found], minlength=4) / 4000
    expected = np.exp(log_softmax(np.array([[1.0, 0.0, 0.5, 2.0]]) / 0.7))[0]
    assert np.abs(counts - expected).max() < 0.03


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_log_probabilities_are_exact_enough_for_any_tie(dtype):
    logits = (np.random.default_rng(0).normal(size=(5, 40_000)) * 6).astype(dtype)
    wide = logits.astype(np.float64)
    expected = wide - wide.max(axis=1, keepdims=True)
    expected -= np.log(np.exp(expected).sum(axis=1, keepdims=True))
    found = log_softmax(logits)
    assert found.dtype == np.float64
    np.testing.assert_allclose(found, expected, atol=1e-6)
    np.testing.assert_allclose(found - found[:, :1], wide - wide[:, :1], atol=1e-12)  # differences stay as they are


def test_sampling_repeats_with_its_seed_alone():
    def tokens(seed):
        options = DecodingOptions(method="sample", candidates=3, seed=seed)
        return [[one.tokens for one in captions] for captions in decode(ToySession(20), PHOTOS, options)]

    assert tokens(1) == tokens(1) != tokens(2)


def test_samples_of_one_photo_differ():
    options = DecodingOptions(method="sample", candidates=6, max_tokens=8)
    found = decode(ToySession(20, sharpness=0.5), PHOTOS[:1], options)[0]
    assert len({one.tokens for one in found}) == 6


def test_finished_captions_come_first():
    options = DecodingOptions(method="sample", candidates=30, max_tokens=3)
    [found] = decode(ToySession(5, sharpness=0.5), PHOTOS[:1], options)
    states = [one.finished for one in found]
    assert len(set(states)) == 2
    assert states == sorted(states, reverse=True)
    averages = [one.average for one in found if one.finished]
    assert averages == sorted(averages, reverse=True)


def test_no_photos_give_no_captions():
    assert decode(ToySession(), PHOTOS[:0]) == []


def test_cancel_is_asked_at_every_step():
    class Stop(QuietContext):
        asked = 0

        def check_cancelled(self):
            self.asked += 1
            if self.asked == 3:
                raise Cancelled

    for method in ("greedy", "beam", "sample"):
        session = ToySession(50)
        with pytest.raises(Cancelled):
            decode(session, PHOTOS, DecodingOptions(method=method), Stop())
        assert len(session.rows_run) == 2


@pytest.mark.parametrize(
    "bad", [{"method": "best"}, {"beams": 0}, {"max_tokens": 0}, {"temperature": 0.0}, {"no_repeat_ngram": -1}]
)
def test_senseless_options_are_refused(bad):
    with pytest.raises(ValueError, match="must be"):
        DecodingOptions(**bad)
