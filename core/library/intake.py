"""Writing into the library what a scan finds, in transactions short enough that nobody waits for them."""

from __future__ import annotations

import os
import stat
import unicodedata
from array import array
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice, takewhile
from pathlib import Path, PurePosixPath
from typing import Any, Literal

import numpy as np
from sqlalchemy import (
    BindParameter,
    ColumnElement,
    LargeBinary,
    and_,
    bindparam,
    delete,
    exists,
    func,
    or_,
    select,
    update,
)
from sqlalchemy.dialects.sqlite import insert
from sqlalchemy.orm import Session

from core.images.content import Stamp, hash_of
from core.library import meta
from core.library.columns import now, stored_path
from core.library.examine import Examined
from core.library.library import Library
from core.library.pace import Pace
from core.library.roots import Place
from core.library.tables import Caption, Edit, EditPhoto, Folder, Image, Score, Split
from core.library.walk import FoundFile, Trouble

_COPIES = 32
"""Of how many copies of one photo it is asked at once whether their file is still there; the end of a scan asks all."""

_REPLACED = ".replaced"

TAKE_OUT = "take_out"
"""The kind of step by which photos go with their folder; a scan that meets them brings them back."""

Outcome = Literal["same", "added", "changed", "renamed", "returned", "put off"]


@dataclass(frozen=True)
class Known:
    """What the library says about a path before it is looked at."""

    id: int
    size: int
    mtime_ns: int
    content_hash: str
    error: str | None
    missing: bool


@dataclass(frozen=True)
class Gone:
    """Rows without their file: ``missing`` photos, or ``renamed``; of these, ``not_added`` were first taken for new."""

    missing: int = 0
    renamed: int = 0
    not_added: int = 0

    def __add__(self, other: Gone) -> Gone:
        return Gone(self.missing + other.missing, self.renamed + other.renamed, self.not_added + other.not_added)


@dataclass(frozen=True)
class Finding:
    """One path of the folder, what the library knew about it, and what reading it gave (``None``: need not be read)."""

    item: FoundFile | Trouble
    row: Known | None
    read: Examined | None = None


class Intake:
    """Takes the findings of one scan of one place into the library."""

    def __init__(self, library: Library, place: Place) -> None:
        self._library = library
        self._place = place
        self.pace = Pace()
        self._hidden: list[str] = []
        self._seen: array[int] = array("q")
        self._moved: set[int] = set()
        self._displaced: set[int] = set()
        self.origins: Counter[tuple[int, str]] = Counter()
        """How many photos came from which other folder of the library (its row, what comes before their paths now)."""
        with library.session() as session:
            self.last_id = session.scalar(select(func.max(Image.id))) or 0
            self.known_photos = session.scalar(select(func.count()).select_from(Image).where(self._present())) or 0

    def removed(self) -> int:
        """How many of the files here are of photos that a person took out of the library."""
        out = select(func.count()).select_from(Image).where(self._present(), Image.removed_at.is_not(None))
        with self._library.session() as session:
            return session.scalar(out) or 0

    def known(self, relatives: Sequence[str]) -> dict[str, Known]:
        columns = (
            Image.relative_path, Image.id, Image.size, Image.mtime_ns, Image.content_hash, Image.error,
            Image.missing_since,
        )  # fmt: skip
        query = select(*columns).where(Image.folder_id == self._place.root_id, Image.relative_path.in_(relatives))
        with self._library.session() as session:
            return {
                row[0]: Known(row[1], row[2], row[3], row[4], row[5], row[6] is not None)
                for row in session.execute(query)
            }

    def saw(self, row: Known) -> None:
        """The file of this row is there."""
        self._seen.append(row.id)

    def note_hidden(self, item: FoundFile | Trouble) -> None:
        """What lies below a folder that could not be looked into is not missing, only out of sight."""
        if isinstance(item, Trouble) and item.hides_content:
            self._hidden.append(item.relative)

    def write(self, findings: Sequence[Finding], *, all_met: bool = False) -> list[Outcome]:
        """One transaction; what became of each finding, in order. A file that vanished meanwhile is no finding.

        A file that holds something else than it did is ``put off``: only when the scan has met all files (``all_met``)
        it is known whether its photo was edited, or goes on under another name.
        """
        for finding in findings:
            if finding.row is not None:
                self.saw(finding.row)
            self.note_hidden(finding.item)
        with self.pace.timed(), self._library.writing() as session:
            batch = _Batch(session, self._place, self._moved, self._displaced, self.origins)
            return batch.write(findings, all_met)

    def mark_missing(self, between: Callable[[], None]) -> Gone:
        """Rows whose file this scan did not meet: missing from now on, or moved to a file that it did meet.

        What never was a photo is forgotten. ``between`` is called between two transactions.
        """
        total = Gone()
        met = np.concatenate([np.frombuffer(self._seen, np.int64), np.array(sorted(self._moved), np.int64)])
        unseen = np.setdiff1d(self._ids_before(), met)
        unseen = np.concatenate([unseen, np.array(sorted(self._displaced), np.int64)])
        start = 0
        while start < len(unseen):
            between()
            batch = unseen[start : start + self.pace.rows].tolist()
            start += len(batch)
            with self.pace.timed(), self._library.writing() as session:
                total += self._part_with(session, batch)
        return total

    def _present(self) -> ColumnElement[bool]:
        here = and_(Image.folder_id == self._place.root_id, Image.missing_since.is_(None))
        return and_(here, _below(self._place.start)) if self._place.start else here

    def _ids_before(self) -> np.ndarray:
        query = select(Image.id).where(self._present(), Image.id <= self.last_id)
        with self._library.session() as session:
            cursor = session.connection().execute(query).cursor
            rows = iter(cursor.fetchone, None) if cursor else ()
            return np.fromiter((row[0] for row in rows), np.int64)

    def _part_with(self, session: Session, ids: list[int]) -> Gone:
        columns = (Image.id, Image.relative_path, Image.error, Image.content_hash, Image.removed_at)
        rows = session.execute(select(*columns).where(Image.id.in_(ids))).all()
        rows = [row for row in rows if not any(_is_below(row.relative_path, hidden) for hidden in self._hidden)]
        captioned = captioned_among(session, [row.id for row in rows])
        total = Gone()
        gone: list[int] = []
        for row in rows:
            lost, removed = row.id in self._displaced, row.removed_at is not None
            # A photo that was taken out must not take the place of a copy that was not.
            heir = heir_of(session, row, after=self.last_id, any_copy=row.id in captioned and not removed)
            if heir is not None:
                take_over(session, row.id, heir)
                total += Gone(renamed=1, not_added=heir > self.last_id)
            elif row.id in captioned or removed or (row.error is None and not lost):
                gone.append(row.id)
                total += Gone(missing=row.error is None and not removed)
            else:
                session.execute(delete(Image).where(Image.id == row.id))
                total += Gone(missing=row.error is None)
        session.execute(update(Image).where(Image.id.in_(gone)).values(missing_since=now()))
        return total


class _Batch:
    """One transaction of a scan."""

    def __init__(
        self,
        session: Session,
        place: Place,
        moved: set[int],
        displaced: set[int],
        origins: Counter[tuple[int, str]],
    ) -> None:
        self._session = session
        self._place = place
        self._moved = moved
        self._displaced = displaced
        self._origins = origins
        self._new: list[dict[str, Any]] = []
        self._updated: list[dict[str, Any]] = []

    def write(self, findings: Sequence[Finding], all_met: bool) -> list[Outcome]:
        self._all_met = all_met
        self._in_trash = meta.in_trash(self._session)
        hashes = {finding.read.content_hash for finding in findings if finding.read and _is_other(finding)} - {""}
        query = select(Image.content_hash).where(Image.content_hash.in_(hashes)).distinct()
        self._elsewhere = set(self._session.scalars(query)) if hashes else set()
        outcomes: list[Outcome] = [self._take(finding) for finding in findings]
        if self._new:
            self._session.connection().execute(insert(Image).on_conflict_do_nothing(), self._new)
        if self._updated:
            change = update(Image).where(Image.id == bindparam("row"))
            self._session.connection().execute(change, self._updated)
        return outcomes

    def _take(self, finding: Finding) -> Outcome:
        if finding.row is not None and finding.row.id in self._moved:
            finding = replace(finding, row=None)  # given to another file since it was looked up
        item, row, read = finding.item, finding.row, finding.read
        if isinstance(item, Trouble):
            self._keep(item.relative, row, _values(0, 0, "", error=item.reason))
            return "same"
        if read is None:
            assert row is not None
            self._session.execute(update(Image).where(Image.id == row.id).values(missing_since=None))
            return "returned"
        values = _values(
            read.size,
            read.mtime_ns,
            read.content_hash,
            read.error,
            width=read.info.width if read.info else 0,
            height=read.info.height if read.info else 0,
        )
        if _is_other(finding) and read.content_hash in self._elsewhere:
            owner = self._moved_from(item, read.content_hash)
            if owner is not None:
                if row is not None:
                    self._displace(row, item.relative)
                self._move(owner, item.relative, values)
                return "renamed"
        if row is None:
            self._keep(item.relative, None, values)
            return "added"
        if _is_other(finding) and row.content_hash:
            if row.id in self._in_trash:
                self._displace(row, item.relative)  # its own file may come back; this is another photo
                self._keep(item.relative, None, values)
                return "added"
            if not self._all_met:
                return "put off"
            content_changed(self._session, row.id, row.content_hash, read.content_hash)
            self._session.execute(update(Image).where(Image.id == row.id).values(**values, changed_at=now()))
            return "changed"
        self._keep(item.relative, row, values)
        return "returned" if row.missing else "same"

    def _move(self, owner: int, relative: str, values: dict[str, Any]) -> None:
        self._moved.add(owner)
        self._displaced.discard(owner)
        place: dict[str, Any] = {"folder_id": self._place.root_id, "relative_path": relative}
        if came_with_its_folder(self._session, owner):
            place["removed_at"] = None
        self._session.execute(update(Image).where(Image.id == owner).values(**values, **place))

    def _displace(self, row: Known, relative: str) -> None:
        """Another photo has been renamed to this one's name: it waits, as missing, for its own to be met elsewhere."""
        self._moved.add(row.id)
        self._displaced.add(row.id)
        waiting = {"relative_path": waiting_path(row.id, relative), "missing_since": now()}
        self._session.execute(update(Image).where(Image.id == row.id).values(**waiting))

    def _keep(self, relative: str, row: Known | None, values: dict[str, Any]) -> None:
        if row is None:
            self._new.append({"folder_id": self._place.root_id, "relative_path": relative, **values})
        elif values["content_hash"] or values["error"] is None:
            self._updated.append({"row": row.id, **values})
        else:  # it could not be read: what was known about its content stays, for the day when it can be again
            kept = {"size": row.size, "mtime_ns": row.mtime_ns, "content_hash": row.content_hash}
            self._updated.append({"row": row.id, **values, **kept})

    def _moved_from(self, item: FoundFile, content_hash: str) -> int | None:
        """The photo with this content whose own file is not there any more, or holds something else: it was renamed.

        Names are passed on in a row (2 becomes 1, 3 becomes 2), and then each name but the last still has a file. Of
        several such photos, the one with the same name.
        """
        columns = (Image.id, Image.relative_path, Image.size, Image.mtime_ns, Image.folder_id, Folder.path)
        same = select(*columns).join(Folder).where(Image.content_hash == content_hash)
        rows = self._session.execute(same.order_by(Image.missing_since.is_(None), Image.id).limit(_COPIES)).all()
        gone = [
            row
            for row in rows
            if (row.id not in self._moved or row.id in self._displaced)
            and not _is_there(_path(row), item.path, content_hash, (row.size, row.mtime_ns))
        ]
        if not gone:
            return None
        owner = max(gone, key=lambda row: _same_ending(row.relative_path, item.relative))
        self._note_origin(owner.folder_id, owner.relative_path, item.relative)
        return owner.id

    def _note_origin(self, folder_id: int, old: str, new: str) -> None:
        if folder_id != self._place.root_id and f"/{new}".endswith(f"/{old}"):
            self._origins[folder_id, new[: len(new) - len(old)]] += 1


def waiting_path(image_id: int, relative: str) -> str:
    """Where, in a folder that no scan looks into, the row of a photo waits that has no place of its own any more."""
    return f"{_REPLACED}/{image_id}/{relative}"


def _is_other(finding: Finding) -> bool:
    """Whether the content read at this path is not the one that the library knows there."""
    row, read = finding.row, finding.read
    return read is not None and bool(read.content_hash) and (row is None or row.content_hash != read.content_hash)


def content_changed(session: Session, image_id: int, old_hash: str, new_hash: str) -> None:
    """Other pixels under the same name: captions stay (``changed_at`` marks those of before), scores no longer hold,
    and a held-out photo stays held out."""
    captions = select(Caption.id).where(Caption.image_id == image_id)
    session.execute(delete(Score).where(Score.caption_id.in_(captions)))
    part = session.scalar(select(Split.part).where(Split.content_hash == old_hash))
    if part is not None:
        kept = insert(Split).values(content_hash=new_hash, part=part, decided_at=now())
        session.execute(kept.on_conflict_do_nothing())


def heir_of(session: Session, gone: Any, *, after: int | None, any_copy: bool) -> int | None:
    """The row of a file that takes the place of ``gone`` (with ``relative_path`` and ``content_hash``), or ``None``.

    It has the same content, no captions, and was not taken out of the library. It is newer than ``after``, so that a
    scan has just found it (the file was renamed); or, with ``any_copy``, so that no caption goes out of sight, an older
    copy: to move photos to another drive is to copy them first, and a scan may come in between. Of several it is the
    one with the same name.
    """
    if not gone.content_hash:
        return None
    same = select(Image.id, Image.relative_path, Folder.path).join(Folder)
    same = same.where(
        Image.content_hash == gone.content_hash,
        Image.missing_since.is_(None),
        Image.removed_at.is_(None),
        ~exists().where(Caption.image_id == Image.id),
    )
    if not any_copy:
        same = same.where(Image.id > after)
    rows = session.execute(same.order_by(Image.id.desc()).limit(_COPIES)).all()
    fitting = [row for row in rows if (after is not None and row.id > after) or os.path.lexists(_path(row))]
    return max(fitting, key=lambda row: _same_ending(row.relative_path, gone.relative_path)).id if fitting else None


def came_with_its_folder(session: Session, image_id: int) -> bool:
    """Of a photo that is met: whether it was its folder that was taken out of the library last, and not this photo.

    That step lets go of it: undone and done again, it would take a photo out whose file is there.
    """
    steps = select(EditPhoto.edit_id, Edit.kind, Edit.undone).join(Edit, Edit.id == EditPhoto.edit_id)
    steps = steps.where(EditPhoto.image_id == image_id).order_by(EditPhoto.edit_id.desc())
    rows = session.execute(steps).all()
    if rows and rows[0].kind == TAKE_OUT:
        of_folder = delete(EditPhoto).where(EditPhoto.image_id == image_id, EditPhoto.edit_id == rows[0].edit_id)
        session.execute(of_folder)
    done = next((row for row in rows if not row.undone), None)
    return done is not None and done.kind == TAKE_OUT


def captioned_among(session: Session, image_ids: Iterable[int]) -> set[int]:
    """Those of these photos that have captions, of any state, or had."""
    return set(session.scalars(select(Caption.image_id).where(Caption.image_id.in_(list(image_ids)))))


def take_over(session: Session, old: int, heir: int) -> None:
    """Give the row ``old``, whose file is gone, the place of the row ``heir``, which goes."""
    columns = (Image.folder_id, Image.relative_path, Image.size, Image.mtime_ns, Image.width, Image.height, Image.error)
    values = session.execute(select(*columns).where(Image.id == heir)).one()._asdict()
    session.execute(delete(Image).where(Image.id == heir))
    session.execute(update(Image).where(Image.id == old).values(**values, missing_since=None))


def _values(
    size: int, mtime_ns: int, content_hash: str, error: str | None, width: int = 0, height: int = 0
) -> dict[str, Any]:
    return {
        "size": size, "mtime_ns": mtime_ns, "content_hash": content_hash, "error": error, "width": width,
        "height": height, "missing_since": None,
    }  # fmt: skip


def _path(row: Any) -> Path:
    return Path(row.path) / PurePosixPath(row.relative_path)


def _same_ending(one: str, other: str) -> int:
    """How many of their last parts two paths share."""
    pairs = zip(reversed(one.split("/")), reversed(other.split("/")), strict=False)
    return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], pairs))


def _is_there(old: Path, found: Path, content_hash: str, stamp: Stamp) -> bool:
    """Whether the file ``old`` still is there with this content, which had this stamp, and is not ``found`` itself.

    Where case or accents do not tell names apart (Windows, macOS), a file renamed to ``A.JPG`` still answers to
    ``a.jpg``; only the list of its folder says what it is called.
    """
    try:
        if not holds(old, content_hash, stamp):
            return False
        return _folded(old) != _folded(found) or any(one.name == old.name for one in old.parent.iterdir())
    except OSError:
        return False


def holds(path: Path, content_hash: str, stamp: Stamp) -> bool:
    """Whether the file has this content, which had this stamp of size and time.

    Read only where size and time do not tell. Raises ``OSError``; what may not be looked into may still hold it.
    """
    try:
        status = path.stat()
        if (status.st_size, status.st_mtime_ns) == stamp:
            return True
        return stat.S_ISREG(status.st_mode) and status.st_size == stamp[0] and hash_of(path) == content_hash
    except PermissionError:
        return True


def _folded(path: Path) -> str:
    return unicodedata.normalize("NFC", str(path)).casefold()


def _below(start: str) -> ColumnElement[bool]:
    """Paths of ``start`` and below it, as ranges that an index answers; a name that is not Unicode is kept as bytes."""
    as_bytes = os.fsencode(start)
    ranges: list[tuple[Any, Any]] = [(_bytes(as_bytes + b"/"), _bytes(as_bytes + b"0"))]  # "0" comes after "/"
    if isinstance(stored_path(start), str):
        ranges.append((start + "/", start + "0"))
    inside = [and_(Image.relative_path >= low, Image.relative_path < high) for low, high in ranges]
    return or_(Image.relative_path == start, *inside)


def _bytes(value: bytes) -> BindParameter[bytes]:
    return bindparam(None, value, LargeBinary, unique=True)


def _is_below(relative: str, folder: str) -> bool:
    return not folder or relative == folder or relative.startswith(folder + "/")


def batches(items: Iterable[Any], size: int) -> Iterator[list[Any]]:
    iterator = iter(items)
    while batch := list(islice(iterator, size)):
        yield batch
