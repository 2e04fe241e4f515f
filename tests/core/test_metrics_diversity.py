"""Diversity, distinctiveness among similar photos, and document frequencies of one's own."""

from __future__ import annotations

import gzip
import json
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.errors import UserError
from core.exchange.frequency_files import load_frequencies, read_frequencies, write_frequencies
from core.metrics.bleu import bleu_counts
from core.metrics.cider import CiderD, cider, cider_d
from core.metrics.diversity import (
    cider_between,
    cider_kernels,
    div_n,
    global_vocabulary,
    mutual_bleu,
    mutual_cider,
    self_bleu,
    self_cider,
)
from core.metrics.document_frequencies import DocumentFrequencies, count_documents

FLAT = DocumentFrequencies("ten photos, nothing seen", 10, {})  # every n-gram weighs log 10
WORDS = st.sampled_from(["a", "red", "blue", "dog", "runs", "in", "the", "park"])
SENTENCES = st.lists(WORDS, min_size=4, max_size=9).map(" ".join)
SETS = st.lists(st.lists(SENTENCES, min_size=2, max_size=4), min_size=1, max_size=3)


def test_div_n_by_hand():
    # 6 words; distinct: a dog runs cat = 4; bigrams: a-dog dog-runs a-cat cat-runs = 4
    sets = [["a dog runs", "A cat runs."]]
    assert div_n(sets, 1) == pytest.approx(4 / 6)
    assert div_n(sets, 2) == pytest.approx(4 / 6)
    assert div_n([*sets, ["x x", "x x"]], 1) == pytest.approx((4 / 6 + 1 / 4) / 2), "a mean over photos"
    assert global_vocabulary([*sets, ["a x", "x"]]) == 5


def test_mutual_bleu_is_of_each_caption_against_the_others():
    sets = [["a red dog runs", "a red dog runs", "the blue cat sits"]]
    assert mutual_bleu(sets) == pytest.approx(2 / 3, abs=1e-3)


def test_cider_kernel_by_hand():
    # All n-grams weigh the same: cosine of counts. 1 of 2 words shared, no pair: (1/2 + 0)/4; "a b" with itself: 2/4.
    (kernel,) = cider_kernels([["a b", "a c"]], FLAT)
    assert kernel == pytest.approx(np.array([[2 / 4, 1 / 8], [1 / 8, 2 / 4]]))
    assert mutual_cider([kernel]) == pytest.approx(10 / 8)


def test_self_cider_by_hand():
    assert self_cider([np.eye(4)]) == pytest.approx(1)
    assert self_cider([np.ones((3, 3))]) == pytest.approx(0, abs=1e-12)
    one, other = math.sqrt(1.5), math.sqrt(0.5)  # eigenvalues of [[1, .5], [.5, 1]]
    assert self_cider([np.array([[1, 0.5], [0.5, 1]])]) == pytest.approx(-math.log2(one / (one + other)))
    assert self_cider([np.zeros((2, 2))]) == 0, "empty captions are alike"


@settings(max_examples=20)
@given(SENTENCES, st.integers(2, 5))
def test_the_same_caption_again_and_again_is_not_diverse(caption, many):
    sets = [[caption] * many]
    kernels = cider_kernels(sets, FLAT)
    assert self_cider(kernels) == pytest.approx(0, abs=1e-6)
    assert mutual_cider(kernels) == pytest.approx(10)
    assert mutual_bleu(sets) == pytest.approx(1, abs=1e-6)
    assert div_n(sets, 1) <= 1 / many + 1e-9


@settings(max_examples=20)
@given(SETS, st.randoms())
def test_the_order_of_captions_and_photos_is_free(sets, random):
    shuffled = [random.sample(group, len(group)) for group in random.sample(sets, len(sets))]
    for measure in (
        lambda s: div_n(s, 2), mutual_bleu,
        lambda s: self_cider(cider_kernels(s, FLAT)), lambda s: mutual_cider(cider_kernels(s, FLAT)),
    ):  # fmt: skip
        value = measure(sets)
        assert value == pytest.approx(measure(shuffled), abs=1e-6)
        assert 0 <= value <= 10 + 1e-9
    assert 0 <= self_cider(cider_kernels(sets, FLAT)) <= 1 + 1e-9


def test_one_caption_is_no_set():
    for measure in (lambda s: div_n(s, 1), mutual_bleu, lambda s: cider_kernels(s, FLAT)):
        with pytest.raises(ValueError, match="two captions"):
            measure([["a dog"]])


def test_cider_between_is_the_mean_over_similar_photos():
    references = [["red dog runs"], ["red dog sits", "a red dog"], ["blue cat sleeps"], ["green bird"]]
    scorer = CiderD(references)
    captions = ["red dog runs", "red dog sits", "blue cat", "green bird"]
    got = cider_between(captions, scorer, np.array([[1, 2], [0, -1], [-1, -1], [2, 0]]))
    assert got[0] == pytest.approx(scorer.score([captions[0]] * 2, [1, 2]).mean())
    assert got[1] == pytest.approx(scorer.score([captions[1]], [0])[0])
    assert np.isnan(got[2])
    assert got[3] == 0


@settings(max_examples=40)
@given(st.lists(st.lists(WORDS, min_size=1, max_size=8).map(" ".join), min_size=2, max_size=6))
def test_self_bleu_is_bleu_against_all_others(captions):
    # BLEU-4 of the same counts would come out of bleu_counts; with n = 5 the plain way is written out here.
    values = []
    for i, caption in enumerate(captions):
        others = captions[:i] + captions[i + 1 :]
        counts = bleu_counts([caption], [others])
        words = caption.split()
        five = [tuple(words[j : j + 5]) for j in range(len(words) - 4)]
        known = [tuple(o.split()[j : j + 5]) for o in others for j in range(len(o.split()) - 4)]
        per_other = [[tuple(o.split()[j : j + 5]) for j in range(len(o.split()) - 4)] for o in others]
        match = sum(min(five.count(g), max(p.count(g) for p in per_other)) for g in set(five) & set(known))
        matches = np.append(counts.matches[0], match)
        guesses = np.append(counts.guesses[0], len(five))
        score = np.prod((matches + 1e-15) / (guesses + 1e-9)) ** 0.2
        ratio = counts.length[0] / counts.reference_length[0]
        values.append(score * (math.exp(1 - 1 / ratio) if ratio < 1 else 1))
    assert self_bleu(captions) == pytest.approx(np.mean(values), rel=1e-4, abs=1e-7)


def test_self_bleu_of_alike_captions_is_one_and_samples_beyond_a_thousand():
    assert self_bleu(["one two three four five"] * 3) == pytest.approx(1)
    many = [f"w{i} x{i} y{i} z{i} v{i}" for i in range(1200)]
    assert self_bleu(many) < 1e-3, "a caption in the sample is not compared with itself"
    with pytest.raises(ValueError, match="two captions"):
        self_bleu(["a"])


# -------------------------------------------------------------------------------------------- document frequencies


REFERENCES = [["a red dog runs", "a dog"], ["a blue cat sits"], ["a red cat runs fast", "red cat"]]


def test_frequencies_count_photos():
    found = count_documents(REFERENCES)
    assert found.photos == 3
    assert found.counts[("a",)] == 3
    assert found.counts[("red",)] == 2
    assert found.counts[("dog",)] == 1, "twice in one photo is one photo"
    assert found.label == "the references scored, 3 photos"


@pytest.mark.parametrize("metric", [cider, cider_d])
def test_given_frequencies_are_used_and_a_part_scored_with_those_of_all_is_a_part_of_all(metric):
    captions = ["a red dog", "blue cat sits", "red cat runs"]
    whole = metric(captions, REFERENCES)
    part = metric(captions[:2], REFERENCES[:2], count_documents(REFERENCES))
    assert part == pytest.approx(whole[:2])
    assert metric(captions[:2], REFERENCES[:2]) != pytest.approx(part)


def test_a_frequency_file_gives_the_same_scores_without_the_ngrams_of_one_photo(tmp_path):
    path = tmp_path / "own.df.gz"
    counted = count_documents(REFERENCES, "three photos")
    assert write_frequencies(path, counted) < len(counted.counts)
    read = read_frequencies(path)
    assert (read.label, read.photos) == ("three photos", 3)
    captions = ["a red dog", "blue cat never seen", "red cat runs"]
    assert cider_d(captions, REFERENCES, read) == pytest.approx(cider_d(captions, REFERENCES))
    assert CiderD(REFERENCES, frequencies=read).label == "three photos"
    first = path.read_bytes()
    write_frequencies(path, counted)
    assert path.read_bytes() == first


def test_the_shipped_frequencies():
    shipped = load_frequencies("flickr8k")
    assert shipped.photos == 5997
    assert shipped.counts[("a",)] > shipped.counts[("dog",)] > shipped.counts[("a", "dog", "runs")] > 1


def packed(head, *lines):
    return gzip.compress("\n".join([json.dumps(head), *lines, ""]).encode(), mtime=0)


HEAD = {"format": "seedcap document frequencies", "version": 1, "label": "x", "photos": 3, "ngrams": 1}


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"not gzip", "not a file of document frequencies"),
        (gzip.compress(b"hello\n", mtime=0), "not a file of document frequencies"),
        (packed({**HEAD, "format": "other"}), "not a file of document frequencies"),
        (packed({**HEAD, "version": 2}, "2\ta"), "another version"),
        (packed({**HEAD, "label": ""}, "2\ta"), "unusable label"),
        (packed({**HEAD, "photos": "3"}, "2\ta"), "label or its numbers"),
        (packed(HEAD), "not whole"),
        (packed(HEAD, "2\ta", "2\tb"), "not whole"),
        (packed(HEAD, "4\ta"), "line 2"),
        (packed(HEAD, "1\ta"), "line 2"),
        (packed(HEAD, "2\ta b c d e"), "line 2"),
        (packed(HEAD, "2\t"), "line 2"),
        (packed(HEAD, "two\ta"), "line 2"),
        (packed(HEAD, "2\ta")[:-9], "not a file of document frequencies"),
    ],
    ids=range(14),
)
def test_what_is_no_frequency_file_is_refused_in_words(tmp_path, content, said):
    path = tmp_path / "bad.df.gz"
    path.write_bytes(content)
    with pytest.raises(UserError, match=said) as refused:
        read_frequencies(path)
    assert "bad.df.gz" in str(refused.value)


def test_a_small_file_that_unpacks_without_end_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr("core.exchange.frequency_files._MAX_TEXT", 10_000)
    path = tmp_path / "bomb.df.gz"
    path.write_bytes(gzip.compress(b"a" * 20_000))
    with pytest.raises(UserError, match="unpacks to more"):
        read_frequencies(path)
