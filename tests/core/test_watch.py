"""Watching folders: what changes is reported once, when it has come to rest, and nothing else is."""

from __future__ import annotations

import os
import shutil
import time
from pathlib import Path

import pytest

from core.library import watch as module
from core.library.watch import FolderWatch
from tests.core.photos import photo_folder, write_photo


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def photos(tmp_path) -> Path:
    photo_folder(tmp_path / "photos" / "2023", 2)
    photo_folder(tmp_path / "photos" / "2024" / "may", 2)
    for folder in (tmp_path / "photos", *(tmp_path / "photos").rglob("*")):
        os.utime(folder, (1000, 1000))
    return tmp_path / "photos"


def _news(watch: FolderWatch, polls: int = 3) -> list[Path]:
    return [path for _ in range(polls) for path in watch.poll()]


def test_nothing_is_reported_while_nothing_changes(photos):
    watch = FolderWatch([photos], since=time.time() + 3600)
    assert _news(watch, 5) == []
    assert watch.folder_count == 4


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (lambda photos: write_photo(photos / "2023" / "new.png", seed=9), "2023"),
        (lambda photos: (photos / "2023" / "00.png").unlink(), "2023"),
        (lambda photos: (photos / "2023" / "00.png").rename(photos / "2023" / "zz.png"), "2023"),
        (lambda photos: write_photo(photos / "2025" / "june" / "new.png", seed=9), "."),
        (lambda photos: shutil.rmtree(photos / "2024"), "."),
        (lambda photos: (photos / "2024").rename(photos / "old"), "."),
        (lambda photos: write_photo(photos / "2024" / "may" / "00.png", seed=9), "2024/may"),  # saved in place
    ],
)
def test_a_change_is_reported_once(photos, change, expected):
    watch = FolderWatch([photos])
    assert _news(watch) == []
    change(photos)
    assert set(_news(watch)) == {photos / expected}
    assert _news(watch, 4) == []


def test_a_photo_is_reported_when_it_has_been_copied_as_a_whole(photos):
    watch = FolderWatch([photos])
    path = photos / "2023" / "large.jpg"
    path.touch()
    for _ in range(6):
        with path.open("ab") as file:
            file.write(b"more")
        assert watch.poll() == ()
    assert _news(watch) == [photos / "2023"]


def test_a_copy_that_stops_for_a_while_is_reported_again_when_it_goes_on(photos):
    clock = Clock()
    watch = FolderWatch([photos], clock=clock)
    path = photos / "2023" / "large.jpg"
    path.write_bytes(b"half")
    assert _news(watch) == [photos / "2023"]
    clock.now = 30
    path.write_bytes(b"half and half")
    assert _news(watch, 2) == [photos / "2023"]
    clock.now = 1000
    assert _news(watch) == []


def test_new_folders_are_watched_from_then_on(photos):
    watch = FolderWatch([photos])
    (photos / "new" / "inner").mkdir(parents=True)
    assert _news(watch) == [photos]
    write_photo(photos / "new" / "inner" / "a.png", seed=3)
    assert _news(watch) == [photos / "new" / "inner"]


def test_what_changed_since_the_library_was_up_to_date_is_reported(photos):
    write_photo(photos / "2024" / "may" / "late.png", seed=5)
    before = time.time() - 1
    assert _news(FolderWatch([photos], since=before)) == [photos / "2024" / "may"]
    assert _news(FolderWatch([photos])) == []


def test_files_that_are_no_photos_and_folders_that_are_passed_over_are_no_news(photos):
    (photos / ".thumbs").mkdir()
    (photos / "my.seedcap").mkdir()
    watch = FolderWatch([photos])
    (photos / ".thumbs" / "a.png").touch()
    (photos / "my.seedcap" / "library.db").touch()
    assert _news(watch) == []
    assert watch.folder_count == 4


def test_a_drive_that_is_unplugged_is_no_news_and_what_changed_on_it_is(photos, tmp_path):
    away = tmp_path / "away"
    watch = FolderWatch([photos, tmp_path / "never there"])
    photos.rename(away)
    assert _news(watch) == []
    away.rename(photos)
    assert _news(watch) == []
    photos.rename(away)
    write_photo(away / "2023" / "new.png", seed=4)
    assert _news(watch) == []
    away.rename(photos)
    assert _news(watch) == [photos / "2023"]
    write_photo(tmp_path / "never there" / "a.png", seed=6)
    assert _news(watch) == [tmp_path / "never there"]


def test_links_that_lead_in_circles_are_followed_once(photos, tmp_path):
    (photos / "2023" / "up").symlink_to(photos, target_is_directory=True)
    elsewhere = photo_folder(tmp_path / "elsewhere", 1)
    (photos / "link").symlink_to(elsewhere, target_is_directory=True)
    watch = FolderWatch([photos, photos])
    assert watch.folder_count == 5
    write_photo(elsewhere / "new.png", seed=7)
    assert _news(watch) == [photos / "link"]


def test_a_poll_looks_at_few_files_beyond_what_changed(tmp_path, monkeypatch):
    """A change in place is found, but spread over many polls: each one stays cheap."""
    monkeypatch.setattr(module, "_SWEEP_FILES", 5)
    for number in range(8):
        photo_folder(tmp_path / "photos" / f"{number}", 3)
    watch = FolderWatch([tmp_path / "photos"])
    looked: list[str] = []
    mark_of = module._mark_of

    def noting(folder, counted=None):
        looked.append(folder)
        return mark_of(folder, counted)

    monkeypatch.setattr(module, "_mark_of", noting)
    numbers = []
    for _ in range(16):
        looked.clear()
        assert watch.poll() == ()
        numbers.append(len(looked))
    assert max(numbers) <= 5 and sum(numbers) >= 2 * 9
    write_photo(tmp_path / "photos" / "5" / "00.png", seed=50)
    assert _news(watch, 16) == [tmp_path / "photos" / "5"]
