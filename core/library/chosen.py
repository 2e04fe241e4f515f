"""The photos that were chosen to be captioned next: kept, so that they are there again after a restart."""

from __future__ import annotations

import json
from collections.abc import Sequence

from core.library import meta
from core.library.library import Library
from core.library.queries import image_ids


def keep_chosen(library: Library, photos: Sequence[int]) -> None:
    """These photos, in this order, in the place of those before."""
    with library.writing() as session:
        meta.put(session, meta.CHOSEN, json.dumps([int(one) for one in photos]))


def chosen(library: Library) -> tuple[int, ...]:
    """Those of them that can still be captioned; none once all of them have a caption by a person."""
    with library.session() as session:
        kept = json.loads(meta.get(session, meta.CHOSEN) or "[]")
    photos = image_ids(library, ids=kept, sort="given").tolist() if kept else []
    captioned = set(image_ids(library, filter="state:seed", ids=photos).tolist()) if photos else set()
    return tuple(photos) if set(photos) - captioned else ()
