"""Once a day all of a library's database is read; damage is said each time, and stopping leaves it due."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from core.errors import UserError
from core.library import integrity
from core.library.daily_check import daily_check
from core.library.library import Library
from core.library.meta import LOOKED_OVER
from tests.core.photos import library_with


def never() -> bool:
    return False


@pytest.fixture
def folder(tmp_path) -> Path:
    with library_with(tmp_path, 3) as library:
        return library.path


def note(folder: Path, value: str) -> None:
    with closing(sqlite3.connect(folder / "library.db")) as connection, connection:
        connection.execute("UPDATE meta SET value = ? WHERE key = ?", (value, LOOKED_OVER))


def test_a_day_lies_between_two_looks(folder):
    with Library.open(folder, exclusive=True):  # as the window has it
        assert daily_check(folder, never) and not daily_check(folder, never)
        for hours, due in ((-23, False), (-25, True), (5, True)):
            note(folder, (datetime.now(UTC) + timedelta(hours=hours)).isoformat())
            assert daily_check(folder, never) is due
        note(folder, "no date")
        assert daily_check(folder, never)


def test_damage_that_opening_does_not_see_is_said_each_time(folder):
    with closing(sqlite3.connect(folder / "library.db")) as connection, connection:
        connection.execute("DELETE FROM folder")
    with Library.open(folder, exclusive=True):
        for _ in range(2):
            with pytest.raises(UserError, match="a row of image belongs to a row of folder") as caught:
                daily_check(folder, never)
            assert "Close this library first" in caught.value.next_step and "--recover" in caught.value.next_step


def test_a_file_that_is_no_database_any_more_is_said(folder):
    (folder / "library.db").write_bytes(b"x" * 5000)
    with pytest.raises(UserError, match="damaged"):
        daily_check(folder, never)


@pytest.mark.parametrize("questions", [0, 1, 5])
def test_a_look_that_is_stopped_is_due_again(folder, monkeypatch, questions):
    monkeypatch.setattr(integrity, "_STEPS", 10)
    asked = []

    def stopped() -> bool:
        asked.append(1)
        return len(asked) > questions

    assert not daily_check(folder, stopped)
    assert daily_check(folder, never)
