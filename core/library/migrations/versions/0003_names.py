"""Names of photos are indexed: three characters in a row find where they stand."""

from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """An external-content FTS5 table: the names stay in ``image``; triggers tell it what comes and goes.

    It keeps which photos have three characters, not where (``detail=none``): what it finds is compared with the name.
    """
    op.execute(
        "CREATE VIRTUAL TABLE name_fts USING fts5(relative_path, content='image', content_rowid='id', columnsize=0, "
        "detail=none, tokenize='trigram')"
    )
    add = "INSERT INTO name_fts(rowid, relative_path) VALUES (new.id, new.relative_path);"
    drop = "INSERT INTO name_fts(name_fts, rowid, relative_path) VALUES ('delete', old.id, old.relative_path);"
    op.execute(f"CREATE TRIGGER name_fts_insert AFTER INSERT ON image BEGIN {add} END")
    op.execute(f"CREATE TRIGGER name_fts_delete AFTER DELETE ON image BEGIN {drop} END")
    op.execute(f"CREATE TRIGGER name_fts_update AFTER UPDATE OF relative_path, id ON image BEGIN {drop} {add} END")
    op.execute("INSERT INTO name_fts(name_fts) VALUES ('rebuild')")
