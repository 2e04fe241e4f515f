"""Scores of captions: always all of one encoder against one state of the library, never old numbers beside new ones."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from itertools import islice

from sqlalchemy import delete, select
from sqlalchemy.dialects.sqlite import insert

from core.library import meta
from core.library.filters.compiler import USABLE
from core.library.library import Library
from core.library.queries import among
from core.library.records import ScoreRow
from core.library.tables import Caption, Gallery, Image, Score

_ROWS_A_TRANSACTION = 500


def gallery_version(library: Library) -> str:
    """A short hash of which photos the library holds: scores made against another set are out of date."""
    digest = hashlib.sha256()
    with library.session() as session:
        for content_hash in session.scalars(select(Image.content_hash).where(USABLE).order_by(Image.content_hash)):
            digest.update(content_hash.encode())
    return digest.hexdigest()[:16]


def shown_version(library: Library) -> tuple[str, str] | None:
    """``(encoder fingerprint, gallery version)`` of the scores shown now, or ``None`` before the first ranking."""
    with library.session() as session:
        shown = session.get(Gallery, meta.shown_gallery(session))
        return None if shown is None else (shown.encoder, shown.version)


def write_scores(
    library: Library,
    encoder_fingerprint: str,
    rows: Mapping[int, ScoreRow],
    *,
    gallery_version: str,
    complete: bool = True,
    sharpness: float = 1.0,
) -> None:
    """Write the scores of captions (``caption_id`` to :class:`ScoreRow`).

    ``complete``: these are the scores of every caption that matters; they are shown from the moment the last one is
    written, all at once, and everything older goes. ``complete=False`` adds to the scores shown and must be of the
    same encoder and gallery version, or nothing is written: such rows would be new numbers beside stale ones.
    ``sharpness``: of the encoder, see :func:`core.encoders.encoder.sharpness`.
    """
    gallery = _gallery_for(library, encoder_fingerprint, gallery_version, new=complete)
    if gallery is None:
        return
    items = iter(rows.items())
    while batch := list(islice(items, _ROWS_A_TRANSACTION)):
        values = [{"gallery_id": gallery, "caption_id": int(one), **_stored(row)} for one, row in batch]
        with library.writing() as session:
            if session.get(Gallery, gallery) is None:
                return  # a ranking that began later has been shown meanwhile
            # A caption may have been deleted with its photo since it was scored.
            known = set(session.scalars(select(Caption.id).where(Caption.id.in_([v["caption_id"] for v in values]))))
            statement = insert(Score).on_conflict_do_update(
                index_elements=["gallery_id", "caption_id"],
                set_={name: insert(Score).excluded[name] for name in _stored(batch[0][1])},
            )
            kept = [value for value in values if value["caption_id"] in known]
            if kept:
                session.execute(statement, kept)
    if complete:
        _show(library, gallery, sharpness)


def _stored(row: ScoreRow) -> dict[str, float | None]:
    """By the names of the columns: ``clip_s`` holds the fit, negative too, so that the order is kept."""
    values = asdict(row)
    return {"clip_s": values.pop("fit"), **values}


def drop_scores(library: Library, caption_ids: Iterable[int]) -> None:
    """Forget the scores of these captions."""
    with library.writing() as session:
        session.execute(delete(Score).where(Score.caption_id.in_(among(caption_ids))))


def _gallery_for(library: Library, encoder: str, version: str, *, new: bool) -> int | None:
    """A new gallery, not shown yet; or the one that is shown, if it is of this encoder and version."""
    with library.writing() as session:
        if new:
            query = insert(Gallery).values(encoder=encoder, version=version).returning(Gallery.id)
            return session.scalars(query).one()
        shown = session.get(Gallery, meta.shown_gallery(session))
        return shown.id if shown is not None and (shown.encoder, shown.version) == (encoder, version) else None


def _show(library: Library, gallery: int, sharpness: float) -> None:
    with library.writing() as session:
        if session.get(Gallery, gallery) is None:
            return
        meta.put(session, meta.SHOWN_GALLERY, str(gallery))
        meta.put(session, meta.SCORE_SHARPNESS, None if sharpness == 1.0 else repr(sharpness))
    with library.session() as session:
        old = list(session.scalars(select(Gallery.id).where(Gallery.id < gallery)))
    for one in old:
        while True:
            with library.writing() as session:
                ids = select(Score.caption_id).where(Score.gallery_id == one).limit(_ROWS_A_TRANSACTION)
                found = list(session.scalars(ids))
                session.execute(delete(Score).where(Score.gallery_id == one, Score.caption_id.in_(found)))
                if not found:
                    session.execute(delete(Gallery).where(Gallery.id == one))
                    break
