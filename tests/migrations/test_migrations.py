"""The schema: migrations and tables say the same, old databases are brought up to date, newer ones are refused."""

from __future__ import annotations

import os
import sqlite3
from pathlib import Path

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory

from core.errors import UserError
from core.library import db, edits, ledger, queries, runs, scores, splits
from core.library.library import Library
from core.library.tables import Base
from tests.migrations.freeze import FROZEN, dump, fill

VERSIONS = sorted(path.stem for path in FROZEN.glob("*.sql"))


def _script() -> ScriptDirectory:
    config = Config()
    config.set_main_option("script_location", str(Path(db.__file__).parent / "migrations"))
    return ScriptDirectory.from_config(config)


def _thaw(folder: Path, version: str) -> Path:
    library = folder / "old.seedcap"
    for part in (library, library / "vectors", library / "runs", library / "bundles"):
        part.mkdir(parents=True)
    connection = sqlite3.connect(library / "library.db")
    connection.executescript((FROZEN / f"{version}.sql").read_text(encoding="utf-8"))
    connection.close()
    return library


def test_the_program_knows_its_migrations():
    revisions = [revision.revision for revision in _script().walk_revisions()]
    assert _script().get_current_head() == db.SCHEMA_VERSION
    assert set(revisions) == db.KNOWN_VERSIONS
    assert sorted(revisions) == VERSIONS, (
        "freeze a database for every schema version: python -m tests.migrations.freeze"
    )


def test_migrations_make_exactly_the_tables_of_the_program(tmp_path):
    with Library.create(tmp_path / "new") as library, library.session() as session:
        ours = {"compare_type": True, "include_name": lambda name, kind, _: not _of_an_fts_index(name)}
        context = MigrationContext.configure(session.connection(), opts=ours)
        assert compare_metadata(context, Base.metadata) == []
        names = {name for (name,) in session.connection().exec_driver_sql("SELECT name FROM sqlite_master")}
    for table in Base.metadata.sorted_tables:  # what the comparison does not look at
        assert {index.name for index in table.indexes} <= names


def _of_an_fts_index(name: str | None) -> bool:
    return name is not None and name.startswith(("caption_fts", "name_fts"))


def test_every_table_has_rows_in_the_frozen_databases(tmp_path):
    path = _thaw(tmp_path, db.SCHEMA_VERSION) / "library.db"
    connection = sqlite3.connect(path)
    for table in Base.metadata.sorted_tables:
        assert connection.execute(f"SELECT count(*) FROM {table.name}").fetchone()[0] > 0, table.name
    connection.close()


@pytest.mark.parametrize("version", VERSIONS)
def test_a_library_of_each_version_opens_with_everything_in_it(tmp_path, version):
    folder = _thaw(tmp_path, version)
    with Library.open(folder, exclusive=True) as library:
        counts = queries.counts(library)
        assert (counts.photos, counts.failed, counts.missing) == (3, 1, 1)
        assert (counts.seeds, counts.candidates, counts.accepted) == (2, 2, 2)
        assert [seed.texts for seed in queries.seeds(library)] == [
            ("a red kite ☕",),
            ("two kites", "one, in my words"),
        ]
        (run,) = runs.runs(library)
        assert runs.current_run(library) == run
        assert (run.status, run.seed, run.metrics) == ("done", 3, {"clip_s": 0.5})
        (scored,) = [c for c in queries.captions_of(library, [2])[2] if c.score]
        assert (scored.text, scored.run_id, scored.score.clip_s) == ("two", run.id, 0.5)
        assert scores.shown_version(library) == ("e" * 64, "v1")
        assert len(splits.held_out(library)) == 1
        assert ledger.find_job(library, 1).failed == 1
        assert os.fsencode(queries.image_rows(library, [3])[0].path) == b"/photos/caf\xe9.png"
        for name, ids in (("caf", [3]), ("00.", [1]), ("01.png", [2])):
            assert queries.image_ids(library, filter=name).tolist() == ids
        assert edits.redo(library) == "Reject a caption"
        assert [edits.undo(library) for _ in range(4)] == [
            "Reject a caption", "Edit a caption", "Write a caption", "Write a caption",
        ]  # fmt: skip
        with library.session() as session:
            assert session.connection().exec_driver_sql("PRAGMA foreign_key_check").all() == []
            assert session.connection().exec_driver_sql("PRAGMA integrity_check").scalar() == "ok"
            assert session.connection().exec_driver_sql("PRAGMA journal_mode").scalar() == "wal"
    assert db.read_version(folder / "library.db") == db.SCHEMA_VERSION


@pytest.mark.parametrize("version", VERSIONS)
def test_a_frozen_schema_is_what_its_migration_still_makes(tmp_path, version):
    """A released migration that is edited afterwards would make new libraries differ from old ones."""
    path = tmp_path / "library.db"
    engine = db.make_engine(path)
    with engine.connect() as connection:
        config = Config()
        config.set_main_option("script_location", str(Path(db.__file__).parent / "migrations"))
        config.attributes["connection"] = connection
        command.upgrade(config, version)
    engine.dispose()
    made, frozen = sqlite3.connect(path), sqlite3.connect(_thaw(tmp_path, version) / "library.db")
    schema = "SELECT type, name, sql FROM sqlite_master ORDER BY type, name"
    assert made.execute(schema).fetchall() == frozen.execute(schema).fetchall()
    made.close()
    frozen.close()


def test_an_older_library_is_backed_up_before_it_is_migrated(tmp_path, monkeypatch):
    folder = _thaw(tmp_path, db.SCHEMA_VERSION)
    before = dump(folder / "library.db")
    seen = []

    def migrate(path):
        seen.extend(path.parent.glob("library-before-9999-*.db"))

    monkeypatch.setattr(db, "SCHEMA_VERSION", "9999")
    monkeypatch.setattr(db, "migrate", migrate)
    Library.open(folder).close()
    (backup,) = seen
    assert dump(backup) == before


def test_a_migration_that_fails_half_way_changes_nothing(tmp_path, monkeypatch):
    folder = _thaw(tmp_path, db.SCHEMA_VERSION)
    before = dump(folder / "library.db")
    from alembic import command

    def fails(config, revision):
        connection = config.attributes["connection"]
        connection.exec_driver_sql("ALTER TABLE image ADD COLUMN colour TEXT")
        connection.exec_driver_sql("DELETE FROM caption")
        raise RuntimeError("power cut")

    monkeypatch.setattr(command, "upgrade", fails)
    with pytest.raises(RuntimeError, match="power cut"):
        db.migrate(folder / "library.db")
    assert dump(folder / "library.db") == before


def test_a_newer_library_is_refused_in_words_and_left_alone(tmp_path):
    folder = _thaw(tmp_path, db.SCHEMA_VERSION)
    connection = sqlite3.connect(folder / "library.db")
    with connection:
        connection.execute("UPDATE alembic_version SET version_num = '0999'")
    connection.close()
    content = (folder / "library.db").read_bytes()
    with pytest.raises(UserError, match="newer Seedcap") as caught:
        Library.open(folder)
    assert "Update Seedcap" in caught.value.next_step and "0999" in caught.value.message
    assert (folder / "library.db").read_bytes() == content
    assert not list(folder.glob("library-before-*"))


def test_freezing_makes_what_is_frozen(tmp_path):
    """The script that freezes goes on working, for the next version."""
    fresh = dump(fill(tmp_path))
    frozen = (FROZEN / f"{db.SCHEMA_VERSION}.sql").read_text(encoding="utf-8")
    tables = [f'INSERT INTO "{table.name}"' for table in Base.metadata.sorted_tables]
    assert [fresh.count(one) for one in tables] == [frozen.count(one) for one in tables]
