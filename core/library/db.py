"""The database file: how it is opened, brought up to date, backed up and refused."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.pool import QueuePool

from core.errors import UserError
from core.library.columns import now

SCHEMA_VERSION = "0001"
"""The newest migration this program knows; a test holds it to ``migrations/versions``."""
KNOWN_VERSIONS = frozenset({"0001"})
BUSY_TIMEOUT_MS = 5000
_BEGIN_OPTION = "seedcap_begin"

# Ids travel in numpy arrays; unasked, the driver would store such a number as eight raw bytes.
for _kind in (np.int64, np.int32):
    sqlite3.register_adapter(_kind, int)
for _kind in (np.float32, np.float16):
    sqlite3.register_adapter(_kind, float)


def make_engine(path: Path) -> Engine:
    """An engine on the SQLite file ``path``; usable from any thread, each session taking its own connection."""

    def connect() -> sqlite3.Connection:
        # isolation_level=None: the events below begin transactions, so that reads see one state and writers take turns.
        connection = sqlite3.connect(
            path, timeout=BUSY_TIMEOUT_MS / 1000, isolation_level=None, check_same_thread=False
        )
        for pragma in (
            f"busy_timeout={BUSY_TIMEOUT_MS}",
            "journal_mode=WAL",
            "foreign_keys=ON",
            "synchronous=FULL",
            "temp_store=MEMORY",
        ):
            connection.execute(f"PRAGMA {pragma}")
        return connection

    engine = create_engine("sqlite://", creator=connect, poolclass=QueuePool, pool_size=8, max_overflow=16)

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        connection.exec_driver_sql(connection.get_execution_options().get(_BEGIN_OPTION, "BEGIN"))

    return engine


def writing_engine(engine: Engine) -> Engine:
    """The same connections, but each transaction asks for the right to write when it begins.

    A transaction that first reads and then wants to write can fail at once, whatever the timeout, when another one has
    written in between; one that begins as a writer waits for its turn instead.
    """
    return engine.execution_options(**{_BEGIN_OPTION: "BEGIN IMMEDIATE"})


def prepare(path: Path, name: str) -> None:
    """Bring the database at ``path`` to this program's schema: made if new, backed up and migrated if older.

    Raises ``UserError`` when it is damaged, not a library, or made by a newer program.
    """
    version = _friendly(name, lambda: read_version(path))
    if version == SCHEMA_VERSION:
        return
    if version is None and path.exists() and path.stat().st_size > 0 and _has_tables(path):
        raise UserError(f"{path.name} in {name} is not a Seedcap library.", "Choose another folder.")
    if version is not None and version not in KNOWN_VERSIONS:
        raise UserError(
            f"The library {name} was made by a newer Seedcap (its schema is {version}, this one knows up to "
            f"{SCHEMA_VERSION}).",
            "Update Seedcap to open it; nothing was changed.",
        )
    if version is not None:
        backup(path, path.with_name(f"library-before-{SCHEMA_VERSION}-{now():%Y%m%d-%H%M%S}.db"))
    _friendly(name, lambda: migrate(path))


def read_version(path: Path) -> str | None:
    """The schema the file has, ``None`` for a file that is not there or has no schema yet."""
    if not path.exists():
        return None
    connection = sqlite3.connect(path, timeout=BUSY_TIMEOUT_MS / 1000)
    try:
        found = connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'alembic_version'").fetchone()
        row = connection.execute("SELECT version_num FROM alembic_version").fetchone() if found else None
        return row[0] if row else None
    finally:
        connection.close()


def _has_tables(path: Path) -> bool:
    connection = sqlite3.connect(path)
    try:
        return connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0] > 0
    finally:
        connection.close()


def backup(source: Path, target: Path) -> None:
    """Copy a database that may be in use, complete and consistent, to ``target``."""
    reading, writing = sqlite3.connect(source), sqlite3.connect(target)
    try:
        reading.backup(writing)
    finally:
        reading.close()
        writing.close()


def migrate(path: Path) -> None:
    """Run the migrations that ``path`` lacks, all of them in one transaction."""
    from alembic import command  # only here: nearly every start finds the schema up to date
    from alembic.config import Config

    engine = make_engine(path)
    try:
        with engine.connect() as connection:
            connection.exec_driver_sql("PRAGMA foreign_keys=OFF")  # a rebuilt table must not cascade its deletes
            connection.rollback()
            connection.execution_options(**{_BEGIN_OPTION: "BEGIN EXCLUSIVE"})
            config = Config()
            script = str(Path(__file__).parent / "migrations")
            config.set_main_option("script_location", script.replace("%", "%%"))
            config.attributes["connection"] = connection
            command.upgrade(config, "head")
    finally:
        engine.dispose()


def _friendly(name: str, action: Callable[[], Any]) -> Any:
    try:
        return action()
    except sqlite3.DatabaseError as error:
        raise as_user_error(name, error) from error


_OUTSIDE = ("locked", "busy", "full", "readonly", "unable to open", "malformed", "not a database", "i/o error")


def is_the_outside_world(error: BaseException | None) -> bool:
    """Whether a database error comes from the disk or another program, rather than from a mistake in this one."""
    return isinstance(error, sqlite3.DatabaseError) and any(words in str(error).lower() for words in _OUTSIDE)


def as_user_error(name: str, error: BaseException | None) -> UserError:
    """What a database error means to a person."""
    words = str(error)
    if "locked" in words or "busy" in words:
        return UserError(f"The library {name} is busy in another program.", "Wait a moment and try again.")
    if "full" in words:
        return UserError(f"The disk that holds {name} is full.", "Free some space and try again.")
    if "readonly" in words or "unable to open" in words:
        return UserError(f"The library {name} cannot be written: {words}.", "Check the rights of its folder.")
    return UserError(
        f"The database of {name} is damaged or is not a database ({words}).",
        "Put a backup (library-before-*.db) in its place, or make a new library; the photos are untouched.",
    )
