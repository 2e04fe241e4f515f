"""Photos can be taken out of the library and put back; candidates keep how likely the model found them."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"

SHOWN = sa.text("error IS NULL AND missing_since IS NULL AND removed_at IS NULL")


def upgrade() -> None:
    op.add_column("image", sa.Column("removed_at", sa.String(), nullable=True))
    op.drop_index("ix_image_live", "image")
    order = ["folder_id", "relative_path", "missing_since", "error", "removed_at"]
    op.create_index("ix_image_live", "image", order, sqlite_where=SHOWN)
    op.create_index("ix_image_removed", "image", ["id"], sqlite_where=sa.text("removed_at IS NOT NULL"))
    op.add_column("caption", sa.Column("mean_log_prob", sa.Double(), nullable=True))
    op.create_table(
        "edit_photo",
        sa.Column("edit_id", sa.Integer(), nullable=False),
        sa.Column("image_id", sa.Integer(), nullable=False),
        sa.Column("removed", sa.Boolean(), nullable=False),
        sa.ForeignKeyConstraint(["edit_id"], ["edit.id"], name="fk_edit_photo_edit_id_edit", ondelete="CASCADE"),
        sa.ForeignKeyConstraint(["image_id"], ["image.id"], name="fk_edit_photo_image_id_image", ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("edit_id", "image_id", name="pk_edit_photo"),
        sqlite_with_rowid=False,
    )
    op.create_index("ix_edit_photo_image_id", "edit_photo", ["image_id"])
