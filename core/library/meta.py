"""Single values of a library: pointers that decide what is current and what is shown."""

from __future__ import annotations

from sqlalchemy import ColumnElement, delete
from sqlalchemy.dialects.sqlite import insert
from sqlalchemy.orm import Session

from core.library.tables import Meta, Score

CURRENT_RUN = "current_run"
SCORE_ENCODER = "score_encoder"
SCORE_VERSION = "score_version"


def get(session: Session, key: str) -> str | None:
    row = session.get(Meta, key)
    return None if row is None else row.value


def put(session: Session, key: str, value: str | None) -> None:
    """Set the value of ``key``; ``None`` forgets it."""
    if value is None:
        session.execute(delete(Meta).where(Meta.key == key))
        return
    statement = insert(Meta).values(key=key, value=value)
    session.execute(statement.on_conflict_do_update(index_elements=["key"], set_={"value": value}))


def shown_scores(session: Session) -> tuple[ColumnElement[bool], ColumnElement[bool]]:
    """Conditions that pick the scores of the encoder and gallery shown now: numbers of two galleries never mix."""
    encoder, version = get(session, SCORE_ENCODER) or "", get(session, SCORE_VERSION) or ""
    return Score.encoder == encoder, Score.gallery_version == version
