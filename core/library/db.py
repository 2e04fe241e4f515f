"""The database file: how it is opened, brought up to date and refused; what its errors mean to a person."""

from __future__ import annotations

import os
import shlex
import sqlite3
import urllib.parse
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.pool import QueuePool

from core.errors import UserError
from core.library import backups
from core.library.filters import functions

SCHEMA_VERSION = "0005"
"""The newest migration this program knows; a test holds it to ``migrations/versions``."""
KNOWN_VERSIONS = frozenset({"0001", "0002", "0003", "0004", "0005"})
BUSY_TIMEOUT_MS = 5000
_BEGIN_OPTION = "seedcap_begin"

# Ids travel in numpy arrays; unasked, the driver would store such a number as eight raw bytes.
for _whole in (np.int64, np.int32):
    sqlite3.register_adapter(_whole, int)
for _real in (np.float32, np.float16):
    sqlite3.register_adapter(_real, float)


def connect(path: Path, *, read_only: bool = False) -> sqlite3.Connection:
    """A connection that trusts nothing the file says: its triggers and views call no function with a side effect.

    ``isolation_level=None``: whoever uses it begins and ends transactions by hand. ``read_only``: the file stays as it
    is, to the last byte (else closing may move what the log holds into it).
    """
    mode = "ro" if read_only else "rwc"
    connection = sqlite3.connect(
        f"file:{urllib.parse.quote(os.fsencode(path.absolute()))}?mode={mode}",
        uri=True,
        timeout=BUSY_TIMEOUT_MS / 1000,
        isolation_level=None,
        check_same_thread=False,
    )
    try:
        for pragma in (f"busy_timeout={BUSY_TIMEOUT_MS}", "trusted_schema=OFF", "cell_size_check=ON"):
            connection.execute(f"PRAGMA {pragma}")
    except BaseException:
        connection.close()
        raise
    return connection


def make_engine(path: Path) -> Engine:
    """An engine on the SQLite file ``path``; usable from any thread, each session taking its own connection."""

    def connected() -> sqlite3.Connection:
        # The events below begin transactions, so that reads see one state and writers take turns.
        connection = connect(path)
        try:
            functions.register(connection)
            # The word index is filled by triggers, which older SQLite only lets touch FTS5 where the schema is trusted;
            # :func:`prepare` has refused every trigger that is not ours by now.
            ours = ("trusted_schema=ON", "journal_mode=WAL", "foreign_keys=ON", "synchronous=FULL", "temp_store=MEMORY")
            for pragma in ours:
                connection.execute(f"PRAGMA {pragma}")
        except BaseException:
            connection.close()
            raise
        return connection

    engine = create_engine("sqlite://", creator=connected, poolclass=QueuePool, pool_size=8, max_overflow=16)

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


def prepare(path: Path, name: str, *, look_over: bool = False) -> None:
    """Bring the database at ``path`` to this program's schema: made if new, backed up and migrated if older.

    ``look_over``: read every page of it first, as after a crash. Raises ``UserError`` when it is damaged, not a
    library, made by a newer program, or holds what only a stranger would have put into it.
    """
    from core.library import integrity  # it builds on this module

    if path.is_symlink():
        raise UserError(
            f"{path} is a link: a library holds its database itself.", "Open the folder that the link leads to."
        )
    version = _friendly(path, name, lambda: read_version(path))
    if version is None and path.exists() and path.stat().st_size > 0 and _has_tables(path):
        raise UserError(f"{path.name} in {name} is not a Seedcap library.", "Choose another folder.")
    if version is not None and version not in KNOWN_VERSIONS:
        raise UserError(
            f"The library {name} was made by a newer Seedcap (its schema is {version}, this one knows up to "
            f"{SCHEMA_VERSION}).",
            "Update Seedcap to open it; nothing was changed.",
        )
    if version is not None:
        current = version == SCHEMA_VERSION
        _friendly(path, name, lambda: integrity.require_ours(path, name, columns=current))
        if look_over or not current:
            _friendly(path, name, lambda: integrity.require_sound(path, name))
        if current:
            return
        backups.back_up(path, name, before=SCHEMA_VERSION)
    _friendly(path, name, lambda: migrate(path))
    backups.prune(path.parent)


def read_version(path: Path) -> str | None:
    """The schema the file has, ``None`` for a file that is not there or has no schema yet."""
    if not path.exists():
        return None
    connection = connect(path, read_only=True)
    try:
        found = connection.execute(
            "SELECT 1 FROM sqlite_master WHERE name = 'alembic_version' AND type = 'table'"
        ).fetchone()
        row = connection.execute("SELECT version_num FROM alembic_version").fetchone() if found else None
        return str(row[0]) if row else None
    finally:
        connection.close()


def _has_tables(path: Path) -> bool:
    connection = connect(path, read_only=True)
    try:
        return connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0] > 0
    finally:
        connection.close()


def migrate(path: Path, version: str = "head") -> None:
    """Run the migrations that ``path`` lacks, up to ``version``, all of them in one transaction."""
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
            command.upgrade(config, version)
    finally:
        engine.dispose()


def _friendly(path: Path, name: str, action: Callable[[], Any]) -> Any:
    try:
        return action()
    except sqlite3.DatabaseError as error:
        raise as_user_error(path.parent, name, error) from error


_BUSY, _FULL, _READ_ONLY, _DISK, _DAMAGED = "busy", "full", "read-only", "disk", "damaged"
_KINDS = {
    "SQLITE_BUSY": _BUSY, "SQLITE_LOCKED": _BUSY, "SQLITE_PROTOCOL": _BUSY, "SQLITE_FULL": _FULL,
    "SQLITE_READONLY": _READ_ONLY, "SQLITE_CANTOPEN": _READ_ONLY, "SQLITE_PERM": _READ_ONLY, "SQLITE_AUTH": _READ_ONLY,
    "SQLITE_IOERR": _DISK, "SQLITE_CORRUPT": _DAMAGED, "SQLITE_NOTADB": _DAMAGED, "SQLITE_FORMAT": _DAMAGED,
}  # fmt: skip
_WORDS = {"could not decode": _DAMAGED, "malformed": _DAMAGED, "not a database": _DAMAGED}


def _kind(error: BaseException | None) -> str | None:
    """What kind of trouble outside this program an error is; ``None``: a mistake in the program."""
    if not isinstance(error, sqlite3.DatabaseError):
        return None
    name = getattr(error, "sqlite_errorname", None) or ""
    found = _KINDS.get("_".join(name.split("_")[:2]))  # SQLITE_IOERR_WRITE is an SQLITE_IOERR
    return found or next((kind for words, kind in _WORDS.items() if words in str(error).lower()), None)


def is_the_outside_world(error: BaseException | None) -> bool:
    """Whether a database error comes from the disk or another program, rather than from a mistake in this one."""
    return _kind(error) is not None


def is_damage(error: BaseException | None) -> bool:
    """Whether an error says that the file itself is damaged."""
    return _kind(error) == _DAMAGED


def as_user_error(folder: Path, name: str, error: BaseException | None) -> UserError:
    """What a database error of the library in ``folder`` means to a person."""
    kind, words = _kind(error), str(error)
    if kind == _BUSY:
        return UserError(f"The library {name} is busy in another program.", "Wait a moment and try again.")
    if kind == _FULL:
        return UserError(
            f"The disk that holds {name} is full; what was saved before is safe.", "Free some space and try again."
        )
    if kind == _READ_ONLY:
        return UserError(
            f"The library {name} cannot be written: {words}.",
            f"Check the rights of {folder}, or copy the library to a place of your own.",
        )
    if kind == _DISK:
        return UserError(
            f"The disk that holds {name} reports an error ({words}); what was saved before is safe.",
            "See that it has space and is connected, then try again.",
        )
    return damaged(folder, name, words)


def damaged(folder: Path, name: str, words: str) -> UserError:
    """The library in ``folder`` is damaged, in ``words``; says how to get back what can be read."""
    return UserError(
        f"The database of {name} is damaged ({words}).",
        f"Keep what can be read, with a copy of the damaged file, with: {recover_command(folder)}",
    )


def recover_command(folder: Path) -> str:
    """The command that recovers the library in ``folder``, as it is typed."""
    return f"seedcap doctor {shlex.quote(str(folder))} --recover"
