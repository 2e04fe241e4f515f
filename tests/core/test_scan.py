"""Scanning a folder: everything in it is a photo or is listed with the reason why not, and identity is kept."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import threading
import time
import traceback
import unicodedata
import warnings
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from PIL import Image
from sqlalchemy import select

from core.errors import UserError
from core.jobs import Cancelled, QuietContext
from core.library import edits, queries, splits
from core.library.library import Library
from core.library.pace import Pace
from core.library.records import ScoreRow
from core.library.scan import scan, scan_all
from core.library.scores import write_scores
from core.library.tables import Image as ImageTable
from tests.core.photos import copy_of_library, library_with, look, photo_folder, png_header, write_photo


@pytest.fixture
def library(tmp_path):
    with Library.create(tmp_path / "test") as library:
        yield library


@pytest.fixture
def photos(tmp_path):
    return photo_folder(tmp_path / "photos", 3)


def _names(library) -> list[str]:
    return [row.relative_path for row in queries.image_rows(library, queries.image_ids(library))]


def _id(library, name: str) -> int:
    (found,) = [row.id for row in queries.images_of(library, usable=False) if row.relative_path == name]
    return found


def test_photos_are_found_below_the_folder_by_name(library, photos):
    write_photo(photos / "2024" / "märz" / "Straße 日本 🌵.JPG", seed=10)
    write_photo(photos / "2024" / unicodedata.normalize("NFD", "é") / "e.webp", seed=11)
    (photos / "notes.txt").write_text("no photo")
    write_photo(photos / ".hidden" / "a.jpg", seed=12)
    write_photo(photos / "._a.jpg", seed=12)
    write_photo(photos / "other.seedcap" / "a.jpg", seed=12)
    report = look(library, photos)
    assert (report.found, report.added, report.changed, report.missing, report.errors) == (5, 5, 0, 0, ())
    nfd = f"2024/{unicodedata.normalize('NFD', 'é')}/e.webp"
    assert set(_names(library)) == {"00.png", "01.png", "02.png", "2024/märz/Straße 日本 🌵.JPG", nfd}
    row = queries.image_rows(library, [_id(library, "00.png")])[0]
    assert (row.width, row.height, row.path, row.missing, row.error) == (48, 36, photos / "00.png", False, None)
    assert len(row.content_hash) == 64
    assert queries.folders(library) == [photos]


def test_unchanged_files_are_not_read_again(library, photos, monkeypatch):
    look(library, photos)
    from core.library import scan as module

    monkeypatch.setattr(module, "examine", lambda item: pytest.fail(f"read again: {item.path}"))
    report = look(library, photos)
    assert (report.found, report.added, report.changed, report.missing) == (3, 0, 0, 0)


def test_a_name_that_is_not_unicode_is_kept_exactly(library, photos):
    if sys.platform != "linux":
        pytest.skip("this file system knows only Unicode names")
    raw = os.fsencode(photos) + b"/caf\xe9 \xff.png"
    shutil.copy(photos / "00.png", os.fsdecode(raw))
    other = os.fsencode(photos) + b"/d\xfcr/x.png"
    write_photo(Path(os.fsdecode(other)), seed=20)
    assert look(library, photos).found == 5
    stored = {os.fsencode(row.path) for row in queries.image_rows(library, queries.image_ids(library))}
    assert {raw, other} <= stored
    assert look(library, photos).added == 0
    Path(os.fsdecode(raw)).rename(photos / os.fsdecode(b"\xfe.png"))
    report = look(library, photos)
    assert (report.renamed, report.added, report.missing) == (1, 0, 0)
    edits.add_seed(library, _id(library, os.fsdecode(b"\xfe.png")), "still the same")


def test_everything_unusable_is_listed_with_its_reason(library, photos, tmp_path):
    whole = write_photo(tmp_path / "whole.jpg", size=(200, 150)).read_bytes()
    (photos / "cut.jpg").write_bytes(whole[: len(whole) // 2])
    (photos / "empty.jpg").touch()
    (photos / "text.jpg").write_text("not a picture")
    Image.new("RGB", (1, 1)).save(photos / "one.gif")
    (photos / "huge.png").write_bytes(png_header(20_000, 20_000))
    write_photo(photos / "folder.jpg" / "inside.png", seed=30)
    (photos / "dangling.jpg").symlink_to(photos / "nowhere.jpg")
    (photos / "circle.jpg").symlink_to(photos / "circle.jpg")
    (photos / "back").symlink_to(photos, target_is_directory=True)
    os.mkfifo(photos / "pipe.jpg")
    for report in (look(library, photos), look(library, photos)):
        assert report.found == 4
        assert {error.path.name for error in report.errors} == {
            "cut.jpg", "empty.jpg", "text.jpg", "one.gif", "huge.png", "folder.jpg", "dangling.jpg", "circle.jpg",
            "back", "pipe.jpg",
        }  # fmt: skip
        assert all(error.reason.endswith(".") and len(error.reason) > 15 for error in report.errors)
    listed = {row.relative_path: row.error for row in queries.failed_images(library)}
    assert set(listed) == {error.path.relative_to(photos).as_posix() for error in report.errors}
    assert "too small" in listed["one.gif"] and "20,000 × 20,000" in listed["huge.png"]
    assert set(_names(library)) == {"00.png", "01.png", "02.png", "folder.jpg/inside.png"}
    counts = queries.counts(library)
    assert (counts.photos, counts.failed) == (4, 10)


def test_what_was_mended_or_removed_is_no_longer_listed(library, photos):
    (photos / "a.png").touch()
    (photos / "b.png").touch()
    look(library, photos)
    write_photo(photos / "a.png", seed=9)
    (photos / "b.png").unlink()
    report = look(library, photos)
    assert (report.found, report.errors, report.missing) == (4, (), 0)
    assert queries.failed_images(library) == []
    assert queries.counts(library).missing == 0


def test_a_photo_that_became_damaged_keeps_its_captions(library, photos):
    look(library, photos)
    image = _id(library, "01.png")
    edits.add_seed(library, image, "a caption")
    good = (photos / "01.png").read_bytes()
    (photos / "01.png").write_bytes(good[:-40])
    report = look(library, photos)
    assert [error.path.name for error in report.errors] == ["01.png"]
    assert queries.seeds(library) == []  # nothing to learn from while it cannot be seen
    (photos / "01.png").write_bytes(good)
    look(library, photos)
    assert [seed.texts for seed in queries.seeds(library)] == [("a caption",)]


def _as_nobody(action) -> bool:
    """Run ``action`` in a child process as another user; True when it returned true there.

    A fork rather than a new interpreter, since that user may not be able to read the program's files.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # the child runs one thread and ends by _exit
        child = os.fork()
    if child == 0:
        code = 1
        try:
            os.setgid(65534)
            os.setuid(65534)
            code = 0 if action() else 1
        except BaseException:  # noqa: BLE001 - nothing may leave a forked child but its exit status
            traceback.print_exc()
        finally:
            os._exit(code)
    return os.waitpid(child, 0)[1] == 0


def test_a_folder_without_permission_is_listed_and_its_photos_are_not_missing(tmp_path, photos):
    write_photo(photos / "locked" / "a.png", seed=40)
    with Library.create(tmp_path / "test") as library:
        assert look(library, photos).found == 4
    if os.name == "nt":
        pytest.skip("Windows keeps permissions another way")
    if os.geteuid() != 0:
        assert _scan_locked(tmp_path)
        return
    # As root nothing is forbidden: the scan runs as another user, who owns the photos and the library.
    for path in (tmp_path, *tmp_path.rglob("*")):
        os.chown(path, 65534, 65534)
    opened = [one for one in tmp_path.parents if one.stat().st_mode & 0o001 == 0]
    for folder in opened:
        folder.chmod(folder.stat().st_mode | 0o001)
    try:
        if not _as_nobody(lambda: os.access(photos, os.W_OK)):
            pytest.skip("no other user can get at the temporary folder")
        assert _as_nobody(lambda: _scan_locked(tmp_path))
    finally:
        for folder in opened:
            folder.chmod(folder.stat().st_mode & ~0o001)


def _scan_locked(place: Path) -> bool:
    photos = place / "photos"
    with Library.open(place / "test") as library:
        (photos / "01.png").chmod(0)
        (photos / "locked").chmod(0)
        try:
            os.utime(photos / "01.png", (1, 1))  # otherwise it is unchanged, and not read
            report = look(library, photos)
        finally:
            (photos / "locked").chmod(0o755)
            (photos / "01.png").chmod(0o644)
        reasons = {error.path.name: error.reason for error in report.errors}
        assert set(reasons) == {"locked", "01.png"}
        assert all("permission denied" in reason for reason in reasons.values())
        assert report.missing == 0
        assert "locked/a.png" in _names(library)
        report = look(library, photos)
        assert (report.found, report.errors, report.missing) == (4, (), 0)
        assert queries.failed_images(library) == []
    return True


def test_a_renamed_photo_keeps_its_captions(library, photos):
    look(library, photos)
    image = _id(library, "01.png")
    edits.add_seed(library, image, "mine")
    (photos / "sub").mkdir()
    (photos / "01.png").rename(photos / "sub" / "new name.png")
    report = look(library, photos)
    assert (report.found, report.added, report.renamed, report.missing) == (3, 0, 1, 0)
    assert _id(library, "sub/new name.png") == image
    assert queries.captions_of(library, [image])[image][0].text == "mine"


def test_a_photo_that_comes_back_elsewhere_after_a_while_is_the_same(library, photos, tmp_path):
    look(library, photos)
    image = _id(library, "02.png")
    (photos / "02.png").rename(tmp_path / "away.png")
    assert look(library, photos).missing == 1
    assert queries.image_rows(library, [image])[0].missing
    assert queries.counts(library) == queries.Counts(2, 0, 0, 0, 0, 0, 1)
    assert look(library, photos).missing == 0  # said once
    (tmp_path / "away.png").rename(photos / "back.png")
    assert look(library, photos).renamed == 1
    assert _id(library, "back.png") == image
    (photos / "back.png").rename(tmp_path / "away.png")
    look(library, photos)
    (tmp_path / "away.png").rename(photos / "back.png")
    look(library, photos)
    assert not queries.image_rows(library, [image])[0].missing


def test_a_copy_is_a_photo_of_its_own(library, photos):
    look(library, photos)
    edits.add_seed(library, _id(library, "00.png"), "the original")
    shutil.copy(photos / "00.png", photos / "copy.png")
    report = look(library, photos)
    assert (report.added, report.renamed) == (1, 0)
    copy = _id(library, "copy.png")
    assert queries.captions_of(library, [copy]) == {copy: []}


def test_the_same_path_wins_over_the_same_content_that_is_still_elsewhere(library, photos):
    look(library, photos)
    first, second = _id(library, "00.png"), _id(library, "01.png")
    shutil.copy(photos / "00.png", photos / "01.png")
    report = look(library, photos)
    assert (report.changed, report.added, report.renamed, report.missing) == (1, 0, 0, 0)
    assert (_id(library, "00.png"), _id(library, "01.png")) == (first, second)
    os.utime(photos / "00.png", (7, 7))  # another time is not another content
    shutil.copy(photos / "00.png", photos / "02.png")
    report = look(library, photos)
    assert (report.changed, report.renamed, report.missing) == (1, 0, 0)
    assert _id(library, "00.png") == first


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
    before = {name: _id(library, name) for name in _NAMES}
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
        assert _id(library, "back.png") == before[name]
    texts = queries.captions_of(library, before.values())
    assert {name: [row.text for row in texts[image]] for name, image in before.items()} == {
        name: [f"about {name}"] for name in _NAMES
    }
    assert look(library, photos).missing == 0


def test_a_new_photo_in_front_of_a_series_moves_no_caption(library, photos):
    look(library, photos)
    before = {name: _id(library, name) for name in _NAMES}
    edits.add_seed(library, before["00.png"], "about 00.png")
    for number in (2, 1, 0):
        (photos / f"0{number}.png").rename(photos / f"0{number + 1}.png")
    write_photo(photos / "00.png", seed=100)
    report = look(library, photos)
    assert (report.added, report.renamed, report.changed, report.missing) == (1, 3, 0, 0)
    assert [_id(library, f"0{number + 1}.png") for number in range(3)] == list(before.values())
    assert queries.captions_of(library, [_id(library, "00.png")]) == {_id(library, "00.png"): []}


def test_a_scan_that_is_cancelled_half_way_takes_no_photo_for_edited(library, photos, monkeypatch):
    """Where the picture of before is now may be known only by the next scan."""
    from core.library import scan as module

    monkeypatch.setattr(module, "_AHEAD", 0)
    look(library, photos)
    before = [_id(library, name) for name in _NAMES]
    for number in (2, 1, 0):
        (photos / f"0{number}.png").rename(photos / f"0{number + 1}.png")
    write_photo(photos / "00.png", seed=100)
    for checks in (1, 2, 3):
        with pytest.raises(Cancelled):
            scan(library, photos, _CancelAfter(checks))
    look(library, photos)
    assert [_id(library, f"0{number + 1}.png") for number in range(3)] == before


@pytest.mark.parametrize("new_name", ["00_orig.png", "00-before.png"])  # met after and before the name it had
def test_a_photo_with_a_stand_in_under_its_name_keeps_its_caption(library, photos, new_name):
    look(library, photos)
    image = _id(library, "00.png")
    edits.add_seed(library, image, "mine")
    (photos / "00.png").rename(photos / new_name)
    write_photo(photos / "00.png", seed=100)
    report = look(library, photos)
    assert (report.added, report.renamed, report.changed, report.missing) == (1, 1, 0, 0)
    assert _id(library, new_name) == image


def test_of_several_copies_that_were_renamed_each_keeps_its_own_name(library, photos, tmp_path):
    for old in ("d1/y.png", "d2/x.png"):
        (photos / old).parent.mkdir()
        shutil.copy(photos / "00.png", photos / old)
    look(library, photos)
    before = {name: _id(library, f"{folder}/{name}") for folder, name in (("d1", "y.png"), ("d2", "x.png"))}
    (photos / "z").mkdir()
    for path in (photos / "d1" / "y.png", photos / "d2" / "x.png"):
        path.rename(photos / "z" / path.name)
    assert look(library, photos).renamed == 2
    assert {name: _id(library, f"z/{name}") for name in before} == before
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


def test_scanning_a_folder_inside_looks_only_there(library, photos):
    write_photo(photos / "sub" / "a.png", seed=50)
    write_photo(photos / "sub2" / "b.png", seed=51)
    look(library, photos)
    (photos / "00.png").unlink()
    (photos / "sub" / "a.png").unlink()
    write_photo(photos / "sub" / "new.png", seed=52)
    report = look(library, photos / "sub")
    assert (report.found, report.added, report.missing) == (1, 1, 1)
    assert queries.folders(library) == [photos]
    assert "00.png" in _names(library) and "sub2/b.png" in _names(library)


def test_a_folder_above_takes_the_photos_over_with_their_captions(library, photos):
    write_photo(photos / "sub" / "a.png", seed=50)
    look(library, photos / "sub")
    edits.add_seed(library, _id(library, "a.png"), "kept")
    report = look(library, photos)
    assert (report.found, report.added, report.missing) == (4, 3, 0)
    assert queries.folders(library) == [photos]
    image = _id(library, "sub/a.png")
    assert queries.captions_of(library, [image])[image][0].text == "kept"
    assert queries.image_rows(library, [image])[0].path == photos / "sub" / "a.png"


def test_a_linked_folder_is_entered_once(library, photos, tmp_path):
    elsewhere = photo_folder(tmp_path / "elsewhere", 2)
    write_photo(elsewhere / "own.png", seed=60)
    (photos / "link").symlink_to(elsewhere, target_is_directory=True)
    (elsewhere / "up").symlink_to(photos, target_is_directory=True)
    (elsewhere / "self").symlink_to(elsewhere, target_is_directory=True)
    report = look(library, photos)
    assert report.found == 6
    assert sorted(error.path.name for error in report.errors) == ["self", "up"]
    assert "link/own.png" in _names(library)


def test_a_folder_that_is_not_there_is_said_and_nothing_becomes_missing(library, photos):
    look(library, photos)
    shutil.move(photos, photos.with_name("moved"))
    with pytest.raises(UserError, match="no folder"):
        look(library, photos)
    assert queries.counts(library).photos == 3
    with pytest.raises(UserError, match="a file"):
        look(library, photos.with_name("moved") / "00.png")


class _CancelAfter(QuietContext):
    def __init__(self, asks: int) -> None:
        self.left = asks

    def check_cancelled(self) -> None:
        self.left -= 1
        if self.left < 0:
            raise Cancelled


def test_a_cancelled_scan_keeps_what_it_found_and_marks_nothing_missing(library, photos, monkeypatch):
    from core.library import scan as module

    look(library, photos)
    monkeypatch.setattr(module, "_LOOK_UP", 2)
    monkeypatch.setattr(module, "_AHEAD", 0)
    photo_folder(photos / "more", 6)
    for number in range(6):
        write_photo(photos / "more" / f"{number:02d}.png", seed=100 + number)
    (photos / "00.png").unlink()
    with pytest.raises(Cancelled):
        scan(library, photos, _CancelAfter(4))
    counts = queries.counts(library)
    assert counts.missing == 0
    assert 3 < counts.photos < 9
    report = look(library, photos)
    assert (report.found, report.missing) == (8, 1)


def test_progress_says_how_many_and_ends(library, photos):
    said = []

    class Listening(QuietContext):
        def progress(self, done, total, message=""):
            said.append((done, total))

    scan(library, photos, Listening())
    assert said[-1] == (3, 3)
    assert said[0][1] is None


# -- identity ---------------------------------------------------------------------------------------------------------


def _note_reads(monkeypatch) -> list[str]:
    """The names of the files that a scan reads from now on."""
    from core.library import scan as module

    read: list[str] = []
    examine = module.examine

    def noting(item):
        read.append(item.relative)
        return examine(item)

    monkeypatch.setattr(module, "examine", noting)
    return read


def test_photos_of_a_drive_that_comes_back_are_found_without_reading_them(library, photos, tmp_path, monkeypatch):
    look(library, photos)
    photos.rename(tmp_path / "unplugged")
    photos.mkdir()  # an empty mount point
    assert look(library, photos).missing == 3
    photos.rmdir()
    (tmp_path / "unplugged").rename(photos)
    read = _note_reads(monkeypatch)
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
    image = _id(library, "copy4.png")
    edits.add_seed(library, image, "the fifth copy")
    (photos / "copy4.png").rename(photos / "zz.png")
    report = look(library, photos)
    assert (report.renamed, report.added, report.missing) == (1, 0, 0)
    assert _id(library, "zz.png") == image
    assert _names(library).count("zz.png") == 1 and len(_names(library)) == 9


def test_a_copy_takes_over_when_the_original_goes(library, photos, tmp_path):
    """Photos that are moved to another drive are copied first, and a scan may come in between."""
    look(library, photos)
    image = _id(library, "01.png")
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
    image = _id(library, "01.png")
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
    image = _id(library, "01.png")
    (photos / "01.png").rename(photos / "01.PNG")
    there = os.path.lexists
    monkeypatch.setattr(os.path, "lexists", lambda path: there(path) or there(str(path).replace("png", "PNG")))
    report = look(library, photos)
    assert (report.renamed, report.added, report.missing) == (1, 0, 0)
    assert _id(library, "01.PNG") == image


def test_copies_that_differ_only_in_case_stay_two_photos(library, photos):
    look(library, photos)
    shutil.copy(photos / "01.png", photos / "01.PNG")
    if len(list(photos.iterdir())) == 3:
        pytest.skip("this file system does not tell the two names apart")
    report = look(library, photos)
    assert (report.renamed, report.added) == (0, 1)


def test_a_link_to_a_folder_of_the_library_is_not_a_second_folder(library, photos, tmp_path):
    write_photo(photos / "sub" / "a.png", seed=70)
    look(library, photos)
    (tmp_path / "alias").symlink_to(photos, target_is_directory=True)
    assert (look(library, tmp_path / "alias").added, look(library, tmp_path / "alias" / "sub").found) == (0, 1)
    assert queries.folders(library) == [photos]


def test_a_folder_above_takes_over_several_at_once_in_short_steps(library, photos, tmp_path, monkeypatch):
    from core.library import roots

    monkeypatch.setattr(roots, "Pace", lambda: pace_of(1))
    write_photo(photos / "a" / "b" / "1.png", seed=80)
    write_photo(photos / "c" / "2.png", seed=81)
    write_photo(photos / "c" / "3.png", seed=82)
    look(library, photos / "a" / "b")
    look(library, photos / "c")
    look(library, tmp_path / "photos" / "a")
    assert queries.folders(library) == [photos / "c", photos / "a"]
    ids = {row.path: row.id for row in queries.images_of(library)}

    class Stop(QuietContext):
        def __init__(self):
            self.left = 2

        def check_cancelled(self):
            self.left -= 1
            if self.left < 0:
                raise Cancelled

    with pytest.raises(Cancelled):  # in the middle of it
        scan(library, photos, Stop())
    assert {row.path: row.id for row in queries.images_of(library)} == ids
    report = look(library, photos)
    assert (report.found, report.added, report.missing) == (6, 3, 0)
    assert queries.folders(library) == [photos]
    now = {row.path: row.id for row in queries.images_of(library)}
    assert all(now[path] == one for path, one in ids.items())


def pace_of(rows: int) -> Pace:
    pace = Pace(rows)
    pace.took = lambda seconds: None
    return pace


def test_scanning_inside_a_folder_whose_name_is_not_unicode(library, photos):
    if sys.platform != "linux":
        pytest.skip("this file system knows only Unicode names")
    odd = photos / os.fsdecode(b"d\xfcr")
    write_photo(odd / "x.png", seed=20)
    write_photo(photos / "plain" / os.fsdecode(b"\xff.png"), seed=21)
    write_photo(photos / "plain" / "b.png", seed=22)
    look(library, photos)
    (odd / "x.png").unlink()
    (photos / "plain" / os.fsdecode(b"\xff.png")).unlink()
    (photos / "00.png").unlink()
    assert look(library, odd).missing == 1
    assert look(library, photos / "plain").missing == 1
    assert look(library, photos).missing == 1


# -- files that will not hold still -----------------------------------------------------------------------------------


def test_a_file_that_vanishes_while_it_is_looked_for_is_nothing(library, photos, monkeypatch):
    from core.library import scan as module

    look(library, photos)
    write_photo(photos / "new.png", seed=90)
    write_photo(photos / "01.png", seed=91)
    examine = module.examine

    def too_late(item):
        item.path.unlink()
        return examine(item)

    monkeypatch.setattr(module, "examine", too_late)
    report = look(library, photos)
    assert (report.found, report.added, report.missing, report.errors) == (2, 0, 1, ())
    assert queries.failed_images(library) == []


def test_a_file_that_is_still_being_written_is_said_so_and_read_again(library, photos, monkeypatch):
    from core.library import examine as module

    look(library, photos)
    image = _id(library, "01.png")
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
    read = _note_reads(monkeypatch)
    look(library, photos)
    assert read == ["00.png"]


def test_a_path_too_long_to_open_is_listed(library, photos):
    deep = os.open(photos, os.O_RDONLY)
    try:
        for _ in range(22):
            os.mkdir("d" * 200, dir_fd=deep)
            inner = os.open("d" * 200, os.O_RDONLY, dir_fd=deep)
            os.close(deep)
            deep = inner
        name = "x" * 251 + ".png"
        shutil.copy(photos / "00.png", photos / name)
        with os.fdopen(os.open("lost.png", os.O_WRONLY | os.O_CREAT, dir_fd=deep), "wb") as file:
            file.write((photos / "00.png").read_bytes())
    finally:
        os.close(deep)
    try:
        report = look(library, photos)
        assert report.found == 4
        assert len(report.errors) == 1 and "too long" in report.errors[0].reason.lower()
        assert name in _names(library)
    finally:
        subprocess.run(["rm", "-rf", str(photos)], check=True)  # shutil.rmtree cannot go that deep either


def test_the_systems_own_folders_are_passed_over(library, photos):
    for name in ("@eaDir", "__MACOSX", "$RECYCLE.BIN"):
        write_photo(photos / name / "a.png", seed=95)
    assert look(library, photos).found == 3


# -- several folders, scale -------------------------------------------------------------------------------------------


def test_a_folder_that_is_away_does_not_keep_the_others_from_being_scanned(library, photos, tmp_path):
    other = photo_folder(tmp_path / "other", 2)
    report = scan_all(library, [photos, other], QuietContext())
    assert (report.found, report.added) == (5, 5)
    shutil.move(photos, tmp_path / "away")
    write_photo(other / "new.png", seed=96)
    report = scan_all(library, queries.folders(library), QuietContext())
    assert (report.added, report.missing) == (1, 0)
    assert [error.path for error in report.errors] == [photos]
    assert queries.counts(library).photos == 6
    with pytest.raises(UserError):
        scan_all(library, [photos], QuietContext())


def test_a_scan_never_keeps_others_from_writing_for_long(library, photos, monkeypatch):
    """Each transaction holds few rows, and the fewer the longer they take."""
    from core.library import intake

    sizes = []
    write = intake.Intake.write

    def noting(self, findings, **how):
        sizes.append(len(findings))
        return write(self, findings, **how)

    class SlowDisk(Pace):
        def took(self, seconds):
            super().took(1.0)

    monkeypatch.setattr(intake.Intake, "write", noting)
    monkeypatch.setattr(intake, "Pace", lambda: SlowDisk(16))
    for number in range(40):
        shutil.copy(photos / "00.png", photos / f"more{number:02d}.png")
    look(library, photos)
    assert sum(sizes) == 43 and sizes[0] == 16 and sizes[1:-1] == [8, 8, 8]


def test_bad_files_known_already_are_not_written_again(library, photos, monkeypatch):
    (photos / "empty.jpg").touch()
    (photos / "loop").symlink_to(photos, target_is_directory=True)
    look(library, photos)
    from core.library import intake

    monkeypatch.setattr(intake.Intake, "write", lambda self, findings: pytest.fail(f"written again: {findings}"))
    report = look(library, photos)
    assert len(report.errors) == 2 and report.found == 3 and report.missing == 0


def test_cancelling_does_not_wait_for_what_is_not_read_yet(library, photos, monkeypatch):
    from core.library import scan as module

    photo_folder(photos / "many", 40)
    started = []
    release = threading.Event()
    examine = module.examine

    def slow(item):
        started.append(item.relative)
        release.wait(20)
        return examine(item)

    class Asked(QuietContext):
        def check_cancelled(self):
            if started:
                release.set()
                raise Cancelled

    monkeypatch.setattr(module, "examine", slow)
    with pytest.raises(Cancelled):
        scan(library, photos, Asked())
    assert 1 <= len(started) <= 2 * module._READERS


_PICTURES = 3


@pytest.fixture(scope="module")
def captioned(tmp_path_factory) -> Path:
    """Three photos with a caption each, and the library of them beside it."""
    place = tmp_path_factory.mktemp("captioned")
    with library_with(place, _PICTURES) as library:
        for number in range(_PICTURES):
            edits.add_seed(library, _id(library, f"{number:02d}.png"), f"caption {number}")
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
