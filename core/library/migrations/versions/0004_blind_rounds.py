"""Blind rounds: captions of two models side by side, and which of them a person found better."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    op.create_table(
        "blind_round",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("old_model", sa.String(), nullable=False),
        sa.Column("new_model", sa.String(), nullable=False),
        sa.Column("created_at", sa.String(), nullable=False),
        sa.Column("ended_at", sa.String()),
        sa.PrimaryKeyConstraint("id", name="pk_blind_round"),
    )
    op.create_table(
        "blind_pair",
        sa.Column("round_id", sa.Integer(), nullable=False),
        sa.Column("place", sa.Integer(), nullable=False),
        sa.Column("image_id", sa.Integer()),
        sa.Column("old_text", sa.String(), nullable=False),
        sa.Column("new_text", sa.String(), nullable=False),
        sa.Column("new_is_left", sa.Boolean(), nullable=False),
        sa.Column("answer", sa.String(length=4)),
        sa.Column("answered_at", sa.String()),
        sa.CheckConstraint("answer IN ('old', 'new', 'same')", name="answer"),
        sa.ForeignKeyConstraint(
            ["round_id"], ["blind_round.id"], name="fk_blind_pair_round_id_blind_round", ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(["image_id"], ["image.id"], name="fk_blind_pair_image_id_image", ondelete="SET NULL"),
        sa.PrimaryKeyConstraint("round_id", "place", name="pk_blind_pair"),
        sqlite_with_rowid=False,
    )
    op.create_index("ix_blind_pair_image_id", "blind_pair", ["image_id"])
