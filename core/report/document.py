"""What a page about a run shows, as plain data: kept under ``page`` in the run's ``report.json``. No torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

PAGE = "report.html"
TITLES = {
    "human": "Your own captions",
    "before": "What it began with",
    "before-rerank": "What it began with, the best of five captions",
    "text-only": "Your sentences without their photos",
    "stage1": "Stage 1",
    "stage1-rerank": "Stage 1, the best of five captions",
    "similarity": "Stage 2, similarity alone",
    "stage2": "Stage 2",
}
"""Rows in the order of the table."""


@dataclass(frozen=True)
class Figure:
    """A mean over photos and the interval that holds it in 95 of 100 resamples; without one, a figure of all."""

    value: float
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True)
class Row:
    """A way to get captions and how well they did on ``photos`` photos that were never learned from."""

    key: str
    photos: int
    figures: Mapping[str, Figure]
    note: str = ""

    @property
    def title(self) -> str:
        return TITLES.get(self.key, self.key)


@dataclass(frozen=True)
class Gain:
    """``later`` minus ``earlier`` on the same photos, with its interval and the two-sided p of no difference."""

    later: str
    earlier: str
    figure: str
    value: float
    low: float
    high: float
    p: float


@dataclass(frozen=True)
class PhotoCaptions:
    """A photo that was not learned from: people's captions of it and what each model says, by the key of its row."""

    image_id: int
    human: tuple[str, ...]
    captions: Mapping[str, str]


@dataclass(frozen=True)
class SeedEvidence:
    """What the seeds themselves tell: ``points`` (seeds, nats a token on photos left out) and sentences about them."""

    points: tuple[tuple[int, float], ...] = ()
    sentences: tuple[str, ...] = ()


@dataclass(frozen=True)
class Judged:
    """What a judge found in captions of ``photos`` photos: mean CLIP-S, percent found first, mean reciprocal rank."""

    photos: int
    clip_s: float
    r1: float
    mrr: float


@dataclass(frozen=True)
class JudgedBy:
    """``encoder``: the name of one that gave no reward; ``rows``: what it found, by the key of a row. ``mirrored``: it
    is the one that did, asked about the photos mirrored and closer."""

    encoder: str
    rows: Mapping[str, Judged]
    mirrored: bool = False

    def sentence(self) -> str:
        """What it says of the last model against the first, in words."""
        who = f"Judged by {self.encoder}, which gave no reward"
        if self.mirrored:
            who = (
                f"No second encoder is here; one that is downloaded judges next time. {self.encoder}, which gave the "
                "reward, judged the photos mirrored and closer, as it had not seen them"
            )
        shown = [key for key in ("before", "stage1", "stage2") if key in self.rows]
        if len(shown) < 2:
            return f"{who}."
        first, last = self.rows[shown[0]], self.rows[shown[-1]]
        return (
            f"{who}: a caption finds its photo first {last.r1:.0f}% of the time after stage {shown[-1][-1]} "
            f"({first.r1:.0f}% before; mean reciprocal rank {first.mrr:.2f} to {last.mrr:.2f})."
        )

    @classmethod
    def from_dict(cls, told: Mapping[str, Any]) -> JudgedBy:
        rows = {str(key): Judged(**one) for key, one in told["rows"].items()}
        return cls(str(told["encoder"]), rows, bool(told.get("mirrored")))


NO_JUDGE = "Nobody judged but the encoder that rewarded; one that is downloaded judges next time."


@dataclass(frozen=True)
class PageData:
    """Everything on the page that is not in the rest of the report, the metrics or the settings."""

    rows: tuple[Row, ...] = ()
    gains: tuple[Gain, ...] = ()
    photos: tuple[PhotoCaptions, ...] = ()
    seeds: SeedEvidence = field(default_factory=SeedEvidence)
    on_practice: bool = False
    judged: JudgedBy | None = None

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_dict(cls, document: Mapping[str, Any]) -> PageData:
        """The reverse of :meth:`to_dict`, also through JSON; raises KeyError, TypeError or ValueError for others."""
        rows = tuple(
            Row(
                str(one["key"]),
                int(one["photos"]),
                {str(name): Figure(**figure) for name, figure in one["figures"].items()},
                str(one["note"]),
            )
            for one in document["rows"]
        )
        photos = tuple(
            PhotoCaptions(int(one["image_id"]), tuple(one["human"]), dict(one["captions"]))
            for one in document["photos"]
        )
        points = tuple((int(n), float(loss)) for n, loss in document["seeds"]["points"])
        seeds = SeedEvidence(points, tuple(document["seeds"]["sentences"]))
        gains = tuple(Gain(**one) for one in document["gains"])
        told = document.get("judged")  # earlier versions had none
        judged = JudgedBy.from_dict(told) if told else None
        return cls(rows, gains, photos, seeds, bool(document["on_practice"]), judged)
