"""The first schema."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    _photos()
    _runs_and_captions()
    _scores_and_splits()
    _work()


def _photos() -> None:
    op.create_table(
        "folder",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("path", sa.String(), nullable=False),
        sa.Column("added_at", sa.String(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_folder")),
        sa.UniqueConstraint("path", name=op.f("uq_folder_path")),
    )

    op.create_table(
        "image",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("folder_id", sa.Integer(), nullable=False),
        sa.Column("relative_path", sa.String(), nullable=False),
        sa.Column("size", sa.Integer(), nullable=False),
        sa.Column("mtime_ns", sa.Integer(), nullable=False),
        sa.Column("content_hash", sa.String(), nullable=False),
        sa.Column("width", sa.Integer(), nullable=False),
        sa.Column("height", sa.Integer(), nullable=False),
        sa.Column("missing_since", sa.String(), nullable=True),
        sa.Column("error", sa.String(), nullable=True),
        sa.ForeignKeyConstraint(
            ["folder_id"], ["folder.id"], name=op.f("fk_image_folder_id_folder"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_image")),
        sa.UniqueConstraint("folder_id", "relative_path", name=op.f("uq_image_folder_id_relative_path")),
    )
    op.create_index("ix_image_content_hash", "image", ["content_hash"], unique=False)
    op.create_index("ix_image_error", "image", ["id"], unique=False, sqlite_where=sa.text("error IS NOT NULL"))
    op.create_index(
        "ix_image_live",
        "image",
        ["folder_id", "relative_path", "missing_since", "error"],
        unique=False,
        sqlite_where=sa.text("error IS NULL AND missing_since IS NULL"),
    )
    op.create_index(
        "ix_image_missing", "image", ["content_hash"], unique=False, sqlite_where=sa.text("missing_since IS NOT NULL")
    )

    op.create_table(
        "vector",
        sa.Column("encoder", sa.String(), nullable=False),
        sa.Column("content_hash", sa.String(), nullable=False),
        sa.Column("shard", sa.Integer(), nullable=False),
        sa.Column("row", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("encoder", "content_hash", name=op.f("pk_vector")),
        sqlite_with_rowid=False,
    )
    op.create_index("ix_vector_shard", "vector", ["encoder", "shard"], unique=False)


def _runs_and_captions() -> None:
    op.create_table(
        "run",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("preset", sa.String(), nullable=False),
        sa.Column("config", sa.JSON(), nullable=False),
        sa.Column("seed", sa.Integer(), nullable=False),
        sa.Column("data_hash", sa.String(), nullable=True),
        sa.Column("encoder_fingerprint", sa.String(), nullable=True),
        sa.Column("status", sa.String(), nullable=False),
        sa.Column("metrics", sa.JSON(), nullable=False),
        sa.Column("gates", sa.JSON(), nullable=False),
        sa.Column("checkpoint_hash", sa.String(), nullable=True),
        sa.Column("message", sa.String(), nullable=True),
        sa.Column("created_at", sa.String(), nullable=False),
        sa.Column("finished_at", sa.String(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_run")),
    )

    op.create_table(
        "caption",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("image_id", sa.Integer(), nullable=False),
        sa.Column("text", sa.String(), nullable=False),
        sa.Column("author", sa.String(length=8), nullable=False),
        sa.Column("run_id", sa.String(), nullable=True),
        sa.Column("state", sa.String(length=10), nullable=False),
        sa.Column("is_seed", sa.Boolean(), nullable=False),
        sa.Column("live", sa.Boolean(), nullable=False),
        sa.Column("supersedes_id", sa.Integer(), nullable=True),
        sa.Column("created_at", sa.String(), nullable=False),
        sa.CheckConstraint("NOT is_seed OR state = 'accepted'", name=op.f("ck_caption_seed")),
        sa.CheckConstraint("author IN ('human', 'run')", name=op.f("ck_caption_author")),
        sa.CheckConstraint("state IN ('candidate', 'accepted', 'rejected')", name=op.f("ck_caption_state")),
        sa.ForeignKeyConstraint(["image_id"], ["image.id"], name=op.f("fk_caption_image_id_image"), ondelete="CASCADE"),
        sa.ForeignKeyConstraint(["run_id"], ["run.id"], name=op.f("fk_caption_run_id_run"), ondelete="SET NULL"),
        sa.ForeignKeyConstraint(
            ["supersedes_id"], ["caption.id"], name=op.f("fk_caption_supersedes_id_caption"), ondelete="SET NULL"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_caption")),
    )
    op.create_index(op.f("ix_caption_image_id"), "caption", ["image_id"], unique=False)
    op.create_index(
        "ix_caption_image_id_live",
        "caption",
        ["image_id", "state", "is_seed", "live"],
        unique=False,
        sqlite_where=sa.text("live = 1"),
    )
    op.create_index("ix_caption_run_id", "caption", ["run_id"], unique=False)
    op.create_index(
        "ix_caption_state_live",
        "caption",
        ["state", "image_id", "is_seed", "live"],
        unique=False,
        sqlite_where=sa.text("live = 1"),
    )
    op.create_index(op.f("ix_caption_supersedes_id"), "caption", ["supersedes_id"], unique=False)


def _scores_and_splits() -> None:
    op.create_table(
        "score",
        sa.Column("encoder", sa.String(), nullable=False),
        sa.Column("gallery_version", sa.String(), nullable=False),
        sa.Column("caption_id", sa.Integer(), nullable=False),
        sa.Column("clip_s", sa.Double(), nullable=False),
        sa.Column("rank", sa.Double(), nullable=False),
        sa.Column("gallery_size", sa.Integer(), nullable=False),
        sa.Column("plain_rank", sa.Double(), nullable=True),
        sa.Column("distinctiveness", sa.Double(), nullable=True),
        sa.ForeignKeyConstraint(
            ["caption_id"], ["caption.id"], name=op.f("fk_score_caption_id_caption"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("encoder", "gallery_version", "caption_id", name=op.f("pk_score")),
        sqlite_with_rowid=False,
    )
    op.create_index(op.f("ix_score_caption_id"), "score", ["caption_id"], unique=False)

    op.create_table(
        "split",
        sa.Column("content_hash", sa.String(), nullable=False),
        sa.Column("part", sa.String(length=8), nullable=False),
        sa.Column("decided_at", sa.String(), nullable=False),
        sa.CheckConstraint("part IN ('train', 'held_out')", name=op.f("ck_split_part")),
        sa.PrimaryKeyConstraint("content_hash", name=op.f("pk_split")),
    )

    op.create_table(
        "meta",
        sa.Column("key", sa.String(), nullable=False),
        sa.Column("value", sa.String(), nullable=False),
        sa.PrimaryKeyConstraint("key", name=op.f("pk_meta")),
    )


def _work() -> None:
    op.create_table(
        "job",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("params", sa.JSON(), nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("message", sa.String(), nullable=True),
        sa.Column("created_at", sa.String(), nullable=False),
        sa.Column("finished_at", sa.String(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_job")),
    )

    op.create_table(
        "job_item",
        sa.Column("job_id", sa.Integer(), nullable=False),
        sa.Column("image_id", sa.Integer(), nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("error", sa.String(), nullable=True),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(
            ["image_id"], ["image.id"], name=op.f("fk_job_item_image_id_image"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(["job_id"], ["job.id"], name=op.f("fk_job_item_job_id_job"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("job_id", "image_id", name=op.f("pk_job_item")),
        sqlite_with_rowid=False,
    )
    op.create_index(op.f("ix_job_item_image_id"), "job_item", ["image_id"], unique=False)
    op.create_index("ix_job_item_state", "job_item", ["job_id", "state", "image_id"], unique=False)

    op.create_table(
        "edit",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("label", sa.String(), nullable=False),
        sa.Column("changes", sa.JSON(), nullable=False),
        sa.Column("undone", sa.Boolean(), nullable=False),
        sa.Column("created_at", sa.String(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_edit")),
    )
