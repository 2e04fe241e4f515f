"""The earlier texts of a photo: which of its history is worth showing, and what became of each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from core.library.history import Version

TYPING = timedelta(minutes=5)
Fate = Literal["rejected", "replaced", "removed"]


@dataclass(frozen=True)
class Earlier:
    """A text that a photo had. ``mine``: a person wrote it; ``id``: of the caption that it was; ``after``: the text
    that took its place, if one did."""

    id: int
    text: str
    mine: bool
    written: datetime
    fate: Fate
    after: str = ""


def earlier_texts(history: Sequence[Version]) -> tuple[Earlier, ...]:
    """Newest first: what was rejected, replaced or removed, each text once.

    Left out is what the photo says now, and what a text said while it was still being typed: the one in its place
    goes on from it, soon after.
    """
    by_id = {version.id: version for version in history}
    followers = {version.supersedes: version for version in history if version.supersedes in by_id}
    seen = {version.text for version in history if version.live and version.state != "rejected"}
    found: list[Earlier] = []
    for version in history:
        after = followers.get(version.id)
        mine = version.author == "human"
        if version.text in seen or (after is not None and _half_typed(version, after)):
            continue
        seen.add(version.text)
        fate: Fate = "replaced" if after is not None else "removed"
        fate = "rejected" if version.state == "rejected" else fate
        found.append(Earlier(version.id, version.text, mine, version.created_at, fate, after.text if after else ""))
    return tuple(found)


def _half_typed(version: Version, after: Version) -> bool:
    human = version.author == after.author == "human"
    return human and after.text.startswith(version.text) and after.created_at - version.created_at < TYPING
