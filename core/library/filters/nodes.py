"""What a filter says, as a tree of frozen values. ``start`` and ``end`` are positions in the text it was read from."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from typing import Literal

Operator = Literal["<", "<=", ">", ">=", "="]


@dataclass(frozen=True, kw_only=True)
class Node:
    start: int = 0
    end: int = 0


@dataclass(frozen=True)
class Words(Node):
    """The photo's name has this text in it, or one of its captions these words side by side; the last one may go on
    unless ``exact``. Words are those of :func:`core.library.words.words`."""

    text: str
    exact: bool = False


@dataclass(frozen=True)
class State(Node):
    """The photo has a caption in this state, or none at all, or is itself failed, missing, changed or removed."""

    value: str


@dataclass(frozen=True)
class Number(Node):
    """The best ``score`` (highest) or ``rank`` (lowest) of the photo's captions that are not rejected."""

    field: Literal["score", "rank"]
    operator: Operator
    value: float


@dataclass(frozen=True)
class InFolder(Node):
    """The folder that the photo lies in has this text somewhere in its full name."""

    text: str


@dataclass(frozen=True)
class Author(Node):
    """The photo has a caption written by a ``human`` or by a ``run``."""

    value: Literal["human", "run"]


@dataclass(frozen=True)
class ByRun(Node):
    """The photo has a caption by a run whose id begins like this; ``starter`` and ``current`` stand for those."""

    text: str


@dataclass(frozen=True)
class Date(Node):
    """``written``: when a caption of the photo was; ``date``: the file's own. The days ``first`` to ``last`` of the
    local calendar are what was typed: a day, a month or a year."""

    field: Literal["written", "date"]
    operator: Operator
    first: date
    last: date


@dataclass(frozen=True)
class And(Node):
    """Every one of them holds; of none: always."""

    items: tuple[Filter, ...]


@dataclass(frozen=True)
class Or(Node):
    items: tuple[Filter, ...]


@dataclass(frozen=True)
class Not(Node):
    item: Filter


Leaf = Words | State | Number | InFolder | Author | ByRun | Date
Filter = Leaf | And | Or | Not

EVERYTHING = And(())


def leaves(node: Filter) -> Iterator[Leaf]:
    """The conditions in a filter, from left to right."""
    if isinstance(node, And | Or):
        for item in node.items:
            yield from leaves(item)
    elif isinstance(node, Not):
        yield from leaves(node.item)
    else:
        yield node


def wants_unusable(node: Filter) -> bool:
    """Whether the filter asks for files that are no usable photos; otherwise those are never meant."""
    return _asks_for(node, "failed", "missing", "removed")


def wants_removed(node: Filter) -> bool:
    """Whether the filter asks for photos that a person took out of the library; otherwise those are never meant."""
    return _asks_for(node, "removed")


def _asks_for(node: Filter, *states: str) -> bool:
    return any(isinstance(leaf, State) and leaf.value in states for leaf in leaves(node))
