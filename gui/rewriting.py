"""What the window asks for when many captions are to change at once, and what it is told before and after."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from core.errors import UserError

if TYPE_CHECKING:
    from core.library.library import Library
    from core.library.records import State
    from core.library.rewriting import Change, Preview, Scope

Mode = Literal["replace", "before", "after"]
Which = Literal["all", "accepted", "candidate"]
_STATES: dict[Which, tuple[State, ...]] = {
    "all": ("accepted", "candidate"),
    "accepted": ("accepted",),
    "candidate": ("candidate",),
}
_CLINGING = ",.;:!?)]”’"  # what follows the words before it without a space


@dataclass(frozen=True)
class RewriteOrder:
    """``text``: what to find, or what to put before or after; ``image_ids``: of these photos, None for all.

    ``spaced``: a space between the caption and what is put before or after it, unless one is there already.
    """

    mode: Mode
    text: str
    by: str = ""
    regex: bool = False
    case: bool = False
    whole_words: bool = False
    spaced: bool = True
    which: Which = "all"
    image_ids: tuple[int, ...] | None = None

    @property
    def empty(self) -> bool:
        return not (self.text if self.mode == "replace" else self.text.strip())

    def change(self) -> Change:
        from core.library.rewriting import Around, Replace

        if self.mode == "replace":
            return Replace(self.text, self.by, self.regex, self.whole_words, self.case)
        if self.mode == "before":
            gap = " " if self.spaced and not self.text[-1:].isspace() else ""
            return Around(before=f"{self.text}{gap}")
        gap = " " if self.spaced and not self.text[:1].isspace() and self.text[:1] not in _CLINGING else ""
        return Around(after=f"{gap}{self.text}")

    def scope(self) -> Scope:
        from core.library.rewriting import Scope

        return Scope(_STATES[self.which], self.image_ids)


@dataclass(frozen=True)
class RewriteRow:
    """One caption; ``refused``: why it would stay as it is, in words."""

    photo: str
    before: str
    after: str
    refused: str | None = None


@dataclass(frozen=True)
class RewritePreview:
    """``captions`` of ``photos`` change, ``refused`` captions cannot; ``problem``: why nothing can be done at all."""

    captions: int = 0
    photos: int = 0
    refused: int = 0
    rows: tuple[RewriteRow, ...] = ()
    problem: str = ""


def preview(library: Library, order: RewriteOrder, limit: int) -> RewritePreview:
    """What :func:`rewrite` would do now; the first ``limit`` captions."""
    from core.library import rewriting

    if order.empty:
        return RewritePreview()
    try:
        return _told(library, rewriting.preview(library, order.change(), order.scope(), limit=limit))
    except UserError as error:
        return RewritePreview(problem=f"{error.message} {error.next_step}")


def rewrite(library: Library, order: RewriteOrder) -> RewritePreview:
    """Change the captions, as one step that can be undone."""
    from core.library import rewriting

    return _told(library, rewriting.rewrite(library, order.change(), order.scope()))


def _told(library: Library, found: Preview) -> RewritePreview:
    from core.library import queries

    names = {row.id: row.path.name for row in queries.image_rows(library, [row.image_id for row in found.rows])}
    rows = tuple(RewriteRow(names.get(row.image_id, ""), row.before, row.after, row.refused) for row in found.rows)
    return RewritePreview(found.captions, found.photos, found.refused, rows)
