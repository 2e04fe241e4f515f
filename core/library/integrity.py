"""Whether a database is whole, and ours: what is looked at when it is opened, and what ``doctor`` looks at."""

from __future__ import annotations

import hashlib
import sqlite3
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import Table

from core.errors import UserError
from core.library import db
from core.library.tables import Base

FOREIGN = "holds {what}, which no Seedcap has put there"
KNOWN_OBJECTS: frozenset[str] = frozenset({
    # 0002: the word index caption_fts, the view it reads, and the triggers that keep it in step
    "18431f299fd3cf48", "ca6018980d1f88d9", "3e200198c49d62c3", "fb51136bced238b4", "ae97e8cb4ad4c0fc",
    # 0003: the name index name_fts, and the triggers that keep it in step
    "84bab5f75809a39d", "ce13559197286aa1", "92d7fe52a6ba63b9", "b8c837e21499d6ed",
})  # fmt: skip
"""Marks of the triggers, views and virtual tables that our migrations make; a test says when it must be renewed."""
_MOST = 20
_STEPS = 20_000  # of SQLite's machine, between two questions: some milliseconds


@dataclass(frozen=True)
class Health:
    """``problems``: sentences about what is wrong, none when all is well. ``notes``: what is known and harmless."""

    version: str
    photos: int
    captions: int
    problems: tuple[str, ...]
    notes: tuple[str, ...] = ()


def examine(folder: Path) -> Health:
    """Read all of the library in ``folder`` and say what is wrong with it; changes nothing.

    Raises ``UserError`` when it is no library, or one that only a newer program understands.
    """
    name, path = folder.name.removesuffix(".seedcap"), folder / "library.db"
    if not path.is_file():
        raise UserError(f"There is no library at {folder}.", "Name the folder that holds library.db.")
    try:
        version = db.read_version(path)
        problems = check_pages(path, thorough=True)
        require_ours(path, name, columns=version == db.SCHEMA_VERSION)
        with closing(db.connect(path, read_only=True)) as connection:
            photos, captions = (connection.execute(query).fetchone()[0] for query in _COUNTS)
            notes = _lost_shards(connection, folder)
    except sqlite3.DatabaseError as error:
        return Health("", 0, 0, (db.as_user_error(folder, name, error).message,))
    except UserError as error:
        return Health("", 0, 0, (error.message,))
    if version is not None and version not in db.KNOWN_VERSIONS:
        raise UserError(f"The library {name} was made by a newer Seedcap (schema {version}).", "Update Seedcap.")
    return Health(version or "", photos, captions, tuple(problems), tuple(notes))


_COUNTS = (
    "SELECT count(*) FROM image WHERE missing_since IS NULL AND error IS NULL",
    "SELECT count(*) FROM caption WHERE live",
)


def _lost_shards(connection: sqlite3.Connection, folder: Path) -> list[str]:
    rows = connection.execute("SELECT encoder, shard, count(*) FROM vector GROUP BY encoder, shard").fetchall()
    gone = [
        count for encoder, shard, count in rows
        if not (folder / "vectors" / str(encoder)[:16] / f"{int(shard):05d}.npy").is_file()
    ]  # fmt: skip
    return [f"The vectors of {sum(gone):,} photos are gone; they are made again when needed."] if gone else []


def require_ours(path: Path, name: str, *, columns: bool = True) -> None:
    """Refuse a database with triggers, views or virtual tables that are not ours, or (``columns``) without our tables.

    A trigger runs when we write, so a stranger's could change what a person typed. Raises ``UserError``.
    """
    with closing(db.connect(path, read_only=True)) as connection:
        rows = connection.execute(
            "SELECT type, name, coalesce(sql, '') FROM sqlite_master WHERE type IN ('trigger', 'view') "
            "OR (type = 'table' AND sql LIKE 'CREATE VIRTUAL%')"
        ).fetchall()
        for kind, object_name, sql in rows:
            if object_mark(kind, object_name, sql) not in KNOWN_OBJECTS:
                raise UserError(
                    f"The library {name} {FOREIGN.format(what=f'a {kind} named {object_name!r:.60}')}.",
                    "Do not use a library that you do not trust. To keep its captions and leave the rest behind: "
                    + db.recover_command(path.parent),
                )
        if not columns:
            return
        for table in Base.metadata.sorted_tables:
            if missing := _missing_columns(connection, table):
                raise db.damaged(path.parent, name, f"the table {table.name} lacks {', '.join(missing)}")


def object_mark(kind: str, name: str, sql: str) -> str:
    """A hash of what a trigger, view or virtual table is."""
    return hashlib.sha256("\n".join((str(kind), str(name), " ".join(str(sql).split()))).encode()).hexdigest()[:16]


def require_sound(path: Path, name: str) -> None:
    """Read every page of the database and check that they fit together; ``UserError`` when they do not."""
    if problems := check_pages(path):
        raise db.damaged(path.parent, name, problems[0])


def check_pages(path: Path, *, thorough: bool = False, stopped: Callable[[], bool] | None = None) -> list[str]:
    """What does not fit together in the file. ``thorough``: indexes are compared with their tables too.

    ``stopped`` is asked now and then; once it says yes, this ends with ``sqlite3.OperationalError``.
    """
    with closing(db.connect(path, read_only=True)) as connection:
        if stopped is not None:
            connection.set_progress_handler(stopped, _STEPS)
        pragma = "integrity_check" if thorough else "quick_check"
        try:
            found = [str(row[0]) for row in connection.execute(f"PRAGMA {pragma}({_MOST})")]
        except sqlite3.DatabaseError as error:
            if not db.is_damage(error):
                raise
            return [str(error)]
        problems = [] if found == ["ok"] else found
        if thorough:
            for table, _row, parent, _ in connection.execute("PRAGMA foreign_key_check").fetchmany(_MOST):
                problems.append(f"a row of {table} belongs to a row of {parent} that is not there")
        return problems


def _missing_columns(connection: sqlite3.Connection, table: Table) -> list[str]:
    rows = connection.execute(f'PRAGMA table_info("{table.name}")').fetchall()
    present = {row[1] for row in rows}
    return [column.name for column in table.columns if column.name not in present]
