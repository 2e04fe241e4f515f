"""Scores of captions: always all of one encoder against one state of the library, never old numbers beside new ones."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from itertools import islice

from sqlalchemy import delete, or_, select
from sqlalchemy.dialects.sqlite import insert

from core.library import meta
from core.library.library import Library
from core.library.records import ScoreRow
from core.library.tables import Caption, Image, Score

_ROWS_A_TRANSACTION = 500


def gallery_version(library: Library) -> str:
    """A short hash of which photos the library holds: scores made against another set are out of date."""
    usable = (Image.error.is_(None), Image.missing_since.is_(None))
    digest = hashlib.sha256()
    with library.session() as session:
        for content_hash in session.scalars(select(Image.content_hash).where(*usable).order_by(Image.content_hash)):
            digest.update(content_hash.encode())
    return digest.hexdigest()[:16]


def shown_version(library: Library) -> tuple[str, str] | None:
    """``(encoder fingerprint, gallery version)`` of the scores shown now, or ``None`` before the first ranking."""
    with library.session() as session:
        encoder, version = meta.get(session, meta.SCORE_ENCODER), meta.get(session, meta.SCORE_VERSION)
    return None if encoder is None or version is None else (encoder, version)


def write_scores(
    library: Library,
    encoder_fingerprint: str,
    rows: Mapping[int, ScoreRow],
    *,
    gallery_version: str,
    complete: bool = True,
) -> None:
    """Write the scores of captions (``caption_id`` to :class:`ScoreRow`).

    ``complete``: these are the scores of every caption that matters; they are shown from the moment the last one is
    written, all at once, and everything older goes. ``complete=False`` adds to the scores shown and must be of the
    same encoder and gallery version, or nothing is written: such rows would be new numbers beside stale ones.
    """
    if not complete and shown_version(library) != (encoder_fingerprint, gallery_version):
        return
    generation = gallery_version
    items = iter(rows.items())
    while batch := list(islice(items, _ROWS_A_TRANSACTION)):
        values = [
            {
                "encoder": encoder_fingerprint,
                "gallery_version": generation,
                "caption_id": int(caption_id),
                **asdict(row),
            }
            for caption_id, row in batch
        ]
        with library.writing() as session:
            # A caption may have been deleted with its photo since it was scored.
            known = set(session.scalars(select(Caption.id).where(Caption.id.in_([v["caption_id"] for v in values]))))
            statement = insert(Score).on_conflict_do_update(
                index_elements=["encoder", "gallery_version", "caption_id"],
                set_={name: insert(Score).excluded[name] for name in ScoreRow.__dataclass_fields__},
            )
            kept = [value for value in values if value["caption_id"] in known]
            if kept:
                session.execute(statement, kept)
    if complete:
        _show(library, encoder_fingerprint, generation)


def drop_scores(library: Library, caption_ids: Iterable[int]) -> None:
    """Forget the scores of these captions."""
    with library.writing() as session:
        session.execute(delete(Score).where(Score.caption_id.in_([int(one) for one in caption_ids])))


def _show(library: Library, encoder: str, version: str) -> None:
    with library.writing() as session:
        meta.put(session, meta.SCORE_ENCODER, encoder)
        meta.put(session, meta.SCORE_VERSION, version)
    old = or_(Score.encoder != encoder, Score.gallery_version != version)
    while True:
        with library.writing() as session:
            ids = list(session.scalars(select(Score.caption_id).where(old).limit(_ROWS_A_TRANSACTION)))
            if not ids:
                return
            session.execute(delete(Score).where(old, Score.caption_id.in_(ids)))
