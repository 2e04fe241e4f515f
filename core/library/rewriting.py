"""Changing many captions in one step: find and replace, words before and after. Shown first, and undoable."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import ClassVar

from sqlalchemy.orm import Session

from core.errors import UserError
from core.library.edits import MAX_LENGTH, clean_text, counted, says_nothing
from core.library.expressions import compiled, replace_all
from core.library.library import Library
from core.library.queries import among
from core.library.records import State
from core.library.steps import Command, Standing, Step, perform, standing
from core.library.tables import Caption

EMPTY = "Nothing would be left of it."
TOO_LONG = f"It would have more than {MAX_LENGTH:,} characters."
TWICE = "Its photo would have the same caption twice."


Make = Callable[[Sequence[str]], list[str]]
"""Texts become new ones, without white space around them."""


@dataclass(frozen=True)
class Scope:
    """Which captions: live ones in these states; of these photos; these alone. ``None``: all."""

    states: tuple[State, ...] = ("accepted", "candidate")
    image_ids: tuple[int, ...] | None = None
    caption_ids: tuple[int, ...] | None = None


@dataclass(frozen=True)
class Replace:
    """Find ``find`` and put ``by`` there. ``regex``: a Python regular expression, and ``by`` may say ``\\1`` or
    ``\\g<name>``; otherwise both are meant as they are. ``words``: only whole words. ``case``: A is not a."""

    find: str
    by: str
    regex: bool = False
    words: bool = False
    case: bool = False

    @property
    def label(self) -> str:
        return f"Replace “{_short(self.find)}” by “{_short(self.by)}”"

    def function(self) -> Make:
        """What makes new texts of old ones. Raises ``UserError`` for nothing to find or a faulty expression; what it
        gives raises one for an expression that takes too long."""
        if not self.find:
            raise UserError("There is nothing to find.", "Type what shall be replaced.")
        pattern = self.find if self.regex else re.escape(self.find)
        if self.words:
            pattern = rf"(?<!\w)(?:{pattern})(?!\w)"
        flags = 0 if self.case else re.IGNORECASE
        if not self.regex:
            plain = re.compile(pattern, flags)
            return lambda texts: [plain.sub(lambda _: self.by, text).strip() for text in texts]
        shown = _short(self.find), _short(self.by)
        compiled(self.find, self.by, flags, shown)  # alone, so that a complaint tells places in what was typed
        expression = compiled(pattern, self.by, flags, shown)
        return lambda texts: replace_all(expression, self.by, texts, MAX_LENGTH + 1, shown[0])


@dataclass(frozen=True)
class Around:
    """Put ``before`` in front of and ``after`` behind each caption, as they are, spaces included."""

    before: str = ""
    after: str = ""

    @property
    def label(self) -> str:
        places = (("before", self.before), ("after", self.after))
        parts = [f"“{_short(text)}” {place}" for place, text in places if text]
        return f"Put {' and '.join(parts)}"

    def function(self) -> Make:
        if not (self.before + self.after).strip():
            raise UserError("There is nothing to put before or after the captions.", "Type some words.")
        return lambda texts: [f"{self.before}{text}{self.after}".strip() for text in texts]


Change = Replace | Around


@dataclass(frozen=True)
class Rewritten:
    """One caption that would change: ``after`` is its new text. ``refused``: why it stays as it is, in words."""

    caption_id: int
    image_id: int
    before: str
    after: str
    refused: str | None = None


@dataclass(frozen=True)
class Preview:
    """``captions`` and ``photos`` that would change, ``refused`` captions that cannot; ``rows``: the first of both."""

    captions: int
    photos: int
    refused: int
    rows: tuple[Rewritten, ...]


def preview(library: Library, change: Change, scope: Scope = Scope(), *, limit: int = 200) -> Preview:
    """What :func:`rewrite` would do now."""
    with library.session() as session:
        rows = [row for _, row in _planned(session, change, scope)]
    done = [row for row in rows if row.refused is None]
    return Preview(len(done), len({row.image_id for row in done}), len(rows) - len(done), tuple(rows[:limit]))


def rewrite(library: Library, change: Change, scope: Scope = Scope()) -> Preview:
    """Change the captions, as one step. They are human from now on; state and seed mark stay. Says what was done."""
    return perform(library, RewriteCaptions(change, scope))


@dataclass(frozen=True)
class RewriteCaptions(Command[Preview]):
    """See :func:`rewrite`."""

    kind: ClassVar[str] = "rewrite"
    change: Change
    scope: Scope = Scope()

    def do(self, step: Step) -> Preview:
        done: list[Rewritten] = []
        refused: list[Rewritten] = []
        for caption, row in _planned(step.session, self.change, self.scope):
            if row.refused is not None:
                refused.append(row)
                continue
            step.change(caption, live=False)
            step.add(caption.image_id, row.after, caption.status, supersedes=caption.id)
            done.append(row)
        step.label = f"{self.change.label} {counted('in', len(done))}"
        photos = len({row.image_id for row in done})
        return Preview(len(done), photos, len(refused), tuple((done + refused)[:200]))


def _planned(session: Session, change: Change, scope: Scope) -> list[tuple[Standing, Rewritten]]:
    """Every caption that the change touches, with what it becomes or why it cannot."""
    make = change.function()
    captions = sorted(standing(session, *_conditions(scope)), key=lambda one: (one.image_id, one.id))  # photo by photo
    texts = list(dict.fromkeys(caption.text for caption in captions))
    become = dict(zip(texts, make(texts), strict=True))
    found = [(caption, become[caption.text]) for caption in captions if become[caption.text] != caption.text]
    touched = {caption.id for caption, _ in found}
    taken: dict[int, set[str]] = {}
    for one in standing(session, Caption.image_id.in_(among({caption.image_id for caption, _ in found}))):
        if one.id not in touched:
            taken.setdefault(one.image_id, set()).add(one.text)
    return [(caption, _one(caption, after, taken.setdefault(caption.image_id, set()))) for caption, after in found]


def _one(caption: Standing, after: str, taken: set[str]) -> Rewritten:
    refused = None
    if says_nothing(after):
        refused = EMPTY
    elif len(after) > MAX_LENGTH:
        refused = TOO_LONG
    elif (after := clean_text(after)) in taken:
        refused = TWICE
    taken.add(caption.text if refused else after)
    return Rewritten(caption.id, caption.image_id, caption.text, after, refused)


def _conditions(scope: Scope) -> Iterable[object]:
    yield Caption.state.in_(scope.states)
    if scope.image_ids is not None:
        yield Caption.image_id.in_(among(scope.image_ids))
    if scope.caption_ids is not None:
        yield Caption.id.in_(among(scope.caption_ids))


def _short(text: str) -> str:
    text = " ".join(text.split()) or text
    return text if len(text) <= 30 else f"{text[:29]}…"
