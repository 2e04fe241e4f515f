"""Whether a library is new: the starter may then say something about its first photos, unasked, once."""

from __future__ import annotations

from core.library import meta
from core.library.library import Library
from core.library.queries import counts, image_ids


def claim_first_captions(library: Library, added: int, most: int) -> tuple[int, ...]:
    """The first photos, ``most`` at most and by path, of a library that is new: the ``added`` ones that have just come
    in are all it has, and nobody has written or suggested a caption.

    Empty where it is not; and ever after, once it has been asked of a new library.
    """
    there = counts(library)
    with library.writing() as session:
        if meta.get(session, meta.FIRST_CAPTIONS) is not None or not there.photos:
            return ()
        meta.put(session, meta.FIRST_CAPTIONS, "begun")
    if there.photos > added or there.seeds + there.candidates + there.accepted + there.rejected:
        return ()
    return tuple(image_ids(library)[:most].tolist())
