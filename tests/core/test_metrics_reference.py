"""Equality with the COCO caption evaluation, as published in the package ``pycocoevalcap`` 1.2.

``reference_scores.json`` holds what that package's BleuScorer, Rouge and CiderScorer said of the sentences in it, so
that equality is tested without it. Where it is installed (``pip install --no-deps pycocoevalcap``; 104 MB, most of it
Java that is not used here), sentences drawn at random are compared as well. Its CIDEr is CIDEr-D; the original CIDEr
is held to a case worked out by hand in ``test_metrics_text.py``.
"""

from __future__ import annotations

import json
import random
from pathlib import Path

import numpy as np
import pytest

from core.metrics.bleu import bleu_counts, sentence_bleu
from core.metrics.cider import cider_d
from core.metrics.rouge import rouge_l
from core.metrics.stemming import stem

FROZEN = json.loads(Path(__file__).with_name("reference_scores.json").read_text(encoding="utf-8"))
WORDS = ["a", "the", "dog", "red", "runs", "in", "park", "ball", "on", "with"]


def draw_corpus(seed: int, photos: int = 12) -> tuple[list[str], list[list[str]]]:
    """Sentences of known words, so that how they are split plays no part; lengths from 1 to 14, repeats included."""
    draw = random.Random(seed)

    def sentence() -> str:
        return " ".join(draw.choice(WORDS) for _ in range(draw.randint(1, 14)))

    references = [[sentence() for _ in range(draw.randint(1, 5))] for _ in range(photos)]
    captions = [draw.choice([group[0], sentence(), sentence()]) for group in references]
    return captions, references


def published_scores(captions, references):
    """What the package says: corpus BLEU-1..4, BLEU-4, ROUGE-L and CIDEr-D of each caption."""
    from pycocoevalcap.bleu.bleu_scorer import BleuScorer
    from pycocoevalcap.cider.cider_scorer import CiderScorer
    from pycocoevalcap.rouge.rouge import Rouge

    bleu, cider = BleuScorer(n=4), CiderScorer(n=4, sigma=6.0)
    for caption, group in zip(captions, references, strict=True):
        bleu += (caption, group)
        cider += (caption, group)
    corpus, rows = bleu.compute_score(option="closest", verbose=0)
    return {
        "bleu": [float(x) for x in corpus],
        "bleu4_rows": [float(x) for x in rows[3]],
        "rouge_l": [float(Rouge().calc_score([c], g)) for c, g in zip(captions, references, strict=True)],
        "cider_d": [float(x) for x in cider.compute_score()[1]],
    }


def assert_equal(captions, references, expected):
    counts = bleu_counts(captions, references)
    np.testing.assert_allclose(counts.bleu(), expected["bleu"], rtol=1e-9)
    np.testing.assert_allclose(sentence_bleu(counts), expected["bleu4_rows"], rtol=1e-9)
    np.testing.assert_allclose(rouge_l(captions, references), expected["rouge_l"], rtol=1e-9)
    np.testing.assert_allclose(cider_d(captions, references), expected["cider_d"], rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("case", FROZEN["cases"], ids=lambda case: case["name"])
def test_frozen_scores_of_the_published_package(case):
    assert_equal(case["captions"], case["references"], case["scores"])


@pytest.mark.parametrize("seed", range(20))
def test_the_package_itself_where_it_is_installed(seed):
    pytest.importorskip("pycocoevalcap", reason="pycocoevalcap is not installed; its frozen scores are tested above")
    captions, references = draw_corpus(1000 + seed)
    assert_equal(captions, references, published_scores(captions, references))


@pytest.mark.parametrize(("word", "expected"), FROZEN["stems"].items())
def test_stems_are_those_of_nltk(word, expected):
    """Frozen from nltk 3.10.4, ``PorterStemmer()``, the stemmer of FineCapEval's script."""
    assert stem(word) == expected
