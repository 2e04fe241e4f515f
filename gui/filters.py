"""The filter box: text in the filter language of ``core.library.filters``, and what to say when it is faulty."""

from __future__ import annotations

from dataclasses import dataclass

STATES = ("none", "seed", "candidate", "accepted", "rejected", "failed")
"""Offered in the menu beside the box."""


@dataclass(frozen=True)
class Filter:
    """Photos with a caption in ``state`` for which ``text``, as it was typed, holds."""

    state: str | None = None
    text: str = ""

    @property
    def empty(self) -> bool:
        return self.state is None and not self.text

    @property
    def query(self) -> str:
        """The filter as core reads it."""
        state = f"state:{self.state}" if self.state else ""
        return f"{state} ({self.text})" if state and self.text else state or self.text


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
    return Filter(text="" if tree == nodes.And(()) or not list(nodes.leaves(tree)) else text.strip())
