"""Photos whose files a person moves to the system's trash, and has back with undo.

Such a photo is taken out of the library (:mod:`core.library.removing`) by a step; then its file goes to the trash, and
where it lies is kept beside the steps (``meta.TRASH_PLACES``), for each throw may give it another name. To undo the
step, or to put the photo back, brings the file back. Only files of the step at hand are moved, only while they are what
the library knows, and never over another file: what is not done is said, and a file whose place is known stays so.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any, ClassVar

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from core.library import meta
from core.library.columns import now
from core.library.intake import holds
from core.library.library import Library
from core.library.queries import among
from core.library.removing import PUT_BACK
from core.library.steps import Command, Step, Switched, perform
from core.library.tables import Folder, Image

Throw = Callable[[Path], Path | None]
"""Moves a file to the system's trash; where it lies now, or ``None`` where it could not be moved."""

_AT_ONCE = 32
"""Files between two notes of where they lie: a power cut leaves no more than these to the desktop's own trash."""


@dataclass(frozen=True)
class Trashed:
    """``moved``: files that are in the trash now; ``back``: that are where they were; ``failed``: a sentence each."""

    moved: int = 0
    back: int = 0
    failed: tuple[str, ...] = ()


@dataclass(frozen=True)
class Place:
    """Where a file was, and where it lies in the trash; ``size``, ``mtime_ns`` and ``content_hash`` are its own."""

    origin: str
    place: str
    size: int
    mtime_ns: int
    content_hash: str


@dataclass(frozen=True)
class _Row:
    """A photo as the library knows its file."""

    id: int
    path: Path
    size: int
    mtime_ns: int
    content_hash: str


@dataclass(frozen=True)
class TrashPhotos(Command[tuple[int, ...]]):
    """Photos are taken out of the library for their files to go to the trash. Says which of them were in it."""

    kind: ClassVar[str] = "trash_photos"
    image_ids: tuple[int, ...]

    def do(self, step: Step) -> tuple[int, ...]:
        inside = select(Image.id).where(Image.id.in_(among(self.image_ids)), Image.removed_at.is_(None))
        ids = tuple(step.session.scalars(inside.order_by(Image.id)))
        number = step.remove_photos(ids, removed=True)
        step.label = "Move a photo to the trash" if number == 1 else f"Move {number:,} photos to the trash"
        return ids


def trash_photos(library: Library, image_ids: Iterable[int], throw: Throw) -> Trashed:
    """Take photos out of the library as one step, and move their files to the trash. A file that cannot be moved stays
    where it is; its photo is out of the library all the same. One that was out before keeps its file: to undo the step
    would not bring that back."""
    wanted = {int(one) for one in image_ids}
    ids = perform(library, TrashPhotos(tuple(wanted)))
    done = _throw(library, ids, throw)
    if left := len(wanted) - len(ids):
        what = "A photo was" if left == 1 else f"{left:,} photos were"
        done = replace(done, failed=(*done.failed, f"{what} out of the library already; put back first, then trash."))
    return done


def follow(library: Library, step: Switched, throw: Throw) -> Trashed:
    """After an undo or a redo: the files of that step's photos go with it."""
    if step.kind == TrashPhotos.kind:
        return bring_back(library, step.photos) if step.undone else _throw(library, step.photos, throw)
    if step.kind == PUT_BACK and not step.undone:
        return bring_back(library, step.photos)
    return Trashed()  # undoing a putting back takes photos out; nobody has asked for the trash again


def bring_back(library: Library, image_ids: Iterable[int]) -> Trashed:
    """Have the files of these photos back from the trash, where they are in it."""
    known = places(library)
    wanted = [one for one in image_ids if one in known]
    if not wanted:
        return Trashed()
    back, gone, failed = list[int](), list[int](), list[str]()
    for image_id in wanted:
        trouble = _back(known[image_id])
        if trouble is None:
            back.append(image_id)
        else:
            failed.append(trouble)
            if not os.path.lexists(known[image_id].place):
                gone.append(image_id)
    with library.writing() as session:
        _keep(session, {}, {*back, *gone})
        here = [one for one in _rows(session, back) if str(one.path) == known[one.id].origin]
        _mark(session, [one.id for one in here], missing=False)
        _mark(session, gone, missing=True)
    return Trashed(back=len(back), failed=tuple(failed))


def stragglers(library: Library) -> list[int]:
    """Photos that are in the library while their files lie in the trash: an undo was cut short."""
    known = places(library)
    if not known:
        return []
    with library.session() as session:
        return list(session.scalars(select(Image.id).where(Image.id.in_(among(known)), Image.removed_at.is_(None))))


def places(library: Library) -> dict[int, Place]:
    """Where the files lie that are in the trash, by photo."""
    with library.session() as session:
        return _places(session)


def _throw(library: Library, image_ids: Iterable[int], throw: Throw) -> Trashed:
    known, failed, moved = places(library), list[str](), 0
    with library.session() as session:
        rows = iter(_rows(session, image_ids))
    while portion := list(islice(rows, _AT_ONCE)):
        thrown: dict[int, Place] = {}
        for row in portion:
            before = known.get(row.id)
            if before and before.content_hash == row.content_hash and os.path.lexists(before.place):
                continue  # it is there already
            found = _thrown(row, throw)
            if isinstance(found, Place):
                thrown[row.id] = found
            else:
                failed.append(f"{row.path.name} could not be moved to the trash: {found}.")
        moved += len(thrown)
        with library.writing() as session:
            _keep(session, thrown, ())
    return Trashed(moved=moved, failed=tuple(failed))


def _thrown(row: _Row, throw: Throw) -> Place | str:
    """Where the file lies now, or why it stays."""
    try:
        if not os.path.lexists(row.path):
            return "the file is not there"
        if row.content_hash and not holds(row.path, row.content_hash, (row.size, row.mtime_ns)):
            return "another file has its name now"
        place = throw(row.path)
    except OSError as error:
        return error.strerror or str(error)
    if place is None:
        return "its folder has no trash, or may not be written to"
    return Place(str(row.path), str(place), row.size, row.mtime_ns, row.content_hash)


def _back(kept: Place) -> str | None:
    """Move a file back; what stood in the way, if anything did. One that somebody else has restored is back."""
    origin, place = Path(kept.origin), Path(kept.place)
    try:
        if os.path.lexists(origin):
            if holds(origin, kept.content_hash, (kept.size, kept.mtime_ns)) and not os.path.lexists(place):
                return None
            return f"{origin.name} stays in the trash: there is another file of that name in {origin.parent}."
        if not os.path.lexists(place):
            return f"{origin.name} is not in the trash any more."
        if not origin.parent.is_dir():
            return f"{origin.name} stays in the trash: {origin.parent} is not there."
        shutil.move(place, origin)
    except OSError as error:
        return f"{origin.name} stays in the trash: {error.strerror or error}."
    with contextlib.suppress(OSError):  # what the desktops of freedesktop.org keep of a file in their trash
        (place.parent.parent / "info" / f"{place.name}.trashinfo").unlink(missing_ok=True)
    return None


def _rows(session: Session, image_ids: Iterable[int]) -> list[_Row]:
    columns = (Image.id, Folder.path, Image.relative_path, Image.size, Image.mtime_ns, Image.content_hash)
    query = select(*columns).join(Folder).where(Image.id.in_(among(image_ids))).order_by(Image.id)
    found = session.execute(query).all()
    return [
        _Row(one.id, Path(f"{one.path}/{one.relative_path}"), one.size, one.mtime_ns, one.content_hash) for one in found
    ]


def _mark(session: Session, image_ids: list[int], *, missing: bool) -> None:
    change = update(Image).where(Image.id.in_(among(image_ids)))
    session.execute(change.values(missing_since=now() if missing else None))


def _places(session: Session) -> dict[int, Place]:
    kept: dict[str, dict[str, Any]] = json.loads(meta.get(session, meta.TRASH_PLACES) or "{}")
    return {int(image_id): Place(**place) for image_id, place in kept.items()}


def _keep(session: Session, more: dict[int, Place], fewer: Iterable[int]) -> None:
    kept = {**_places(session), **more}
    for image_id in fewer:
        kept.pop(image_id, None)
    text = json.dumps({str(image_id): asdict(place) for image_id, place in kept.items()})
    meta.put(session, meta.TRASH_PLACES, text if kept else None)
