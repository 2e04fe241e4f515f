"""What a blind round is made of: captions of two models for photos that no person has captioned."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from core.batch.engine import CaptionEngine
from core.batch.library_runner import bundle_of, library_items
from core.batch.requests import CaptionOptions
from core.batch.runner import make_engine, make_runner
from core.encoders.store import VectorStore
from core.errors import UserError
from core.jobs import JobContext
from core.library.blind_rounds import SaidByBoth, begin_round
from core.library.library import Library
from core.library.near_duplicates import one_of_each
from core.library.queries import contents, image_ids
from core.library.records import RunRow
from core.library.runs import runs
from core.onnx.session import open_bundle
from core.training.comparable import models_to_compare

LOOKED_AT = 5
"""So many times the pairs that are wanted may be looked at, before fewer will do."""
_GROUP = 16
_SAYING = "Captioning with both models"


@dataclass(frozen=True)
class BlindRequest:
    """``pairs``: different captions to choose between; ``seed`` decides which photos and which sides (default: new
    ones each time)."""

    library: Path
    pairs: int = 20
    seed: int | None = None


@dataclass(frozen=True)
class BlindReport:
    """``pairs`` to choose between; ``equal``: photos of which both models said the same; ``failed``: unusable ones."""

    round_id: int
    pairs: int
    equal: int
    failed: int


def blind_job(ctx: JobContext, request: BlindRequest) -> BlindReport:
    """Begin a blind round: caption photos with both models until enough captions differ.

    The photos are drawn at random among those without a caption by a person, near-duplicates once. Both models caption
    greedily, or as their bundle says. A ``UserError`` where there are no two models or no such photos.
    """
    if request.pairs < 1:
        raise UserError(f"{request.pairs} captions cannot be compared.", "Ask for at least one pair.")
    with Library.open(request.library) as library:
        names = models_to_compare(library)
        if names is None:
            raise UserError("There is only one model here so far.", "Train first; then the two can be compared.")
        rng = np.random.default_rng(request.seed)
        photos = rng.permutation(_photos(library))[: LOOKED_AT * request.pairs].tolist()
        if not photos:
            raise UserError("A person has captioned every photo of this library.", "Add photos without captions.")
        known = {run.id: run for run in runs(library)}
        engines = [_engine(ctx, library, known.get(name)) for name in names]
        said: list[SaidByBoth] = []
        looked_at = 0
        while looked_at < len(photos) and _differing(said) < request.pairs:
            ctx.progress(min(_differing(said), request.pairs), request.pairs, _SAYING)
            some = photos[looked_at : looked_at + _GROUP]
            old, new = (_said_by(ctx, library, engine, some) for engine in engines)
            for one in some:
                if _differing(said) < request.pairs:
                    looked_at += 1
                    said += [SaidByBoth(one, old[one], new[one])] if one in old and one in new else []
        ctx.check_cancelled()
        ctx.progress(request.pairs, request.pairs, _SAYING)
        round_id = begin_round(library, *names, said, seed=request.seed)
        differ = _differing(said)
        return BlindReport(round_id, differ, len(said) - differ, looked_at - len(said))


def _photos(library: Library) -> np.ndarray:
    usable = np.array([image_id for image_id, _ in contents(library)], np.int64)
    free = image_ids(library, filter="NOT author:human")
    return one_of_each(library, usable[np.isin(usable, free)])


def _engine(ctx: JobContext, library: Library, run: RunRow | None) -> CaptionEngine:
    return make_engine(open_bundle(bundle_of(ctx, library, run)), CaptionOptions())


def _said_by(ctx: JobContext, library: Library, engine: CaptionEngine, ids: Sequence[int]) -> dict[int, str]:
    """What one model says of each photo that it can read."""
    encoder = engine.bundle.manifest.encoder
    vectors = VectorStore(library, encoder.fingerprint, encoder.dim)
    runner = make_runner(engine, CaptionOptions())
    with closing(runner.run(library_items(library, vectors, ids), ctx)) as batches:
        return {one.item.image_id: one.candidates[0].caption for batch in batches for one in batch if one.candidates}


def _differing(said: Sequence[SaidByBoth]) -> int:
    return sum(one.old != one.new for one in said)
