"""Single values of a library: pointers that decide what is current and what is shown."""

from __future__ import annotations

import json

from sqlalchemy import ColumnElement, delete, select
from sqlalchemy.dialects.sqlite import insert
from sqlalchemy.orm import Session

from core.library.tables import Meta, Score

CURRENT_RUN = "current_run"
SHOWN_GALLERY = "shown_gallery"
SCORE_SHARPNESS = "score_sharpness"
"""Of the encoder that gave the scores shown (:func:`core.encoders.encoder.sharpness`)."""
GROUPS_ENCODER = "groups_encoder"
NEXT_GROUP = "next_group"
LOOKED_OVER = "looked_over"
CANDIDATE_ORDER = "candidate_order"
CHOSEN = "chosen"
"""Photos to caption next: :mod:`core.library.chosen`."""
IN_VAIN = "in_vain"
"""What a model had nothing new for: :mod:`core.library.in_vain`."""
FIRST_CAPTIONS = "first_captions"
"""The starter has had its word about a new library: never again unasked."""

TRASH_PLACES = "trash_places"
"""Where the files lie that a person has moved to the trash, by photo (:mod:`core.library.trash`)."""


def get(session: Session, key: str) -> str | None:
    return session.scalar(select(Meta.value).where(Meta.key == key))


def put(session: Session, key: str, value: str | None) -> None:
    """Set the value of ``key``; ``None`` forgets it."""
    if value is None:
        session.execute(delete(Meta).where(Meta.key == key))
        return
    statement = insert(Meta).values(key=key, value=value)
    session.execute(statement.on_conflict_do_update(index_elements=["key"], set_={"value": value}))


def in_trash(session: Session) -> set[int]:
    """Photos whose files a person has moved to the trash."""
    return {int(image_id) for image_id in json.loads(get(session, TRASH_PLACES) or "{}")}


def shown_gallery(session: Session) -> int:
    """The id of the gallery whose scores are shown; -1, which no gallery has, before the first ranking."""
    return int(get(session, SHOWN_GALLERY) or -1)


def shown_scores(session: Session) -> ColumnElement[bool]:
    """The condition that picks the scores shown now: numbers of two galleries never mix."""
    return Score.gallery_id == shown_gallery(session)
