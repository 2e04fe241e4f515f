"""Blind rounds and what a caption fits, as the window sees them: jobs for the worker, reading and answering for the
lanes. No Qt, and no model library at the top."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from core.jobs import JobContext
from gui.tasks import needs

if TYPE_CHECKING:
    from core.library.blind_rounds import OpenRound, RoundResult, Side
    from core.library.library import Library
    from core.library.records import ImageRow

PAIRS = 20


@dataclass(frozen=True)
class BlindOrder:
    library: Path
    pairs: int = PAIRS


@dataclass(frozen=True)
class BlindMade:
    """``pairs`` to choose between; ``equal``: photos of which both models said the same."""

    pairs: int
    equal: int


@dataclass(frozen=True)
class FitsOrder:
    """``text``: what is said of the photo ``image_id``."""

    library: Path
    image_id: int
    text: str
    count: int


@dataclass(frozen=True)
class FitsFound:
    """The photos that a caption fits best, best first; and ``plain``: those of the plain caption, if that differs."""

    text: str
    image_ids: tuple[int, ...]
    plain: str = ""
    plain_ids: tuple[int, ...] = ()


@needs("core.batch.blind")
def begin_blind_round(ctx: JobContext, order: BlindOrder) -> BlindMade:
    from core.batch.blind import BlindRequest, blind_job

    report = blind_job(ctx, BlindRequest(order.library, order.pairs))
    return BlindMade(report.pairs, report.equal)


@needs("core.encoders.fitting")
def find_fitting(ctx: JobContext, order: FitsOrder) -> FitsFound:
    from core.encoders.fitting import FittingRequest, fitting_job

    report = fitting_job(ctx, FittingRequest(order.library, order.image_id, order.text, order.count))
    plain = report.plain
    more = (plain.text, plain.image_ids) if plain is not None else ("", ())
    return FitsFound(order.text, report.caption.image_ids, *more)


@dataclass(frozen=True)
class Standing:
    """``going_on``: the round that is asked; ``last``: how the newest one ended; ``possible``: there are two models.
    ``dates``: when each run began, to name its model."""

    going_on: OpenRound | None
    last: RoundResult | None
    possible: bool
    dates: dict[str, datetime]


class BlindRounds:
    """What is asked of an open library about its blind rounds."""

    def __init__(self, library: Library) -> None:
        self._library = library

    def standing(self) -> Standing:
        from core.library.blind_rounds import open_round, results
        from core.library.runs import runs
        from core.training.comparable import models_to_compare

        ended = results(self._library)
        return Standing(
            open_round(self._library),
            ended[0] if ended else None,
            models_to_compare(self._library) is not None,
            {run.id: run.created_at for run in runs(self._library)},
        )

    def photo(self, image_id: int) -> ImageRow | None:
        from core.library.queries import image_rows

        return next(iter(image_rows(self._library, [image_id])), None)

    def answer(self, round_id: int, place: int, side: Side | None) -> None:
        from core.library.blind_rounds import answer

        answer(self._library, round_id, place, side)

    def end(self, round_id: int) -> None:
        from core.library.blind_rounds import end_round

        end_round(self._library, round_id)
