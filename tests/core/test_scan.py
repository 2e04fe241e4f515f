"""Scanning a folder: everything in it is a photo or is listed with the reason why not, and identity is kept."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import threading
import traceback
import unicodedata
import warnings
from pathlib import Path

import pytest
from PIL import Image

from core.errors import UserError
from core.jobs import Cancelled, QuietContext
from core.library import edits, queries
from core.library.library import Library
from core.library.pace import Pace
from core.library.scan import scan, scan_all
from tests.core.photos import (
    CancelAfter,
    look,
    photo_folder,
    photo_id,
    photo_names,
    png_header,
    write_photo,
)


@pytest.fixture
def photos(tmp_path):
    return photo_folder(tmp_path / "photos", 3)


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
    assert set(photo_names(library)) == {"00.png", "01.png", "02.png", "2024/märz/Straße 日本 🌵.JPG", nfd}
    row = queries.image_rows(library, [photo_id(library, "00.png")])[0]
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
    edits.add_seed(library, photo_id(library, os.fsdecode(b"\xfe.png")), "still the same")


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
    assert set(photo_names(library)) == {"00.png", "01.png", "02.png", "folder.jpg/inside.png"}
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
    image = photo_id(library, "01.png")
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
        assert "locked/a.png" in photo_names(library)
        report = look(library, photos)
        assert (report.found, report.errors, report.missing) == (4, (), 0)
        assert queries.failed_images(library) == []
    return True


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
    assert "00.png" in photo_names(library) and "sub2/b.png" in photo_names(library)


def test_a_folder_above_takes_the_photos_over_with_their_captions(library, photos):
    write_photo(photos / "sub" / "a.png", seed=50)
    look(library, photos / "sub")
    edits.add_seed(library, photo_id(library, "a.png"), "kept")
    report = look(library, photos)
    assert (report.found, report.added, report.missing) == (4, 3, 0)
    assert queries.folders(library) == [photos]
    image = photo_id(library, "sub/a.png")
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
    assert "link/own.png" in photo_names(library)


def test_a_folder_that_is_not_there_is_said_and_nothing_becomes_missing(library, photos):
    look(library, photos)
    shutil.move(photos, photos.with_name("moved"))
    with pytest.raises(UserError, match="no folder"):
        look(library, photos)
    assert queries.counts(library).photos == 3
    with pytest.raises(UserError, match="a file"):
        look(library, photos.with_name("moved") / "00.png")


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
        scan(library, photos, CancelAfter(4))
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
        assert name in photo_names(library)
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
