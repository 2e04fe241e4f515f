"""Steps of a person: each is one command, done and logged with its inverse in one transaction, and undone from the log.

Rows are never deleted and texts never change: a step adds rows, and switches the state, the seed mark and the life of
rows (an edited caption is a new row that takes the old one's place), and whether photos are in the library. So its
inverse is how the rows stood before, and undo works after a restart, whatever jobs have added meanwhile.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import islice
from typing import Any, ClassVar, Generic, TypeVar

from sqlalchemy import bindparam, delete, func, insert, select, update
from sqlalchemy.orm import Session

from core.library import meta
from core.library.columns import now
from core.library.library import Library
from core.library.queries import among
from core.library.records import State
from core.library.tables import Caption, Edit, EditChange, EditPhoto, Image

Result = TypeVar("Result")
_ROWS = 2000


@dataclass(frozen=True)
class Status:
    """How a caption stands: everything about it that ever changes."""

    state: State
    is_seed: bool
    live: bool


@dataclass(frozen=True)
class Standing:
    """A live caption as a command finds it."""

    id: int
    image_id: int
    text: str
    author: str
    run_id: str | None
    status: Status


@dataclass(frozen=True)
class StepRow:
    """A step in the log. ``captions``: how many it changed; ``undone``: it can be done again."""

    id: int
    kind: str
    label: str
    captions: int
    undone: bool
    created_at: datetime


@dataclass(frozen=True)
class Switched:
    """A step that was ``undone`` or done again: its ``label`` and ``kind``, and the ids of the ``photos`` it is about.
    ``overtaken``: nothing has changed, since something else has changed all of it meanwhile (a single value), or has
    brought back all its photos (a folder that was added again)."""

    label: str
    photos: tuple[int, ...] = ()
    overtaken: bool = False
    kind: str = ""
    undone: bool = False


class Command(Generic[Result]):
    """Something a person does to the data. Frozen dataclasses; ``kind`` names the class in the log for good."""

    kind: ClassVar[str]

    def do(self, step: Step) -> Result:
        """Read what is there, and tell ``step`` what shall change; a ``UserError`` leaves everything as it is."""
        raise NotImplementedError


class Step:
    """What one command changes, collected and then written with its inverse."""

    def __init__(self, session: Session, kind: str) -> None:
        self.session = session
        self.kind = kind
        self.label = ""
        self._added: list[dict[str, Any]] = []
        self._changes: dict[int, tuple[Status, Status]] = {}
        self._settings: dict[str, list[str | None]] = {}
        self._photos: dict[int, bool] = {}
        self._next_id: int | None = None

    def add(
        self, image_id: int, text: str, status: Status, *, supersedes: int | None = None, like: Standing | None = None
    ) -> int:
        """A new caption, human unless it repeats the text of another one (``like``); undone by taking its life."""
        if self._next_id is None:  # this transaction is the only one that writes
            self._next_id = (self.session.scalar(select(func.max(Caption.id))) or 0) + 1
        made = self._next_id
        self._next_id += 1
        self._added.append({
            "id": made, "image_id": int(image_id), "text": text, "author": like.author if like else "human",
            "run_id": like.run_id if like else None, "supersedes_id": supersedes, "created_at": now(),
            "state": status.state, "is_seed": status.is_seed, "live": status.live,
        })  # fmt: skip
        self._changes[made] = (Status(status.state, status.is_seed, False), status)
        return made

    def change(
        self, caption: Standing, *, state: State | None = None, is_seed: bool | None = None, live: bool | None = None
    ) -> bool:
        """Change how a caption stands; whether it is a change."""
        before, now_is = self._changes.get(caption.id, (caption.status, caption.status))
        after = Status(
            now_is.state if state is None else state,
            now_is.is_seed if is_seed is None else is_seed,
            now_is.live if live is None else live,
        )
        if after == before:
            self._changes.pop(caption.id, None)
            return False
        self._changes[caption.id] = (before, after)
        return True

    def remove_photos(self, image_ids: Iterable[int], *, removed: bool) -> int:
        """Take photos out of the library (``removed``), or put them back; for how many it is a change."""
        is_so = Image.removed_at.is_not(None) if removed else Image.removed_at.is_(None)
        found = self.session.scalars(select(Image.id).where(Image.id.in_(among(image_ids)), ~is_so)).all()
        self._photos |= dict.fromkeys(found, removed)
        return len(found)

    def set(self, key: str, value: str | None) -> None:
        """Change a single value of the library."""
        before = meta.get(self.session, key)
        if value != before:
            self._settings[key] = [before, value]

    def write(self) -> None:
        """Do what was collected and log it, unless nothing changes; forget what could have been redone."""
        if not (self._changes or self._settings or self._photos):
            return
        session = self.session
        for rows in _portions(self._added):
            session.execute(insert(Caption), rows)
        fresh = {row["id"] for row in self._added}
        by_status: dict[Status, list[int]] = {}
        for caption_id, (_, after) in self._changes.items():
            if caption_id not in fresh:
                by_status.setdefault(after, []).append(caption_id)
        for after, ids in by_status.items():
            values = {"state": after.state, "is_seed": after.is_seed, "live": after.live}
            session.execute(update(Caption).where(Caption.id.in_(among(ids))).values(values))
        for key, (_, value) in self._settings.items():
            meta.put(session, key, value)
        edit_id = _begin_step(session, self.kind, self.label, self._settings)
        changes = [
            {
                "edit_id": edit_id, "caption_id": caption_id,
                "state_before": before.state, "is_seed_before": before.is_seed, "live_before": before.live,
                "state_after": after.state, "is_seed_after": after.is_seed, "live_after": after.live,
            }
            for caption_id, (before, after) in sorted(self._changes.items())
        ]  # fmt: skip
        for rows in _portions(changes):
            session.execute(insert(EditChange), rows)
        photos = [{"edit_id": edit_id, "image_id": one, "removed": self._photos[one]} for one in sorted(self._photos)]
        for rows in _portions(photos):
            session.execute(insert(EditPhoto), rows)
        if photos:
            _place_photos(session, edit_id, undone=False)


def _begin_step(session: Session, kind: str, label: str, settings: dict[str, list[str | None]] | None = None) -> int:
    """A new step in the log; what could have been redone is forgotten. Returns its id."""
    session.execute(delete(Edit).where(Edit.undone))
    values = {"kind": kind, "label": label, "settings": settings or None, "undone": False, "created_at": now()}
    return session.execute(insert(Edit).values(**values).returning(Edit.id)).scalar_one()


def go_on_with(session: Session, edit_id: int | None, kind: str, label: str) -> int:
    """The step that the next transaction of a job belongs to: ``edit_id`` while nothing was done or undone since, else
    a new one. A person goes on meanwhile: what was undone takes no more, and its number may be another step's by now.
    """
    columns = (Edit.id, Edit.kind, Edit.undone)
    newest = session.execute(select(*columns).order_by(Edit.id.desc()).limit(1)).one_or_none()
    if edit_id is not None and newest is not None and tuple(newest) == (edit_id, kind, False):
        return edit_id
    return _begin_step(session, kind, label)


def log_removed(session: Session, edit_id: int, image_ids: Iterable[int]) -> None:
    """Take more photos out of the library as part of a step: for jobs whose step takes several transactions."""
    ids = [int(one) for one in image_ids]
    session.execute(insert(EditPhoto), [{"edit_id": edit_id, "image_id": one, "removed": True} for one in ids])
    session.execute(update(Image).where(Image.id.in_(among(ids))).values(removed_at=now()))


def perform(library: Library, command: Command[Result]) -> Result:
    """Do what a person asks for. When this returns, change and inverse are on the disk."""
    with library.writing() as session:
        step = Step(session, command.kind)
        result = command.do(step)
        step.write()
        return result


def undo_step(library: Library) -> Switched | None:
    """Undo the last step that is not undone; ``None`` when there is none."""
    with library.writing() as session:
        edit = session.scalar(select(Edit).where(~Edit.undone).order_by(Edit.id.desc()).limit(1))
        return None if edit is None else _switch(session, edit, undone=True)


def redo_step(library: Library) -> Switched | None:
    """Do the last undone step again; ``None`` when there is none."""
    with library.writing() as session:
        edit = session.scalar(select(Edit).where(Edit.undone).order_by(Edit.id).limit(1))
        return None if edit is None else _switch(session, edit, undone=False)


def take_back(library: Library, caption_id: int, text: str) -> tuple[bool, int | None]:
    """Undo the steps by which a caption that said ``text`` (empty: no caption) became this one, or by which this one
    was removed, where they are the last ones of all; the editor they were typed in has undone its own part. Says
    whether that is so, and then the id of the caption that stands there again. Otherwise nothing changes."""
    with library.writing() as session:
        steps: list[Edit] = []
        stands: int | None = caption_id
        for edit in session.scalars(select(Edit).where(~Edit.undone).order_by(Edit.id.desc()).limit(_ROWS)):
            if not steps and _removed(session, edit.id, caption_id) == text:
                _switch(session, edit, undone=True)
                return True, caption_id
            before = _replaced_by(session, edit.id, stands)
            if before is None:
                return False, None
            steps.append(edit)
            stands, said = before
            if said == text:
                for one in steps:
                    _switch(session, one, undone=True)
                return True, stands
            if stands is None:
                break
        return False, None


def _removed(session: Session, edit_id: int, caption_id: int) -> str | None:
    """What a caption said whose removal is all that a step did."""
    changes = session.scalars(select(EditChange).where(EditChange.edit_id == edit_id)).all()
    if [(one.caption_id, one.live_before, one.live_after) for one in changes] != [(caption_id, True, False)]:
        return None
    return session.scalar(select(Caption.text).where(Caption.id == caption_id))


def _replaced_by(session: Session, edit_id: int, caption_id: int | None) -> tuple[int | None, str] | None:
    """What a person had written or accepted before a step wrote this one: its id and text, or nothing where there was
    none. ``None`` where the step did not write it."""
    changes = session.scalars(select(EditChange).where(EditChange.edit_id == edit_id)).all()
    if not any(one.caption_id == caption_id and one.live_after and not one.live_before for one in changes):
        return None
    gone = {one.caption_id: one.state_before for one in changes if one.live_before and not one.live_after}
    found = session.scalars(select(Caption).where(Caption.id.in_(among(gone))))
    mine = next((one for one in found if one.author == "human" or gone[one.id] == "accepted"), None)
    return (None, "") if mine is None else (mine.id, mine.text)


def undo(library: Library) -> str | None:
    """See :func:`undo_step`; returns the label of the step."""
    done = undo_step(library)
    return None if done is None else done.label


def redo(library: Library) -> str | None:
    """See :func:`redo_step`; returns the label of the step."""
    done = redo_step(library)
    return None if done is None else done.label


def can_undo(library: Library) -> str | None:
    """The label of the step that :func:`undo` would undo, or ``None``."""
    with library.session() as session:
        return session.scalar(select(Edit.label).where(~Edit.undone).order_by(Edit.id.desc()).limit(1))


def can_redo(library: Library) -> str | None:
    """The label of the step that :func:`redo` would do again, or ``None``."""
    with library.session() as session:
        return session.scalar(select(Edit.label).where(Edit.undone).order_by(Edit.id).limit(1))


def log(library: Library, *, limit: int = 100) -> list[StepRow]:
    """The newest steps, newest first."""
    newest = select(Edit).order_by(Edit.id.desc()).limit(limit)
    number = select(EditChange.edit_id, func.count()).group_by(EditChange.edit_id)
    with library.session() as session:
        edits = list(session.scalars(newest))
        ids = among(edit.id for edit in edits)
        numbers: dict[int, int] = {}
        for edit_id, count in session.execute(number.where(EditChange.edit_id.in_(ids))):
            numbers[edit_id] = count
        return [
            StepRow(edit.id, edit.kind, edit.label, numbers.get(edit.id, 0), edit.undone, edit.created_at)
            for edit in edits
        ]


def standing(session: Session, *conditions: Any) -> list[Standing]:
    """The live captions that meet the conditions, oldest first."""
    columns = (Caption.id, Caption.image_id, Caption.text, Caption.author, Caption.run_id)
    query = select(*columns, Caption.state, Caption.is_seed).where(Caption.live, *conditions).order_by(Caption.id)
    found: list[Standing] = []
    for row in session.execute(query):
        values: tuple[Any, ...] = tuple(row)
        found.append(Standing(*values[:5], status=Status(values[5], values[6], True)))
    return found


def _switch(session: Session, edit: Edit, *, undone: bool) -> Switched:
    """Put every caption of a step to how it stood before it (``undone``) or after it."""
    side = "before" if undone else "after"
    table = EditChange.__table__
    statement = (
        update(Caption)
        .where(Caption.id == EditChange.caption_id, EditChange.edit_id == bindparam("edit"))
        .values(state=table.c[f"state_{side}"], is_seed=table.c[f"is_seed_{side}"], live=table.c[f"live_{side}"])
        .execution_options(synchronize_session=False)
    )
    session.connection().execute(statement, {"edit": edit.id})
    _place_photos(session, edit.id, undone=undone)
    settings = edit.settings or {}
    changed = 0
    for key, (before, after) in settings.items():
        was, becomes = (after, before) if undone else (before, after)
        if meta.get(session, key) == was:  # else something that is no step has changed it since, a training for one
            meta.put(session, key, becomes)
            changed += 1
    edit.undone = undone
    photos = _photos_of(session, edit.id)
    return Switched(edit.label, photos, not changed and not photos, edit.kind, undone)


def _photos_of(session: Session, edit_id: int) -> tuple[int, ...]:
    captions = select(EditChange.caption_id).where(EditChange.edit_id == edit_id)
    described = select(Caption.image_id).where(Caption.id.in_(captions)).distinct()
    placed = select(EditPhoto.image_id).where(EditPhoto.edit_id == edit_id)
    return tuple(sorted(set(session.scalars(described)) | set(session.scalars(placed))))


def _place_photos(session: Session, edit_id: int, *, undone: bool) -> None:
    for removed in (True, False):
        photos = select(EditPhoto.image_id).where(EditPhoto.edit_id == edit_id, EditPhoto.removed == removed)
        out = removed is not undone
        change = update(Image).where(Image.id.in_(photos)).values(removed_at=now() if out else None)
        session.execute(change.execution_options(synchronize_session=False))


def _portions(rows: Sequence[dict[str, Any]] | Iterable[dict[str, Any]]) -> Iterable[list[dict[str, Any]]]:
    iterator = iter(rows)
    while portion := list(islice(iterator, _ROWS)):
        yield portion
