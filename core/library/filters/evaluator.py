"""A filter asked of one photo in plain Python: what the words mean. The compiled SQL is tested against it."""

from __future__ import annotations

import operator
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from typing import Any

from core.library.filters import nodes
from core.library.filters.nodes import Filter
from core.library.words import contains, has_words, words

_COMPARE: dict[str, Callable[[Any, Any], bool]] = {
    "<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge, "=": operator.eq,
}  # fmt: skip


@dataclass(frozen=True)
class CaptionFacts:
    """A live caption. ``score`` and ``rank``: those of now, if it has any; a score below 0 is shown as 0."""

    text: str
    author: str
    run_id: str | None
    state: str
    is_seed: bool
    created_at: datetime
    score: float | None = None
    rank: float | None = None


@dataclass(frozen=True)
class PhotoFacts:
    """``root``: the folder that was opened; ``path``: the file's name below it, with ``/``."""

    root: str
    path: str
    captions: tuple[CaptionFacts, ...] = ()
    mtime_ns: int = 0
    changed_at: datetime | None = None
    failed: bool = False
    missing: bool = False
    removed: bool = False


def matches(node: Filter, photo: PhotoFacts, *, current_run: str | None = None) -> bool:
    """Whether ``photo`` is what the filter asks for. ``current_run``: whose model captions the library, if any."""
    if (photo.failed or photo.missing) and not nodes.wants_unusable(node):
        return False
    if photo.removed and not nodes.wants_removed(node):
        return False
    return _holds(node, photo, current_run)


def _holds(node: Filter, photo: PhotoFacts, current_run: str | None) -> bool:
    match node:
        case nodes.And(items):
            return all(_holds(item, photo, current_run) for item in items)
        case nodes.Or(items):
            return any(_holds(item, photo, current_run) for item in items)
        case nodes.Not(item):
            return not _holds(item, photo, current_run)
        case nodes.Words():
            return contains(photo.path, node.text) or any(_says(one, node) for one in photo.captions)
        case nodes.State(value):
            return _in_state(photo, value)
        case nodes.Number():
            return _compares(photo.captions, node)
        case nodes.InFolder(text):
            return folder_has(photo.root, photo.path, text)
        case nodes.Author(value):
            return any(caption.author == value for caption in photo.captions)
        case nodes.ByRun(text):
            return any(_by_run(caption, text, current_run) for caption in photo.captions)
        case nodes.Date():
            return _dated(photo, node)


def _says(caption: CaptionFacts, node: nodes.Words) -> bool:
    wanted = words(node.text)
    return has_words(words(caption.text), wanted, not node.exact) if wanted else node.text in caption.text


def _in_state(photo: PhotoFacts, value: str) -> bool:
    kept = [caption for caption in photo.captions if caption.state != "rejected"]
    if value == "none":
        return not kept
    if value in ("failed", "missing", "removed"):
        return bool(getattr(photo, value))
    if value == "changed":
        changed = photo.changed_at
        return changed is not None and any(caption.created_at < changed for caption in kept)
    if value == "seed":
        return any(caption.is_seed for caption in kept)
    return any(caption.state == value for caption in photo.captions)


def _compares(captions: Sequence[CaptionFacts], node: nodes.Number) -> bool:
    kept = [caption for caption in captions if caption.state != "rejected"]
    if node.field == "score":
        values, best = [max(caption.score, 0.0) for caption in kept if caption.score is not None], max
    else:
        values, best = [caption.rank for caption in kept if caption.rank is not None], min
    return bool(values) and _COMPARE[node.operator](best(values), node.value)


def folder_has(root: str, path: str, text: str) -> bool:
    """Whether the full name of the folder that ``path`` lies in, with a slash at its end, has ``text`` in it: one that
    ends with a slash means that folder and what is below it, and no other that only begins so."""
    root = root.replace(os.sep, "/").rstrip("/")
    head, slash, _name = f"{root}/{path}".rpartition("/")
    return contains(head + slash, text)


def _by_run(caption: CaptionFacts, text: str, current_run: str | None) -> bool:
    if caption.author != "run":
        return False
    if text.lower() == "starter" or (text.lower() == "current" and current_run is None):
        return caption.run_id is None
    if text.lower() == "current":
        return caption.run_id == current_run
    return caption.run_id is not None and caption.run_id.lower().startswith(text.lower())


def moments(node: nodes.Date) -> tuple[datetime | None, datetime | None]:
    """From when on, and until before when, in the computer's time zone; ``None``: without end."""
    first = datetime.combine(node.first, time()).astimezone()
    after = datetime.combine(_next(node.last), time()).astimezone()
    return {
        "=": (first, after), "<": (None, first), "<=": (None, after), ">": (after, None), ">=": (first, None),
    }[node.operator]  # fmt: skip


def _next(day: date) -> date:
    return day + timedelta(days=1)


def _dated(photo: PhotoFacts, node: nodes.Date) -> bool:
    since, before = moments(node)
    if node.field == "date":
        low = -(1 << 63) if since is None else nanoseconds(since)
        high = 1 << 63 if before is None else nanoseconds(before)
        return low <= photo.mtime_ns < high
    times = [caption.created_at for caption in photo.captions]
    return any((since is None or one >= since) and (before is None or one < before) for one in times)


def nanoseconds(moment: datetime) -> int:
    """Since 1970, exactly for whole seconds."""
    return int(moment.timestamp()) * 1_000_000_000
