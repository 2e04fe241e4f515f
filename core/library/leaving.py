"""Folders that a library looks after no longer: they were moved as a whole, or are gone for good and were taken out.

Photos without a caption that go with a folder are taken out of the library as a step, which undo takes back: they are
missing then, and met by their content like all missing ones. Adding their folder again brings them back, too.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from sqlalchemy import delete, func, select, update
from sqlalchemy.orm import Session

from core.errors import UserError
from core.jobs import JobContext
from core.library import meta
from core.library.columns import now
from core.library.intake import TAKE_OUT, captioned_among, content_changed, heir_of, take_over, waiting_path
from core.library.library import Library, absolute
from core.library.pace import Pace
from core.library.roots import Place
from core.library.steps import go_on_with, log_removed
from core.library.tables import Caption, Edit, EditPhoto, Folder, Image

_COLUMNS = (Image.id, Image.relative_path, Image.content_hash, Image.error, Image.missing_since, Image.removed_at)


@dataclass(frozen=True)
class Followed:
    """Photos of a folder that was moved, whose content was not met again: ``changed`` on the way, or ``missing``.

    The changed ones had been taken for new.
    """

    changed: int = 0
    missing: int = 0


@dataclass(frozen=True)
class TakenOut:
    """What became of the photos of a folder: ``moved`` (a copy has their captions now), ``kept`` as missing for their
    captions, ``forgotten``, as they had none; ``undoable``: those of them that one undo brings back, for the others
    have a copy here, were removed before, were no photos, or belong to an earlier step, as the person did something
    else meanwhile."""

    folder: Path
    moved: int
    kept: int
    forgotten: int
    undoable: int = 0


def follow_moved_folders(
    library: Library, place: Place, origins: Mapping[tuple[int, str], int], last_id: int, ctx: JobContext
) -> Followed:
    """Where most photos of a folder that is gone were met in ``place``, the others belong there, too, by their paths.

    ``origins``: how many came from which folder (its row, what comes before their old paths now); ``last_id``: rows
    above it are of this scan. Nothing is left of the old folder then, so that no scan looks for it again.
    """
    total: Counter[str] = Counter()
    for folder_id, prefix in _moved(library, origins):
        follow = _Follow(place, prefix, last_id)
        total.update(_emptied(library, folder_id, follow, ctx))
    return Followed(total["changed"], total["missing"])


@dataclass(frozen=True)
class Leaving:
    """Photos of a folder that would be taken out: ``captioned`` ones stay, in one way or another, ``others`` go."""

    captioned: int
    others: int


def leaving(library: Library, folder: Path) -> Leaving:
    """What taking out a folder is about; nothing is changed."""
    inside = select(Image.id).join(Folder).where(Folder.path == str(absolute(folder)))
    with library.session() as session:
        photos = session.scalar(select(func.count()).select_from(inside.subquery())) or 0
        captioned = select(func.count(Caption.image_id.distinct())).where(Caption.image_id.in_(inside))
        kept = session.scalar(captioned) or 0
    return Leaving(kept, photos - kept)


def take_out(library: Library, folder: Path, ctx: JobContext) -> TakenOut:
    """Let go of a folder that is gone for good. Captions stay: with a copy elsewhere in the library that has none, or
    with the photo, which is missing and is met again by its content.

    Raises:
        UserError: it is not a folder of the library, or the only one; or some of its photos are there.
    """
    folder = absolute(folder)
    with library.session() as session:
        folders = {
            Path(row.path): row.id for row in session.execute(select(Folder.id, Folder.path).order_by(Folder.id))
        }
        if folder not in folders:
            raise UserError(f"{folder} is not a folder of this library.", f"It has: {', '.join(map(str, folders))}.")
        others = [one for path, one in folders.items() if path != folder]
        if not others:
            raise UserError(f"{folder} is the library's only folder.", "Add the folder where its photos are now first.")
        paths = session.scalars(select(Image.relative_path).where(Image.folder_id == folders[folder]))
        there = _first_there(folder, paths)
    if there is not None:
        raise UserError(
            f"{folder} still has photos of this library, {there} for one.",
            "Only a folder that is gone can be taken out.",
        )
    part = _Part(others[0], folder)
    total: Counter[str] = Counter(_emptied(library, folders[folder], part, ctx))
    forgotten = total["forgotten"] + total["taken out"]
    return TakenOut(folder, total["moved"], total["kept"], forgotten, _undoable(library, part.edit))


def _undoable(library: Library, edit_id: int | None) -> int:
    done = select(func.count(EditPhoto.image_id)).join(Edit, Edit.id == EditPhoto.edit_id)
    with library.session() as session:
        return session.scalar(done.where(Edit.id == edit_id, Edit.kind == TAKE_OUT, ~Edit.undone)) or 0


def _first_there(folder: Path, relatives: Iterable[str]) -> Path | None:
    paths = (folder / PurePosixPath(one) for one in relatives)
    return next((path for path in paths if os.path.lexists(path)), None)


def _moved(library: Library, origins: Mapping[tuple[int, str], int]) -> list[tuple[int, str]]:
    """Folders that are gone, most of whose photos were met below one other place; a few may be copies met by chance,
    while the folder itself is on a drive that is not plugged in."""
    found = []
    with library.session() as session:
        for (folder_id, prefix), met in origins.items():
            path = session.scalar(select(Folder.path).where(Folder.id == folder_id))
            left = session.scalar(select(func.count()).select_from(Image).where(Image.folder_id == folder_id)) or 0
            if path is not None and not os.path.lexists(path) and left < met:
                found.append((folder_id, prefix))
    return found


def _emptied(
    library: Library, folder_id: int, part_with: Callable[[Session, Any, bool], str], ctx: JobContext
) -> Iterator[str]:
    """What became of each photo of a folder, some at a time; then the folder goes. What is cut off goes on later."""
    pace = Pace()
    while True:
        ctx.check_cancelled()
        with pace.timed(), library.writing() as session:
            chosen = select(*_COLUMNS).where(Image.folder_id == folder_id).limit(pace.rows)
            rows = session.execute(chosen).all()
            if not rows:
                session.execute(delete(Folder).where(Folder.id == folder_id))
                return
            captioned = captioned_among(session, [row.id for row in rows])
            outcomes = [part_with(session, row, row.id in captioned) for row in rows]
        yield from outcomes


@dataclass(frozen=True)
class _Follow:
    """Gives a photo the path in the new place that it had in the old one."""

    place: Place
    prefix: str
    last_id: int

    def __call__(self, session: Session, row: Any, captioned: bool) -> str:
        path = self.prefix + row.relative_path
        there = select(Image.id, Image.content_hash, Image.error)
        there = there.where(Image.folder_id == self.place.root_id, Image.relative_path == path)
        other = session.execute(there).one_or_none()
        if other is not None and other.id > self.last_id and not captioned_among(session, [other.id]):
            take_over(session, row.id, other.id)
            if other.content_hash:
                content_changed(session, row.id, row.content_hash, other.content_hash)
                values = {"content_hash": other.content_hash, "changed_at": now()}
                session.execute(update(Image).where(Image.id == row.id).values(**values))
            return "changed" if other.error is None else "troubled"
        if not captioned and row.error is not None:
            session.execute(delete(Image).where(Image.id == row.id))
            return "forgotten"
        _wait(session, row, self.place.root_id, path if other is None else waiting_path(row.id, path))
        return "missing" if row.missing_since is None and row.error is None else "still missing"


class _Part:
    """Lets go of a photo: its captions go to a copy, or wait in the folder ``waits_in``. One without any is taken out
    of the library, all of them as one step of the person who takes out ``folder``, and as another one from where that
    person did or undid something meanwhile. ``edit``: the last one's id."""

    def __init__(self, waits_in: int, folder: Path) -> None:
        self.waits_in = waits_in
        self._folder = folder
        self.edit: int | None = None
        self._in_trash: set[int] | None = None

    def __call__(self, session: Session, row: Any, captioned: bool) -> str:
        if self._in_trash is None:
            self._in_trash = meta.in_trash(session)
        if not captioned and row.id not in self._in_trash:  # whose file may come back still
            return self._take_out(session, row)
        heir = heir_of(session, row, after=None, any_copy=True) if row.removed_at is None else None
        if heir is not None:
            take_over(session, row.id, heir)
            return "moved"
        _wait(session, row, self.waits_in, waiting_path(row.id, row.relative_path))
        return "kept"

    def _take_out(self, session: Session, row: Any) -> str:
        gone = row.error is not None or row.removed_at is not None
        if gone or heir_of(session, row, after=None, any_copy=True) is not None:
            session.execute(delete(Image).where(Image.id == row.id))
            return "forgotten"
        self.edit = go_on_with(session, self.edit, TAKE_OUT, f"Take out the folder {self._folder.name}")
        _wait(session, row, self.waits_in, waiting_path(row.id, row.relative_path))
        log_removed(session, self.edit, [row.id])
        return "taken out"


def _wait(session: Session, row: Any, folder_id: int, path: str) -> None:
    values = {"folder_id": folder_id, "relative_path": path, "missing_since": row.missing_since or now()}
    session.execute(update(Image).where(Image.id == row.id).values(**values))
