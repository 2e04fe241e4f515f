"""Getting back what can be read of a damaged library. The damaged file is never written to: a copy of it is kept."""

from __future__ import annotations

import csv
import shutil
import sqlite3
from collections.abc import Mapping
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import Table

from core.disk import sync_file
from core.errors import UserError
from core.jobs import JobContext
from core.library import backups, db, integrity
from core.library.columns import UtcTime, now
from core.library.lock import InstanceLock
from core.library.pagescan import DatabasePages
from core.library.recovery_files import DATABASE, NOTE, finish_swap, keep_damaged, swap_in
from core.library.salvage import Holes, fit_to_keep, read_rows, rows_like
from core.library.tables import Base

# What people wrote comes first; what can be made again (scores, where vectors lie) comes last.
_FIRST = ("caption", "folder", "image", "edit", "split", "run", "meta")
_MADE_AGAIN = {"score": "they are computed again", "vector": "those photos are looked at again"}


@dataclass(frozen=True)
class RecoveryReport:
    """``kept``: rows of each table; ``lost``: sentences about what could not be read, none when all was;
    ``damaged``: the untouched copy of the file as it was found; ``words``: a file with captions whose photo is not
    known any more."""

    library: Path
    damaged: Path
    kept: Mapping[str, int]
    lost: tuple[str, ...]
    words: Path | None = None


def recover(ctx: JobContext, folder: Path) -> RecoveryReport:
    """Put a sound database with every readable row in the place of the damaged one of the library in ``folder``.

    The damaged file is copied first and never written to; a crash at any moment leaves either database in place.
    Raises ``UserError`` when the library is in use, made by a newer program, or there is no room.
    """
    name = folder.name.removesuffix(".seedcap")
    if not (folder / DATABASE).is_file():
        raise UserError(f"There is no library at {folder}.", "Name the folder that holds library.db.")
    lock = InstanceLock(folder / "lock")
    try:
        finish_swap(folder)
        ctx.progress(0, None, "Keeping a copy of the damaged file")
        kept = keep_damaged(folder)
        report = _rebuild(ctx, folder, kept, name)
    except (OSError, sqlite3.DatabaseError) as error:
        lock.release(clean=False)
        raise UserError(
            f"The library {name} could not be recovered: {error}. Its file is as it was.",
            f"See that {folder} has room for two more copies of library.db, then try again.",
        ) from error
    except BaseException:
        lock.release(clean=False)
        raise
    lock.release()
    return report


def _rebuild(ctx: JobContext, folder: Path, damaged: Path, name: str) -> RecoveryReport:
    for old in folder.glob("library-recovered-*"):
        old.unlink()
    working = folder / f"library-recovered-{now():%Y%m%d-%H%M%S}.reading"
    target = working.with_suffix(".db")
    try:
        for beside in ("", "-wal", "-journal"):  # the copy is read through a copy: opening a database may write to it
            source = damaged.with_name(damaged.name + beside)
            if source.exists():
                shutil.copyfile(source, working.with_name(working.name + beside))
        version = _version(working, name)
        db.migrate(target, version)
        kept, lost, words = _copy_rows(ctx, working, target, folder)
        if version != db.SCHEMA_VERSION:
            db.migrate(target)
        with closing(db.connect(target)) as connection:
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        if problems := integrity.check_pages(target, thorough=True):
            raise sqlite3.DatabaseError(f"the recovered database is not sound: {problems[0]}")
        swap_in(folder, target)
    finally:
        swapping = (folder / NOTE).exists()  # cut off in the middle: whoever opens the library next goes on with it
        for left in folder.glob(f"{working.stem}.*"):
            if not (swapping and left == target):
                with suppress(OSError):
                    left.unlink()
    return RecoveryReport(folder, damaged, kept, tuple(lost), words)


def _version(database: Path, name: str) -> str:
    """The schema of a damaged database; where it cannot be read, the one of this program."""
    with suppress(sqlite3.DatabaseError):
        version = db.read_version(database)
        if version is not None and version not in db.KNOWN_VERSIONS:
            raise UserError(
                f"The library {name} was made by a newer Seedcap (its schema is {version}).",
                "Update Seedcap to recover it; nothing was changed.",
            )
        if version is not None:
            return version
    return db.SCHEMA_VERSION


def _copy_rows(
    ctx: JobContext, source: Path, target: Path, folder: Path
) -> tuple[dict[str, int], list[str], Path | None]:
    """Copy every readable row; returns rows kept by table, sentences about the rest, and the file of lone captions."""
    tables = Base.metadata.tables
    order = [*_FIRST, *(table for table in tables if table not in (*_FIRST, *_MADE_AGAIN)), *_MADE_AGAIN]
    lost: list[str] = []
    pages = DatabasePages(source)
    with closing(db.connect(target)) as writing:
        writing.execute("PRAGMA foreign_keys=OFF")
        writing.execute("PRAGMA trusted_schema=ON")  # this one is made by our own migrations
        with closing(_open_damaged(source)) as reading:
            for number, table in enumerate(order):
                ctx.check_cancelled()
                ctx.progress(number, len(order), f"Reading {table}s")
                if table in tables:
                    lost += _copy_table(_Damaged(reading, pages), writing, table)
        if not any(_count(writing, table) for table in ("caption", "image") if _columns(writing, table)):
            raise UserError(
                "Nothing in the file could be read any more, neither captions nor photos. It is as it was.",
                _backups_in_words(folder),
            )
        words = _mend(writing, folder, lost)
        kept = {table: _count(writing, table) for table in order if table in tables and _columns(writing, table)}
        ctx.progress(len(order), len(order), "Checking")
    return kept, lost, words


def _open_damaged(path: Path) -> sqlite3.Connection:
    connection = db.connect(path)
    connection.text_factory = lambda value: value.decode("utf-8", "replace")
    with suppress(sqlite3.DatabaseError):
        # Reads on where a part of the schema is damaged; nothing is written.
        connection.execute("PRAGMA writable_schema=ON")
    return connection


@dataclass(frozen=True)
class _Damaged:
    """A damaged database: ``reading`` follows its trees as far as they lead, ``pages`` has what they do not reach."""

    reading: sqlite3.Connection
    pages: DatabasePages


def _copy_table(source: _Damaged, writing: sqlite3.Connection, name: str) -> list[str]:
    table, holes = Base.metadata.tables[name], Holes()
    known = [row[1] for row in writing.execute(f'PRAGMA table_info("{name}")')]
    if not known:
        return []
    present = _columns(source.reading, name)
    columns = [column for column in known if column in present]
    adder = _Adder(writing, table)
    writing.execute("BEGIN")
    if columns:
        most = source.pages.count * source.pages.size // 8
        for row in read_rows(source.reading, table, columns, holes, most=most):
            adder.add(dict(zip(columns, row, strict=True)))
    if table.dialect_options["sqlite"]["with_rowid"] and (not columns or not holes.none):
        before = adder.added
        for row in rows_like(source.pages, table, known, None if not columns else holes.ranges):
            adder.add(row)
        holes.rows = max(0, holes.rows - (adder.added - before))
    writing.execute("COMMIT")
    holes.unknown |= not columns
    return _sentences(name, holes, adder.spoiled)


class _Adder:
    """Writes rows that make sense; a row that is there already stays."""

    def __init__(self, writing: sqlite3.Connection, table: Table) -> None:
        self._writing, self._table = writing, table
        self.added, self.spoiled = 0, 0

    def add(self, row: Mapping[str, Any]) -> None:
        fitted = fit_to_keep(self._table, row)
        if fitted is None:
            self.spoiled += 1
            return
        names = ", ".join(f'"{column}"' for column in fitted)
        statement = f'INSERT OR IGNORE INTO "{self._table.name}" ({names}) VALUES ({", ".join("?" * len(fitted))})'
        self.added += max(0, self._writing.execute(statement, list(fitted.values())).rowcount)


def _backups_in_words(folder: Path) -> str:
    found = backups.list_backups(folder)
    if not found:
        return "There is no backup beside it; captions that were exported can be imported into a new library."
    return f"The newest backup is {found[0].path}, of {found[0].made_at:%Y-%m-%d}: copy it over library.db."


def _columns(connection: sqlite3.Connection, table: str) -> set[str]:
    try:
        return {row[1] for row in connection.execute(f'PRAGMA table_info("{table}")')}
    except sqlite3.DatabaseError:
        return set()


def _count(connection: sqlite3.Connection, table: str) -> int:
    return connection.execute(f'SELECT count(*) FROM "{table}"').fetchone()[0]


def _sentences(name: str, holes: Holes, spoiled: int) -> list[str]:
    found = []
    if not holes.none:
        many = f"Up to {holes.rows:,}" if holes.rows and not holes.unknown else "Some"
        then = f"; {_MADE_AGAIN[name]}" if name in _MADE_AGAIN else ""
        found.append(f"{many} rows of the table '{name}' could not be read{then}.")
    if spoiled:
        found.append(f"{spoiled:,} rows of the table '{name}' made no sense any more.")
    return found


def _mend(writing: sqlite3.Connection, folder: Path, lost: list[str]) -> Path | None:
    """Make rows fit together whose partners could not be read. Captions stay, if need be under a missing photo."""
    writing.execute("BEGIN")
    alone = writing.execute(
        "SELECT id, image_id, text FROM caption WHERE image_id NOT IN (SELECT id FROM image) ORDER BY image_id, id"
    ).fetchall()
    _add_missing_photos(writing, sorted({row[1] for row in alone}))
    writing.execute("INSERT OR IGNORE INTO folder (id, path, added_at) SELECT DISTINCT folder_id, "
                    "'/recovered/folder ' || folder_id, ? FROM image WHERE folder_id NOT IN (SELECT id FROM folder)",
                    (_moment(),))  # fmt: skip
    for statement in (
        "UPDATE caption SET run_id = NULL WHERE run_id NOT IN (SELECT id FROM run)",
        "UPDATE caption SET supersedes_id = NULL WHERE supersedes_id NOT IN (SELECT id FROM caption)",
        "DELETE FROM meta WHERE key = 'current_run' AND value NOT IN (SELECT id FROM run)",
        "UPDATE job SET state = 'interrupted' WHERE state = 'running'",
    ):
        writing.execute(statement)
    for _ in range(3):  # a row that goes may leave others without their partner
        orphans = writing.execute("PRAGMA foreign_key_check").fetchall()
        for table, row_id, _parent, _ in orphans:
            if row_id is not None:
                writing.execute(f'DELETE FROM "{table}" WHERE rowid = ?', (row_id,))
            else:
                _delete_partnerless(writing, table)
    writing.execute("COMMIT")
    _rebuild_word_indexes(writing)
    if not alone:
        return None
    words = folder / f"captions-without-photo-{now():%Y%m%d-%H%M%S}.csv"
    with words.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([("photo", "caption"), *((image, text) for _, image, text in alone)])
    sync_file(words)
    lost.append(f"{len(alone):,} captions belong to photos whose rows are gone; they are kept, and listed in {words}.")
    return words


def _add_missing_photos(writing: sqlite3.Connection, image_ids: list[int]) -> None:
    """Rows for photos of which only captions are left: marked missing, named by their number."""
    if not image_ids:
        return
    writing.execute("INSERT OR IGNORE INTO folder (path, added_at) VALUES ('/recovered', ?)", (_moment(),))
    (folder_id,) = writing.execute("SELECT id FROM folder WHERE path = '/recovered'").fetchone()
    writing.executemany(
        "INSERT INTO image (id, folder_id, relative_path, size, mtime_ns, content_hash, width, height, missing_since) "
        "VALUES (?, ?, ?, 0, 0, '', 0, 0, ?)",
        [(one, folder_id, f"photo {one}", _moment()) for one in image_ids],
    )


def _delete_partnerless(writing: sqlite3.Connection, name: str) -> None:
    for key in Base.metadata.tables[name].foreign_keys:
        column, parent = key.parent.name, key.column
        writing.execute(
            f'DELETE FROM "{name}" WHERE "{column}" IS NOT NULL AND "{column}" NOT IN '
            f'(SELECT "{parent.name}" FROM "{parent.table.name}")'
        )


def _rebuild_word_indexes(writing: sqlite3.Connection) -> None:
    rows = writing.execute("SELECT name FROM sqlite_master WHERE sql LIKE 'CREATE VIRTUAL TABLE%fts5%'").fetchall()
    for (name,) in rows:
        with suppress(sqlite3.DatabaseError):  # one that keeps no text of its own is filled by its triggers
            writing.execute(f'INSERT INTO "{name}"("{name}") VALUES (\'rebuild\')')


def _moment() -> Any:
    return UtcTime().process_bind_param(now(), None)  # type: ignore[arg-type]
