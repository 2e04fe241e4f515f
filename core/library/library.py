"""A library: a folder ``NAME.seedcap/`` with the database, the vectors, the runs and the bundles."""

from __future__ import annotations

import hashlib
import json
import os
import re
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from itertools import islice
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

from core import paths
from core.errors import UserError
from core.library import db, recovery_files
from core.library.columns import DamagedValueError, path_from_stored, stored_path
from core.library.lock import InstanceLock

SUFFIX = ".seedcap"
DATABASE = "library.db"
_LOOKED_AT = 32
"""How many photos of a folder tell whether it is one that a library knows under another name."""


class Library:
    """An open library. Any thread may use it; sessions are short and belong to the thread that opened them.

    ``exclusive=True`` is for the application that owns the library for a while (the window, a command that changes
    it); its worker processes and mere readers open without it. See :mod:`core.library.lock`.
    """

    def __init__(self, folder: Path, *, exclusive: bool = False) -> None:
        """Use :meth:`open`, :meth:`create` or :meth:`open_or_create`."""
        self.path = absolute(folder)
        self._lock = InstanceLock(folder / "lock") if exclusive else None
        self._engine = db.make_engine(self.path / DATABASE)  # connects when first used
        self._writer = db.writing_engine(self._engine)
        try:
            left_open = self._lock is not None and self._lock.was_left_open
            if exclusive:
                recovery_files.finish_swap(self.path)
            db.prepare(self.path / DATABASE, self.name, look_over=left_open)
            if exclusive:
                self._after_a_crash()
        except BaseException:
            self._close(in_order=False)
            raise

    @classmethod
    def create(cls, folder: Path, *, exclusive: bool = False) -> Self:
        """A new library in ``folder`` (``.seedcap`` is added to its name if missing); refuses an existing one."""
        folder = _with_suffix(folder)
        if (folder / DATABASE).exists():
            raise UserError(f"There is already a library at {folder}.", "Open it, or choose another name.")
        if folder.is_dir() and any(folder.iterdir()):
            raise UserError(f"{folder} is not empty.", "Choose a new name for the library.")
        try:
            for part in (folder, folder / "vectors", folder / "runs", folder / "bundles"):
                part.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UserError(
                f"The library cannot be made at {folder}: {error.strerror}.", "Choose another place."
            ) from error
        return cls(folder, exclusive=exclusive)

    @classmethod
    def open(cls, folder: Path, *, exclusive: bool = False) -> Self:
        """The library at ``folder``; migrated first, after a backup, when an older program made it."""
        place = folder if (folder / DATABASE).exists() else _with_suffix(folder)
        if not (place / DATABASE).exists():
            raise UserError(
                f"There is no library at {folder}.", "Open a folder of photos to make one.", topic="no library"
            )
        return cls(place, exclusive=exclusive)

    @classmethod
    def open_or_create(cls, folder: Path, *, exclusive: bool = False) -> Self:
        place = folder if (folder / DATABASE).exists() else _with_suffix(folder)
        opener = cls.open if (place / DATABASE).exists() else cls.create
        return opener(place, exclusive=exclusive)

    @classmethod
    def for_photos(cls, folder: Path, *, exclusive: bool = False) -> Self:
        """The library in the data folder that holds ``folder``, or a folder above it, or a folder that is gone and had
        these photos (it was renamed: a scan moves them); made when there is none yet."""
        folder = absolute(folder)
        if not folder.is_dir():
            raise UserError(f"There is no folder {folder}.", "Check its name.")
        found = _library_holding(folder) or _library_of_moved(folder)
        if found is not None:
            return cls.open(found, exclusive=exclusive)
        name = re.sub(r"[^\w .-]", "_", folder.name).strip(" .") or "photos"
        mark = hashlib.sha256(os.fsencode(folder)).hexdigest()[:8]
        return cls.open_or_create(libraries_dir() / f"{name[:80]}-{mark}{SUFFIX}", exclusive=exclusive)

    @property
    def name(self) -> str:
        return self.path.name.removesuffix(SUFFIX)

    @property
    def vectors_dir(self) -> Path:
        return self.path / "vectors"

    @property
    def runs_dir(self) -> Path:
        return self.path / "runs"

    @property
    def bundles_dir(self) -> Path:
        return self.path / "bundles"

    @contextmanager
    def session(self) -> Iterator[Session]:
        """A session for reading: everything in it sees one state of the library."""
        with self._errors_in_words(), Session(self._engine) as session, session.begin():
            yield session

    @contextmanager
    def writing(self) -> Iterator[Session]:
        """A session that writes: commits at the end, rolls back on any exception. Keep it short: writers take turns."""
        with self._errors_in_words(), Session(self._writer) as session, session.begin():
            session.connection()  # begins now, not with the first statement
            yield session

    @contextmanager
    def _errors_in_words(self) -> Iterator[None]:
        """A full disk, a lock held too long or a damaged file is for the person to know; other errors are bugs."""
        try:
            yield
        except DBAPIError as error:
            if not db.is_the_outside_world(error.orig):
                raise
            raise db.as_user_error(self.path, self.name, error.orig) from error
        except DamagedValueError as error:
            raise UserError(f"{self.name}: {error.message}", error.next_step) from error
        except json.JSONDecodeError as error:  # the program wrote this text, and wrote it well
            raise db.damaged(self.path, self.name, f"a settings text cannot be read: {error}") from error

    def close(self) -> None:
        """Close the database and give the lock up. Closing twice is fine."""
        self._close(in_order=True)

    def _close(self, *, in_order: bool) -> None:
        self._engine.dispose()
        if self._lock:
            self._lock.release(clean=in_order)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _after_a_crash(self) -> None:
        """Nobody else can be at work here now: what still claims to be running has been cut off."""
        with self.writing() as session:
            connection = session.connection()
            for table, column in (("run", "status"), ("job", "state")):
                connection.exec_driver_sql(f"UPDATE {table} SET {column} = 'interrupted' WHERE {column} = 'running'")
            # A job whose list of photos was not finished cannot be gone on with.
            connection.exec_driver_sql("DELETE FROM job WHERE state = 'preparing'")


def absolute(path: Path) -> Path:
    """``path`` made absolute without following links: a person knows a folder by the name they gave."""
    return Path(os.path.abspath(path))  # noqa: PTH100 - Path.absolute() keeps "..", Path.resolve() follows links


def libraries_dir() -> Path:
    """Where the libraries lie that ``open FOLDER`` makes."""
    return paths.data_dir() / "libraries"


def _with_suffix(folder: Path) -> Path:
    return folder if folder.name.endswith(SUFFIX) else folder.with_name(folder.name + SUFFIX)


def _library_holding(folder: Path) -> Path | None:
    wanted = {str(folder), *(str(parent) for parent in folder.parents)}
    best: tuple[int, Path] | None = None
    for database in sorted(libraries_dir().glob(f"*{SUFFIX}/{DATABASE}")):
        for held in _folders_of(database):
            if held in wanted and (best is None or len(held) > best[0]):
                best = (len(held), database.parent)
    return best[1] if best else None


def _library_of_moved(folder: Path) -> Path | None:
    """The library with a folder that is not there any more and held most of these photos: the same paths below it, the
    same sizes and times, which a folder keeps when it is renamed or moved. Some photos are looked at, none is read."""
    from core.library.walk import FoundFile, walk  # it brings the decoders in

    photos = list(islice((one for one in walk(folder) if isinstance(one, FoundFile)), _LOOKED_AT))
    known = "SELECT 1 FROM image WHERE folder_id = ? AND relative_path = ? AND size = ? AND mtime_ns = ?"
    best: tuple[int, Path] | None = None
    for database in sorted(libraries_dir().glob(f"*{SUFFIX}/{DATABASE}")):
        for number, path in _ask(database, "SELECT id, path FROM folder"):
            if os.path.lexists(path_from_stored(path)):
                continue
            questions = [(number, stored_path(one.relative), one.size, one.mtime_ns) for one in photos]
            met = sum(1 for question in questions if _ask(database, known, question))
            if 2 * met > len(photos) and (best is None or met > best[0]):
                best = (met, database.parent)
    return best[1] if best else None


def _folders_of(database: Path) -> list[str]:
    return [path_from_stored(row[0]) for row in _ask(database, "SELECT path FROM folder")]


def _ask(database: Path, question: str, values: Sequence[Any] = ()) -> list[Any]:
    """What another library says; nothing if it is damaged, which is reported when it is opened."""
    try:
        with closing(db.connect(database)) as connection:
            return connection.execute(question, values).fetchall()
    except sqlite3.Error:
        return []
