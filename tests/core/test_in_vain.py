"""Photos of which a model says nothing new: said, remembered, and asked about again once something has changed."""

# ruff: noqa: F811 - fixtures of another file, by their names

from __future__ import annotations

import json

import pytest
from PIL import Image

from core.jobs import Cancelled, QuietContext
from core.library import meta
from core.library.edits import add_seed, reject
from core.library.in_vain import InVain, add_in_vain, asked, in_vain
from core.library.queries import captions_of, image_ids, image_rows
from core.library.scan import scan
from tests.core.test_batch import Watching
from tests.core.test_batch_library import caption, library, photos, texts  # noqa: F401 - fixtures


def test_what_was_rejected_does_not_come_back_and_is_said_and_remembered(library, caption, tiny_bundle):
    caption(options={"candidates": 2})
    first, second = image_ids(library)[:2].tolist()
    reject(library, [one.id for one in captions_of(library, [first])[first]])
    said = texts(library)[first]
    again = caption(options={"candidates": 2})
    assert (again.done, again.nothing_new) == (1, 1)
    assert texts(library)[first] == said and {one.state for one in captions_of(library, [first])[first]} == {"rejected"}
    here = asked(str(tiny_bundle), 2, None, False)
    assert in_vain(library) == InVain(here, 1, 0)
    reject(library, [one.id for one in captions_of(library, [second])[second]])
    assert in_vain(library).uncaptioned == 1, "of that one nothing was asked since"
    caption(options={"candidates": 2})
    assert in_vain(library) == InVain(here, 2, 0)
    add_seed(library, first, "words of a person")
    assert in_vain(library).uncaptioned == 1
    assert asked(str(tiny_bundle), 3, None, False) != here, "more suggestions are another question"


def reject_all(library):
    found = captions_of(library, image_ids(library))
    reject(library, [one.id for captions in found.values() for one in captions])


def test_what_was_in_vain_is_kept_once_for_a_whole_captioning_also_a_cancelled_one(library, caption, monkeypatch):
    caption(rank=False)
    reject_all(library)
    kept, put = [], meta.put
    monkeypatch.setattr(meta, "put", lambda session, key, value: kept.append(key) or put(session, key, value))
    with pytest.raises(Cancelled):
        caption(Watching(lambda self: len(self.progresses) == 2))
    assert in_vain(library).uncaptioned == 8 and kept.count(meta.IN_VAIN) == 1
    assert caption(resume=True, rank=False).nothing_new == 6
    assert in_vain(library).uncaptioned == 14 and kept.count(meta.IN_VAIN) == 2


def test_a_photo_whose_file_was_replaced_is_asked_about_again(library, caption, photos):
    caption(rank=False)
    reject_all(library)
    caption(rank=False)
    first = sorted(photos.iterdir())[0]
    Image.new("RGB", (60, 40), "teal").save(first)
    assert scan(library, photos, QuietContext()).changed == 1
    assert in_vain(library).uncaptioned == 13
    (changed,) = image_rows(library, [one.id for one in image_rows(library, image_ids(library)) if one.path == first])
    said = in_vain(library).asked
    add_in_vain(library, said, image_ids(library)[-2:])
    assert in_vain(library).uncaptioned == 13, "nor is it remembered with those of a later captioning"
    add_in_vain(library, said, [changed.id])
    assert in_vain(library).uncaptioned == 14


class _Writing(QuietContext):
    """A person who captions a photo while the job captions others."""

    def __init__(self, library, image_id):
        self.library, self.image_id = library, image_id

    def progress(self, done, total, message=""):
        if self.image_id is not None:
            add_seed(self.library, self.image_id, "words of a person")
            self.image_id = None


def test_a_photo_that_a_person_captions_meanwhile_was_not_asked_about_in_vain(library, caption):
    report = caption(_Writing(library, int(image_ids(library)[-1])), rank=False)
    assert texts(library)[int(image_ids(library)[-1])] == ["words of a person"]
    assert report.nothing_new == 0 and in_vain(library) == InVain()


def test_photos_with_captions_are_not_kept_as_in_vain(library, caption):
    caption(rank=False)
    assert caption(existing="add", rank=False).nothing_new == 14
    with library.session() as session:
        assert json.loads(meta.get(session, meta.IN_VAIN) or "[]")[2:] in ([], [[]])
