"""Blind rounds: which of two models' captions a person finds better, not knowing whose they are.

A round is kept as it is answered, so it goes on where it stopped. Which side is whose is decided at random when it
begins and is told to nobody before it has ended. Pairs with equal texts are kept, counted and never shown.
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

import numpy as np
from sqlalchemy import case, func, insert, select, update

from core.errors import UserError
from core.library.columns import now
from core.library.library import Library
from core.library.tables import BlindPair, BlindRound
from core.metrics.proportion import wilson

Side = Literal["left", "right", "same"]
Verdict = Literal["new", "old", "unclear", "nothing"]


@dataclass(frozen=True)
class SaidByBoth:
    """What the old and the new model say about a photo."""

    image_id: int
    old: str
    new: str


@dataclass(frozen=True)
class Pair:
    """Two captions of a photo to choose from; ``image_id`` is ``None`` where the photo is gone."""

    place: int
    image_id: int | None
    left: str
    right: str
    answer: Side | None


@dataclass(frozen=True)
class OpenRound:
    """A round that goes on: ``pairs`` in the order to show them; whose they are is not told."""

    id: int
    pairs: tuple[Pair, ...]

    @property
    def next_place(self) -> int:
        """How many are answered, all of them before the first that is not."""
        return next((at for at, pair in enumerate(self.pairs) if pair.answer is None), len(self.pairs))


@dataclass(frozen=True)
class RoundResult:
    """The counts of a round. Models: a run's id, or ``starter``. ``equal``: pairs that both models said alike and
    nobody was shown; ``unanswered``: shown to nobody, or skipped; ``same``: answered with "no difference"."""

    id: int
    old_model: str
    new_model: str
    created_at: datetime
    ended_at: datetime | None
    old: int
    new: int
    same: int
    equal: int
    unanswered: int

    @property
    def decided(self) -> int:
        return self.old + self.new

    @property
    def interval(self) -> tuple[float, float]:
        """Wilson's 95 % interval of the new model's share of the decided answers."""
        return wilson(self.new, self.decided)

    @property
    def verdict(self) -> Verdict:
        """``new`` or ``old`` where the whole interval is on its side of one half."""
        low, high = self.interval
        if not self.decided:
            return "nothing"
        return "new" if low > 0.5 else "old" if high < 0.5 else "unclear"

    @property
    def sentence(self) -> str:
        """What a person can read of it: ``The new model was preferred 14 of 20 times (…): too close to say.``"""
        if not self.decided:
            return "No caption was preferred to another."
        low, high = self.interval
        said = {
            "new": "the new one is clearly better",
            "old": "the old one is clearly better",
            "unclear": "too close to say",
        }[self.verdict]
        counted = f"The new model was preferred {self.new} of {self.decided} times"
        return f"{counted} (between {low:.0%} and {high:.0%}): {said}."


def begin_round(
    library: Library, old_model: str, new_model: str, said: Sequence[SaidByBoth], *, seed: int | None = None
) -> int:
    """Keep what both models say as a new round and return its id; one that was going on ends. ``seed``: of the sides.

    Where there is nothing to choose between, the round has ended when this returns.
    """
    left = np.random.default_rng(secrets.randbits(64) if seed is None else seed).random(len(said)) < 0.5
    moment = now()
    differ = any(one.old != one.new for one in said)
    with library.writing() as session:
        session.execute(update(BlindRound).where(BlindRound.ended_at.is_(None)).values(ended_at=moment))
        values = {"old_model": old_model, "new_model": new_model, "created_at": moment}
        made = session.scalars(
            insert(BlindRound).values(**values, ended_at=None if differ else moment).returning(BlindRound.id)
        ).one()
        rows = [
            {
                "round_id": made, "place": place, "image_id": one.image_id, "old_text": one.old, "new_text": one.new,
                "new_is_left": bool(new_is_left),
            }
            for place, (one, new_is_left) in enumerate(zip(said, left, strict=True))
        ]  # fmt: skip
        if rows:
            session.execute(insert(BlindPair), rows)
        return made


def open_round(library: Library) -> OpenRound | None:
    """The round that goes on, or ``None``."""
    with library.session() as session:
        newest = select(BlindRound.id).where(BlindRound.ended_at.is_(None)).order_by(BlindRound.id.desc()).limit(1)
        round_id = session.scalar(newest)
        if round_id is None:
            return None
        rows = session.scalars(
            select(BlindPair)
            .where(BlindPair.round_id == round_id, BlindPair.old_text != BlindPair.new_text)
            .order_by(BlindPair.place)
        )
        return OpenRound(round_id, tuple(_pair(row) for row in rows))


def answer(library: Library, round_id: int, place: int, side: Side | None) -> None:
    """Keep an answer, or with ``None`` take it back. The last one that was missing ends the round, for good."""
    with library.writing() as session:
        pair = session.get(BlindPair, (round_id, place))
        going_on = session.scalar(select(BlindRound.ended_at.is_(None)).where(BlindRound.id == round_id))
        if pair is None or not going_on:
            raise UserError("This comparison has ended.", "Begin another one.")
        pair.answer = None if side is None else side if side == "same" else _model(pair, side)
        pair.answered_at = None if side is None else now()
        session.flush()
        left = select(func.count()).where(
            BlindPair.round_id == round_id, BlindPair.old_text != BlindPair.new_text, BlindPair.answer.is_(None)
        )
        if not session.scalar(left):
            session.execute(update(BlindRound).where(BlindRound.id == round_id).values(ended_at=now()))


def end_round(library: Library, round_id: int) -> None:
    """No more answers: what was given counts. A round that has ended stays as it is."""
    query = update(BlindRound).where(BlindRound.id == round_id, BlindRound.ended_at.is_(None))
    with library.writing() as session:
        session.execute(query.values(ended_at=now()))


def results(library: Library, *, ended: bool = True) -> list[RoundResult]:
    """Every round, newest first. ``ended``: only those that have; the counts of others tell whose captions are whose
    to those who are still asked."""
    differ = BlindPair.old_text != BlindPair.new_text
    kind = case((differ, func.coalesce(BlindPair.answer, "unanswered")), else_="equal")
    with library.session() as session:
        query = select(BlindRound).order_by(BlindRound.id.desc())
        rounds = list(session.scalars(query.where(BlindRound.ended_at.is_not(None)) if ended else query))
        counted: dict[tuple[int, str], int] = {}
        for round_id, what, number in session.execute(
            select(BlindPair.round_id, kind, func.count()).group_by(BlindPair.round_id, kind)
        ):
            counted[round_id, what] = number
        return [
            RoundResult(
                one.id, one.old_model, one.new_model, one.created_at, one.ended_at,
                *(counted.get((one.id, what), 0) for what in ("old", "new", "same", "equal", "unanswered")),
            )
            for one in rounds
        ]  # fmt: skip


def _pair(row: BlindPair) -> Pair:
    texts = (row.new_text, row.old_text) if row.new_is_left else (row.old_text, row.new_text)
    side: Side | None = None
    if row.answer is not None:
        left = (row.answer == "new") == row.new_is_left
        side = "same" if row.answer == "same" else "left" if left else "right"
    return Pair(row.place, row.image_id, *texts, side)


def _model(pair: BlindPair, side: Side) -> str:
    return "new" if (side == "left") == pair.new_is_left else "old"
