"""Captions typed in the real window: kept without asking, undone and done again, through closing and kills."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

import pytest
from PySide6.QtCore import Qt
from PySide6.QtTest import QTest

from core.library import edits, queries
from core.library.library import Library
from gui.rewrite_dialog import RewriteDialog
from tests.gui.conftest import WAIT, close, seed_texts, settle, suggest_captions, type_caption

CTRL = Qt.KeyboardModifier.ControlModifier


def in_seed(qtbot, open_window, photos):
    """A window with these photos, and its Seed place, shown."""
    window = open_window(photos)
    window.go("seed")
    settle(qtbot, window)
    return window, window.view("seed")


def test_typing_is_kept_without_asking(qtbot, open_window, photos):
    window, seed = in_seed(qtbot, open_window, photos)
    assert seed.editor.hasFocus()
    type_caption(qtbot, window, "a white moon on red")
    assert seed.current_id != window.view("library").grid.photos.id_at(0), "the next photo is shown"
    QTest.keyClicks(seed.editor, "half a sent")
    # Nobody presses anything: a pause in the typing is enough.
    path = window.session.service.path
    qtbot.waitUntil(lambda: ("half a sent",) in seed_texts(path).values(), timeout=WAIT)
    assert set(seed_texts(path).values()) == {("a white moon on red",), ("half a sent",)}
    qtbot.waitUntil(lambda: seed.saved.text() == "Saved", timeout=WAIT)


def test_typing_survives_closing_and_opening(qtbot, open_window, photos):
    window = open_window(photos)
    window.go("seed")
    settle(qtbot, window)
    QTest.keyClicks(window.view("seed").editor, "typed a moment before closing")
    close(qtbot, window)
    again = open_window(photos)
    again.go("seed")
    settle(qtbot, again)
    seed = again.view("seed")
    assert seed.editor.text == "", "it begins where there is something to write"
    seed.step(-1)
    settle(qtbot, again)
    assert seed.editor.text == "typed a moment before closing"
    assert again.session.overview.counts.seeds == 1


def test_typing_before_the_photo_is_there_belongs_to_that_photo(qtbot, open_window, photos):
    window, seed = in_seed(qtbot, open_window, photos)
    first = seed.current_id
    QTest.keyClicks(seed.editor, "first")
    seed.step(1)
    second = seed.current_id
    QTest.keyClicks(seed.editor, "second")  # nothing has been read yet: no event loop ran in between
    settle(qtbot, window)
    seed.keep()
    settle(qtbot, window)
    assert seed_texts(window.session.service.path) == {first: ("first",), second: ("second",)}


def test_leaving_the_photo_keeps_and_coming_back_shows(qtbot, open_window, photos):
    window, seed = in_seed(qtbot, open_window, photos)
    first = seed.current_id
    QTest.keyClicks(seed.editor, "the first")
    QTest.keyClick(seed.editor, Qt.Key.Key_Down, CTRL)
    settle(qtbot, window)
    assert seed.current_id != first and seed.editor.text == ""
    QTest.keyClick(seed.editor, Qt.Key.Key_Up, CTRL)
    settle(qtbot, window)
    assert seed.current_id == first and seed.editor.text == "the first"
    seed.editor.selectAll()
    QTest.keyClick(seed.editor, Qt.Key.Key_Delete)
    QTest.keyClick(seed.editor, Qt.Key.Key_Down, CTRL)
    settle(qtbot, window)
    assert seed_texts(window.session.service.path) == {}, "an emptied caption is taken back"


def test_several_captions_for_one_photo(qtbot, open_window, photos):
    window, seed = in_seed(qtbot, open_window, photos)
    QTest.keyClicks(seed.editor, "one way to say it")
    QTest.keyClick(seed.editor, Qt.Key.Key_Return, CTRL | Qt.KeyboardModifier.ShiftModifier)
    settle(qtbot, window)
    assert seed.editor.text == ""
    type_caption(qtbot, window, "another way")
    assert list(seed_texts(window.session.service.path).values()) == [("one way to say it", "another way")]


def write_another(qtbot, window) -> None:
    window.go("seed")
    type_caption(qtbot, window, "second")


def replace_in_many(qtbot, window) -> None:
    window.go("library")
    QTest.keyClick(window.view("library").grid, Qt.Key.Key_H, CTRL)
    (dialog,) = window.findChildren(RewriteDialog)
    QTest.keyClicks(dialog.text, "words")
    QTest.keyClicks(dialog.by, "letters")
    qtbot.waitUntil(dialog.apply.isEnabled, timeout=WAIT)
    QTest.mouseClick(dialog.apply, Qt.MouseButton.LeftButton)


def accept_one(qtbot, window) -> None:
    window.go("review")
    settle(qtbot, window)
    QTest.keyClick(window.view("review").list, Qt.Key.Key_Return, CTRL)


def test_undo_and_redo_by_key_across_a_restart(qtbot, open_window, photos):
    """Of what was typed, of an acceptance in Review, and of a replacement in many captions."""
    window = open_window(photos)
    window.go("seed")
    type_caption(qtbot, window, "first words")
    path = window.session.service.path
    with Library.open(path) as library:
        ids = [one.id for one in queries.images_of(library)]
    suggest_captions(path, {ids[-1]: ["suggested words"]}, {})
    window.session.refresh()
    settle(qtbot, window)

    def captions() -> set[tuple[str, str]]:
        with Library.open(path) as library:
            return {(one.text, one.state) for found in queries.captions_of(library, ids).values() for one in found}

    was = [captions()]
    for act in (write_another, accept_one, replace_in_many):
        act(qtbot, window)
        settle(qtbot, window)
        was.append(captions())
        assert was[-1] != was[-2]
    close(qtbot, window)
    again = open_window(photos)
    for state in reversed(was[:-1]):
        QTest.keyClick(again.focusWidget(), Qt.Key.Key_Z, CTRL)
        settle(qtbot, again)
        assert captions() == state and "Undone" in again.toast.message
    close(qtbot, again)
    third = open_window(photos)
    for state in was[1:]:
        QTest.keyClick(third.focusWidget(), Qt.Key.Key_Z, CTRL | Qt.KeyboardModifier.ShiftModifier)
        settle(qtbot, third)
        assert captions() == state and "Done again" in third.toast.message
    assert not third.actions_table["redo"].isEnabled()


def test_undo_key_belongs_to_the_text_first_then_to_the_library(qtbot, open_window, photos):
    window, seed = in_seed(qtbot, open_window, photos)
    type_caption(qtbot, window, "to be undone")
    assert seed.editor.hasFocus() and seed.editor.text == ""
    QTest.keyClicks(seed.editor, "x")
    QTest.keyClick(seed.editor, Qt.Key.Key_Z, CTRL)
    assert seed.editor.text == ""
    settle(qtbot, window)
    assert len(seed_texts(window.session.service.path)) == 1, "only the typing was undone"


def test_what_the_text_box_undoes_is_no_step_of_its_own(qtbot, open_window, photos):
    """Typing that was kept meanwhile is undone with it: the next undo is of the step before, not of the undoing."""
    window, seed = in_seed(qtbot, open_window, photos)
    type_caption(qtbot, window, "the step before")
    path = window.session.service.path
    for words in ("typed", " and kept twice"):
        QTest.keyClicks(seed.editor, words)
        seed.keep()
        settle(qtbot, window)
    assert sorted(seed_texts(path).values()) == [("the step before",), ("typed and kept twice",)]
    while seed.editor.text:
        QTest.keyClick(seed.editor, Qt.Key.Key_Z, CTRL)
    seed.keep()
    settle(qtbot, window)
    assert list(seed_texts(path).values()) == [("the step before",)]
    QTest.keyClick(seed.editor, Qt.Key.Key_Z, CTRL)
    settle(qtbot, window)
    assert seed_texts(path) == {} and seed.editor.text == ""
    window.redo()
    window.redo()
    window.redo()
    settle(qtbot, window)
    assert sorted(seed_texts(path).values()) == [("the step before",), ("typed and kept twice",)]


def test_a_caption_emptied_to_be_written_anew_is_not_filled_in_by_a_refresh(qtbot, open_window, photos):
    window, seed = in_seed(qtbot, open_window, photos)
    path, image_id = window.session.service.path, seed.current_id
    QTest.keyClicks(seed.editor, "mine")
    seed.another()
    QTest.keyClicks(seed.editor, "also mine")
    seed.keep()
    settle(qtbot, window)
    seed.editor.selectAll()
    QTest.keyClick(seed.editor, Qt.Key.Key_Delete)
    seed.keep()
    window.session.refresh()
    settle(qtbot, window)
    assert seed.current_id == image_id and seed.editor.text == ""
    QTest.keyClick(seed.editor, Qt.Key.Key_Z, CTRL)
    assert seed.editor.text == "also mine"
    seed.keep()
    settle(qtbot, window)
    assert list(seed_texts(path).values()) == [("mine", "also mine")]
    with Library.open(path) as library:
        assert edits.can_undo(library) == "Write a caption" and edits.can_redo(library) == "Remove a caption"


def test_undo_shows_in_the_editor(qtbot, open_window, photos):
    window, seed = in_seed(qtbot, open_window, photos)
    QTest.keyClicks(seed.editor, "short")
    seed.keep()
    settle(qtbot, window)
    QTest.keyClicks(seed.editor, " and longer")
    seed.keep()
    settle(qtbot, window)
    window.undo()
    settle(qtbot, window)
    assert seed.editor.text == "short"
    QTest.keyClicks(seed.editor, " but other")
    seed.keep()
    settle(qtbot, window)
    assert list(seed_texts(window.session.service.path).values()) == [("short but other",)]


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="POSIX signals")
def test_a_kill_loses_nothing_that_was_typed_before_a_pause(tmp_path, qtbot, open_window, seedcap_home, photos):
    """In a process of its own that kills itself: what was typed is in the library, which opens again."""
    code = f"""
import os, signal, time
from pathlib import Path
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QAbstractButton, QScrollArea
from gui.app import make_application, make_window, open_settings
app = make_application()
window = make_window(open_settings(), in_process=True)
window.show()
window.open_folder(Path({str(photos)!r}))

def until(condition):
    end = time.time() + 60
    while time.time() < end and not condition():
        app.processEvents()
        time.sleep(0.005)
    assert condition()

until(lambda: window.session.overview and window.session.overview.counts.photos == 8 and not window.session.busy)
window.go("seed")
seed = window.view("seed")
until(lambda: seed._photo is not None)
QTest.keyClicks(seed.editor, "typed before the power went")
until(lambda: seed.saved.text() == "Saved")
os.kill(os.getpid(), signal.SIGKILL)
"""
    environment = {**os.environ, "SEEDCAP_HOME": str(seedcap_home), "QT_QPA_PLATFORM": "offscreen"}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, timeout=120)
    assert done.returncode == -signal.SIGKILL, done.stderr
    again = open_window(photos)
    again.go("seed")
    settle(qtbot, again)
    again.view("seed").step(-1)
    settle(qtbot, again)
    assert again.view("seed").editor.text == "typed before the power went"
