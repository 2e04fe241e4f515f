"""Guards against captions that please the scorer alone: each compares a model with the one before stage 2, in words."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from core.training.messages import GateRow, GateState


@dataclass(frozen=True)
class Limit:
    """Amber and red bounds of a share or a figure; above red is red."""

    amber: float
    red: float

    def state(self, value: float) -> GateState:
        return "red" if value > self.red else "amber" if value > self.amber else "green"


_SHARES = (
    ("repetition", "rep2", "of word pairs repeat within a caption", "No word pair repeats within a caption"),
    ("stutter", "immediate_repeat", "of captions say a word twice in a row", "No caption says a word twice in a row"),
    ("ending", "bad_ending", "of captions end in the middle", "No caption ends in the middle"),
    ("unfinished", "no_end", "of captions never come to an end", "Every caption comes to an end"),
    ("strung", "strung", "of captions string words together like keywords", "No caption strings words together"),
)
"""Of shares of captions: the gate, the figure, and what is said of some and of none."""


@dataclass(frozen=True)
class Own:
    """The person's captions by the figures of guards: ``length`` in words; how unusual they are, in nats a word piece,
    and the share that strings words together, ``None`` where there are too few to tell."""

    length: float
    fluency_nll: float | None = None
    strung: float | None = None


def check_gates(
    now: Mapping[str, float], before: Mapping[str, float], own: Own, kl: float, photos: int
) -> tuple[GateRow, ...]:
    """The guards of a model with the figures ``now``, ``before`` being those of stage 1 on the same ``photos`` photos.

    ``kl``: nats per caption to stage 1; long captions may move further (:func:`room_to_move`). One odd caption among a
    few photos is no alarm: shares are allowed one photo.
    """
    one = 1.0 / max(photos, 1)

    def share(name: str, most: float, rise: float) -> Limit:
        red = max(most, before[name] + rise, one)
        return Limit(max(red / 2, before[name]), red)

    repeats = Limit(before["rep2"] + 0.01, max(before["rep2"] + 0.02, one / 4))
    stutter = share("immediate_repeat", 0.01, 0.01)
    ending = share("bad_ending", 0.05, 0.02)
    unfinished = share("no_end", 0.02, 0.02)
    many = max(_nearer(before["strung"], own.strung, 0.03), before["strung"] + one)
    strung = Limit((before["strung"] + many) / 2, many)
    unusual = _nearer(before["fluency_nll"], own.fluency_nll, 0.5)
    fluency = Limit(unusual - 0.25, unusual)
    room = room_to_move(own.length)
    drift = Limit(6.0 * room, 8.0 * room)
    # Photos that are much alike may well share captions: only a loss against stage 1 counts.
    same = Limit(max(0.35, 1 - 0.9 * before["unique_ratio"]), max(0.5, 1 - 0.8 * before["unique_ratio"]))
    shares = zip(_SHARES, (repeats, stutter, ending, unfinished, strung), strict=True)
    return (
        *(
            GateRow(gate, limit.state(now[name]), _share(now[name], some, none))
            for (gate, name, some, none), limit in shares
        ),
        _length(now, before, own.length),
        GateRow(
            "fluency",
            fluency.state(now["fluency_nll"]),
            f"The wording is {_compared(now['fluency_nll'] - before['fluency_nll'])} than before practice "
            f"({now['fluency_nll']:.2f} nats a word piece; it was {before['fluency_nll']:.2f}"
            f"{'' if own.fluency_nll is None else f', and yours is {own.fluency_nll:.2f}'}).",
        ),
        GateRow(
            "drift",
            drift.state(kl),
            f"Practice has moved the model {kl:.1f} nats a caption; {drift.red:.0f} is the limit.",
        ),
        GateRow(
            "variety",
            same.state(1 - now["unique_ratio"]),
            f"{_of_all(now['unique_ratio'])} captions differ from one another.",
        ),
    )


def _nearer(before: float, own: float | None, rise: float) -> float:
    """How far wording may go from what it was ``before``: by ``rise``, or half the way to the person's ``own`` where
    that is further. A stage 1 that says the same of many photos says what is likeliest of all, in its simplest words,
    and whatever tells them apart is less usual than that (record 0040)."""
    return max(before + rise, before if own is None else (before + own) / 2)


def _length(now: Mapping[str, float], before: Mapping[str, float], seed_length: float) -> GateRow:
    change, change_before = (abs(values["length"] / max(seed_length, 1.0) - 1) for values in (now, before))
    # Where stage 1 has not reached the seeds' length, practice answers only for what it adds.
    limit = Limit(max(0.25, change_before), max(0.4, change_before + 0.1))
    sentence = f"Captions have {now['length']:.1f} words; yours have {seed_length:.1f}."
    return GateRow("length", limit.state(change), sentence)


def room_to_move(seed_length: float) -> float:
    """How much further than a caption of ten words one of ``seed_length`` words may move from stage 1.

    The usual limits of the KL, 4 nats as the target and 8 as the alarm, are of captions of about ten words; the KL of a
    caption is a sum over its tokens.
    """
    return max(1.0, seed_length / 10)


def _share(share: float, some: str, none: str) -> str:
    """``3.6% of captions do``, or that none does: "0.0%" is how machines say it."""
    return f"{100 * share:.1f}% {some}." if round(100 * share, 1) else f"{none}."


def _of_all(share: float) -> str:
    return "All" if share >= 1 else f"{min(99.0, 100 * share):.0f}% of"


def _compared(nats: float) -> str:
    if abs(nats) < 0.05:
        return "no less usual"
    return "less usual" if nats > 0 else "more usual"
