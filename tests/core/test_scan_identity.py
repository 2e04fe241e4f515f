"""Which file is which photo: captions follow through renames, copies, swaps and drives that come and go."""

from __future__ import annotations

import os
import shutil
import time
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from sqlalchemy import select

from core.jobs import Cancelled
from core.library import edits, queries, splits
from core.library.records import ScoreRow
from core.library.scan import scan
from core.library.scores import write_scores
from core.library.tables import Image as ImageTable
from tests.core.photos import (
    CancelAfter,
    copy_of_library,
    library_with,
    look,
    note_reads,
    photo_folder,
    photo_id,
    photo_names,
    write_photo,
)


@pytest.fixture
def photos(tmp_path):
    return photo_folder(tmp_path / "photos", 3)


def test_a_renamed_photo_keeps_its_captions(library, photos):
    look(library, photos)
    image = photo_id(library, "01.png")
    edits.add_seed(library, image, "mine")
    (photos / "sub").mkdir()
    (photos / "01.png").rename(photos / "sub" / "new name.png")
    report = look(library, photos)
    assert (report.found, report.added, report.renamed, report.missing) == (3, 0, 1, 0)
    assert photo_id(library, "sub/new name.png") == image
    assert queries.captions_of(library, [image])[image][0].text == "mine"


def test_a_photo_that_comes_back_elsewhere_after_a_while_is_the_same(library, photos, tmp_path):
    look(library, photos)
    image = photo_id(library, "02.png")
    (photos / "02.png").rename(tmp_path / "away.png")
    assert look(library, photos).missing == 1
    assert queries.image_rows(library, [image])[0].missing
    assert queries.counts(library) == queries.Counts(2, 0, 0, 0, 0, 0, 1)
    assert look(library, photos).missing == 0  # said once
    (tmp_path / "away.png").rename(photos / "back.png")
    assert look(library, photos).renamed == 1
    assert photo_id(library, "back.png") == image
    (photos / "back.png").rename(tmp_path / "away.png")
    look(library, photos)
    (tmp_path / "away.png").rename(photos / "back.png")
    look(library, photos)
    assert not queries.image_rows(library, [image])[0].missing


def test_a_copy_is_a_photo_of_its_own(library, photos):
    look(library, photos)
    edits.add_seed(library, photo_id(library, "00.png"), "the original")
    shutil.copy(photos / "00.png", photos / "copy.png")
    report = look(library, photos)
    assert (report.added, report.renamed) == (1, 0)
    copy = photo_id(library, "copy.png")
    assert queries.captions_of(library, [copy]) == {copy: []}


def test_the_same_path_wins_over_the_same_content_that_is_still_elsewhere(library, photos):
    look(library, photos)
    first, second = photo_id(library, "00.png"), photo_id(library, "01.png")
    shutil.copy(photos / "00.png", photos / "01.png")
    report = look(library, photos)
    assert (report.changed, report.added, report.renamed, report.missing) == (1, 0, 0, 0)
    assert (photo_id(library, "00.png"), photo_id(library, "01.png")) == (first, second)
    os.utime(photos / "00.png", (7, 7))  # another time is not another content
    shutil.copy(photos / "00.png", photos / "02.png")
    report = look(library, photos)
    assert (report.changed, report.renamed, report.missing) == (1, 0, 0)
    assert photo_id(library, "00.png") == first


_NAMES = ("00.png", "01.png", "02.png")


@pytest.mark.parametrize(
    "after",
    [
        {"00.png": "01.png", "01.png": "00.png"},  # two swap their names
        {"00.png": "01.png", "01.png": "02.png", "02.png": "00.png"},
        {"00.png": "01.png", "01.png": "02.png", "02.png": "03.png"},  # all numbers go up
        {"02.png": "01.png", "01.png": "00.png", "00.png": "away"},  # the first was deleted, the others go down
        {"00.png": "01.png", "01.png": "away"},  # renamed over another one
        {"01.png": "00.png", "00.png": "zz.png"},
        {"02.png": "00.png", "00.png": "02.png", "01.png": "away"},
    ],
)
def test_captions_follow_photos_that_take_one_anothers_names(library, photos, tmp_path, after):
    """A content that the library knows says more than a name: only an unknown one is the same photo, edited."""
    look(library, photos)
    before = {name: photo_id(library, name) for name in _NAMES}
    for name, image in before.items():
        edits.add_seed(library, image, f"about {name}")
    aside = {name: (photos / name).rename(tmp_path / name) for name in after}
    for name, new in after.items():
        if new != "away":
            aside[name].rename(photos / new)
    report = look(library, photos)
    assert (report.added, report.changed) == (0, 0)
    assert report.missing == sum(new == "away" for new in after.values())
    expected = {after.get(name, name): image for name, image in before.items()}
    expected.pop("away", None)
    assert {row.relative_path: row.id for row in queries.images_of(library)} == expected
    if "away" in after.values():  # its caption is kept, and comes back with it
        (name,) = [name for name, new in after.items() if new == "away"]
        aside[name].rename(photos / "back.png")
        report = look(library, photos)
        assert (report.renamed, report.added) == (1, 0)
        assert photo_id(library, "back.png") == before[name]
    texts = queries.captions_of(library, before.values())
    assert {name: [row.text for row in texts[image]] for name, image in before.items()} == {
        name: [f"about {name}"] for name in _NAMES
    }
    assert look(library, photos).missing == 0


def test_a_new_photo_in_front_of_a_series_moves_no_caption(library, photos):
    look(library, photos)
    before = {name: photo_id(library, name) for name in _NAMES}
    edits.add_seed(library, before["00.png"], "about 00.png")
    for number in (2, 1, 0):
        (photos / f"0{number}.png").rename(photos / f"0{number + 1}.png")
    write_photo(photos / "00.png", seed=100)
    report = look(library, photos)
    assert (report.added, report.renamed, report.changed, report.missing) == (1, 3, 0, 0)
    assert [photo_id(library, f"0{number + 1}.png") for number in range(3)] == list(before.values())
    assert queries.captions_of(library, [photo_id(library, "00.png")]) == {photo_id(library, "00.png"): []}


def test_a_scan_that_is_cancelled_half_way_takes_no_photo_for_edited(library, photos, monkeypatch):
    """Where the picture of before is now may be known only by the next scan."""
    from core.library import scan as module

    monkeypatch.setattr(module, "_AHEAD", 0)
    look(library, photos)
    before = [photo_id(library, name) for name in _NAMES]
    for number in (2, 1, 0):
        (photos / f"0{number}.png").rename(photos / f"0{number + 1}.png")
    write_photo(photos / "00.png", seed=100)
    for checks in (1, 2, 3):
        with pytest.raises(Cancelled):
            scan(library, photos, CancelAfter(checks))
    look(library, photos)
    assert [photo_id(library, f"0{number + 1}.png") for number in range(3)] == before


@pytest.mark.parametrize("new_name", ["00_orig.png", "00-before.png"])  # met after and before the name it had
def test_a_photo_with_a_stand_in_under_its_name_keeps_its_caption(library, photos, new_name):
    look(library, photos)
    image = photo_id(library, "00.png")
    edits.add_seed(library, image, "mine")
    (photos / "00.png").rename(photos / new_name)
    write_photo(photos / "00.png", seed=100)
    report = look(library, photos)
    assert (report.added, report.renamed, report.changed, report.missing) == (1, 1, 0, 0)
    assert photo_id(library, new_name) == image


def test_of_several_copies_that_were_renamed_each_keeps_its_own_name(library, photos, tmp_path):
    for old in ("d1/y.png", "d2/x.png"):
        (photos / old).parent.mkdir()
        shutil.copy(photos / "00.png", photos / old)
    look(library, photos)
    before = {name: photo_id(library, f"{folder}/{name}") for folder, name in (("d1", "y.png"), ("d2", "x.png"))}
    (photos / "z").mkdir()
    for path in (photos / "d1" / "y.png", photos / "d2" / "x.png"):
        path.rename(photos / "z" / path.name)
    assert look(library, photos).renamed == 2
    assert {name: photo_id(library, f"z/{name}") for name in before} == before
    for name, image in before.items():  # copied first, then deleted
        edits.add_seed(library, image, f"mine is {name}")
        (tmp_path / "drive").mkdir(exist_ok=True)
        shutil.copy(photos / "z" / name, tmp_path / "drive" / name)
    look(library, tmp_path / "drive")
    shutil.rmtree(photos / "z")
    look(library, photos)
    rows = queries.image_rows(library, before.values())
    assert {row.path for row in rows} == {tmp_path / "drive" / name for name in before}
    assert all(row.path.name == name for row, name in zip(rows, before, strict=True))


def test_changed_content_drops_scores_and_stays_held_out(library, photos):
    look(library, photos)
    ids = queries.image_ids(library)
    captions = [edits.add_seed(library, one, f"caption {one}") for one in ids]
    split = splits.split_seeds(library, fraction=0.4)
    (out,) = split.held_out
    write_scores(library, "e", {one: ScoreRow(0.5, 1, 3, None, None) for one in captions}, gallery_version="v")
    path = queries.image_rows(library, [out.image_id])[0].path
    write_photo(path, seed=99, size=(50, 50))
    assert look(library, photos).changed == 1
    with library.session() as session:
        rows = session.execute(select(ImageTable.id, ImageTable.changed_at))
        marked = {row.id: row.changed_at for row in rows}
    assert [marked[one] is not None for one in ids] == [one == out.image_id for one in ids]
    rows = queries.captions_of(library, ids)
    assert [row[0].score is None for row in rows.values()] == [one == out.image_id for one in ids]
    assert queries.image_rows(library, [out.image_id])[0].width == 50
    again = splits.split_seeds(library, fraction=0.0)
    assert [seed.image_id for seed in again.held_out] == [out.image_id]


def test_a_touched_file_is_not_changed(library, photos):
    look(library, photos)
    os.utime(photos / "00.png", (5, 5))
    assert look(library, photos).changed == 0


# -- identity ---------------------------------------------------------------------------------------------------------


def test_photos_of_a_drive_that_comes_back_are_found_without_reading_them(library, photos, tmp_path, monkeypatch):
    look(library, photos)
    photos.rename(tmp_path / "unplugged")
    photos.mkdir()  # an empty mount point
    assert look(library, photos).missing == 3
    photos.rmdir()
    (tmp_path / "unplugged").rename(photos)
    read = note_reads(monkeypatch)
    report = look(library, photos)
    assert (report.returned, report.found, report.added, read) == (3, 3, 0, [])
    assert queries.counts(library).missing == 0


def test_a_moved_folder_keeps_everything_in_it_also_when_its_root_is_gone(library, photos, tmp_path):
    look(library, photos)
    ids = {row.content_hash: row.id for row in queries.images_of(library)}
    edits.add_seed(library, ids[queries.images_of(library)[0].content_hash], "kept")
    photos.rename(tmp_path / "elsewhere")
    report = look(library, tmp_path / "elsewhere")
    assert (report.renamed, report.added, report.missing) == (3, 0, 0)
    assert {row.content_hash: row.id for row in queries.images_of(library)} == ids
    assert queries.folders(library) == [tmp_path / "elsewhere"]  # the old one is not there and holds nothing
    assert queries.counts(library).seeds == 1


def test_one_of_many_copies_that_moves_keeps_its_caption(library, photos, monkeypatch):
    from core.library import intake

    monkeypatch.setattr(intake, "_COPIES", 2)
    for number in range(6):
        shutil.copy(photos / "00.png", photos / f"copy{number}.png")
    look(library, photos)
    image = photo_id(library, "copy4.png")
    edits.add_seed(library, image, "the fifth copy")
    (photos / "copy4.png").rename(photos / "zz.png")
    report = look(library, photos)
    assert (report.renamed, report.added, report.missing) == (1, 0, 0)
    assert photo_id(library, "zz.png") == image
    assert photo_names(library).count("zz.png") == 1 and len(photo_names(library)) == 9


def test_a_copy_takes_over_when_the_original_goes(library, photos, tmp_path):
    """Photos that are moved to another drive are copied first, and a scan may come in between."""
    look(library, photos)
    image = photo_id(library, "01.png")
    edits.add_seed(library, image, "goes along")
    (tmp_path / "drive").mkdir()
    shutil.copy(photos / "01.png", tmp_path / "drive" / "01.png")
    assert look(library, tmp_path / "drive").added == 1
    (photos / "01.png").unlink()
    (photos / "02.png").unlink()
    report = look(library, photos)
    assert (report.renamed, report.missing, report.found) == (1, 1, 1)
    row = queries.image_rows(library, [image])[0]
    assert (row.path, row.missing) == (tmp_path / "drive" / "01.png", False)
    assert queries.counts(library).photos == 2


def test_two_new_copies_of_a_missing_photo_share_nothing_but_the_content(library, photos):
    look(library, photos)
    image = photo_id(library, "01.png")
    edits.add_seed(library, image, "one of them keeps it")
    shutil.copy(photos / "01.png", photos / "a.png")
    (photos / "01.png").rename(photos / "b.png")
    report = look(library, photos)
    assert (report.renamed, report.added, report.missing) == (1, 1, 0)
    kept = [row.relative_path for row in queries.images_of(library) if row.id == image]
    assert kept in (["a.png"], ["b.png"])
    assert queries.counts(library).seeds == 1


def test_a_name_that_changes_only_in_case_is_the_same_photo_where_case_does_not_count(library, photos, monkeypatch):
    look(library, photos)
    image = photo_id(library, "01.png")
    (photos / "01.png").rename(photos / "01.PNG")
    there = os.path.lexists
    monkeypatch.setattr(os.path, "lexists", lambda path: there(path) or there(str(path).replace("png", "PNG")))
    report = look(library, photos)
    assert (report.renamed, report.added, report.missing) == (1, 0, 0)
    assert photo_id(library, "01.PNG") == image


def test_copies_that_differ_only_in_case_stay_two_photos(library, photos):
    look(library, photos)
    shutil.copy(photos / "01.png", photos / "01.PNG")
    if len(list(photos.iterdir())) == 3:
        pytest.skip("this file system does not tell the two names apart")
    report = look(library, photos)
    assert (report.renamed, report.added) == (0, 1)


_PICTURES = 3


@pytest.fixture(scope="module")
def captioned(tmp_path_factory) -> Path:
    """Three photos with a caption each, and the library of them beside it."""
    place = tmp_path_factory.mktemp("captioned")
    with library_with(place, _PICTURES) as library:
        for number in range(_PICTURES):
            edits.add_seed(library, photo_id(library, f"{number:02d}.png"), f"caption {number}")
    return place


_STEP = st.tuples(
    st.sampled_from(["rename", "delete", "restore", "copy", "stand in", "insert"]),
    st.integers(0, _PICTURES - 1),
    st.sampled_from(["x.png", "d/x.png", "d/y.png", "z.png"]),
)


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(_STEP, max_size=8))
@example([("insert", 0, "x.png")])
@example([("stand in", 0, "z.png"), ("insert", 0, "x.png"), ("insert", 0, "x.png")])
@example([("copy", 1, "x.png"), ("stand in", 1, "d/x.png"), ("insert", 0, "x.png")])
def test_captions_follow_their_photos_whatever_is_done_to_the_files(captioned, tmp_path_factory, steps):
    """The model: a picture that is anywhere has its caption once, wherever it has been and however often copied. A new
    picture never has one: neither under the name of one that was renamed ("stand in") nor in front of a series whose
    names have all been passed on ("insert").

    Only a copy laid where a photo was that is gone now is left out: as far as anyone can tell, that photo was replaced.
    """
    place = tmp_path_factory.mktemp("model")
    photos = captioned / "photos"
    shutil.rmtree(photos)
    where = {number: {f"{number:02d}.png"} for number in range(_PICTURES)}
    contents, was_at, new = {}, {}, set()
    for number in range(_PICTURES):
        path = write_photo(photos / f"{number:02d}.png", seed=number)
        contents[number] = path.read_bytes()
    with copy_of_library(captioned / "test.seedcap", place) as library:
        for action, number, target in steps:
            taken = set().union(*where.values()) | new
            source = next(iter(sorted(where[number])), None)
            if action == "delete" and source:
                (photos / source).unlink()
                where[number].discard(source)
            elif action == "insert" and taken:
                names = sorted(taken)
                passed_on = dict(zip(names, [*names[1:], f"zz{len(new)}.png"], strict=True))
                for name in reversed(names):
                    (photos / name).rename(photos / passed_on[name])
                where = {number: {passed_on[name] for name in paths} for number, paths in where.items()}
                new = {passed_on[name] for name in new} | {names[0]}
                write_photo(photos / names[0], seed=100 + len(new))
            elif target not in taken:
                (photos / target).parent.mkdir(exist_ok=True)
                if action in ("rename", "stand in") and source and len(where[number]) == 1:
                    (photos / source).rename(photos / target)
                    where[number] = {target}
                    if action == "stand in":
                        new.add(source)
                        write_photo(photos / source, seed=100 + len(new))
                elif action == "copy" and source and was_at.get(target, number) == number:
                    shutil.copy(photos / source, photos / target)
                    where[number].add(target)
                elif action == "restore" and not source:
                    (photos / target).write_bytes(contents[number])
                    where[number].add(target)
            was_at |= {path: number for number, paths in where.items() for path in paths}
            look(library, photos)
        usable = {row.relative_path: row for row in queries.images_of(library)}
        assert set(usable) == set().union(*where.values()) | new
        captions = queries.captions_of(library, [row.id for row in usable.values()])
        for number, paths in where.items():
            texts = [row.text for path in paths for row in captions[usable[path].id]]
            assert texts == ([f"caption {number}"] if paths else [])
        assert not [path for path in new if captions[usable[path].id]]


def test_a_file_that_is_still_being_written_is_said_so_and_read_again(library, photos, monkeypatch):
    from core.library import examine as module

    look(library, photos)
    image = photo_id(library, "01.png")
    edits.add_seed(library, image, "stays")
    probe = module.probe_open

    def growing(file, path):
        with path.open("ab") as more:
            more.write(b"more")
        return probe(file, path)

    write_photo(photos / "01.png", seed=92)
    monkeypatch.setattr(module, "probe_open", growing)
    report = look(library, photos)
    assert [(error.path.name, error.reason) for error in report.errors] == [("01.png", module.BEING_WRITTEN)]
    assert report.changed == 0
    monkeypatch.setattr(module, "probe_open", probe)
    report = look(library, photos)
    assert (report.found, report.changed, report.errors) == (3, 1, ())
    assert [seed.image_id for seed in queries.seeds(library)] == [image]


def test_a_time_in_whole_seconds_is_not_trusted_while_the_second_lasts(library, photos, monkeypatch):
    look(library, photos)
    this_second = int(time.time())
    os.utime(photos / "00.png", (this_second, this_second))
    os.utime(photos / "01.png", (5, 5))
    look(library, photos)
    read = note_reads(monkeypatch)
    look(library, photos)
    assert read == ["00.png"]
