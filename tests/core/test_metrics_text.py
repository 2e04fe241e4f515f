"""BLEU, ROUGE-L and CIDEr against figures worked out by hand, and properties that must hold for any sentence."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.metrics.bleu import bleu_counts
from core.metrics.caption_scores import reference_scores
from core.metrics.cider import CiderD, cider, cider_d
from core.metrics.rouge import longest_common_subsequence, rouge_l
from core.metrics.tokenize import tokenize

WORDS = st.sampled_from(["a", "red", "blue", "dog", "runs", "in", "the", "park"])
SENTENCES = st.lists(WORDS, min_size=1, max_size=9).map(" ".join)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("A dog runs.", ["a", "dog", "runs"]),
        ("The dog's ball isn’t here!", ["the", "dog", "'s", "ball", "is", "n't", "here"]),
        ("a T-shirt, size 3.5 (red)", ["a", "t-shirt", "size", "3.5", "red"]),
        ('"quoted" -- text ... ; end', ["quoted", "text", "end"]),
        ("they cannot see", ["they", "can", "not", "see"]),
        ("cafe\u0301", ["café"]),
        ("the U.S. flag", ["the", "u.s.", "flag"]),
        (" \n\t", []),
        ("", []),
    ],
)
def test_words(text, words):
    assert tokenize(text) == words


def test_bleu_by_hand():
    # 6 words; matches with clipping: the x2 cat on mat = 5 of 6 (sat/sits differ); bigrams: the-cat, on-the, the-mat
    counts = bleu_counts(["the cat sits on the mat"], [["the cat sat on the mat"]])
    assert counts.matches.tolist() == [[5, 3, 1, 0]]
    assert counts.guesses.tolist() == [[6, 5, 4, 3]]
    scores = counts.bleu()
    assert scores[0] == pytest.approx(5 / 6)
    assert scores[1] == pytest.approx(math.sqrt(5 / 6 * 3 / 5))
    assert scores[2] == pytest.approx((5 / 6 * 3 / 5 * 1 / 4) ** (1 / 3))
    assert scores[3] < 1e-3


def test_bleu_clips_repeated_words():
    assert bleu_counts(["the the the the the the the"], [["the cat is on the mat"]]).bleu()[0] == pytest.approx(2 / 7)


def test_bleu_clips_by_the_maximum_over_references_not_their_sum():
    counts = bleu_counts(["dog dog dog"], [["dog dog", "dog"]])
    assert counts.matches[0, 0] == 2


def test_brevity_penalty_uses_the_closest_reference_and_the_shorter_of_two():
    counts = bleu_counts(["a b c d"], [["a b c d e f g h", "a b c d e", "a b c"]])
    assert counts.reference_length.tolist() == [3]
    short = bleu_counts(["a b"], [["a b c d"]])
    assert short.bleu()[0] == pytest.approx(math.exp(1 - 4 / 2))


def test_bleu_is_of_the_corpus_not_the_mean_of_sentences():
    captions, references = ["a b c d", "x"], [["a b c d"], ["y"]]
    assert bleu_counts(captions, references).bleu()[0] == pytest.approx(4 / 5)
    assert bleu_counts(captions, references).bleu(np.array([0]))[0] == pytest.approx(1)


def test_rouge_by_hand():
    # common subsequence "police the gunman" = 3; precision 3/4, recall 3/4
    assert rouge_l(["police kill the gunman"], [["police killed the gunman"]])[0] == pytest.approx(0.75)
    # best precision and best recall come from different references
    score = rouge_l(["a b c"], [["a b c d e f", "a"]])[0]
    assert score == pytest.approx(1.0)
    precision, recall = 2 / 4, 2 / 3
    expected = (1 + 1.44) * precision * recall / (recall + 1.44 * precision)
    assert rouge_l(["a x b y"], [["a b c"]])[0] == pytest.approx(expected)


@given(st.text("abc", max_size=12), st.text("abc", max_size=12))
def test_longest_common_subsequence_is_that_of_the_table(a, b):
    table = np.zeros((len(a) + 1, len(b) + 1), dtype=int)
    for i in range(len(a)):
        for j in range(len(b)):
            same = a[i] == b[j]
            table[i + 1, j + 1] = table[i, j] + 1 if same else max(table[i, j + 1], table[i + 1, j])
    assert longest_common_subsequence(a, b) == table[-1, -1]


def test_cider_d_by_hand():
    # Two photos, one reference each, no shared words: every idf is log 2, every n-gram occurs once.
    # The caption shares 2 of 3 words, 1 of 2 bigrams, 0 of 1 trigrams with its reference; equal length: no penalty.
    score = cider_d(["red dog sits", "x y"], [["red dog runs"], ["blue cat sleeps"]])
    assert score[0] == pytest.approx(10 * (2 / 3 + 1 / 2 + 0 + 0) / 4)
    assert score[1] == 0


def test_cider_d_perfect_caption_of_four_words_scores_ten():
    score = cider_d(["one two three four", "five six seven eight"], [["one two three four"], ["five six seven eight"]])
    assert score == pytest.approx([10, 10])


def test_cider_d_length_penalty_by_hand():
    # As above but the caption has one word more, seen nowhere: its weight is log 2 too.
    score = cider_d(["red dog runs fast", "x"], [["red dog runs"], ["blue cat sleeps"]])[0]
    grams = 3 / math.sqrt(4 * 3) + 2 / math.sqrt(3 * 2) + 1 / math.sqrt(2 * 1)
    assert score == pytest.approx(10 * grams / 4 * math.exp(-1 / 72))
    assert cider(["red dog runs fast", "x"], [["red dog runs"], ["blue cat sleeps"]])[0] == pytest.approx(
        10 * grams / 4
    )


def test_cider_d_clips_repeats_and_cider_does_not():
    # tf of "dog" is 3 against 1: clipped product 1*1, unclipped 3*1, norms 3 and 1; one word matches, n = 1 only.
    references = [["dog"], ["cat"]]
    assert cider(["dog dog dog", "x"], references)[0] == pytest.approx(10 / 4)
    assert cider_d(["dog dog dog", "x"], references)[0] == pytest.approx(10 / 4 / 3 * math.exp(-4 / 72))


def test_a_word_in_every_photo_weighs_nothing():
    references = [["a dog"], ["a cat"]]
    assert cider_d(["a", "a"], references) == pytest.approx([0, 0])


def test_document_frequency_counts_photos_not_references():
    # "dog" twice among the references of one photo is still one photo of two: idf log 2
    one = cider_d(["dog", "x"], [["dog", "dog"], ["cat", "cat"]])
    assert one[0] == pytest.approx(10 / 4)


def test_one_photo_alone_has_no_rare_words():
    assert cider_d(["a dog"], [["a dog"]])[0] == 0


def test_the_reusable_scorer_takes_several_captions_a_photo():
    references = [["red dog runs", "a red dog"], ["blue cat sleeps"], ["green bird sings now"]]
    scorer = CiderD(references)
    captions = ["red dog", "a red dog runs", "blue cat", "green bird sings now"]
    got = scorer.score(captions, np.array([0, 0, 1, 2]))
    for caption, photo, value in zip(captions, [0, 0, 1, 2], got, strict=True):
        alone = ["", "", ""]
        alone[photo] = caption
        assert value == pytest.approx(cider_d(alone, references)[photo])
    assert len(scorer) == 3


@given(st.lists(st.tuples(SENTENCES, SENTENCES, SENTENCES), min_size=1, max_size=6))
def test_scores_stay_in_range_and_order_of_references_is_free(rows):
    captions = [row[0] for row in rows]
    references, swapped = [row[1:] for row in rows], [row[:0:-1] for row in rows]
    for metric, top in ((cider_d, 10), (cider, 10), (rouge_l, 1)):
        values = metric(captions, references)
        assert np.all(values >= 0)
        assert np.all(values <= top + 1e-9)
        assert values == pytest.approx(metric(captions, swapped))
    bleu = bleu_counts(captions, references).bleu()
    assert np.all((bleu >= 0) & (bleu <= 1 + 1e-9))


@pytest.mark.parametrize("metric", [cider_d, rouge_l, bleu_counts])
def test_empty_caption_is_scored_not_refused(metric):
    result = metric(["", "a dog runs"], [["a dog"], ["a dog runs"]])
    if metric is bleu_counts:
        assert np.all(np.isfinite(result.bleu()))
    else:
        assert result[0] == 0


@pytest.mark.parametrize("metric", [cider_d, rouge_l, bleu_counts])
def test_unpaired_input_is_refused(metric):
    with pytest.raises(ValueError, match="reference"):
        metric(["a"], [[]])
    with pytest.raises(ValueError, match=r"captions but|references"):
        metric(["a", "b", "c"], [["a"], ["b"]])


def test_report_is_times_a_hundred_with_intervals_around_it():
    captions = ["one two three four", "five six seven eight", "nine ten"]
    references = [["one two three four"], ["five six seven eight"], ["eleven twelve"]]
    scores = reference_scores(captions, references)
    assert scores.bleu1 == pytest.approx(80)
    assert scores.cider == pytest.approx(1000 * 2 / 3)
    assert scores.rouge_l == pytest.approx(100 * 2 / 3)
    assert scores.cider_interval.low < scores.cider < scores.cider_interval.high
    assert scores.bleu4_interval.value == scores.bleu4
