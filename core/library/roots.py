"""The folders a library looks after: no photo lies in two of them."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import bindparam, delete, exists, select, update
from sqlalchemy.orm import Session

from core.errors import UserError
from core.jobs import JobContext
from core.library.columns import now
from core.library.library import Library
from core.library.pace import Pace
from core.library.tables import Folder, Image


@dataclass(frozen=True)
class Place:
    """Where a scan looks: below ``start`` (``""``: everywhere) of the folder ``root``, whose row is ``root_id``."""

    root: Path
    root_id: int
    start: str


def require_readable(folder: Path) -> None:
    """Raise a ``UserError`` when the folder is not there or may not be looked into."""
    try:
        with os.scandir(folder):
            return
    except FileNotFoundError:
        raise UserError(
            f"There is no folder {folder}.", "Check its name; if it was moved, give the folder where it is now."
        ) from None
    except NotADirectoryError:
        raise UserError(f"{folder} is a file, not a folder.", "Give the folder that it is in.") from None
    except OSError as error:
        raise UserError(f"The folder {folder} cannot be opened: {error.strerror}.", "Check its rights.") from error


def place_of(library: Library, folder: Path, ctx: JobContext) -> Place:
    """The folder row that covers ``folder``, made if there is none.

    A folder above some that are in the library takes their photos over, captions and all. Folders are compared by the
    names a person gave, then by what these lead to, so that a link to a folder is not a second folder.
    """
    with library.writing() as session:
        rows = [(row.id, Path(row.path)) for row in session.execute(select(Folder.id, Folder.path))]
        covering = _covering(rows, folder)
        if covering is None:
            root = Folder(path=str(folder), added_at=now())
            session.add(root)
            session.flush()
            covering = Place(folder, root.id, "")
    for row_id, path in rows:
        prefix = None if row_id == covering.root_id else _relative(path, covering.root)
        if prefix:
            _move_below(library, row_id, Place(covering.root, covering.root_id, prefix), ctx)
    return covering


def forget_left_folders(library: Library) -> None:
    """Drop the rows of folders that are not there any more and whose photos have all been found elsewhere."""
    with library.writing() as session:
        empty = select(Folder.id, Folder.path).where(~exists().where(Image.folder_id == Folder.id))
        left = [row.id for row in session.execute(empty) if not os.path.lexists(row.path)]
        session.execute(delete(Folder).where(Folder.id.in_(left)))


def _covering(rows: list[tuple[int, Path]], folder: Path) -> Place | None:
    for row_id, path in rows:
        if folder == path or path in folder.parents:
            start = folder.relative_to(path).as_posix()
            return Place(path, row_id, "" if start == "." else start)
    for row_id, path in rows:
        start = _relative(folder, path)
        if start is not None:
            return Place(path, row_id, start)
    return None


def _relative(inner: Path, outer: Path) -> str | None:
    """Where ``inner`` lies below ``outer``, by name or by what the names lead to; ``None`` when it does not."""
    for one, other in ((inner, outer), (inner.resolve(), outer.resolve())):
        if one.is_relative_to(other):
            relative = one.relative_to(other).as_posix()
            return "" if relative == "." else relative
    return None


def _move_below(library: Library, old_id: int, new: Place, ctx: JobContext) -> None:
    """Give the photos of the folder ``old_id`` to the folder ``new``, some at a time; what is cut off goes on later."""
    pace = Pace()
    while True:
        ctx.check_cancelled()
        with pace.timed(), library.writing() as session:
            if not _move_some(session, old_id, new, pace.rows):
                session.execute(delete(Folder).where(Folder.id == old_id))
                return


def _move_some(session: Session, old_id: int, new: Place, count: int) -> int:
    chosen = select(Image.id, Image.relative_path).where(Image.folder_id == old_id).limit(count)
    moved = [
        {"row": row.id, "path": f"{new.start}/{row.relative_path}" if row.relative_path else new.start}
        for row in session.execute(chosen)
    ]
    if moved:
        change = update(Image).where(Image.id == bindparam("row"))
        session.connection().execute(change.values(folder_id=new.root_id, relative_path=bindparam("path")), moved)
    return len(moved)
