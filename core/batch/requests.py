"""What is asked of a captioning, and what it reports."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from core.batch.listing import Shard
from core.encoders.encoder import NONE_TOO_LONG, TooLong


@dataclass(frozen=True)
class CaptionOptions:
    """How captions are made. ``None`` leaves it to the bundle's own settings, or to the job that is gone on with.

    ``candidates``: captions a photo (``None``: one); with more than one and no ``method`` by beam search. ``seed``: of
    sampling (``None``: 0). ``by_score``: the caption that stands for a photo is the candidate with the highest CLIP-S.
    ``distinctive``: from 0 (wording) to 1 (telling photos apart), which of at least five captions are taken
    (:mod:`core.captioner.rerank`), and, in a library whose model has both stages, a mix of them. ``batch``: photos at
    once; ``None``: 32, on a graphics card of this machine found by trial. ``sessions`` and ``decoders``: with
    ``engine`` "ray", open bundles and decoding tasks on all machines (:mod:`core.batch.ray_runner`).
    """

    candidates: int | None = None
    method: Literal["greedy", "beam", "sample"] | None = None
    beams: int | None = None
    max_tokens: int | None = None
    seed: int | None = None
    by_score: bool = False
    distinctive: float | None = None
    batch: int | None = None
    threads: int | None = None
    provider: str = "auto"
    engine: Literal["local", "ray"] = "local"
    sessions: int | None = None
    decoders: int | None = None


@dataclass(frozen=True)
class CaptionRequest:
    """A folder to caption into ``out``. ``rank``: also where each caption's photo ranks in the folder.

    ``resume``: go on with an ``out`` that is there; ``retry_failed``: try its failed photos again as well.
    ``photo_list``: the photos of this list only (:mod:`core.batch.photo_list`).
    """

    source: Path
    out: Path
    bundle: Path | None = None
    rank: bool = False
    shard: Shard | None = None
    resume: bool = False
    retry_failed: bool = False
    options: CaptionOptions = field(default_factory=CaptionOptions)
    photo_list: Path | None = None


@dataclass(frozen=True)
class LibraryCaptionRequest:
    """A library whose photos get candidates. ``existing`` decides about photos that have captions already.

    ``resume``: go on with the job that was stopped; ``retry_failed``: the failed photos of the last job, without
    ``resume`` these only. ``existing``, ``bundle``, ``model``, ``faster`` and what of ``options`` decides about the
    words are then as the job was begun, unless they are said again; something else is a ``UserError``, but another
    model, which begins a new job for the photos of that one. ``existing`` is "skip" for a new job where it is ``None``.
    ``shard``, ``image_ids``: these photos only. ``faster``: with the int8 bundle of the library's model, where that
    loses little on its photos and no mix is asked for. ``model``: "starter" or the id of a run instead of the model in
    use; a ``bundle`` goes before it. ``rank``: score all captions afterwards, for which every photo is looked at.
    """

    library: Path
    bundle: Path | None = None
    existing: Literal["skip", "add", "replace-model"] | None = None
    shard: Shard | None = None
    resume: bool = False
    retry_failed: bool = False
    image_ids: tuple[int, ...] | None = None
    options: CaptionOptions = field(default_factory=CaptionOptions)
    faster: bool = False
    model: str | None = None
    rank: bool = True


@dataclass(frozen=True)
class CaptionReport:
    """``done``: photos captioned now; ``already``: by an earlier job; ``failed``: ``(file, reason)``, the first
    thousand of ``failed_count``. ``rate``: photos a second. ``shares``: where the time went, 0..1.
    ``gallery``: photos that were ranked against each other, if any. ``skipped``: photos of a library that were left
    alone because they have captions. ``nothing_new``: of those ``done``, photos of a library of which the model says
    only what is there, or was rejected, already. ``too_long``: captions made now that the encoder does not read to
    their end."""

    done: int
    failed: tuple[tuple[str, str], ...]
    seconds: float
    rate: float
    failed_count: int = 0
    already: int = 0
    bundle: Path | None = None
    model_hash: str = ""
    provider: str = ""
    shares: dict[str, float] = field(default_factory=dict)
    gallery: int | None = None
    skipped: int = 0
    nothing_new: int = 0
    too_long: TooLong = NONE_TOO_LONG
