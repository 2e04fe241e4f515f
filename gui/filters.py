"""What may be typed into the filter box: ``state:accepted``, ``"red car"`` and plain words, all of which must hold."""

from __future__ import annotations

import re
from dataclasses import dataclass

from gui.words import tr

STATES = ("none", "seed", "candidate", "accepted", "rejected", "failed")

_TOKEN = re.compile(r'"([^"]*)"|(\S+)')


@dataclass(frozen=True)
class Filter:
    """``state`` is one of ``STATES`` or None; ``words`` must all occur in a caption."""

    state: str | None = None
    words: tuple[str, ...] = ()

    @property
    def empty(self) -> bool:
        return self.state is None and not self.words


@dataclass(frozen=True)
class FilterError:
    """What could not be understood: the part of the text from ``start`` to ``end``, and why in words."""

    start: int
    end: int
    message: str


def parse(text: str) -> Filter | FilterError:
    state: str | None = None
    found: list[str] = []
    for match in _TOKEN.finditer(text):
        quoted, word = match.group(1), match.group(2)
        if quoted is not None:
            if quoted.strip():
                found.append(" ".join(quoted.split()))
            continue
        if word.startswith('"'):
            return FilterError(match.start(), len(text), tr("A closing quote is missing."))
        name, colon, value = word.partition(":")
        if not colon or not name.isalpha():
            found.append(word)
        elif name.lower() != "state":
            return FilterError(
                match.start(), match.end(), tr("“{name}:” is not known; only “state:” is.").format(name=name)
            )
        elif value.lower() not in STATES:
            return FilterError(
                match.start(), match.end(), tr("After “state:” comes one of {names}.").format(names=", ".join(STATES))
            )
        elif state is not None and state != value.lower():
            return FilterError(match.start(), match.end(), tr("A photo is asked to be in two states at once."))
        else:
            state = value.lower()
    return Filter(state, tuple(found))
