"""What is dropped on the window: folders, single photos, and captions that were written elsewhere."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from PySide6.QtCore import QMimeData, QPointF, Qt, QUrl
from PySide6.QtGui import QDropEvent
from PySide6.QtTest import QTest

from tests.gui.conftest import WAIT, draw_photos, seed_texts, settle


def drop(window, *paths: Path) -> None:
    mime = QMimeData()
    mime.setUrls([QUrl.fromLocalFile(str(path)) for path in paths])
    button, keys = Qt.MouseButton.LeftButton, Qt.KeyboardModifier.NoModifier
    window.dropEvent(QDropEvent(QPointF(50, 50), Qt.DropAction.CopyAction, mime, button, keys))


@pytest.fixture
def window(qtbot, open_window, photos):
    made = open_window(photos)
    made.messages.clear()
    made.said = []
    made.session.said.connect(made.said.append)
    return made


def test_captions_come_into_the_open_library_as_one_step(qtbot, window, photos, tmp_path):
    file = tmp_path / "elsewhere" / "mine.csv"
    file.parent.mkdir()
    file.write_text("image,caption\nphoto0.png,a red disc\nphoto1.png,a green disc\n", encoding="utf-8")
    draw_photos(file.parent, 3)
    drop(window, file)
    settle(qtbot, window)
    assert sorted(texts for (texts,) in seed_texts(window.session.service.path).values()) == [
        "a green disc",
        "a red disc",
    ]
    assert "2 captions of 2 photos taken in from mine.csv." in window.said
    assert window.session.overview.folders == (photos,) and window.session.overview.counts.photos == 8
    window.undo()
    settle(qtbot, window)
    assert window.session.overview.counts.seeds == 0


def test_what_was_left_out_is_told(qtbot, window, tmp_path):
    file = tmp_path / "mine.csv"
    lines = ("image,caption,mood", "photo0.png,a red disc,calm", "nowhere.png,a dog,wild", "photo1.png,,")
    file.write_text("\n".join(lines), encoding="utf-8")
    drop(window, file)
    settle(qtbot, window)
    told = window.messages.message
    assert window.messages.kind == "warn" and "1 caption of 1 photo taken in from mine.csv" in told
    assert "1 name of no photo here, the first is nowhere.png" in told
    assert "1 line was skipped" in told and "the columns mood" in told


def test_several_files_one_after_the_other_and_a_faulty_one(qtbot, window, tmp_path):
    first, second, third = (tmp_path / name for name in ("a.json", "b.jsonl", "c.csv"))
    first.write_text("{", encoding="utf-8")
    second.write_text(json.dumps({"image": "photo2.png", "caption": "a blue disc"}), encoding="utf-8")
    third.write_text("image,caption\nphoto3.png,an orange disc\n", encoding="utf-8")
    drop(window, first, second, third)
    qtbot.waitUntil(lambda: bool(window.session.overview and window.session.overview.counts.seeds == 2), timeout=WAIT)
    settle(qtbot, window)
    assert window.messages.kind == "bad" and "a.json" in window.messages.message


def test_captions_wait_for_their_photos(qtbot, open_window, photos):
    window = open_window()
    file = photos / "captions.csv"
    file.write_text("image,caption\nphoto0.png,a red disc\n", encoding="utf-8")
    drop(window, file)
    assert window.session.opening is None and "drop it again" in window.messages.message


def test_of_a_single_photo_the_folder_is_told_and_offered(qtbot, window, tmp_path):
    more = draw_photos(tmp_path / "more", 3)
    drop(window, more / "photo1.png")
    settle(qtbot, window)
    assert window.session.overview.counts.photos == 8 and str(more) in window.messages.message
    QTest.mouseClick(window.messages._action, Qt.MouseButton.LeftButton)
    settle(qtbot, window)
    assert window.session.overview.counts.photos == 11


def test_a_photo_of_a_known_folder_is_simply_looked_at(qtbot, window, photos):
    (photos / "photo0.png").rename(photos / "new.png")
    drop(window, photos / "new.png")
    settle(qtbot, window)
    assert window.messages.message == "" and any("renamed" in text for text in window.said)
    assert window.session.overview.folders == (photos,)


def test_another_file_is_refused_in_words(window, tmp_path):
    (tmp_path / "song.mp3").write_bytes(b"")
    drop(window, tmp_path / "song.mp3")
    assert window.messages.message.startswith("song.mp3 is neither a photo")
