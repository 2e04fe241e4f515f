"""What people do to captions. Each step is written together with its inverse, in one transaction, before it returns.

Rows are never deleted and texts never change: every step only switches the state, the seed mark or the life of rows
(an edited caption is a new row that takes the old one's place). So a step is undone by switching back, also after a
restart, and whatever jobs have added meanwhile.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from sqlalchemy import delete, insert, select, update
from sqlalchemy.orm import Session

from core.errors import UserError
from core.library.columns import now
from core.library.library import Library
from core.library.queries import among
from core.library.tables import Caption, Edit, Image

MAX_LENGTH = 10_000
"""Characters of one caption; more is a mistake (a whole file pasted), not a caption."""


def clean_text(text: str) -> str:
    """The caption as it is kept: no white space around it; a ``UserError`` when nothing or far too much is left."""
    text = text.replace("\x00", "").encode("utf-8", "replace").decode("utf-8").strip()
    if not text:
        raise UserError("A caption needs at least one word.", "Write what the photo shows.")
    if len(text) > MAX_LENGTH:
        raise UserError(f"This caption has {len(text):,} characters.", f"Keep it below {MAX_LENGTH:,}.")
    return text


class _Step:
    """Collects what one edit changes and writes it with its inverse."""

    def __init__(self, session: Session, label: str) -> None:
        self._session = session
        self._label = label
        self._changes: list[dict[str, Any]] = []

    def add(self, image_id: int, text: str, *, state: str, is_seed: bool, supersedes: int | None = None) -> int:
        """A new human caption; undone by taking its life, not its row."""
        values = {
            "image_id": image_id, "text": text, "author": "human", "state": state, "is_seed": is_seed, "live": True,
            "supersedes_id": supersedes, "created_at": now(),
        }  # fmt: skip
        made = self._session.execute(insert(Caption).values(values).returning(Caption.id)).scalar_one()
        after = {"state": state, "is_seed": is_seed, "live": True}
        self._changes.append({"caption": made, "before": {**after, "live": False}, "after": after})
        return made

    def change(self, caption: Caption, **after: Any) -> None:
        before = {"state": caption.state, "is_seed": caption.is_seed, "live": caption.live}
        after = {**before, **after}
        if after == before:
            return
        self._session.execute(update(Caption).where(Caption.id == caption.id).values(after))
        self._changes.append({"caption": caption.id, "before": before, "after": after})

    def write(self) -> int:
        """Log the step, unless nothing changed; forget what could have been redone. Returns the number of changes."""
        if self._changes:
            self._session.execute(delete(Edit).where(Edit.undone))
            self._session.add(Edit(label=self._label, changes=self._changes, undone=False, created_at=now()))
        return len(self._changes)


def add_seed(library: Library, image_id: int, text: str) -> int:
    """A caption written by a person, to learn from; returns its id. The same text twice is one caption."""
    text = clean_text(text)
    with library.writing() as session:
        _require_image(session, image_id)
        step = _Step(session, "Write a caption")
        caption = _same_text(session, image_id, text)
        if caption is not None and caption.author == "human":
            step.change(caption, state="accepted", is_seed=True)
            made = caption.id
        else:
            if caption is not None:
                step.change(caption, live=False)
            supersedes = caption.id if caption is not None else None
            made = step.add(image_id, text, state="accepted", is_seed=True, supersedes=supersedes)
        step.write()
        return made


def add_captions(
    library: Library, texts: Mapping[int, Sequence[str]], *, is_seed: bool, label: str = "Import captions"
) -> int:
    """Captions by people for many photos, as one step: seeds, or candidates to look at. Returns how many are new.

    A text that its photo has already is not added again, whatever its state.
    """
    with library.writing() as session:
        step = _Step(session, label)
        for image_id, lines in texts.items():
            present = set(session.scalars(select(Caption.text).where(Caption.image_id == image_id, Caption.live)))
            for line in dict.fromkeys(clean_text(line) for line in lines):
                if line not in present:
                    step.add(image_id, line, state="accepted" if is_seed else "candidate", is_seed=is_seed)
        return step.write()


def edit_caption(library: Library, caption_id: int, text: str, *, accept: bool = True) -> int:
    """Put a human revision in the place of a caption; returns the id of the caption that stands there now.

    ``accept``: the revision is accepted and becomes a seed. Otherwise it keeps the state it had. An unchanged text
    makes no revision: it is accepted as it is, if asked.
    """
    text = clean_text(text)
    with library.writing() as session:
        old = _live(session, caption_id)
        step = _Step(session, "Edit a caption")
        if text == old.text:
            if accept:
                step.change(old, state="accepted", is_seed=old.is_seed or old.author == "human")
            step.write()
            return old.id
        state = "accepted" if accept else old.state
        step.change(old, live=False)
        made = step.add(old.image_id, text, state=state, is_seed=accept or old.is_seed, supersedes=old.id)
        step.write()
        return made


def accept(library: Library, caption_ids: Iterable[int]) -> int:
    """Accept captions as they are, as one step; returns how many changed. Human text becomes a seed, model text not."""
    with library.writing() as session:
        captions = _many(session, caption_ids)
        step = _Step(session, _counted("Accept", len(captions)))
        for caption in captions:
            step.change(caption, state="accepted", is_seed=caption.is_seed or caption.author == "human")
        return step.write()


def reject(library: Library, caption_ids: Iterable[int]) -> int:
    """Reject captions, as one step; returns how many changed. A rejected seed is no longer learned from."""
    with library.writing() as session:
        captions = _many(session, caption_ids)
        step = _Step(session, _counted("Reject", len(captions)))
        for caption in captions:
            step.change(caption, state="rejected", is_seed=False)
        return step.write()


def remove_caption(library: Library, caption_id: int) -> None:
    """Take a caption away; undo brings it back."""
    with library.writing() as session:
        step = _Step(session, "Remove a caption")
        step.change(_live(session, caption_id), live=False)
        step.write()


def undo(library: Library) -> str | None:
    """Undo the last step that is not undone; returns its label, or ``None`` when there is none."""
    with library.writing() as session:
        edit = session.scalar(select(Edit).where(~Edit.undone).order_by(Edit.id.desc()).limit(1))
        return _switch(session, edit, "before", undone=True)


def redo(library: Library) -> str | None:
    """Do the last undone step again; returns its label, or ``None`` when there is none."""
    with library.writing() as session:
        edit = session.scalar(select(Edit).where(Edit.undone).order_by(Edit.id).limit(1))
        return _switch(session, edit, "after", undone=False)


def can_undo(library: Library) -> str | None:
    """The label of the step that :func:`undo` would undo, or ``None``."""
    with library.session() as session:
        return session.scalar(select(Edit.label).where(~Edit.undone).order_by(Edit.id.desc()).limit(1))


def can_redo(library: Library) -> str | None:
    """The label of the step that :func:`redo` would do again, or ``None``."""
    with library.session() as session:
        return session.scalar(select(Edit.label).where(Edit.undone).order_by(Edit.id).limit(1))


def _switch(session: Session, edit: Edit | None, side: str, *, undone: bool) -> str | None:
    if edit is None:
        return None
    changes = edit.changes if side == "after" else list(reversed(edit.changes))
    for change in changes:
        session.execute(update(Caption).where(Caption.id == change["caption"]).values(change[side]))
    edit.undone = undone
    return edit.label


def _counted(verb: str, number: int) -> str:
    return f"{verb} a caption" if number == 1 else f"{verb} {number:,} captions"


def _require_image(session: Session, image_id: int) -> None:
    if session.get(Image, int(image_id)) is None:
        raise UserError("This photo is no longer in the library.", "Scan its folder again.")


def _live(session: Session, caption_id: int) -> Caption:
    caption = session.get(Caption, int(caption_id))
    if caption is None or not caption.live:
        raise UserError("This caption has been replaced or removed meanwhile.", "Choose the photo again.")
    return caption


def _many(session: Session, caption_ids: Iterable[int]) -> list[Caption]:
    query = select(Caption).where(Caption.id.in_(among(caption_ids)), Caption.live).order_by(Caption.id)
    return list(session.scalars(query))


def _same_text(session: Session, image_id: int, text: str) -> Caption | None:
    query = select(Caption).where(Caption.image_id == image_id, Caption.live, Caption.text == text)
    return session.scalar(query.order_by(Caption.author, Caption.id).limit(1))
