"""How many photos a person has decided about since a moment: what Review counts."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import and_, func, not_, or_, select
from sqlalchemy.orm import aliased

from core.library.library import Library
from core.library.tables import Caption, Edit, EditChange

_TAKEN_OVER = ("accept", "share", "use_again")


@dataclass(frozen=True)
class Decided:
    """Numbers of photos: a suggestion accepted, as it was or edited; suggestions rejected."""

    accepted: int
    rejected: int


def decided_since(library: Library, moment: datetime) -> Decided:
    """What was decided in steps after ``moment`` that are not undone. Captions that a person wrote are no decisions."""
    before = aliased(Caption)
    was = and_(EditChange.state_before == "accepted", EditChange.live_before)
    became = and_(EditChange.state_after == "accepted", EditChange.live_after, not_(was))
    edited = and_(Edit.kind == "edit_caption", or_(before.author == "run", EditChange.state_before == "candidate"))
    accepted = and_(became, or_(Edit.kind.in_(_TAKEN_OVER), edited))
    rejected = and_(EditChange.state_after == "rejected", EditChange.state_before != "rejected")
    query = (
        select(func.count(Caption.image_id.distinct()))
        .select_from(Edit)
        .join(EditChange, EditChange.edit_id == Edit.id)
        .join(Caption, Caption.id == EditChange.caption_id)
        .outerjoin(before, before.id == Caption.supersedes_id)
        .where(Edit.created_at >= moment, not_(Edit.undone))
    )
    with library.session() as session:
        return Decided(session.scalar(query.where(accepted)) or 0, session.scalar(query.where(rejected)) or 0)
