"""Bringing the library up to date with a folder: what is new, changed, renamed, missing, or cannot be used and why."""

from __future__ import annotations

import hashlib
import os
import time
from array import array
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
from sqlalchemy import delete, insert, select, update
from sqlalchemy.orm import Session

from core.errors import UserError
from core.images.decode import ImageError, ImageInfo, probe
from core.jobs import JobContext
from core.library.columns import now
from core.library.library import Library, absolute
from core.library.tables import Caption, Folder, Image, Score, Split
from core.library.walk import FoundFile, Trouble, walk

_BATCH = 128
_PROGRESS_EVERY_S = 1 / 30
_THREADS = 2
_COPIES = 32
"""Of how many copies of one photo it is asked whether their file is still there."""


@dataclass(frozen=True)
class FileError:
    """Something in the folder that cannot be used, and why, in words."""

    path: Path
    reason: str


@dataclass(frozen=True)
class ScanReport:
    """``found``: usable photos seen; ``added``, ``changed``, ``renamed``, ``missing``: since the last scan."""

    found: int
    added: int
    changed: int
    missing: int
    errors: tuple[FileError, ...]
    renamed: int = 0


@dataclass
class _Tally:
    found: int = 0
    added: int = 0
    changed: int = 0
    renamed: int = 0
    errors: list[FileError] = field(default_factory=list)
    seen: array[int] = field(default_factory=lambda: array("q"))
    hidden: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class _Known:
    id: int
    size: int
    mtime_ns: int
    content_hash: str
    error: str | None
    missing: bool


@dataclass(frozen=True)
class _Examined:
    """What reading a file gave: its content hash, and either its size in pixels or the reason why not."""

    content_hash: str
    info: ImageInfo | None
    error: str | None


def scan(library: Library, folder: Path, ctx: JobContext) -> ScanReport:
    """Look through ``folder`` and everything below it, and bring the library up to date with it.

    A file whose size and time have not changed is not read again (unless it could not be used last time). Nothing
    found in the folder stops the scan; only the folder itself not being there is a ``UserError``. A cancelled scan
    keeps what it has found so far.
    """
    folder = absolute(folder)
    _require_readable(folder)
    root, root_id, start = _root_for(library, folder)
    tally = _Tally()
    last_report = 0.0
    with ThreadPoolExecutor(_THREADS, thread_name_prefix="scan") as pool:
        for batch in _batches(walk(root, start), _BATCH):
            ctx.check_cancelled()
            _take_in(library, root_id, batch, tally, pool)
            if time.monotonic() - last_report >= _PROGRESS_EVERY_S:
                last_report = time.monotonic()
                ctx.progress(tally.found + len(tally.errors), None, "Looking through the folder")
    missing = _mark_missing(library, root_id, start, tally)
    total = tally.found + len(tally.errors)
    ctx.progress(total, total, "Looking through the folder")
    return ScanReport(tally.found, tally.added, tally.changed, missing, tuple(tally.errors), tally.renamed)


def _require_readable(folder: Path) -> None:
    try:
        with os.scandir(folder):
            return
    except FileNotFoundError:
        raise UserError(f"There is no folder {folder}.", "Check its name.") from None
    except NotADirectoryError:
        raise UserError(f"{folder} is a file, not a folder.", "Give the folder that it is in.") from None
    except OSError as error:
        raise UserError(f"The folder {folder} cannot be opened: {error.strerror}.", "Check its rights.") from error


def _root_for(library: Library, folder: Path) -> tuple[Path, int, str]:
    """The folder row that covers ``folder`` (made if there is none) and where below it ``folder`` lies."""
    with library.writing() as session:
        rows = [(row.id, Path(row.path)) for row in session.execute(select(Folder.id, Folder.path))]
        for row_id, path in rows:
            if folder == path or path in folder.parents:
                start = folder.relative_to(path).as_posix()
                return path, row_id, "" if start == "." else start
        root = Folder(path=str(folder), added_at=now())
        session.add(root)
        session.flush()
        for row_id, path in rows:
            if folder in path.parents:
                _move_below(session, row_id, root.id, path.relative_to(folder).as_posix())
        return folder, root.id, ""


def _move_below(session: Session, old_id: int, new_id: int, prefix: str) -> None:
    """A folder above one that is in the library already takes its photos over, captions and all."""
    rows = session.execute(select(Image.id, Image.relative_path).where(Image.folder_id == old_id)).all()
    for row in rows:
        path = f"{prefix}/{row.relative_path}" if row.relative_path else prefix
        session.execute(update(Image).where(Image.id == row.id).values(folder_id=new_id, relative_path=path))
    session.execute(delete(Folder).where(Folder.id == old_id))


def _batches(items: Iterable[Any], size: int) -> Iterator[list[Any]]:
    iterator = iter(items)
    while batch := list(islice(iterator, size)):
        yield batch


def _take_in(
    library: Library, root_id: int, batch: Sequence[FoundFile | Trouble], tally: _Tally, pool: ThreadPoolExecutor
) -> None:
    with library.session() as session:
        known = _known_rows(session, root_id, [item.relative for item in batch])
    todo = [item for item in batch if isinstance(item, FoundFile) and _must_read(item, known.get(item.relative))]
    examined = dict(zip((item.relative for item in todo), pool.map(_examine, todo), strict=True))
    unchanged = True
    for item in batch:
        row = known.get(item.relative)
        if row is not None:
            tally.seen.append(row.id)
        if isinstance(item, Trouble):
            tally.errors.append(FileError(item.path, item.reason))
            if item.hides_content:
                tally.hidden.append(item.relative)
            unchanged = unchanged and row is not None and row.error == item.reason and not row.missing
        elif item.relative not in examined:
            tally.found += 1
        else:
            unchanged = False
    if unchanged:
        return
    with library.writing() as session:
        for item in batch:
            row = known.get(item.relative)
            if isinstance(item, Trouble):
                _write_trouble(session, root_id, item, row, tally)
            elif item.relative in examined:
                _write_photo(session, root_id, item, row, examined[item.relative], tally)


def _known_rows(session: Session, root_id: int, relatives: Sequence[str]) -> dict[str, _Known]:
    columns = (
        Image.relative_path, Image.id, Image.size, Image.mtime_ns, Image.content_hash, Image.error, Image.missing_since,
    )  # fmt: skip
    found = session.execute(select(*columns).where(Image.folder_id == root_id, Image.relative_path.in_(relatives)))
    return {
        row.relative_path: _Known(
            row.id, row.size, row.mtime_ns, row.content_hash, row.error, row.missing_since is not None
        )
        for row in found
    }


def _must_read(item: FoundFile, row: _Known | None) -> bool:
    if row is None or row.error is not None or row.missing:
        return True
    return (row.size, row.mtime_ns) != (item.size, item.mtime_ns)


def _examine(item: FoundFile) -> _Examined:
    try:
        with item.path.open("rb") as file:
            content_hash = hashlib.file_digest(file, "sha256").hexdigest()
    except OSError:
        content_hash = ""  # probe() meets the same error and has the words for it
    try:
        return _Examined(content_hash, probe(item.path), None)
    except ImageError as error:
        return _Examined(content_hash, None, error.message)


def _write_trouble(session: Session, root_id: int, item: Trouble, row: _Known | None, tally: _Tally) -> None:
    values = {"error": item.reason, "missing_since": None}
    if row is not None:
        session.execute(update(Image).where(Image.id == row.id).values(values))
        return
    tally.seen.append(_insert(session, {"folder_id": root_id, "relative_path": item.relative, **values}))


def _write_photo(
    session: Session, root_id: int, item: FoundFile, row: _Known | None, read: _Examined, tally: _Tally
) -> None:
    values: dict[str, Any] = {
        "size": item.size,
        "mtime_ns": item.mtime_ns,
        "content_hash": read.content_hash,
        "width": read.info.width if read.info else 0,
        "height": read.info.height if read.info else 0,
        "missing_since": None,
        "error": read.error,
    }
    if read.error is None:
        tally.found += 1
    else:
        tally.errors.append(FileError(item.path, read.error))
    if row is not None:
        if row.content_hash not in ("", read.content_hash):
            tally.changed += 1
            _content_changed(session, row, read.content_hash)
        session.execute(update(Image).where(Image.id == row.id).values(values))
        return
    moved = _moved_from(session, read.content_hash)
    if moved is not None:
        tally.renamed += 1
        tally.seen.append(moved)
        place = {"folder_id": root_id, "relative_path": item.relative}
        session.execute(update(Image).where(Image.id == moved).values(**values, **place))
        return
    tally.added += read.error is None
    tally.seen.append(_insert(session, {"folder_id": root_id, "relative_path": item.relative, **values}))


def _insert(session: Session, values: dict[str, Any]) -> int:
    return session.execute(insert(Image).values(values).returning(Image.id)).scalar_one()


def _content_changed(session: Session, row: _Known, new_hash: str) -> None:
    """Other pixels under the same name: scores no longer hold, but a held-out photo stays held out."""
    session.execute(delete(Score).where(Score.caption_id.in_(select(Caption.id).where(Caption.image_id == row.id))))
    part = session.scalar(select(Split.part).where(Split.content_hash == row.content_hash))
    if part is not None and session.get(Split, new_hash) is None:
        session.add(Split(content_hash=new_hash, part=part, decided_at=now()))
        session.flush()


def _moved_from(session: Session, content_hash: str) -> int | None:
    """The photo with this content whose own file is not there any more: it was renamed or moved."""
    if not content_hash:
        return None
    same = select(Image.id, Image.relative_path, Folder.path).join(Folder).where(Image.content_hash == content_hash)
    for row in session.execute(same.order_by(Image.missing_since.is_(None), Image.id).limit(_COPIES)):
        if not os.path.lexists(Path(row.path) / PurePosixPath(row.relative_path)):
            return row.id
    return None


def _mark_missing(library: Library, root_id: int, start: str, tally: _Tally) -> int:
    """Rows that this scan did not meet: missing from now on; what never was a photo is forgotten."""
    with library.session() as session:
        rows = session.execute(
            select(Image.id, Image.relative_path, Image.error).where(
                Image.folder_id == root_id, Image.missing_since.is_(None)
            )
        ).all()
    ids = np.fromiter((row.id for row in rows), np.int64, len(rows))
    unseen = set(np.setdiff1d(ids, np.frombuffer(tally.seen, np.int64)).tolist())
    gone = [row for row in rows if row.id in unseen and _is_below(row.relative_path, start)]
    gone = [row for row in gone if not any(_is_below(row.relative_path, hidden) for hidden in tally.hidden)]
    for batch in _batches(gone, _BATCH):
        with library.writing() as session:
            never = [row.id for row in batch if row.error is not None]
            captioned = set(session.scalars(select(Caption.image_id).where(Caption.image_id.in_(never))))
            session.execute(delete(Image).where(Image.id.in_([i for i in never if i not in captioned])))
            session.execute(update(Image).where(Image.id.in_([row.id for row in batch])).values(missing_since=now()))
    return sum(row.error is None for row in gone)


def _is_below(relative: str, folder: str) -> bool:
    return not folder or relative == folder or relative.startswith(folder + "/")
