"""What a bundle with smaller numbers loses against the exact one on the same photos: measured, and said in words.

No torch and no onnxruntime here: bundles are handed in open, and the window reads what was measured from the manifest.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from core.captioner.decoding import DecodingOptions, decode
from core.images.preprocess import preprocess
from core.jobs import JobContext
from core.metrics.bootstrap import Difference, compare
from core.metrics.cider import cider_d
from core.metrics.clip_score import clip_s
from core.metrics.retrieval import ranks
from core.onnx.bundle import BundleError, load_manifest

if TYPE_CHECKING:
    from core.onnx.session import Bundle

MOST_LOST = 0.02
"""The share of CIDEr-D (of CLIP-S where too few photos are described) that may be lost, by the interval's low end."""
ENOUGH_DESCRIBED = 20
"""Photos described by people; with fewer the interval of CIDEr-D says nothing, and CLIP-S on all photos decides."""
_BATCH = 16
_TINY = 1e-6  # below this a mean is 0, and no share of it can be lost


@dataclass(frozen=True)
class Change:
    """A figure of the exact bundle, and what the other one adds to it: ``value`` within ``low`` to ``high``."""

    exact: float
    value: float
    low: float
    high: float


@dataclass(frozen=True)
class PrecisionLoss:
    """Greedy captions of two bundles of one model for the same ``photos``, all scored by the exact bundle's encoder.

    ``identical``: photos with the same caption, word for word. ``on``: what photos these are. ``cosine``: the lowest of
    a photo's two vectors. ``clip_s`` and ``cider`` (CIDEr-D, ``None`` where too few photos are described) change by
    a share of the exact figure, −0.01 is one percent less; ``r1``, the share of captions that find their own photo
    first among these, by a difference. Intervals hold 95 of 100 resamples of the photos, both bundles on the same.
    """

    photos: int
    identical: int
    on: str
    cosine: float
    clip_s: Change
    r1: Change
    cider: Change | None = None

    @property
    def acceptable(self) -> bool:
        """Whether it may be offered in place of the exact bundle."""
        change = self._decisive[1]
        return change.exact > _TINY and change.low > -MOST_LOST

    @property
    def sentence(self) -> str:
        """What a person is told: "94 of 100 captions are the same; CLIP-S 0.2% lower." """
        parts = [f"{self.identical} of {self.photos} captions are the same", f"CLIP-S {_words(self.clip_s.value)}"]
        if self.cider is not None:
            parts.append(f"CIDEr-D {_words(self.cider.value)}")
        return "; ".join(parts) + "."

    @property
    def verdict(self) -> str:
        """Whether that is little enough, with the interval it was judged by."""
        name, change = self._decisive
        told = f"{name} changes by {change.low:+.1%} to {change.high:+.1%} on {self.on}"
        if self.acceptable:
            return f"{told}: it may be used in place of the exact one."
        return f"It loses too much, or too few photos show that it does not: {told}, and the limit is −{MOST_LOST:.0%}."

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)

    @property
    def _decisive(self) -> tuple[str, Change]:
        return ("CLIP-S", self.clip_s) if self.cider is None else ("CIDEr-D", self.cider)


def read_loss(values: Mapping[str, Any]) -> PrecisionLoss | None:
    """The ``precision_loss`` of a manifest; ``None`` where there is none that is understood."""
    try:
        cider = values["cider"]
        return PrecisionLoss(
            photos=int(values["photos"]),
            identical=int(values["identical"]),
            on=str(values["on"]),
            cosine=float(values["cosine"]),
            clip_s=_change(values["clip_s"]),
            r1=_change(values["r1"]),
            cider=None if cider is None else _change(cider),
        )
    except (KeyError, TypeError, ValueError, OverflowError):
        return None


def loss_of(bundle: Path) -> PrecisionLoss | None:
    """What the bundle in this folder lost, as its manifest says; ``None`` where it does not say, or there is none."""
    try:
        return read_loss(load_manifest(bundle, verify=False).precision_loss)
    except BundleError:
        return None


def measure_loss(
    exact: Bundle,
    other: Bundle,
    photos: Sequence[Image.Image],
    *,
    captions: Sequence[Sequence[str]],
    on: str,
    ctx: JobContext,
) -> PrecisionLoss:
    """Let both caption ``photos`` and compare. ``captions``: what people said of each photo; CIDEr-D is measured on
    those with any, if they are :data:`ENOUGH_DESCRIBED`.

    Raises:
        ValueError: there is no photo.
    """
    options = exact.decoding(method="greedy", candidates=1)
    vectors: list[np.ndarray] = []
    cosines: list[np.ndarray] = []
    both: tuple[list[str], list[str]] = ([], [])
    for start in range(0, len(photos), _BATCH):
        ctx.check_cancelled()
        pixels = np.stack([preprocess(photo, exact.encoder.preprocess) for photo in photos[start : start + _BATCH]])
        pair = exact.encoder.encode_images(pixels), other.encoder.encode_images(pixels)
        vectors.append(pair[0])
        cosines.append((pair[0] * pair[1]).sum(axis=1))
        for said, bundle, embeddings in zip(both, (exact, other), pair, strict=True):
            said += _captions(bundle, embeddings, options, ctx)
        ctx.progress(min(start + _BATCH, len(photos)), len(photos), "Measuring what the smaller numbers lose")
    scores = [_scores(exact, said, np.concatenate(vectors)) for said in both]
    return PrecisionLoss(
        photos=len(photos),
        identical=sum(a == b for a, b in zip(*both, strict=True)),
        on=on,
        cosine=float(np.concatenate(cosines).min()),
        clip_s=_compared(scores[0][0], scores[1][0], _share),
        r1=_compared(scores[0][1], scores[1][1], _difference),
        cider=_cider(both, captions),
    )


def _cider(both: tuple[list[str], list[str]], captions: Sequence[Sequence[str]]) -> Change | None:
    described = [at for at, by_people in enumerate(captions) if by_people]
    if len(described) < ENOUGH_DESCRIBED:
        return None
    references = [captions[at] for at in described]
    a, b = (np.asarray(cider_d([said[at] for at in described], references)) for said in both)
    return _compared(a, b, _share)


def _captions(bundle: Bundle, vectors: np.ndarray, options: DecodingOptions, ctx: JobContext) -> list[str]:
    return [bundle.text(found[0].tokens) if found else "" for found in decode(bundle.decoder, vectors, options, ctx)]


def _scores(exact: Bundle, captions: Sequence[str], photos: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """CLIP-S of each caption, and whether it finds its own photo first (0..1, ties shared)."""
    cosines = exact.encoder.encode_texts(captions) @ photos.T
    return clip_s(np.diag(cosines)), ranks(cosines, np.arange(len(photos))).hits(1)


def _compared(a: np.ndarray, b: np.ndarray, how: Callable[[float, float], float]) -> Change:
    def change(rows: np.ndarray) -> float:
        return how(float(a[rows].mean()), float(b[rows].mean()))

    found: Difference = compare(len(a), change)
    return Change(float(a.mean()), found.value, found.low, found.high)


def _share(exact: float, other: float) -> float:
    return _difference(exact, other) / max(exact, _TINY)


def _difference(exact: float, other: float) -> float:
    return other - exact


def _words(change: float) -> str:
    if abs(change) < 0.0005:
        return "the same"
    return f"{abs(change):.1%} {'lower' if change < 0 else 'higher'}"


def _change(values: Mapping[str, Any]) -> Change:
    return Change(*(float(values[name]) for name in ("exact", "value", "low", "high")))
