"""Photos that a captioning had nothing new for: all that the model says of them is there, or was rejected, already.

Asked again for as many suggestions a photo, the same model says the same; so a view need not offer that for ever.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass

from core.library import meta
from core.library.library import Library
from core.library.queries import image_ids, outdated


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


def add_in_vain(library: Library, asked: str, photos: Iterable[int]) -> None:
    """Nothing new came for these photos. Only what was asked last is remembered."""
    new = {int(one) for one in photos}
    if not new:
        return
    with library.writing() as session:
        known = _known(meta.get(session, meta.IN_VAIN))
        ids = sorted(new | set(known[1]) if known[0] == asked else new)
        meta.put(session, meta.IN_VAIN, json.dumps([asked, ids]))


def in_vain(library: Library) -> InVain:
    """What was asked last without anything new coming, and for how many photos that still matters."""
    with library.session() as session:
        said, photos = _known(meta.get(session, meta.IN_VAIN))
    if not photos:
        return InVain()
    waiting = len(image_ids(library, has_caption=False, ids=photos))
    return InVain(said, waiting, len(set(photos) & set(outdated(library).tolist())))


def _known(value: str | None) -> tuple[str, list[int]]:
    said, photos = json.loads(value) if value else ("", [])
    return said, photos
