"""Print the marks of the triggers, views and virtual tables that the migrations make, for ``integrity.KNOWN_OBJECTS``.

``python -m tests.migrations.marks``; marks of released versions stay in that list.
"""

from __future__ import annotations

import sqlite3
import tempfile
from contextlib import closing
from pathlib import Path

from core.library import db
from core.library.integrity import object_mark


def marks(database: Path) -> dict[str, str]:
    """The name of each such object to its mark."""
    query = "SELECT type, name, sql FROM sqlite_master WHERE type IN ('trigger', 'view') OR sql LIKE 'CREATE VIRTUAL%'"
    with closing(sqlite3.connect(database)) as connection:
        return {row[1]: object_mark(*row) for row in connection.execute(query)}


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        made = Path(folder) / "library.db"
        db.migrate(made)
        for name, mark in sorted(marks(made).items()):
            print(f'    "{mark}",  # {name}')
