"""What the window makes of folders of photos that were renamed, moved or deleted."""

from __future__ import annotations

import shutil

import pytest
from PySide6.QtWidgets import QPushButton

from core.library import edits, queries
from core.library.library import Library
from gui.tasks import TakenOut
from tests.gui.conftest import WAIT, close, draw_photos, seed_texts, settle


@pytest.fixture
def window(qtbot, open_window, photos):
    """A window on a library of which a photo has a caption; ``.texts``: what it said in passing."""
    first = open_window(photos)
    close(qtbot, first)
    with Library.open(first_library(photos), exclusive=True) as library:
        edits.add_seed(library, queries.images_of(library)[0].id, "words of a person")
    window = open_window(photos)
    window.texts = []
    window.session.said.connect(window.texts.append)
    return window


def first_library(photos):
    with Library.for_photos(photos) as library:
        return library.path


def offers(window) -> list[QPushButton]:
    return [one for one in window.messages.findChildren(QPushButton) if one.text() == "Take it out" and one.isVisible()]


def words_kept(window):
    return list(seed_texts(window.session.service.path).values()) == [("words of a person",)]


def test_a_renamed_folder_that_is_added_is_the_same_one_moved(qtbot, window, photos, tmp_path):
    photos.rename(tmp_path / "renamed")
    window.take_folders([tmp_path / "renamed"])
    settle(qtbot, window)
    overview = window.session.overview
    assert overview.folders == (tmp_path / "renamed",)
    assert (overview.counts.photos, overview.counts.missing) == (8, 0) and words_kept(window)
    assert "8 renamed or moved" in window.texts and not offers(window)


def test_a_renamed_folder_that_is_opened_brings_its_library(qtbot, window, open_window, photos, tmp_path):
    library = window.session.service.path
    close(qtbot, window)
    photos.rename(tmp_path / "renamed")
    window = open_window(tmp_path / "renamed")
    assert window.session.service.path == library and words_kept(window)
    assert window.session.overview.folders == (tmp_path / "renamed",)


def test_a_folder_that_is_gone_for_good_can_be_taken_out(qtbot, window, photos, tmp_path):
    other = draw_photos(tmp_path / "other", 2)
    shutil.copytree(photos, other / "copies")
    window.take_folders([other])
    settle(qtbot, window)
    assert not offers(window)
    shutil.rmtree(photos)
    window.view("library").scan()
    settle(qtbot, window)
    assert str(photos) in window.messages.message
    assert "the captions of 1 photo stay. 7 others without a caption would go with it" in window.messages.message
    (offer,) = offers(window)
    offer.click()
    settle(qtbot, window)
    assert window.session.overview.folders == (other,) and words_kept(window)
    assert any("to copies: 1. Missing now: 0 captioned photos" in text for text in window.texts)
    assert any("Gone with it: 7 photos without a caption." in text for text in window.texts), "copies of them are here"
    window.view("library").scan()
    settle(qtbot, window)
    assert not offers(window) and window.messages.message == ""


def test_of_the_only_folder_it_is_said_what_can_be_done(qtbot, window, photos, tmp_path):
    photos.rename(tmp_path / "unplugged")
    window.view("library").scan()
    qtbot.waitUntil(lambda: window.session.light.current is None and bool(window.messages.message), timeout=WAIT)
    assert str(photos) in window.messages.message
    assert "if it was moved" in window.messages.message and words_kept(window)


@pytest.mark.parametrize(("forgotten", "undoable", "said"), [
    (5, 2, "5 photos without a caption. Undo brings 2 of them back, as missing."),
    (3, 1, "3 photos without a caption. Undo brings 1 of them back, as missing."),
    (1, 1, "1 photo without a caption. Undo brings it back, as missing."),
    (4, 0, "4 photos without a caption."),
])  # fmt: skip
def test_of_those_gone_it_is_said_how_many_undo_brings_back(window, forgotten, undoable, said):
    window._offers._taken_out(TakenOut(0, 0, forgotten, undoable))
    assert window.texts[-1].endswith(said)
