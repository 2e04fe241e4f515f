"""Copies made before a migration: whole, named, pruned; and no migration without one."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from core.errors import UserError
from core.library import backups, db
from core.library.library import Library
from tests.core.photos import library_with
from tests.migrations.freeze import FROZEN, dump
from tests.migrations.test_migrations import _thaw

OLDEST = sorted(path.stem for path in FROZEN.glob("*.sql"))[0]


def test_a_migration_leaves_a_backup_that_opens(tmp_path):
    folder = _thaw(tmp_path, OLDEST)
    before = dump(folder / "library.db")
    if OLDEST == db.SCHEMA_VERSION:
        pytest.skip("there is no older version")
    Library.open(folder).close()
    (kept,) = backups.list_backups(folder)
    assert kept.before == db.SCHEMA_VERSION and dump(kept.path) == before
    assert db.read_version(kept.path) == OLDEST


def test_no_room_for_the_backup_means_no_migration(tmp_path, monkeypatch):
    folder = _thaw(tmp_path, OLDEST)
    before = dump(folder / "library.db")

    def full(source, target):
        target.write_bytes(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(db, "SCHEMA_VERSION", "9999")
    monkeypatch.setattr(backups, "copy", full)
    with pytest.raises(UserError, match="Nothing was changed"):
        Library.open(folder)
    assert dump(folder / "library.db") == before
    assert not list(folder.glob("library-before-*"))


def test_a_damaged_library_is_not_migrated(tmp_path, monkeypatch):
    folder = _thaw(tmp_path, OLDEST)
    with closing(sqlite3.connect(folder / "library.db")) as connection:
        (root,) = connection.execute("SELECT rootpage FROM sqlite_master WHERE name = 'caption'").fetchone()
    with (folder / "library.db").open("r+b") as file:
        file.seek((root - 1) * 4096)
        file.write(b"\xa5" * 4096)
    before = (folder / "library.db").read_bytes()
    monkeypatch.setattr(db, "SCHEMA_VERSION", "9999")
    with pytest.raises(UserError, match="damaged"):
        Library.open(folder)
    assert (folder / "library.db").read_bytes() == before


def test_the_last_three_backups_stay(tmp_path):
    with library_with(tmp_path, 1) as library:
        folder = library.path
    made = [backups.back_up(folder / "library.db", "x", before=f"000{number}") for number in range(5)]
    (folder / "library-before-0009-20200101-000000.part").write_bytes(b"half")
    (folder / "library-damaged-20200101-000000.db").write_bytes(b"not a backup")
    backups.prune(folder)
    assert {one.path for one in backups.list_backups(folder)} == set(made[2:])
    assert not list(folder.glob("*.part")) and (folder / "library-damaged-20200101-000000.db").exists()
    assert [Path(one.path).exists() for one in backups.list_backups(folder)] == [True] * 3
