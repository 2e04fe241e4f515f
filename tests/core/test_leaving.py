"""Folders that were moved as a whole, or are gone for good: what is known of a photo stays, and no folder is left."""

from __future__ import annotations

import shutil

import numpy as np
import pytest
from sqlalchemy import select

from core.cli import main
from core.encoders.store import VectorStore
from core.errors import UserError
from core.jobs import Cancelled, QuietContext
from core.library import edits, leaving, queries, splits
from core.library.leaving import take_out
from core.library.library import Library
from core.library.pace import Pace
from core.library.records import ScoreRow
from core.library.removing import put_photos_back, remove_photos
from core.library.scan import scan_all
from core.library.scores import write_scores
from core.library.tables import Image as ImageTable
from tests.core.photos import look, photo_folder, write_photo

COUNT = 6


@pytest.fixture
def photos(tmp_path):
    return photo_folder(tmp_path / "photos", COUNT)


@pytest.fixture
def library(tmp_path, photos):
    """Every photo has a caption that says its number."""
    with Library.create(tmp_path / "test", exclusive=True) as library:
        look(library, photos)
        for row in queries.images_of(library):
            edits.add_seed(library, row.id, f"number {row.relative_path[:2]}")
        yield library


def where(library):
    """By what is said of it, the path of every photo, or None for a missing one."""
    rows = queries.images_of(library, usable=False)
    captions = queries.captions_of(library, [row.id for row in rows])
    found = {}
    for row in rows:
        for caption in captions.get(row.id, ()):
            assert caption.text not in found
            found[caption.text] = None if row.missing else row.path
    return found


def at(folder, *without):
    places = {f"number {n:02d}": folder / f"{n:02d}.png" for n in range(COUNT)}
    return places | dict.fromkeys((f"number {n:02d}" for n in without), None)


def ids(library):
    return {row.content_hash: row.id for row in queries.images_of(library)}


class _CancelledSoon(QuietContext):
    def __init__(self, left):
        self.left = left

    def check_cancelled(self):
        self.left -= 1
        if self.left < 0:
            raise Cancelled


def test_a_folder_that_was_moved_keeps_vectors_scores_and_what_is_held_out(library, photos, tmp_path):
    store = VectorStore(library, "c" * 64, 4)
    store.append(sorted(ids(library)), np.eye(4, dtype=np.float32)[np.arange(COUNT) % 4])
    caption = queries.captions_of(library, [1])[1][0]
    write_scores(library, "c" * 64, {caption.id: ScoreRow(0.5, 1, COUNT, None, 0.1)}, gallery_version="1")
    held, before = splits.split_seeds(library).held_out, ids(library)
    photos.rename(tmp_path / "renamed")
    report = look(library, tmp_path / "renamed")
    assert (report.renamed, report.added, report.missing, report.changed) == (COUNT, 0, 0, 0)
    assert where(library) == at(tmp_path / "renamed") and ids(library) == before
    assert store.missing(sorted(before)) == [] and splits.split_seeds(library).held_out == held
    assert queries.captions_of(library, [1])[1][0].score is not None


@pytest.mark.parametrize("between", ["nothing", "scan", "missing"])
def test_nothing_stays_behind_when_photos_were_changed_or_deleted_on_the_way(library, photos, tmp_path, between):
    """Also when the old folder was looked for in between, or its place was empty then."""
    new, unplugged = tmp_path / "renamed", tmp_path / "unplugged"
    (photos / "broken.png").write_bytes(b"no picture")
    look(library, photos)
    before = ids(library)
    photos.rename(unplugged)
    if between == "scan":
        with pytest.raises(UserError, match="There is no folder"):
            scan_all(library, queries.folders(library), QuietContext())
    elif between == "missing":
        photos.mkdir()
        assert look(library, photos).missing == COUNT
        photos.rmdir()
    unplugged.rename(new)
    write_photo(new / "01.png", seed=77)
    (new / "02.png").rename(tmp_path / "away.png")
    report = look(library, new)
    assert queries.folders(library) == [new]
    assert (report.added, report.changed, len(report.errors)) == (0, 1, 1)
    assert where(library) == at(new, 2)
    assert set(ids(library).values()) <= set(before.values())
    assert queries.counts(library).missing == 1 and queries.counts(library).failed == 1
    (tmp_path / "away.png").rename(new / "02.png")
    assert look(library, new).returned == 1 and where(library) == at(new)


def test_what_changed_on_the_way_is_marked_and_stays_held_out(library, photos, tmp_path):
    held = splits.split_seeds(library).held_out[0]
    (name,) = [row.relative_path for row in queries.images_of(library) if row.content_hash == held.content_hash]
    photos.rename(tmp_path / "renamed")
    write_photo(tmp_path / "renamed" / name, seed=78)
    look(library, tmp_path / "renamed")
    with library.session() as session:
        row = session.execute(select(ImageTable).where(ImageTable.id == held.image_id)).scalar_one()
        assert row.relative_path == name and row.changed_at is not None and row.content_hash != held.content_hash
        changed = row.content_hash
    assert changed in splits.held_out(library)


def test_a_folder_above_the_moved_one_takes_everything_to_its_place(library, photos, tmp_path):
    (tmp_path / "all" / "2020").mkdir(parents=True)
    photos.rename(tmp_path / "all" / "2020" / "sea")
    (tmp_path / "all" / "2020" / "sea" / "03.png").unlink()
    report = look(library, tmp_path / "all")
    assert (report.renamed, report.missing) == (COUNT - 1, 1)
    assert where(library) == at(tmp_path / "all" / "2020" / "sea", 3)
    assert queries.folders(library) == [tmp_path / "all"]


def test_a_photo_of_the_same_name_that_was_there_before_stays_what_it_is(library, photos, tmp_path):
    new = tmp_path / "new"
    write_photo(new / "00.png", seed=50)
    look(library, new)
    (photos / "00.png").unlink()
    for file in sorted(photos.iterdir()):
        file.rename(new / file.name)
    photos.rmdir()
    report = look(library, new)
    assert (report.renamed, report.changed, report.missing) == (COUNT - 1, 0, 1)
    assert queries.folders(library) == [new] and where(library) == at(new, 0)
    write_photo(new / "again.png", seed=0)
    assert look(library, new).renamed == 1
    assert where(library)["number 00"] == new / "again.png"


def test_copies_of_a_few_photos_do_not_carry_a_drive_away_that_is_unplugged(library, photos, tmp_path):
    (tmp_path / "desk").mkdir()
    for name in ("00.png", "01.png"):
        shutil.copy2(photos / name, tmp_path / "desk" / name)
    photos.rename(tmp_path / "unplugged")
    assert look(library, tmp_path / "desk").renamed == 2
    assert queries.folders(library) == [photos, tmp_path / "desk"]
    (tmp_path / "unplugged").rename(photos)
    assert look(library, photos).found == COUNT
    assert len(where(library)) == COUNT and None not in where(library).values()


# -- taken out by the person ------------------------------------------------------------------------------------------


@pytest.fixture
def copied(library, photos, tmp_path):
    """Moved to another drive the slow way: copied, added, some forgotten, and the old folder deleted."""
    new = tmp_path / "new"
    new.mkdir()
    for n in range(4):
        shutil.copy2(photos / f"{n:02d}.png", new)
    assert look(library, new).added == 4
    write_photo(photos / "plain.png", seed=60)
    look(library, photos)
    photos.rename(tmp_path / "found later")
    return new


def test_captions_of_a_folder_that_is_taken_out_go_to_copies_or_wait(library, photos, tmp_path, copied):
    report = scan_all(library, queries.folders(library), QuietContext())
    assert [error.path for error in report.errors] == [photos]
    out = take_out(library, photos, QuietContext())
    assert (out.moved, out.kept, out.forgotten, out.undoable) == (4, 2, 1, 1)
    assert where(library) == at(copied, 4, 5) and queries.folders(library) == [copied]
    report = scan_all(library, queries.folders(library), QuietContext())
    assert (report.found, report.missing, report.errors) == (4, 0, ())
    assert look(library, tmp_path / "found later").renamed == 3
    assert where(library)["number 05"] == tmp_path / "found later" / "05.png"
    assert queries.counts(library).removed == 0, "what went with its folder comes with it again"


def test_photos_that_go_with_a_folder_are_brought_back_by_undo(library, photos, tmp_path, copied):
    take_out(library, photos, QuietContext())
    counts = queries.counts(library)
    assert (counts.photos, counts.missing, counts.removed) == (4, 2, 1)
    step = edits.undo_step(library)
    assert step is not None and step.label == "Take out the folder photos" and len(step.photos) == 1
    counts = queries.counts(library)
    assert (counts.missing, counts.removed) == (3, 0)
    edits.redo(library)
    assert queries.counts(library).removed == 1
    edits.undo(library)
    assert look(library, tmp_path / "found later").renamed == 3 and queries.counts(library).missing == 0


def test_a_photo_that_was_removed_before_does_not_come_back_with_its_folder(library, photos, tmp_path, copied):
    (one,) = [row.id for row in queries.images_of(library) if row.relative_path == "05.png"]
    remove_photos(library, [one])
    take_out(library, photos, QuietContext())
    look(library, tmp_path / "found later")
    assert queries.counts(library).removed == 1


class _Meanwhile(QuietContext):
    """Between two transactions of the job, once a folder's photos have begun to go, the person does something."""

    def __init__(self, library, *doings):
        self.library, self.doings = library, list(doings)

    def check_cancelled(self):
        if self.doings and edits.can_undo(self.library) == "Take out the folder photos":
            while self.doings:
                self.doings.pop(0)(self.library)


def _caption(library):
    edits.add_seed(library, queries.image_ids(library)[-1], "said meanwhile")


@pytest.fixture
def many(library, photos, copied, tmp_path, monkeypatch):
    """Five photos without a caption go with the folder, one a transaction."""
    (tmp_path / "found later").rename(photos)
    for n in range(61, 65):
        write_photo(photos / f"plain {n}.png", seed=n)
    look(library, photos)
    photos.rename(tmp_path / "found later")
    monkeypatch.setattr(leaving, "Pace", lambda: Pace(1))
    monkeypatch.setattr(Pace, "took", lambda *_: None)
    return photos


def test_what_a_person_does_while_a_folder_goes_is_a_step_of_its_own(library, many):
    """The undone step is forgotten by the next one, which gets its number."""
    out = take_out(library, many, _Meanwhile(library, edits.undo, _caption))
    assert (out.forgotten, out.undoable, queries.counts(library).removed) == (5, 4, 4)
    assert edits.undo(library) == "Take out the folder photos" and queries.counts(library).removed == 0
    step = edits.undo_step(library)
    assert step is not None and step.label == "Write a caption" and len(step.photos) == 1
    assert edits.redo(library) == step.label and queries.counts(library).removed == 0


def test_a_folder_goes_on_after_an_undo_and_undo_brings_the_rest_back(library, many):
    out = take_out(library, many, _Meanwhile(library, edits.undo))
    assert (out.undoable, queries.counts(library).removed) == (4, 4)
    assert edits.undo(library) == "Take out the folder photos" and queries.counts(library).removed == 0
    edits.redo(library)
    assert queries.counts(library).removed == 4 and edits.can_redo(library) is None


def test_steps_are_undone_in_their_order_when_one_came_between(library, many):
    take_out(library, many, _Meanwhile(library, _caption))
    assert queries.counts(library).removed == 5
    done = [(edits.undo(library), queries.counts(library).removed) for _ in range(3)]
    assert done == [("Take out the folder photos", 1), ("Write a caption", 1), ("Take out the folder photos", 0)]


def test_a_photo_that_came_with_its_folder_and_was_removed_then_stays_removed(library, many, tmp_path):
    take_out(library, many, QuietContext())
    later = tmp_path / "found later"
    look(library, later)
    assert queries.counts(library).removed == 0
    (one,) = [row.id for row in queries.images_of(library) if row.relative_path == "plain.png"]
    remove_photos(library, [one])
    (later / "plain.png").rename(later / "renamed.png")
    assert look(library, later).renamed == 1 and queries.counts(library).removed == 1


def test_a_photo_put_back_and_removed_by_hand_does_not_come_with_its_folder(library, many, tmp_path):
    take_out(library, many, QuietContext())
    one = queries.image_ids(library, filter="state:removed")[:1].tolist()
    put_photos_back(library, one)
    remove_photos(library, one)
    look(library, tmp_path / "found later")
    assert queries.image_ids(library, filter="state:removed").tolist() == one


@pytest.mark.parametrize("undone", [False, True])
def test_a_folder_added_again_is_not_taken_out_by_undo_and_redo(library, many, tmp_path, undone):
    take_out(library, many, QuietContext())
    if undone:
        edits.undo(library)
    look(library, tmp_path / "found later")
    there = queries.counts(library)
    for switch in (edits.redo_step,) if undone else (edits.undo_step, edits.redo_step):
        step = switch(library)
        assert (step.label, step.photos, step.overtaken) == ("Take out the folder photos", (), True)
        assert queries.counts(library) == there and there.removed == 0


def test_what_cannot_be_taken_out_is_said(library, photos, tmp_path):
    with pytest.raises(UserError, match="only folder"):
        take_out(library, photos, QuietContext())
    look(library, photo_folder(tmp_path / "new", 1))
    with pytest.raises(UserError, match="not a folder of this library") as caught:
        take_out(library, tmp_path / "other", QuietContext())
    assert str(photos) in caught.value.next_step
    with pytest.raises(UserError, match="still has photos"):
        take_out(library, photos, QuietContext())
    assert where(library) == at(photos)


def test_taking_out_goes_on_where_it_was_stopped(library, photos, copied, monkeypatch):
    monkeypatch.setattr(leaving, "Pace", lambda: Pace(2))
    monkeypatch.setattr(Pace, "took", lambda *_: None)
    with pytest.raises(Cancelled):
        take_out(library, photos, _CancelledSoon(2))
    assert photos in queries.folders(library)
    take_out(library, photos, QuietContext())
    assert where(library) == at(copied, 4, 5) and queries.folders(library) == [copied]


def test_the_command_takes_the_old_folder_out_and_says_what_became_of_it(library, photos, copied, capsys):
    library.close()
    assert main(["import", str(library.path), str(copied), "--instead-of", str(photos)]) == 0
    said = capsys.readouterr().out
    assert f"{photos} is taken out" in said and "4 photos have their captions" in said and "2 with captions" in said


def test_the_command_says_that_a_renamed_folder_was_moved(library, photos, tmp_path, capsys):
    library.close()
    photos.rename(tmp_path / "renamed")
    assert main(["import", str(library.path), str(tmp_path / "renamed")]) == 0
    assert f"0 new, 0 changed, {COUNT} renamed or moved, 0 missing" in capsys.readouterr().out
