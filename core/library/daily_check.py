"""A thorough look at an open library's database, once a day: damage is found while a backup or a copy still helps.

Opening reads no more than it must, and all of the file only after a crash; a bad sector or another program's hand
would otherwise be seen when the row that lies there is wanted.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import closing, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

from core.errors import UserError
from core.library import db, integrity
from core.library.columns import now
from core.library.meta import LOOKED_OVER

_EVERY = timedelta(days=1)


def daily_check(folder: Path, stopped: Callable[[], bool]) -> bool:
    """Read every page, index and reference of the library in ``folder``, unless that was done within a day.

    Meant for a thread of its own: it only reads, until at the end it notes the time. ``stopped`` is asked now and then,
    and ends it. Returns whether it has looked at all and found it whole; what is damaged is looked at again each time.
    Raises ``UserError`` when it is damaged, or the disk does not give it.
    """
    path, name = folder / "library.db", folder.name.removesuffix(".seedcap")
    try:
        if stopped() or not _is_due(path):
            return False
        problems = integrity.check_pages(path, thorough=True, stopped=stopped)
    except sqlite3.DatabaseError as error:
        if stopped():
            return False
        raise db.as_user_error(folder, name, error) from error
    if problems:
        found = db.damaged(folder, name, problems[0])
        raise UserError(found.message, f"Close this library first. {found.next_step}")
    with suppress(sqlite3.OperationalError):  # busy, or a full disk: then it is looked at again
        _note(path)
    return True


def _is_due(path: Path) -> bool:
    with closing(db.connect(path, read_only=True)) as connection:
        row = connection.execute("SELECT value FROM meta WHERE key = ?", (LOOKED_OVER,)).fetchone()
    try:
        last = datetime.fromisoformat(row[0]).astimezone(UTC) if row else None
    except (ValueError, TypeError, OverflowError):
        last = None
    return last is None or not timedelta(0) <= now() - last < _EVERY  # a clock may have been wrong


def _note(path: Path) -> None:
    with closing(db.connect(path)) as connection:
        connection.execute("INSERT OR REPLACE INTO meta (key, value) VALUES (?, ?)", (LOOKED_OVER, now().isoformat()))
