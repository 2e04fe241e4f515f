"""Do several captions of a photo differ, and do captions of similar photos? Numpy only, no models.

A *set* is what a model offers for one photo: two captions or more. Every function gives one figure for all sets: the
mean over photos, where the docstring says nothing else. CIDEr here is the original one, without clipping and length
penalty, because only that is symmetric and makes a kernel; :func:`cider_between` is with CIDEr-D, as its paper.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence

import numpy as np

from core.metrics.bleu import BleuCounts, clipped_matches, count_words, sentence_bleu
from core.metrics.cider import SCALE, CiderD, NgramSpace, similarity
from core.metrics.document_frequencies import DocumentFrequencies
from core.metrics.ngrams import Ngram, count_ngrams
from core.metrics.tokenize import tokenize

Sets = Sequence[Sequence[str]]

SELF_BLEU_N = 5
SELF_BLEU_OTHERS = 1000


def div_n(sets: Sets, n: int) -> float:
    """Distinct n-grams of a set over all its *words*, 0..1 (Shetty et al. 2017; some divide by n-grams instead)."""
    _require_sets(sets)
    shares = []
    for group in sets:
        rows = [tokenize(caption) for caption in group]
        distinct = {ngram for words in rows for ngram in count_ngrams(words, n) if len(ngram) == n}
        shares.append(len(distinct) / max(1, sum(map(len, rows))))
    return float(np.mean(shares))


def global_vocabulary(sets: Sets) -> int:
    """gDiv-1: distinct words over all captions of all sets, not a mean."""
    return len({word for group in sets for caption in group for word in tokenize(caption)})


def mutual_bleu(sets: Sets) -> float:
    """mBLEU-4, 0..1: BLEU-4 of each caption alone against the others of its photo, mean over all captions.

    Lower is more diverse. Not smoothed: a caption that shares no four words in a row with the others counts 0.
    """
    _require_sets(sets)
    captions: list[list[str]] = []
    others: list[list[list[str]]] = []
    for group in sets:
        rows = [tokenize(caption) for caption in group]
        captions += rows
        others += [rows[:i] + rows[i + 1 :] for i in range(len(rows))]
    return float(sentence_bleu(count_words(captions, others)).mean())


def cider_kernels(sets: Sets, frequencies: DocumentFrequencies) -> list[np.ndarray]:
    """For each set the CIDEr/10 of every pair, ``[m, m]``, symmetric, 0..1; 1 for alike captions of four words."""
    _require_sets(sets)
    space = NgramSpace(frequencies)
    kernels = []
    for group in sets:
        vectors = [space.vector(caption) for caption in group]
        kernel = np.empty((len(vectors), len(vectors)))
        for i, one in enumerate(vectors):
            for j in range(i + 1):
                kernel[i, j] = kernel[j, i] = similarity(one, vectors[j], clip_and_penalise=False)
        kernels.append(kernel)
    return kernels


def mutual_cider(kernels: Sequence[np.ndarray]) -> float:
    """mCIDEr, 0..10: mean CIDEr over the pairs of a set, of :func:`cider_kernels`. Lower is more diverse."""
    return float(SCALE * np.mean([kernel[np.triu_indices(len(kernel), 1)].mean() for kernel in kernels]))


def self_cider(kernels: Sequence[np.ndarray]) -> float:
    """Self-CIDEr, 0..1: -log(sqrt(l_max) / sum_j sqrt(l_j)) / log m, l the eigenvalues of the kernel of m captions.

    Wang & Chan 2019, "Describing like humans". 1: all differ; 0: all alike (or all empty).
    """
    values = []
    for kernel in kernels:
        roots = np.sqrt(np.maximum(np.linalg.eigvalsh(kernel), 0.0))
        # Rounding leaves eigenvalues of 1e-17, whose roots would make alike captions look a little different.
        roots[roots < 1e-6 * roots.max()] = 0.0
        values.append(-math.log(roots.max() / roots.sum()) / math.log(len(kernel)) if roots.max() > 0 else 0.0)
    return float(np.mean(values))


def cider_between(captions: Sequence[str], scorer: CiderD, similar: np.ndarray) -> np.ndarray:
    """CIDErBtw ``[n]``, 0..10: mean CIDEr-D of a caption with the references of similar photos; NaN without any.

    Wang et al. 2020, "Compare and reweight". ``scorer`` holds the references of photo i at place i; ``similar``
    ``[n, k]`` are the indices of photo i's most similar others, -1 where there are fewer. Lower is more distinctive.
    """
    rows, columns = np.nonzero(similar >= 0)
    scores = scorer.score([captions[row] for row in rows.tolist()], similar[rows, columns])
    sums = np.bincount(rows, weights=scores, minlength=len(captions))
    counts = np.bincount(rows, minlength=len(captions))
    return np.divide(sums, counts, out=np.full(len(captions), np.nan), where=counts > 0)


def self_bleu(captions: Sequence[str], seed: int = 0) -> float:
    """SelfBLEU, 0..1: BLEU-5 of each caption alone against up to 1,000 others, mean; lower is more varied.

    Zhu et al. 2018, "Texygen". Beyond 1,000 captions the others are one seeded sample of 1,000, less the caption
    itself. Not smoothed.
    """
    rows = [tokenize(caption) for caption in captions]
    if len(rows) < 2:
        raise ValueError("SelfBLEU needs two captions")
    pool = range(len(rows))
    if len(rows) > SELF_BLEU_OTHERS:
        pool = np.random.default_rng(seed).choice(len(rows), SELF_BLEU_OTHERS, replace=False).tolist()
    counted = {i: count_ngrams(rows[i], SELF_BLEU_N) for i in pool}
    best, owner, second = _two_largest(counted)
    lengths = Counter(len(rows[i]) for i in pool)
    table = []
    for i, words in enumerate(rows):
        said = count_ngrams(words, SELF_BLEU_N)
        allowed = {ngram: (second if owner.get(ngram) == i else best).get(ngram, 0) for ngram in said}
        own = len(words) if i in counted else None
        closest = min((abs(n - len(words)), n) for n, many in lengths.items() if many > (n == own))[1]
        table.append([*clipped_matches(words, allowed, SELF_BLEU_N), len(words), closest])
    found = np.array(table, np.float64)
    n = SELF_BLEU_N
    return float(sentence_bleu(BleuCounts(found[:, :n], found[:, n : 2 * n], found[:, -2], found[:, -1])).mean())


def _two_largest(
    counted: dict[int, Counter[Ngram]],
) -> tuple[dict[Ngram, int], dict[Ngram, int], dict[Ngram, int]]:
    """For each n-gram its largest count in one caption, whose that is, and the largest among the rest: with them the
    maximum over all captions but any one costs nothing."""
    best: dict[Ngram, int] = {}
    owner: dict[Ngram, int] = {}
    second: dict[Ngram, int] = {}
    for i, counts in counted.items():
        for ngram, count in counts.items():
            if count > best.get(ngram, 0):
                second[ngram] = best.get(ngram, 0)
                best[ngram], owner[ngram] = count, i
            elif count > second.get(ngram, 0):
                second[ngram] = count
    return best, owner, second


def _require_sets(sets: Sets) -> None:
    if not sets or any(len(group) < 2 for group in sets):
        raise ValueError("diversity needs two captions a photo or more")
