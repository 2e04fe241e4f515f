"""The tables of ``library.db``. Outside :mod:`core.library` nobody sees these classes, only frozen dataclasses."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import JSON, CheckConstraint, ForeignKey, Index, MetaData, String, UniqueConstraint, text
from sqlalchemy.engine.default import DefaultExecutionContext
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from core.library.columns import PathText, RelativePath, UtcTime
from core.library.words import search_text

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
    """A file found in a folder. ``error`` says in words why it cannot be used; such a row has no size.

    Triggers keep the index ``name_fts`` (FTS5: three characters in a row) in step with the names of all rows.
    """

    __tablename__ = "image"
    __table_args__ = (
        UniqueConstraint("folder_id", "relative_path"),
        Index("ix_image_content_hash", "content_hash"),
        # The order of the grid, ready made, for the photos it shows. The last three columns hold nothing: with them the
        # index answers alone, and the rows need not be looked up.
        Index(
            "ix_image_live",
            "folder_id",
            "relative_path",
            "missing_since",
            "error",
            "removed_at",
            sqlite_where=text("error IS NULL AND missing_since IS NULL AND removed_at IS NULL"),
        ),
        Index("ix_image_error", "id", sqlite_where=text("error IS NOT NULL")),
        Index("ix_image_missing", "content_hash", sqlite_where=text("missing_since IS NOT NULL")),
        Index("ix_image_removed", "id", sqlite_where=text("removed_at IS NOT NULL")),
        Index("ix_image_mtime_ns", "mtime_ns"),
        Index("ix_image_changed", "changed_at", sqlite_where=text("changed_at IS NOT NULL")),
    )
    id: Mapped[int] = mapped_column(primary_key=True)
    folder_id: Mapped[int] = mapped_column(ForeignKey("folder.id", ondelete="CASCADE"))
    relative_path: Mapped[str] = mapped_column(RelativePath)
    size: Mapped[int] = mapped_column(default=0)
    mtime_ns: Mapped[int] = mapped_column(default=0)
    content_hash: Mapped[str] = mapped_column(default="")
    width: Mapped[int] = mapped_column(default=0)
    height: Mapped[int] = mapped_column(default=0)
    missing_since: Mapped[datetime | None] = mapped_column(UtcTime)
    error: Mapped[str | None]
    changed_at: Mapped[datetime | None] = mapped_column(UtcTime)
    """When other content last came under the same name: captions written before speak of an earlier picture."""
    removed_at: Mapped[datetime | None] = mapped_column(UtcTime)
    """When a person took the photo out of the library. The row stays, so that no scan takes its file for a new one."""


def _search_text(context: DefaultExecutionContext) -> str | None:
    return search_text(context.get_current_parameters()["text"])


class Caption(Base):
    """One text of one photo. Its text never changes: an edit is a new row that supersedes this one.

    Triggers keep the word index ``caption_fts`` (FTS5, through the view ``caption_words``) in step with the live rows.
    """

    __tablename__ = "caption"
    __table_args__ = (
        Index("ix_caption_image_id_live", "image_id", "state", "is_seed", "live", sqlite_where=text("live = 1")),
        Index("ix_caption_state_live", "state", "image_id", "is_seed", "live", sqlite_where=text("live = 1")),
        Index("ix_caption_run_id", "run_id"),
        Index("ix_caption_created_at_live", "created_at", "image_id", "live", sqlite_where=text("live = 1")),
        Index("ix_caption_author_live", "author", "run_id", "image_id", "live", sqlite_where=text("live = 1")),
        CheckConstraint("author IN ('human', 'run')", name="author"),
        CheckConstraint("state IN ('candidate', 'accepted', 'rejected')", name="state"),
        CheckConstraint("NOT is_seed OR state = 'accepted'", name="seed"),
    )
    id: Mapped[int] = mapped_column(primary_key=True)
    image_id: Mapped[int] = mapped_column(ForeignKey("image.id", ondelete="CASCADE"), index=True)
    text: Mapped[str]
    search_text: Mapped[str | None] = mapped_column(default=_search_text)
    """The words of the text, where the word index would cut it differently from :mod:`core.library.words`."""
    author: Mapped[str] = mapped_column(String(8))
    run_id: Mapped[str | None] = mapped_column(ForeignKey("run.id", ondelete="SET NULL"))
    mean_log_prob: Mapped[float | None]
    """How likely the model found its own words: nats a token, 0 at most; ``None`` for human text, and before 0005."""
    state: Mapped[str] = mapped_column(String(10))
    is_seed: Mapped[bool] = mapped_column(default=False)
    live: Mapped[bool] = mapped_column(default=True)
    """False: superseded, replaced or removed. The row stays, as history and for undo."""
    supersedes_id: Mapped[int | None] = mapped_column(ForeignKey("caption.id", ondelete="SET NULL"), index=True)
    created_at: Mapped[datetime] = mapped_column(UtcTime)


class Gallery(Base):
    """One scoring of the library: by which encoder, against which photos (``version``). One of them is shown."""

    __tablename__ = "gallery"
    id: Mapped[int] = mapped_column(primary_key=True)
    encoder: Mapped[str]
    version: Mapped[str]


class Score(Base):
    """How well a caption fits its photo, in one gallery. ``clip_s`` is 2.5·cos; what is shown is 0 where it is less."""

    __tablename__ = "score"
    __table_args__ = (
        Index("ix_score_clip_s", "gallery_id", "clip_s"),
        Index("ix_score_rank", "gallery_id", "rank"),
        Index("ix_score_distinctiveness", "gallery_id", "distinctiveness"),
        {"sqlite_with_rowid": False},
    )
    gallery_id: Mapped[int] = mapped_column(ForeignKey("gallery.id", ondelete="CASCADE"), primary_key=True)
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
    """One step of a person, which undo takes back; ``undone``: it has been, and can be done again."""

    __tablename__ = "edit"
    id: Mapped[int] = mapped_column(primary_key=True)
    kind: Mapped[str] = mapped_column(server_default="edit")
    """The command, for example ``accept``."""
    label: Mapped[str]
    settings: Mapped[dict[str, Any] | None] = mapped_column(JSON(none_as_null=True))
    """Single values that the step changed: ``{key: [before, after]}``."""
    undone: Mapped[bool] = mapped_column(default=False)
    created_at: Mapped[datetime] = mapped_column(UtcTime)


class EditChange(Base):
    """What a step did to one caption: how it stood before and after."""

    __tablename__ = "edit_change"
    __table_args__ = ({"sqlite_with_rowid": False},)
    edit_id: Mapped[int] = mapped_column(ForeignKey("edit.id", ondelete="CASCADE"), primary_key=True)
    caption_id: Mapped[int] = mapped_column(ForeignKey("caption.id", ondelete="CASCADE"), primary_key=True, index=True)
    state_before: Mapped[str] = mapped_column(String(10))
    is_seed_before: Mapped[bool]
    live_before: Mapped[bool]
    state_after: Mapped[str] = mapped_column(String(10))
    is_seed_after: Mapped[bool]
    live_after: Mapped[bool]


class EditPhoto(Base):
    """A photo that a step took out of the library (``removed``), or put back: before, it stood the other way."""

    __tablename__ = "edit_photo"
    __table_args__ = ({"sqlite_with_rowid": False},)
    edit_id: Mapped[int] = mapped_column(ForeignKey("edit.id", ondelete="CASCADE"), primary_key=True)
    image_id: Mapped[int] = mapped_column(ForeignKey("image.id", ondelete="CASCADE"), primary_key=True, index=True)
    removed: Mapped[bool]


class Vector(Base):
    """Where the embedding of a photo's content lies: which shard file, which row of it."""

    __tablename__ = "vector"
    __table_args__ = (
        Index("ix_vector_shard", "encoder", "shard"),
        Index("ix_vector_group", "encoder", "group_id", "content_hash", sqlite_where=text("group_id > 0")),
        {"sqlite_with_rowid": False},
    )
    encoder: Mapped[str] = mapped_column(primary_key=True)
    content_hash: Mapped[str] = mapped_column(primary_key=True)
    shard: Mapped[int]
    row: Mapped[int]
    group_id: Mapped[int | None]
    """Its near-duplicate group; 0: it has none; ``None``: not compared with the others yet."""


class BlindRound(Base):
    """A person compared two models without knowing which caption is whose. A model is a run's id, or ``starter``."""

    __tablename__ = "blind_round"
    id: Mapped[int] = mapped_column(primary_key=True)
    old_model: Mapped[str]
    new_model: Mapped[str]
    created_at: Mapped[datetime] = mapped_column(UtcTime)
    ended_at: Mapped[datetime | None] = mapped_column(UtcTime)


class BlindPair(Base):
    """What both said about one photo, and the answer. The texts stay when the photo goes."""

    __tablename__ = "blind_pair"
    __table_args__ = (
        CheckConstraint("answer IN ('old', 'new', 'same')", name="answer"),
        {"sqlite_with_rowid": False},
    )
    round_id: Mapped[int] = mapped_column(ForeignKey("blind_round.id", ondelete="CASCADE"), primary_key=True)
    place: Mapped[int] = mapped_column(primary_key=True)
    image_id: Mapped[int | None] = mapped_column(ForeignKey("image.id", ondelete="SET NULL"), index=True)
    old_text: Mapped[str]
    new_text: Mapped[str]
    new_is_left: Mapped[bool]
    answer: Mapped[str | None] = mapped_column(String(4))
    answered_at: Mapped[datetime | None] = mapped_column(UtcTime)
