"""Which words of a caption no dictionary knows: the interface to a checker, and the person's own words beside it."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from functools import cache
from typing import TYPE_CHECKING, Protocol

from PySide6.QtCore import QLocale, QObject, Signal

from gui.enchant import find_enchant
from gui.preferences import Preferences

if TYPE_CHECKING:
    from gui.services import Overview
    from gui.session import Session

ENGLISH = ("en_US", "en_GB")  # what most captions are written in, whatever the system speaks
SUGGESTED = 5
OWN_FROM = 2
"""So often a word must be in captions of a person's own to be one that is meant."""
COUNTED = 2_000
"""Captions of a person's own above which their words are counted once only: it takes a moment."""
_WORD = re.compile(r"(?<!\w)[^\W\d_]+(?:['’][^\W\d_]+)*(?!\w)")


class Checker(Protocol):
    def knows(self, word: str) -> bool: ...
    def suggestions(self, word: str) -> Sequence[str]: ...
    def add(self, word: str) -> None: ...


@cache
def find_checker() -> Checker | None:
    """The system's: of its own languages and of English. ``None`` where it has none."""
    return find_enchant([*(one.replace("-", "_") for one in QLocale.system().uiLanguages()), *ENGLISH])


def own_words(texts: Iterable[str]) -> frozenset[str]:
    """Words, case aside, that stand in :data:`OWN_FROM` of these texts or more."""
    found = Counter(word for text in texts for word in {_plain(one[0]) for one in _WORD.finditer(text)})
    return frozenset(word for word, number in found.items() if number >= OWN_FROM)


class Spelling(QObject):
    """What is marked in the open library. Nothing, where the system has no checker or the person does not want it."""

    changed = Signal()

    def __init__(self, session: Session) -> None:
        super().__init__(session)
        self._session = session
        self._preferences: Preferences | None = None
        self._checker: Checker | None = None
        self._own: frozenset[str] = frozenset()
        self._counted: int | None = None  # captions of the person's own, as their words were counted
        session.opened.connect(self._new_library)
        session.overview_changed.connect(self._count)

    def obey(self, preferences: Preferences) -> None:
        """From now on the person's choice counts."""
        self._preferences = preferences
        preferences.changed.connect(self.changed)

    @property
    def on(self) -> bool:
        return self._checker is not None and (self._preferences is None or self._preferences.wants("spelling"))

    def wrong(self, text: str) -> list[tuple[int, int]]:
        """Where in ``text`` words begin and end that are not known. What is all capitals is taken for a name."""
        checker = self._checker
        if checker is None or not self.on:
            return []
        return [
            found.span()
            for found in _WORD.finditer(text)
            if len(found[0]) > 1
            and not found[0].isupper()
            and _plain(found[0]) not in self._own
            and not checker.knows(found[0].replace("’", "'"))
        ]

    def suggestions(self, word: str) -> list[str]:
        return list(self._checker.suggestions(word))[:SUGGESTED] if self._checker is not None else []

    def add(self, word: str) -> None:
        """The person means this word, here and in other libraries."""
        if self._checker is not None:
            self._checker.add(word)
            self.changed.emit()

    def _new_library(self) -> None:
        self._own, self._counted = frozenset(), None

    def _count(self, overview: Overview) -> None:
        """Look for the person's own words, whenever there are more, and for a checker: both off the GUI thread."""
        seeds = overview.counts.seeds
        if seeds == self._counted or (self._counted is not None and seeds > COUNTED):
            return
        self._counted = seeds
        self._session.look_up(
            lambda service: (find_checker(), own_words(service.own_texts())), self._take, key="own words"
        )

    def _take(self, found: tuple[Checker | None, frozenset[str]]) -> None:
        if found != (self._checker, self._own):
            self._checker, self._own = found
            self.changed.emit()


def _plain(word: str) -> str:
    return word.replace("’", "'").casefold()
