"""Words are indexed, near-duplicates have groups, edits keep their changes as rows, scores belong to a gallery."""

import json

import sqlalchemy as sa
from alembic import op

from core.library.words import search_text

revision = "0002"
down_revision = "0001"

LIVE = sa.text("live = 1")


def upgrade() -> None:
    _photos_and_vectors()
    _captions()
    _word_index()
    _scores()
    _edits()


def _photos_and_vectors() -> None:
    op.add_column("image", sa.Column("changed_at", sa.String(), nullable=True))
    op.create_index("ix_image_mtime_ns", "image", ["mtime_ns"])
    op.create_index("ix_image_changed", "image", ["changed_at"], sqlite_where=sa.text("changed_at IS NOT NULL"))
    op.add_column("vector", sa.Column("group_id", sa.Integer(), nullable=True))
    op.create_index(
        "ix_vector_group", "vector", ["encoder", "group_id", "content_hash"], sqlite_where=sa.text("group_id > 0")
    )


def _captions() -> None:
    op.add_column("caption", sa.Column("search_text", sa.String(), nullable=True))
    op.create_index("ix_caption_created_at_live", "caption", ["created_at", "image_id", "live"], sqlite_where=LIVE)
    op.create_index("ix_caption_author_live", "caption", ["author", "run_id", "image_id", "live"], sqlite_where=LIVE)
    bind = op.get_bind()
    query = sa.text("SELECT id, text FROM caption WHERE id > :last ORDER BY id LIMIT 2000")
    last = -(1 << 63)
    while rows := bind.execute(query, {"last": last}).all():
        last = rows[-1].id
        different = [{"id": row.id, "words": search_text(row.text)} for row in rows if not row.text.isascii()]
        if different:
            bind.execute(sa.text("UPDATE caption SET search_text = :words WHERE id = :id"), different)


def _word_index() -> None:
    """An external-content FTS5 table: the texts stay in ``caption``; triggers tell it what comes and goes.

    Marks are letters to the tokenizer, since many scripts write vowels with them; folding is done before.
    """
    op.execute("CREATE VIEW caption_words AS SELECT id, coalesce(search_text, text) AS words FROM caption WHERE live")
    op.execute(
        "CREATE VIRTUAL TABLE caption_fts USING fts5(words, content='caption_words', content_rowid='id', columnsize=0, "
        "prefix='1 2 3', tokenize=\"unicode61 remove_diacritics 0 categories 'L* N* M* Co'\")"
    )
    add = "INSERT INTO caption_fts(rowid, words) SELECT new.id, coalesce(new.search_text, new.text) WHERE new.live;"
    drop = (
        "INSERT INTO caption_fts(caption_fts, rowid, words) "
        "SELECT 'delete', old.id, coalesce(old.search_text, old.text) WHERE old.live;"
    )
    op.execute(f"CREATE TRIGGER caption_fts_insert AFTER INSERT ON caption BEGIN {add} END")
    op.execute(f"CREATE TRIGGER caption_fts_delete AFTER DELETE ON caption BEGIN {drop} END")
    op.execute(
        "CREATE TRIGGER caption_fts_update AFTER UPDATE OF live, text, search_text, id ON caption "
        f"WHEN old.live OR new.live BEGIN {drop} {add} END"
    )
    op.execute("INSERT INTO caption_fts(caption_fts) VALUES ('rebuild')")


def _scores() -> None:
    op.create_table(
        "gallery",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("encoder", sa.String(), nullable=False),
        sa.Column("version", sa.String(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_gallery")),
    )
    op.execute("ALTER TABLE score RENAME TO old_score")
    op.drop_index("ix_score_caption_id", "old_score")
    op.create_table(
        "score",
        sa.Column("gallery_id", sa.Integer(), nullable=False),
        sa.Column("caption_id", sa.Integer(), nullable=False),
        sa.Column("clip_s", sa.Double(), nullable=False),
        sa.Column("rank", sa.Double(), nullable=False),
        sa.Column("gallery_size", sa.Integer(), nullable=False),
        sa.Column("plain_rank", sa.Double(), nullable=True),
        sa.Column("distinctiveness", sa.Double(), nullable=True),
        sa.ForeignKeyConstraint(
            ["gallery_id"], ["gallery.id"], name=op.f("fk_score_gallery_id_gallery"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["caption_id"], ["caption.id"], name=op.f("fk_score_caption_id_caption"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("gallery_id", "caption_id", name=op.f("pk_score")),
        sqlite_with_rowid=False,
    )
    op.create_index(op.f("ix_score_caption_id"), "score", ["caption_id"])
    for column in ("clip_s", "rank", "distinctiveness"):
        op.create_index(f"ix_score_{column}", "score", ["gallery_id", column])
    # Only what is shown goes on; other scores were left over from a ranking that was cut off.
    op.execute(
        "INSERT INTO gallery (id, encoder, version) SELECT 1, e.value, v.value FROM meta e, meta v "
        "WHERE e.key = 'score_encoder' AND v.key = 'score_version'"
    )
    op.execute(
        "INSERT INTO score (gallery_id, caption_id, clip_s, rank, gallery_size, plain_rank, distinctiveness) "
        "SELECT 1, caption_id, clip_s, rank, gallery_size, plain_rank, distinctiveness FROM old_score, gallery "
        "WHERE old_score.encoder = gallery.encoder AND gallery_version = gallery.version"
    )
    op.drop_table("old_score")
    op.execute("INSERT INTO meta (key, value) SELECT 'shown_gallery', '1' FROM gallery")
    op.execute("DELETE FROM meta WHERE key IN ('score_encoder', 'score_version')")


def _edits() -> None:
    op.create_table(
        "edit_change",
        sa.Column("edit_id", sa.Integer(), nullable=False),
        sa.Column("caption_id", sa.Integer(), nullable=False),
        sa.Column("state_before", sa.String(length=10), nullable=False),
        sa.Column("is_seed_before", sa.Boolean(), nullable=False),
        sa.Column("live_before", sa.Boolean(), nullable=False),
        sa.Column("state_after", sa.String(length=10), nullable=False),
        sa.Column("is_seed_after", sa.Boolean(), nullable=False),
        sa.Column("live_after", sa.Boolean(), nullable=False),
        sa.ForeignKeyConstraint(["edit_id"], ["edit.id"], name=op.f("fk_edit_change_edit_id_edit"), ondelete="CASCADE"),
        sa.ForeignKeyConstraint(
            ["caption_id"], ["caption.id"], name=op.f("fk_edit_change_caption_id_caption"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("edit_id", "caption_id", name=op.f("pk_edit_change")),
        sqlite_with_rowid=False,
    )
    op.create_index(op.f("ix_edit_change_caption_id"), "edit_change", ["caption_id"])
    bind = op.get_bind()
    known = set(bind.scalars(sa.text("SELECT id FROM caption")))
    insert = sa.text(
        "INSERT INTO edit_change VALUES (:edit, :caption, :state_before, :seed_before, :live_before, "
        ":state_after, :seed_after, :live_after)"
    )
    for edit_id, changes in bind.execute(sa.text("SELECT id, changes FROM edit")).all():
        if rows := _merged(edit_id, [one for one in json.loads(changes) if one["caption"] in known]):
            bind.execute(insert, rows)
    with op.batch_alter_table("edit") as edit:
        edit.drop_column("changes")
        edit.add_column(sa.Column("kind", sa.String(), nullable=False, server_default="edit"))
        edit.add_column(sa.Column("settings", sa.JSON(), nullable=True))


def _merged(edit_id: int, changes: list[dict]) -> list[dict]:
    """One row a caption: how it stood before the first change and after the last one."""
    rows: dict[int, dict] = {}
    for change in changes:
        before, after = change["before"], change["after"]
        row = rows.setdefault(
            change["caption"],
            {
                "edit": edit_id, "caption": change["caption"], "state_before": before["state"],
                "seed_before": before["is_seed"], "live_before": before["live"],
            },
        )  # fmt: skip
        row |= {"state_after": after["state"], "seed_after": after["is_seed"], "live_after": after["live"]}
    return list(rows.values())
