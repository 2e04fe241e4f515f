"""Write the frozen database of this schema version: run once when a version is released, never again for it.

``python -m tests.migrations.freeze`` writes ``tests/migrations/frozen/<version>.sql``.
"""

from __future__ import annotations

import re
import sqlite3
import sys
import tempfile
from pathlib import Path

from core.library import blind_rounds, edits, ledger, runs, splits
from core.library.candidates import add_candidates
from core.library.db import SCHEMA_VERSION
from core.library.records import ScoreRow
from core.library.removing import put_photos_back, remove_photos
from core.library.scores import write_scores
from tests.core.photos import library_with, look

FROZEN = Path(__file__).parent / "frozen"


def fill(folder: Path) -> Path:
    """A library with at least one row in every table; returns its database."""
    with library_with(folder, 4) as library:
        (folder / "photos" / "empty.jpg").touch()
        (folder / "photos" / "03.png").unlink()
        look(library, folder / "photos")
        run = runs.create_run(library, "recommended", {"encoder": "starter"}, seed=3, data_hash="d" * 64)
        runs.update_run(library, run.id, status="done", metrics={"clip_s": 0.5}, gates=[{"name": "length"}])
        runs.set_current_run(library, run.id)
        remove_photos(library, [1])
        put_photos_back(library, [1])
        edits.add_seed(library, 1, "a red kite ☕")
        edits.add_seed(library, 2, "two kites")
        job = ledger.start_job(library, "caption", {"existing": "add"}, [1, 2, 3])
        written = add_candidates(library, run.id, {2: ["one", "two"], 3: ["three"]}, "add", job_id=job)
        ledger.finish_item(library, job, 1, "The picture is damaged.")
        edits.edit_caption(library, written[2][0], "one, in my words")
        edits.reject(library, written[3])
        edits.undo(library)
        write_scores(library, "e" * 64, {written[2][1]: ScoreRow(0.5, 1, 3, 2.0, 0.1)}, gallery_version="v1")
        splits.split_seeds(library, fraction=0.5)
        said = [blind_rounds.SaidByBoth(2, "a kite", "two kites"), blind_rounds.SaidByBoth(3, "a sea", "a grey sea")]
        compared = blind_rounds.begin_round(library, "starter", run.id, said, seed=1)
        blind_rounds.answer(library, compared, 0, "left")
        with library.writing() as session:
            connection = session.connection()
            connection.exec_driver_sql(
                "INSERT INTO vector VALUES (?, (SELECT content_hash FROM image WHERE id = 1), 0, 0, 0)", ("e" * 64,)
            )
            connection.exec_driver_sql("UPDATE folder SET path = '/photos'")
            connection.exec_driver_sql("UPDATE caption SET mean_log_prob = -0.75 WHERE text = 'two'")
            connection.exec_driver_sql(
                "UPDATE image SET relative_path = x'636166e92e706e67' WHERE id = 3"
            )  # caf\xe9.png
        return library.path / "library.db"


def dump(database: Path) -> str:
    """The database as SQL. The FTS5 indexes are left out, as their own tables are; the last lines make them anew."""
    connection = sqlite3.connect(database)
    try:
        lines = [line for line in connection.iterdump() if not _OF_THE_INDEX.match(line)]
        indexes = "SELECT name, sql FROM sqlite_master WHERE sql LIKE 'CREATE VIRTUAL TABLE%' ORDER BY name"
        last = lines.pop()
        # The view that one of them reads comes before it.
        lines.sort(key=lambda line: line.startswith("CREATE VIEW caption_words"))
        for name, sql in connection.execute(indexes):
            lines += [f"{sql};", f"INSERT INTO {name}({name}) VALUES ('rebuild');"]
        return "\n".join([*lines, last]) + "\n"
    finally:
        connection.close()


_OF_THE_INDEX = re.compile(
    r"""(CREATE (VIRTUAL )?TABLE|INSERT INTO) ['"]?(caption|name)_fts"""
    r"""|INSERT INTO sqlite_master\(.*'(caption|name)_fts'|PRAGMA writable"""
)


if __name__ == "__main__":
    target = FROZEN / f"{SCHEMA_VERSION}.sql"
    if target.exists():
        sys.exit(f"{target} is frozen.")
    with tempfile.TemporaryDirectory() as folder:
        target.write_text(dump(fill(Path(folder))), encoding="utf-8")
