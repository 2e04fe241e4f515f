"""Photos taken out of a library: they count nowhere, no scan brings them back, and a person has them back whole."""

from __future__ import annotations

import shutil

import pytest

from core.exchange.exports import plan_export
from core.library import edits, queries
from core.library.candidates import add_candidates
from core.library.library import Library
from core.library.paging import page
from core.library.removing import put_photos_back, remove_photos
from core.library.scores import gallery_version
from tests.core.photos import library_with, look, write_photo


@pytest.fixture
def library(tmp_path):
    """Photos 1 to 4; 1 and 2 are labelled, 3 has a candidate."""
    with library_with(tmp_path, 4) as library:
        edits.add_seed(library, 1, "a red kite")
        edits.add_seed(library, 2, "a grey sea")
        add_candidates(library, None, {3: ["a kite"]})
        yield library


def shown(library, filter=None):
    return queries.image_ids(library, filter=filter).tolist()


def test_a_removed_photo_counts_nowhere_and_its_file_stays(library, tmp_path):
    version, bytes_before = gallery_version(library), (tmp_path / "photos" / "00.png").read_bytes()
    assert remove_photos(library, [1, 3, 99]) == 2
    assert shown(library) == [2, 4]
    counts = queries.counts(library)
    assert (counts.photos, counts.seeds, counts.candidates, counts.removed) == (2, 1, 0, 2)
    assert queries.uncaptioned(library) == 1
    assert [seed.image_id for seed in queries.seeds(library)] == [2]
    assert [one for one, _ in queries.contents(library)] == [2, 4]
    assert [one for one, _ in queries.unlabelled(library)] == [4]
    assert set(queries.all_captions(library)) == {2}
    assert gallery_version(library) != version
    exported = plan_export(library, "csv", tmp_path / "out.csv", which="best")
    assert "00.png" not in exported.items[0].content and "01.png" in exported.items[0].content
    assert (tmp_path / "photos" / "00.png").read_bytes() == bytes_before


def test_the_filter_finds_what_was_removed_and_nothing_else_does(library, tmp_path):
    (tmp_path / "photos" / "03.png").unlink()
    look(library, tmp_path / "photos")
    remove_photos(library, [1, 4])
    assert shown(library, "state:removed") == [1, 4]
    assert page(library, "state:removed").ids.tolist() == [1, 4]
    assert shown(library, "state:removed kite") == [1]
    assert shown(library, "kite") == [3]
    assert shown(library, "-state:removed kite") == [3]
    assert shown(library, "state:missing OR kite") == [3]
    assert queries.counts(library).missing == 0, "it is removed: nobody need look for its file"
    assert [row.removed for row in queries.image_rows(library, [1, 2])] == [True, False]


def test_undo_brings_photos_back_after_a_restart_with_all_they_had(library):
    remove_photos(library, [1, 2])
    folder = library.path
    library.close()
    with Library.open(folder) as again:
        assert edits.can_undo(again) == "Remove 2 photos from the library"
        assert edits.undo(again) == "Remove 2 photos from the library"
        assert shown(again) == [1, 2, 3, 4]
        assert [seed.texts for seed in queries.seeds(again)] == [("a red kite",), ("a grey sea",)]
        assert edits.redo(again) == "Remove 2 photos from the library"
        assert shown(again) == [3, 4]


def test_putting_back_is_a_step_of_its_own(library):
    remove_photos(library, [1, 2])
    edits.add_seed(library, 4, "later")
    assert put_photos_back(library, [2, 3]) == 1
    assert shown(library) == [2, 3, 4]
    assert edits.undo(library) == "Put a photo back into the library"
    assert shown(library) == [3, 4]
    assert put_photos_back(library, [3]) == 0
    assert edits.can_redo(library) == "Put a photo back into the library", "what changes nothing is no step"


def test_a_step_that_touches_some_removed_before_puts_back_only_its_own(library):
    remove_photos(library, [1])
    remove_photos(library, [1, 2])
    assert edits.undo(library) == "Remove a photo from the library"
    assert shown(library) == [2, 3, 4]


@pytest.mark.parametrize("change", ["nothing", "touched", "renamed", "edited", "deleted", "deleted and back"])
def test_no_scan_brings_a_removed_photo_back(library, tmp_path, change):
    photos = tmp_path / "photos"
    file = photos / "00.png"
    remove_photos(library, [1])
    if change == "touched":
        file.touch()
    elif change == "renamed":
        (photos / "new").mkdir()
        file.rename(photos / "new" / "kite.png")
    elif change == "edited":
        write_photo(file, seed=77)
    elif change.startswith("deleted"):
        kept = shutil.copy2(file, tmp_path / "kept.png")
        file.unlink()
        report = look(library, photos)
        assert report.missing == 0 and report.removed == 0
        if change.endswith("back"):
            shutil.copy2(kept, photos / "again.png")
    report = look(library, photos)
    assert (report.added, report.removed) == (0, 0 if change == "deleted" else 1)
    assert shown(library) == [2, 3, 4] and shown(library, "state:removed") == [1]
    put_photos_back(library, [1])
    assert (1 in shown(library)) == (change != "deleted")
    assert [caption.text for caption in queries.captions_of(library, [1])[1]] == ["a red kite"]


def test_a_copy_of_a_removed_photo_stays_when_the_removed_file_goes(library, tmp_path):
    """The captions of a gone photo go to a copy of it; those of a removed one must not take the copy out of sight."""
    photos = tmp_path / "photos"
    shutil.copy2(photos / "00.png", photos / "copy.png")
    look(library, photos)
    remove_photos(library, [1])
    (photos / "00.png").unlink()
    look(library, photos)
    assert [row.relative_path for row in queries.images_of(library)] == ["01.png", "02.png", "03.png", "copy.png"]


def test_a_photo_that_goes_does_not_move_into_a_copy_that_was_removed(library, tmp_path):
    photos = tmp_path / "photos"
    shutil.copy2(photos / "00.png", photos / "copy.png")
    look(library, photos)
    (copy,) = [row.id for row in queries.images_of(library) if row.relative_path == "copy.png"]
    remove_photos(library, [copy])
    (photos / "00.png").unlink()
    report = look(library, photos)
    assert report.missing == 1 and shown(library) == [2, 3, 4]
    assert shown(library, "state:removed") == [copy]
    assert queries.captions_of(library, [1])[1][0].text == "a red kite"


def test_a_file_that_cannot_be_read_and_a_missing_one_can_be_removed_too(library, tmp_path):
    photos = tmp_path / "photos"
    (photos / "bad.jpg").write_bytes(b"no picture")
    (photos / "03.png").unlink()
    look(library, photos)
    (bad,) = [row.id for row in queries.failed_images(library)]
    assert remove_photos(library, [bad, 4]) == 2
    look(library, photos)
    counts = queries.counts(library)
    assert (counts.failed, counts.missing, counts.removed) == (0, 0, 2)
    assert queries.failed_images(library) == []
    edits.undo(library)
    counts = queries.counts(library)
    assert (counts.failed, counts.missing, counts.removed) == (1, 1, 0)
