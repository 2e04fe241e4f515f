"""The tables of ``library.db``. Outside :mod:`core.library` nobody sees these classes, only frozen dataclasses."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import JSON, CheckConstraint, ForeignKey, Index, MetaData, String, UniqueConstraint, text
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from core.library.columns import PathText, UtcTime

NAMING = {
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
    "fk": "fk_%(table_name)s_%(column_0_N_name)s_%(referred_table_name)s",
    "pk": "pk_%(table_name)s",
}


class Base(DeclarativeBase):
    metadata = MetaData(naming_convention=NAMING)


class Meta(Base):
    """Single values: the current run, which scores are shown."""

    __tablename__ = "meta"
    key: Mapped[str] = mapped_column(primary_key=True)
    value: Mapped[str]


class Folder(Base):
    """A folder that a person opened; its photos lie anywhere below it."""

    __tablename__ = "folder"
    id: Mapped[int] = mapped_column(primary_key=True)
    path: Mapped[str] = mapped_column(PathText, unique=True)
    added_at: Mapped[datetime] = mapped_column(UtcTime)


class Image(Base):
    """A file found in a folder. ``error`` says in words why it cannot be used; such a row has no size."""

    __tablename__ = "image"
    __table_args__ = (
        UniqueConstraint("folder_id", "relative_path"),
        Index("ix_image_content_hash", "content_hash"),
        # The order of the grid, ready made, for the photos it shows. The two last columns hold nothing: with them the
        # index answers alone, and the rows need not be looked up.
        Index(
            "ix_image_live",
            "folder_id",
            "relative_path",
            "missing_since",
            "error",
            sqlite_where=text("error IS NULL AND missing_since IS NULL"),
        ),
        Index("ix_image_error", "id", sqlite_where=text("error IS NOT NULL")),
        Index("ix_image_missing", "content_hash", sqlite_where=text("missing_since IS NOT NULL")),
    )
    id: Mapped[int] = mapped_column(primary_key=True)
    folder_id: Mapped[int] = mapped_column(ForeignKey("folder.id", ondelete="CASCADE"))
    relative_path: Mapped[str] = mapped_column(PathText)
    size: Mapped[int] = mapped_column(default=0)
    mtime_ns: Mapped[int] = mapped_column(default=0)
    content_hash: Mapped[str] = mapped_column(default="")
    width: Mapped[int] = mapped_column(default=0)
    height: Mapped[int] = mapped_column(default=0)
    missing_since: Mapped[datetime | None] = mapped_column(UtcTime)
    error: Mapped[str | None]


class Caption(Base):
    """One text of one photo. Its text never changes: an edit is a new row that supersedes this one."""

    __tablename__ = "caption"
    __table_args__ = (
        Index("ix_caption_image_id_live", "image_id", "state", "is_seed", "live", sqlite_where=text("live = 1")),
        Index("ix_caption_state_live", "state", "image_id", "is_seed", "live", sqlite_where=text("live = 1")),
        Index("ix_caption_run_id", "run_id"),
        CheckConstraint("author IN ('human', 'run')", name="author"),
        CheckConstraint("state IN ('candidate', 'accepted', 'rejected')", name="state"),
        CheckConstraint("NOT is_seed OR state = 'accepted'", name="seed"),
    )
    id: Mapped[int] = mapped_column(primary_key=True)
    image_id: Mapped[int] = mapped_column(ForeignKey("image.id", ondelete="CASCADE"), index=True)
    text: Mapped[str]
    author: Mapped[str] = mapped_column(String(8))
    run_id: Mapped[str | None] = mapped_column(ForeignKey("run.id", ondelete="SET NULL"))
    state: Mapped[str] = mapped_column(String(10))
    is_seed: Mapped[bool] = mapped_column(default=False)
    live: Mapped[bool] = mapped_column(default=True)
    """False: superseded, replaced or removed. The row stays, as history and for undo."""
    supersedes_id: Mapped[int | None] = mapped_column(ForeignKey("caption.id", ondelete="SET NULL"), index=True)
    created_at: Mapped[datetime] = mapped_column(UtcTime)


class Score(Base):
    """How well a caption fits its photo, against one state of the library (``gallery_version``), by one encoder."""

    __tablename__ = "score"
    __table_args__ = ({"sqlite_with_rowid": False},)
    encoder: Mapped[str] = mapped_column(primary_key=True)
    gallery_version: Mapped[str] = mapped_column(primary_key=True)
    caption_id: Mapped[int] = mapped_column(ForeignKey("caption.id", ondelete="CASCADE"), primary_key=True, index=True)
    clip_s: Mapped[float]
    rank: Mapped[float]
    gallery_size: Mapped[int]
    plain_rank: Mapped[float | None]
    distinctiveness: Mapped[float | None]


class Split(Base):
    """The part a labelled photo plays. Kept by content, so that a copy of a held-out photo is held out too."""

    __tablename__ = "split"
    __table_args__ = (CheckConstraint("part IN ('train', 'held_out')", name="part"),)
    content_hash: Mapped[str] = mapped_column(primary_key=True)
    part: Mapped[str] = mapped_column(String(8))
    decided_at: Mapped[datetime] = mapped_column(UtcTime)


class Run(Base):
    """One training: what was asked, what came out. ``id`` is also the name of its folder."""

    __tablename__ = "run"
    id: Mapped[str] = mapped_column(primary_key=True)
    preset: Mapped[str]
    config: Mapped[dict[str, Any]] = mapped_column(JSON)
    seed: Mapped[int]
    data_hash: Mapped[str | None]
    encoder_fingerprint: Mapped[str | None]
    status: Mapped[str]
    metrics: Mapped[dict[str, Any]] = mapped_column(JSON, default=dict)
    gates: Mapped[list[Any]] = mapped_column(JSON, default=list)
    checkpoint_hash: Mapped[str | None]
    message: Mapped[str | None]
    created_at: Mapped[datetime] = mapped_column(UtcTime)
    finished_at: Mapped[datetime | None] = mapped_column(UtcTime)


class Job(Base):
    """A piece of work over many photos that survives a crash: its items say what is left."""

    __tablename__ = "job"
    id: Mapped[int] = mapped_column(primary_key=True)
    kind: Mapped[str]
    params: Mapped[dict[str, Any]] = mapped_column(JSON)
    state: Mapped[str]
    message: Mapped[str | None]
    created_at: Mapped[datetime] = mapped_column(UtcTime)
    finished_at: Mapped[datetime | None] = mapped_column(UtcTime)


class JobItem(Base):
    __tablename__ = "job_item"
    __table_args__ = (Index("ix_job_item_state", "job_id", "state", "image_id"), {"sqlite_with_rowid": False})
    job_id: Mapped[int] = mapped_column(ForeignKey("job.id", ondelete="CASCADE"), primary_key=True)
    image_id: Mapped[int] = mapped_column(ForeignKey("image.id", ondelete="CASCADE"), primary_key=True, index=True)
    state: Mapped[str]
    error: Mapped[str | None]
    attempts: Mapped[int] = mapped_column(default=0)


class Edit(Base):
    """The undo log: what each step changed, with the values before and after."""

    __tablename__ = "edit"
    id: Mapped[int] = mapped_column(primary_key=True)
    label: Mapped[str]
    changes: Mapped[list[Any]] = mapped_column(JSON)
    undone: Mapped[bool] = mapped_column(default=False)
    created_at: Mapped[datetime] = mapped_column(UtcTime)


class Vector(Base):
    """Where the embedding of a photo's content lies: which shard file, which row of it."""

    __tablename__ = "vector"
    __table_args__ = (Index("ix_vector_shard", "encoder", "shard"), {"sqlite_with_rowid": False})
    encoder: Mapped[str] = mapped_column(primary_key=True)
    content_hash: Mapped[str] = mapped_column(primary_key=True)
    shard: Mapped[int]
    row: Mapped[int]
