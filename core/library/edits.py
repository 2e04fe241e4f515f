"""What people do to captions: commands, and a function for each that performs it. All of them can be undone."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

from sqlalchemy import select
from sqlalchemy.orm import Session

from core.errors import UserError
from core.library import meta
from core.library.candidate_order import BY_SCORE
from core.library.library import Library
from core.library.queries import among
from core.library.records import State
from core.library.steps import (
    Command,
    Standing,
    Status,
    Step,
    can_redo,
    can_undo,
    log,
    perform,
    redo,
    redo_step,
    standing,
    take_back,
    undo,
    undo_step,
)
from core.library.tables import Caption, Image

__all__ = [
    "Accept", "AddCaptions", "AddSeed", "EditCaption", "OrderCandidates", "Reject", "RemoveCaptions", "ShareCaption",
    "UseAgain", "accept", "add_captions", "add_seed", "can_redo", "can_undo", "clean_text", "edit_caption", "log",
    "order_candidates", "perform", "redo", "redo_step", "reject", "remove_caption", "says_nothing", "share_caption",
    "take_back", "undo", "undo_step", "use_again",
]  # fmt: skip

MAX_LENGTH = 10_000
"""Characters of one caption; more is a mistake (a whole file pasted), not a caption."""

_FROM_BEST = ("accepted", "candidate", "rejected")
_INVISIBLE = frozenset({"Cc", "Cf", "Zs", "Zl", "Zp"})


def says_nothing(text: str) -> bool:
    """Whether nothing of ``text`` can be seen: white space, control characters, marks of writing direction."""
    return all(unicodedata.category(character) in _INVISIBLE for character in text)


def clean_text(text: str) -> str:
    """The caption as it is kept: no white space around it; a ``UserError`` when nothing or far too much is left."""
    text = text.replace("\x00", "").encode("utf-8", "replace").decode("utf-8").strip()
    if says_nothing(text):
        raise UserError("A caption needs at least one word.", "Write what the photo shows.")
    if len(text) > MAX_LENGTH:
        raise UserError(f"This caption has {len(text):,} characters.", f"Keep it below {MAX_LENGTH:,}.")
    return text


@dataclass(frozen=True)
class AddSeed(Command[int]):
    """A caption by a person, to learn from. The same text twice is one caption."""

    kind: ClassVar[str] = "add_seed"
    image_id: int
    text: str

    def do(self, step: Step) -> int:
        text = clean_text(self.text)
        _require_image(step.session, self.image_id)
        step.label = "Write a caption"
        same = standing(step.session, Caption.image_id == int(self.image_id), Caption.text == text)
        return _written(step, self.image_id, text, Status("accepted", True, True), same)


@dataclass(frozen=True)
class AddCaptions(Command[int]):
    """Captions by people for many photos: seeds, or candidates to look at. A text that a photo has is left as it is;
    as a seed it becomes one, as by :class:`AddSeed`. Says how many captions are new or became seeds."""

    kind: ClassVar[str] = "add_captions"
    texts: Mapping[int, Sequence[str]]
    is_seed: bool
    label: str = "Import captions"

    def do(self, step: Step) -> int:
        step.label = self.label
        status = Status("accepted" if self.is_seed else "candidate", self.is_seed, True)
        present: dict[tuple[int, str], list[Standing]] = {}
        for one in standing(step.session, Caption.image_id.in_(among(self.texts))):
            present.setdefault((one.image_id, one.text), []).append(one)
        made = 0
        for image_id, lines in self.texts.items():
            for line in dict.fromkeys(clean_text(line) for line in lines):
                same = present.get((int(image_id), line), [])
                if not same or (
                    self.is_seed and not any(one.author == "human" and one.status == status for one in same)
                ):
                    _written(step, image_id, line, status, same)
                    made += 1
        return made


@dataclass(frozen=True)
class EditCaption(Command[int]):
    """A human revision in the place of a caption. ``accept``: it is accepted and becomes a seed; otherwise it keeps
    the state it had. An unchanged text makes no revision: it is accepted as it is, if asked. A text that the photo has
    already stays one caption."""

    kind: ClassVar[str] = "edit_caption"
    caption_id: int
    text: str
    accept: bool = True

    def do(self, step: Step) -> int:
        text = clean_text(self.text)
        step.label = "Edit a caption"
        old = _live(step.session, self.caption_id)
        if text == old.text:
            if self.accept:
                step.change(old, state="accepted", is_seed=old.status.is_seed or old.author == "human")
            return old.id
        return _revised(step, old, text, Status("accepted", True, True) if self.accept else old.status)


@dataclass(frozen=True)
class Accept(Command[int]):
    """Captions are accepted as they are. Human text becomes a seed, model text not."""

    kind: ClassVar[str] = "accept"
    caption_ids: tuple[int, ...]

    def do(self, step: Step) -> int:
        captions = _many(step.session, self.caption_ids)
        step.label = counted("Accept", len(captions))
        return sum(
            step.change(one, state="accepted", is_seed=one.status.is_seed or one.author == "human") for one in captions
        )


@dataclass(frozen=True)
class Reject(Command[int]):
    """Captions are rejected. A rejected seed is no longer learned from."""

    kind: ClassVar[str] = "reject"
    caption_ids: tuple[int, ...]

    def do(self, step: Step) -> int:
        captions = _many(step.session, self.caption_ids)
        step.label = counted("Reject", len(captions))
        return sum(step.change(one, state="rejected", is_seed=False) for one in captions)


@dataclass(frozen=True)
class RemoveCaptions(Command[int]):
    """Captions are taken away; they stay in the history."""

    kind: ClassVar[str] = "remove"
    caption_ids: tuple[int, ...]

    def do(self, step: Step) -> int:
        captions = _many(step.session, self.caption_ids)
        step.label = counted("Remove", len(captions))
        return sum(step.change(one, live=False) for one in captions)


@dataclass(frozen=True)
class ShareCaption(Command[int]):
    """A caption is accepted for its own photo and for others that show the same (near-duplicates).

    The others get a copy with its author; it is a seed only where it already is one. Photos that have the text
    already have it accepted. ``text``: what a person made of the caption before sharing it.
    """

    kind: ClassVar[str] = "share"
    caption_id: int
    image_ids: tuple[int, ...]
    text: str | None = None

    def do(self, step: Step) -> int:
        shared = _live(step.session, self.caption_id)
        text = shared.text if self.text is None else clean_text(self.text)
        if text == shared.text:
            step.change(shared, state="accepted", is_seed=shared.status.is_seed or shared.author == "human")
        else:
            status = Status("accepted", True, True)
            made = _revised(step, shared, text, status)
            shared = Standing(made, shared.image_id, text, "human", None, status)
        photos = [one for one in dict.fromkeys(int(one) for one in self.image_ids) if one != shared.image_id]
        known = set(step.session.scalars(select(Image.id).where(Image.id.in_(among(photos)))))
        same = standing(step.session, Caption.image_id.in_(among(photos)), Caption.text == shared.text)
        for one in same:
            step.change(one, state="accepted")
        there = {one.image_id for one in same}
        for photo in photos:
            if photo in known and photo not in there:
                step.add(photo, shared.text, Status("accepted", False, True), like=shared)
        number = 1 + len(known)
        step.label = "Accept a caption" if number == 1 else f"Accept a caption for {number:,} photos"
        return number


@dataclass(frozen=True)
class UseAgain(Command[int]):
    """An earlier text of a photo becomes an accepted caption again, beside what is there and with its author. It is a
    seed where a person wrote it. A text that the photo has is accepted as it is."""

    kind: ClassVar[str] = "use_again"
    caption_id: int

    def do(self, step: Step) -> int:
        old = step.session.get(Caption, int(self.caption_id))
        if old is None:
            raise UserError("This caption is no longer in the library.", "Choose the photo again.")
        human = old.author == "human"
        step.label = "Use an earlier caption again"
        same = standing(step.session, Caption.image_id == old.image_id, Caption.text == old.text)
        for one in same:
            step.change(one, state="accepted", is_seed=one.status.is_seed or (human and one.author == "human"))
        if same:
            return same[0].id
        status = Status("accepted", human, True)
        like = Standing(old.id, old.image_id, old.text, old.author, old.run_id, status)
        return step.add(old.image_id, old.text, status, like=like)


@dataclass(frozen=True)
class OrderCandidates(Command[None]):
    """In which order candidates stand from now on, wherever they are shown or the best is taken: ``distinctive`` from 0
    (the likeliest wording first) to 1 (the best score first). No caption changes."""

    kind: ClassVar[str] = "order_candidates"
    distinctive: float

    def do(self, step: Step) -> None:
        step.label = "Change the order of suggestions"
        step.set(meta.CANDIDATE_ORDER, None if self.distinctive >= BY_SCORE else f"{max(0.0, self.distinctive):g}")


def add_seed(library: Library, image_id: int, text: str) -> int:
    """See :class:`AddSeed`; returns the caption's id."""
    return perform(library, AddSeed(image_id, text))


def add_captions(
    library: Library, texts: Mapping[int, Sequence[str]], *, is_seed: bool, label: str = "Import captions"
) -> int:
    """See :class:`AddCaptions`; one step. Returns how many are new."""
    return perform(library, AddCaptions(texts, is_seed, label))


def edit_caption(library: Library, caption_id: int, text: str, *, accept: bool = True) -> int:
    """See :class:`EditCaption`; returns the id of the caption that stands there now."""
    return perform(library, EditCaption(caption_id, text, accept))


def accept(library: Library, caption_ids: Iterable[int]) -> int:
    """See :class:`Accept`; one step. Returns how many changed."""
    return perform(library, Accept(_ids(caption_ids)))


def reject(library: Library, caption_ids: Iterable[int]) -> int:
    """See :class:`Reject`; one step. Returns how many changed."""
    return perform(library, Reject(_ids(caption_ids)))


def remove_caption(library: Library, caption_id: int) -> None:
    """Take a caption away; undo brings it back."""
    with library.session() as session:
        _live(session, caption_id)
    perform(library, RemoveCaptions((int(caption_id),)))


def share_caption(library: Library, caption_id: int, image_ids: Iterable[int], text: str | None = None) -> int:
    """See :class:`ShareCaption`; one step. Returns for how many photos the caption is accepted now."""
    return perform(library, ShareCaption(int(caption_id), _ids(image_ids), text))


def use_again(library: Library, caption_id: int) -> int:
    """See :class:`UseAgain`; returns the id of the caption that says it now."""
    return perform(library, UseAgain(int(caption_id)))


def order_candidates(library: Library, distinctive: float) -> None:
    """See :class:`OrderCandidates`; one step."""
    perform(library, OrderCandidates(float(distinctive)))


def _revised(step: Step, old: Standing, text: str, status: Status) -> int:
    """``text`` by a person in the place of a caption; the id of the caption that says it now."""
    same = standing(step.session, Caption.image_id == old.image_id, Caption.text == text)
    step.change(old, live=False)
    return _written(step, old.image_id, text, status, same, supersedes=old.id)


def _written(
    step: Step, image_id: int, text: str, status: Status, same: Sequence[Standing], *, supersedes: int | None = None
) -> int:
    """The caption with which a person says ``text`` of a photo: the one that says it already, else a new one in the
    place of the model's; in the best state of all. ``same``: the photo's captions with that text. Returns its id."""
    mine = next((one for one in same if one.author == "human"), None)
    known = [mine] if mine is not None else same
    states: list[State] = [status.state, *(one.status.state for one in known)]
    state = min(states, key=_FROM_BEST.index)
    if mine is not None:
        step.change(mine, state=state, is_seed=mine.status.is_seed or status.is_seed)
        return mine.id
    for one in same:
        step.change(one, live=False)
    if supersedes is None and same:
        supersedes = same[0].id
    return step.add(image_id, text, Status(state, status.is_seed, True), supersedes=supersedes)


def counted(verb: str, number: int) -> str:
    """``Accept a caption``, ``Accept 3 captions``."""
    return f"{verb} a caption" if number == 1 else f"{verb} {number:,} captions"


def _ids(ids: Iterable[int]) -> tuple[int, ...]:
    return tuple(int(one) for one in ids)


def _require_image(session: Session, image_id: int) -> None:
    if session.get(Image, int(image_id)) is None:
        raise UserError("This photo is no longer in the library.", "Scan its folder again.")


def _live(session: Session, caption_id: int) -> Standing:
    found = standing(session, Caption.id == int(caption_id))
    if not found:
        raise UserError("This caption has been replaced or removed meanwhile.", "Choose the photo again.")
    return found[0]


def _many(session: Session, caption_ids: Iterable[int]) -> list[Standing]:
    return standing(session, Caption.id.in_(among(caption_ids)))
