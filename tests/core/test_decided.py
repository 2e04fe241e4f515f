"""What Review counts: photos decided about since a moment, undone steps left out."""

from __future__ import annotations

from datetime import timedelta

import pytest

from core.library import edits
from core.library.candidates import add_candidates
from core.library.columns import now
from core.library.decided import Decided, decided_since
from tests.core.photos import library_with


@pytest.fixture
def library(tmp_path):
    with library_with(tmp_path, 6) as made:
        yield made


def test_photos_are_counted_once_however_they_were_decided(library):
    start = now()
    written = add_candidates(library, None, {one: [f"{one} a", f"{one} b"] for one in range(1, 7)}, "add")
    assert decided_since(library, start) == Decided(0, 0)
    edits.accept(library, [written[1][0]])
    edits.accept(library, [written[1][1]])  # the same photo
    edits.edit_caption(library, written[2][0], "2 in my words")
    edits.share_caption(library, written[3][0], [4])
    edits.reject(library, written[5])
    assert decided_since(library, start) == Decided(4, 1)
    edits.undo(library)
    assert decided_since(library, start) == Decided(4, 0)
    assert decided_since(library, now() + timedelta(hours=1)) == Decided(0, 0)


def test_writing_captions_is_no_decision(library):
    start = now()
    own = edits.add_seed(library, 1, "a kite")
    edits.edit_caption(library, own, "a red kite")
    assert decided_since(library, start) == Decided(0, 0)
