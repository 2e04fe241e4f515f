"""Copies of the database, made before it is changed as a whole; kept beside it, the old ones cleared away."""

from __future__ import annotations

import sqlite3
from contextlib import closing, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from core.disk import sync_file, sync_folder
from core.errors import UserError
from core.library.columns import now

KEPT = 3
"""Backups that stay: of the last three migrations."""
_PATTERN = "library-before-*.db"


@dataclass(frozen=True)
class Backup:
    """A copy of the database as it was before the migration to version ``before``."""

    path: Path
    before: str
    made_at: datetime


def back_up(database: Path, name: str, *, before: str) -> Path:
    """Copy the database, which may be in use, beside it; whole and on the disk when this returns.

    Raises ``UserError`` when there is no room for it; nothing else has happened then.
    """
    target = _free_name(database.parent, f"library-before-{before}-{now():%Y%m%d-%H%M%S}")
    partial = target.with_suffix(".part")
    try:
        copy(database, partial)
        partial.replace(target)
        sync_folder(target.parent)
    except (OSError, sqlite3.DatabaseError) as error:
        with suppress(OSError):
            partial.unlink(missing_ok=True)
        raise UserError(
            f"The library {name} must be brought up to date, and the copy that is made first cannot be written: "
            f"{error}. Nothing was changed.",
            f"See that {database.parent} has room and can be written, then open it again.",
        ) from error
    return target


def copy(source: Path, target: Path) -> None:
    """A complete and consistent copy of a database that may be in use, on the disk when this returns."""
    with closing(sqlite3.connect(source)) as reading, closing(sqlite3.connect(target)) as writing:
        reading.backup(writing)
    sync_file(target)


def list_backups(folder: Path) -> list[Backup]:
    """The backups of the library in ``folder``, newest first."""
    found = []
    for path in folder.glob(_PATTERN):
        _, _, rest = path.stem.partition("library-before-")
        before, _, moment = rest.partition("-")
        with suppress(ValueError):
            made_at = datetime.strptime(moment[:15], "%Y%m%d-%H%M%S").replace(tzinfo=UTC)
            found.append(Backup(path, before, made_at))
    return sorted(found, key=lambda one: (one.made_at, one.path.name), reverse=True)


def prune(folder: Path) -> None:
    """Remove all but the newest :data:`KEPT` backups, and what an interrupted one left."""
    for old in list_backups(folder)[KEPT:]:
        with suppress(OSError):
            old.path.unlink()
    for partial in folder.glob("library-before-*.part*"):
        with suppress(OSError):
            partial.unlink()


def _free_name(folder: Path, stem: str) -> Path:
    path, number = folder / f"{stem}.db", 1
    while path.exists():
        number += 1
        path = folder / f"{stem}-{number}.db"
    return path
