"""The filter box: text in the filter language of ``core.library.filters``, and what to say when it is faulty."""

from __future__ import annotations

from dataclasses import dataclass

STATES = ("none", "seed", "candidate", "accepted", "rejected", "failed", "missing", "removed")
"""Offered in the menu beside the box."""


@dataclass(frozen=True)
class Filter:
    """Photos with a caption in ``state`` for which ``text``, as it was typed, holds."""

    state: str | None = None
    text: str = ""
    removed: bool = False
    """Photos that were taken out of the library are meant, too."""

    @property
    def empty(self) -> bool:
        return self.state is None and not self.text

    @property
    def query(self) -> str:
        """The filter as core reads it."""
        state = f"state:{self.state}" if self.state else ""
        return f"{state} ({self.text})" if state and self.text else state or self.text


def quoted(text: str) -> str:
    """Text as the filter language takes it literally."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


@dataclass(frozen=True)
class FilterError:
    """What could not be understood: the part of the text from ``start`` to ``end``, and in words what was expected."""

    start: int
    end: int
    message: str


def parse(text: str) -> Filter | FilterError:
    """What was typed, checked. Files that could not be read have a list of their own, so asking for them alone is a
    ``state`` and not a text."""
    from core.library.filters import nodes, parser, problems  # not needed before somebody types

    try:
        tree = parser.parse(text)
    except problems.FilterError as error:
        return FilterError(error.start, error.end, f"{error.message} {error.next_step}")
    if isinstance(tree, nodes.State) and tree.value == "failed":
        return Filter("failed")
    nothing = tree == nodes.And(()) or not list(nodes.leaves(tree))
    return Filter(text="" if nothing else text.strip(), removed=nodes.wants_removed(tree))


@dataclass(frozen=True)
class Offer:
    """How a filter may go on: the whole word, and what a name in it means."""

    text: str
    meaning: str = ""


def offers(before: str, folders: tuple[str, ...] = (), *, everything: bool = False) -> list[Offer]:
    """What the last word of ``before`` may become; ``everything``: all names, where no word has been begun.

    Nothing within quotes, and nothing where the word is complete.
    """
    from core.library.filters.fields import FIELDS, completions

    if before.count('"') % 2:
        return []
    found = completions(before, folders=folders)
    if not found and everything and (not before or before[-1] in " (-"):
        found = [f"{name}:" for name in FIELDS]
    return [Offer(one, FIELDS[one[:-1]].meaning if one[:-1] in FIELDS else "") for one in found]
