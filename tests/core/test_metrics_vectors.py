"""CLIP-S, retrieval, guards and the bootstrap."""

from __future__ import annotations

import numpy as np
import pytest

from core.metrics.bootstrap import bootstrap, bootstrap_mean, compare, paired_bootstrap
from core.metrics.clip_score import clip_s, ref_clip_s, row_cosines
from core.metrics.guards import common_words, ends_badly, guard_summary, rep_n, strung_rate, unique_ratio
from core.metrics.retrieval import best_own_ranks, ranks


def unit(rows):
    rows = np.asarray(rows, dtype=np.float64)
    return rows / np.linalg.norm(rows, axis=-1, keepdims=True)


def test_clip_s_is_two_and_a_half_cosines_and_never_negative():
    assert clip_s(np.array([0.3, 0.0, -0.2])).tolist() == pytest.approx([0.75, 0, 0])


def test_ref_clip_s_takes_the_best_reference_and_the_harmonic_mean():
    captions = unit([[1, 0], [0, 1]])
    references = unit([[1, 0], [0, 1], [0, -1]])  # the first caption has two, the second one that opposes it
    owner = np.array([0, 0, 1])
    got = ref_clip_s(np.array([0.5, 0.9]), captions, references, owner)
    assert got == pytest.approx([2 * 0.5 * 1 / 1.5, 0])


def test_ref_clip_s_of_nothing_is_zero_not_nan():
    got = ref_clip_s(np.array([0.0]), unit([[1, 0]]), unit([[-1, 0]]), np.array([0]))
    assert got.tolist() == [0]


def test_ref_clip_s_does_not_multiply_the_reference_term():
    # Published example of the authors' script: CLIP-S 0.8584, RefCLIP-S 0.8450; the reference cosine is then 0.832.
    cosine = 0.8450 * 0.8584 / (2 * 0.8584 - 0.8450)
    caption, reference = np.array([[1.0, 0.0]]), np.array([[cosine, np.sqrt(1 - cosine**2)]])
    assert ref_clip_s(np.array([0.8584]), caption, reference, np.array([0]))[0] == pytest.approx(0.8450)
    assert 0.8 < cosine < 0.9


def test_row_cosines_pairs_rows():
    a, b = unit([[1, 0], [1, 1]]), unit([[0, 1], [1, 1]])
    assert row_cosines(a, b) == pytest.approx([0, 1])


def test_diagonal_is_perfect():
    found = ranks(np.eye(20), np.arange(20))
    assert found.recall(1) == 100
    assert found.summary()["mrr"] == 1


def test_ranks_by_hand():
    similarities = np.array([[0.1, 0.9, 0.5], [0.2, 0.3, 0.4], [0.7, 0.8, 0.9]])
    found = ranks(similarities, np.array([0, 1, 2]))
    assert found.mean_rank_of_ties.tolist() == [3, 2, 1]
    assert found.recall(1) == pytest.approx(100 / 3)
    assert found.recall(5) == 100
    summary = found.summary()
    assert summary["mean_rank"] == 2
    assert summary["median_rank"] == 2
    assert summary["mrr"] == pytest.approx((1 / 3 + 1 / 2 + 1) / 3)


@pytest.mark.parametrize("k", [1, 5, 10])
def test_captions_that_are_all_alike_score_chance(k):
    rng = np.random.default_rng(0)
    photos = unit(rng.normal(size=(40, 8)))
    same = np.repeat(unit(rng.normal(size=(1, 8))), 40, axis=0)
    assert ranks(same @ photos.T, np.arange(40)).recall(k) == pytest.approx(100 * k / 40)  # text to image
    assert ranks(photos @ same.T, np.arange(40)).recall(k) == pytest.approx(100 * k / 40)  # image to text: all tied


def test_ties_share_the_mean_rank():
    found = ranks(np.array([[0.5, 0.5, 0.5, 0.9]]), np.array([0]))
    assert found.mean_rank_of_ties.tolist() == [3.0]  # places 2, 3 and 4
    assert found.hits(2)[0] == pytest.approx(1 / 3)


def test_rounding_noise_is_a_tie():
    noisy = np.array([[0.5, 0.5 + 3e-8, 0.5 - 3e-8]], dtype=np.float32)
    assert ranks(noisy, np.array([0])).tied.tolist() == [2]


def test_several_captions_a_photo_compete_only_with_those_of_others():
    # photo 0 owns captions 0, 1; photo 1 owns 2, 3
    similarities = np.array([[0.2, 0.8, 0.7, 0.1], [0.9, 0.0, 0.3, 0.4]])
    found = best_own_ranks(similarities, np.array([0, 0, 1, 1]))
    assert found.mean_rank_of_ties.tolist() == [1, 2]
    with pytest.raises(ValueError, match="caption"):
        best_own_ranks(similarities, np.array([0, 0, 0, 0]))


def test_repeats_by_hand():
    assert rep_n(["dog dog dog park park"], 1)[0] == pytest.approx(3 / 5)
    assert rep_n(["a dog and a dog"], 2)[0] == pytest.approx(1 / 4)
    assert rep_n(["one", ""], 2).tolist() == [0, 0]


@pytest.mark.parametrize(
    ("sentence", "bad"), [("a dog with a", True), ("a dog in the", True), ("a dog in the park", False), ("", True)]
)
def test_bad_endings(sentence, bad):
    assert ends_badly(sentence.split()) is bad


def test_guard_summary():
    summary = guard_summary(["A dog runs.", "a dog runs", "the big big cat sits on a"])
    assert summary["unique_ratio"] == pytest.approx(2 / 3)
    assert summary["immediate_repeat"] == pytest.approx(1 / 3)
    assert summary["bad_ending"] == pytest.approx(1 / 3)
    assert summary["length"] == pytest.approx(13 / 3)
    assert summary["vocabulary"] == 8
    with pytest.raises(ValueError, match="no captions"):
        guard_summary([])


def test_words_strung_together_are_told_by_what_joins_them_without_a_list_of_words():
    things = [("hund", "wiese"), ("ball", "bank"), ("kind", "treppe")]
    theirs = [f"der {one} liegt auf der {two}" for one, two in things] * 10
    common = common_words([*theirs, *(f"wort{i}" for i in range(40))])
    assert {"der", "liegt", "auf"} <= common and len(common) == 20
    plain = ["der alte bunte lange teppich liegt auf der terrasse", "sonne gras fell ohren liegt auf gras"]
    assert strung_rate(plain, common) == 0
    assert strung_rate(["sonne gras fell ohren laub", "der see fluss tal berg wald liegt"], common) == 1.0
    assert strung_rate([], common) == 0


def test_unique_ratio_ignores_case_and_punctuation_only():
    assert unique_ratio(["A dog!", "a dog", "a dogs"]) == pytest.approx(2 / 3)


def test_bootstrap_interval_covers_the_mean_about_as_often_as_it_says():
    rng = np.random.default_rng(1)
    inside = 0
    for trial in range(200):
        found = bootstrap_mean(rng.normal(loc=3, size=50), resamples=300, seed=trial)
        inside += found.low <= 3 <= found.high
    assert 0.88 <= inside / 200 <= 0.99


def test_bootstrap_is_the_same_for_the_same_seed_and_another_for_another():
    values = np.arange(30.0)
    assert bootstrap_mean(values, seed=3) == bootstrap_mean(values, seed=3)
    assert bootstrap_mean(values, seed=3) != bootstrap_mean(values, seed=4)


def test_pairing_sees_a_small_gain_that_is_the_same_everywhere():
    rng = np.random.default_rng(0)
    a = rng.normal(scale=10, size=100)
    gain = paired_bootstrap(a, a + 0.1 + rng.normal(scale=0.01, size=100))
    assert gain.low > 0
    assert gain.value == pytest.approx(0.1, abs=0.01)
    assert gain.p < 0.01


def test_no_difference_has_p_one_and_noise_is_not_called_significant():
    a = np.random.default_rng(0).normal(size=60)
    assert paired_bootstrap(a, a).p == 1
    noise = paired_bootstrap(a, a + np.random.default_rng(5).permutation(np.tile([-1.0, 1.0], 30)))
    assert noise.low < 0 < noise.high
    assert noise.p > 0.05


def test_any_statistic_can_be_resampled():
    values = np.array([1.0, 2.0, 9.0])
    assert bootstrap(3, lambda rows: float(np.median(values[rows]))).value == 2
    assert compare(3, lambda rows: float(values[rows].max() - values[rows].min())).value == 8
    with pytest.raises(ValueError, match="nothing"):
        bootstrap_mean(np.array([]))
    with pytest.raises(ValueError, match="match"):
        paired_bootstrap(np.zeros(3), np.zeros(4))
