"""Photos that a captioning had nothing new for: all that the model says of them is there, or was rejected, already.

Asked again for as many suggestions a photo, the same model says the same; so a view need not offer that for ever.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

import numpy as np
from sqlalchemy import select

from core.library import meta
from core.library.columns import now
from core.library.library import Library
from core.library.queries import fetch_ids, image_ids, is_among, outdated
from core.library.tables import Image


@dataclass(frozen=True)
class InVain:
    """``asked``: what was asked (:func:`asked`); of the photos that it brought nothing for, how many are still without
    a caption (``uncaptioned``), and how many wait with suggestions of another model than the one in use."""

    asked: str = ""
    uncaptioned: int = 0
    outdated: int = 0


def asked(model: str, candidates: int, distinctive: float | None, faster: bool) -> str:
    """What decides about the words of a captioning, in one text: ``model`` is ``starter``, the id of a run or the path
    of a bundle; ``candidates`` a photo; ``distinctive`` and ``faster`` as in a captioning request."""
    return json.dumps([model, candidates, distinctive, faster])


def add_in_vain(library: Library, asked: str, photos: Iterable[int], since: datetime | None = None) -> None:
    """Nothing new came for these photos, whose files were read after ``since`` (``None``: just now).

    Only what was asked last is remembered, and only of photos that are asked about again: those without a caption and
    those of which another model alone has had its say. One write for a whole captioning: all of it is written anew.
    """
    since = since or now()
    earlier = _remembered(library)
    kept = _unchanged(library, np.fromiter(photos, np.int64), since)
    if not len(kept):
        return
    if earlier.asked == asked:
        kept = np.union1d(kept, earlier.photos)
    kept = kept[is_among(kept, np.concatenate([image_ids(library, has_caption=False), outdated(library)]))]
    with library.writing() as session:
        meta.put(session, meta.IN_VAIN, json.dumps([asked, since.isoformat(), kept.tolist()]))


def in_vain(library: Library, waiting: np.ndarray | None = None) -> InVain:
    """What was asked last without anything new coming, and for how many photos that still matters.

    ``waiting``: ids of all photos that wait with suggestions of another model (:func:`outdated`), where they are known.
    """
    known = _remembered(library)
    if not len(known.photos):
        return InVain()
    uncaptioned = image_ids(library, has_caption=False, ids=known.photos)
    others = np.setdiff1d(known.photos, uncaptioned)
    if waiting is None and len(others):
        waiting = outdated(library)
    return InVain(known.asked, len(uncaptioned), 0 if waiting is None else int(is_among(others, waiting).sum()))


@dataclass(frozen=True)
class _Remembered:
    asked: str
    photos: np.ndarray


def _remembered(library: Library) -> _Remembered:
    """What is known, without the photos whose content has changed since."""
    with library.session() as session:
        value = meta.get(session, meta.IN_VAIN)
    known = json.loads(value) if value else []
    if len(known) != 3:  # nothing, or written before it was kept since when
        return _Remembered("", np.empty(0, np.int64))
    asked, since, photos = known
    return _Remembered(asked, _unchanged(library, np.array(photos, np.int64), datetime.fromisoformat(since)))


def _unchanged(library: Library, photos: np.ndarray, since: datetime) -> np.ndarray:
    with library.session() as session:
        changed = fetch_ids(session, select(Image.id).where(Image.changed_at.is_not(None), Image.changed_at > since))
    return photos[~is_among(photos, changed)]
