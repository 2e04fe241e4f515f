"""Changing many captions: what is shown before anything is written is what is then written, as one step."""

from __future__ import annotations

import pytest
from PySide6.QtCore import Qt
from PySide6.QtTest import QTest

from gui.rewrite_dialog import RewriteDialog, _from, _start
from tests.gui.conftest import WAIT, draw_photos, seed_texts, settle, suggest_captions

CTRL = Qt.KeyboardModifier.ControlModifier
TEXTS = ("a red car", "a red house", "the Red sea")


@pytest.fixture
def window(qtbot, open_window, photos):
    """Photos 0 to 2 have captions of the person's own; photo 3 a suggestion."""
    made = open_window(photos)
    ids = [int(one) for one in made.view("library").grid.photos.ids]
    for image_id, text in zip(ids, TEXTS, strict=False):
        made.session.write(lambda service, i=image_id, t=text: service.write_seed(i, None, t), lambda _: None)
    suggest_captions(made.session.service.path, {ids[3]: ["a red bird"]}, {})
    settle(qtbot, made)
    made.session.refresh()
    settle(qtbot, made)
    return made


def opened(qtbot, window) -> RewriteDialog:
    QTest.keyClick(window.view("library").grid, Qt.Key.Key_H, CTRL)
    dialog = next(one for one in window.findChildren(RewriteDialog) if one.isVisible())
    settle(qtbot, window)
    return dialog


def shown(qtbot, dialog, sentence: str) -> list[tuple[str, str]]:
    """What the preview says now and then, once the sentence is there."""
    qtbot.waitUntil(lambda: sentence in dialog.summary.text(), timeout=WAIT)
    table = dialog.table
    return [(table.item(at, 1).text(), table.item(at, 2).text()) for at in range(table.rowCount())]


def written(window) -> list[str]:
    return sorted(text for texts in seed_texts(window.session.service.path).values() for text in texts)


def test_find_and_replace_by_keyboard_and_undo(qtbot, window):
    dialog = opened(qtbot, window)
    assert not dialog.isModal() and dialog.text.hasFocus() and not dialog.apply.isEnabled()
    QTest.keyClicks(dialog.text, "red")
    QTest.keyClick(dialog.text, Qt.Key.Key_Return)
    assert written(window) == sorted(TEXTS), "nothing is written that has not been shown"
    rows = shown(qtbot, dialog, "4 captions of 4 photos will change")
    assert ("a red car", "a  car") in rows
    QTest.keyClick(dialog.text, Qt.Key.Key_Tab)
    QTest.keyClicks(dialog.focusWidget(), "blue")
    assert not dialog.apply.isEnabled(), "the preview is of what was typed before"
    qtbot.waitUntil(lambda: dialog.apply.isEnabled(), timeout=WAIT)
    assert ("the Red sea", "the blue sea") in shown(qtbot, dialog, "4 captions of 4 photos will change")
    QTest.keyClick(dialog.by, Qt.Key.Key_Return)
    shown(qtbot, dialog, "4 captions have been changed")
    settle(qtbot, window)
    assert written(window) == ["a blue car", "a blue house", "the blue sea"]
    dialog.undo.click()
    settle(qtbot, window)
    assert written(window) == sorted(TEXTS)
    qtbot.waitUntil(lambda: dialog.apply.isEnabled(), timeout=WAIT)


def test_case_words_and_expressions(qtbot, window):
    dialog = opened(qtbot, window)
    dialog.text.setText("red")
    dialog.case.click()
    shown(qtbot, dialog, "3 captions of 3 photos")
    dialog.text.setText("re")
    dialog.whole_words.click()
    shown(qtbot, dialog, "No caption here has that")
    dialog.whole_words.click()
    dialog.regex.click()
    dialog.text.setText(r"a (\w+) (\w+)")
    dialog.by.setText(r"\2, \1")
    assert ("a red car", "car, red") in shown(qtbot, dialog, "3 captions of 3 photos")


def test_a_faulty_expression_is_said_in_words_and_nothing_can_be_applied(qtbot, window):
    dialog = opened(qtbot, window)
    dialog.regex.click()
    dialog.whole_words.click()
    dialog.text.setText("(red")
    assert shown(qtbot, dialog, "“(red” is no regular expression") == []
    assert "position 0" in dialog.summary.text(), "of what was typed"
    assert "plain text instead" in dialog.summary.text() and dialog.text.property("invalid") == "true"
    assert not dialog.apply.isEnabled() and window.messages.message == "", "beside the box, not above the window"
    dialog.text.setText("(red)")
    shown(qtbot, dialog, "4 captions")
    assert dialog.text.property("invalid") == "false"


@pytest.mark.parametrize(
    ("mode", "typed", "becomes"),
    [("before", "A photo of", "A photo of a red car"), ("after", ", at night", "a red car, at night")],
)
def test_words_before_and_after_have_a_space_where_one_belongs(qtbot, window, mode, typed, becomes):
    dialog = opened(qtbot, window)
    next(button for button in dialog.modes.buttons() if button.property("key") == mode).click()
    assert not dialog.by.isVisible() and dialog.spaced.isVisible()
    dialog.text.setText(typed)
    assert ("a red car", becomes) in shown(qtbot, dialog, "4 captions")
    dialog.apply.click()
    shown(qtbot, dialog, "have been changed")
    settle(qtbot, window)
    assert becomes in written(window)
    assert not dialog.apply.isEnabled() and not dialog.table.rowCount(), "not a second time by a second press"
    window.undo()
    shown(qtbot, dialog, "4 captions of 4 photos will change")
    assert dialog.apply.isEnabled()


def test_the_selected_photos_come_first_then_those_shown_then_all(qtbot, window):
    library = window.view("library")
    library.filter_box.setText("state:seed")
    library._apply_filter()
    settle(qtbot, window)
    library.grid.select_id(int(library.grid.photos.ids[0]))
    dialog = opened(qtbot, window)
    texts = [dialog.photos.itemText(at) for at in range(dialog.photos.count())]
    assert texts == ["1 selected photo", "3 photos that are shown", "All photos"]
    dialog.text.setText("red")
    assert [before for before, _ in shown(qtbot, dialog, "1 caption of 1 photo")] == ["a red car"]
    dialog.photos.setCurrentIndex(1)
    shown(qtbot, dialog, "3 captions of 3 photos")
    dialog.photos.setCurrentIndex(2)
    shown(qtbot, dialog, "4 captions of 4 photos")
    dialog.which.setCurrentIndex(dialog.which.findData("candidate"))
    assert [before for before, _ in shown(qtbot, dialog, "1 caption of 1 photo")] == ["a red bird"]


def test_what_cannot_change_says_why(qtbot, window):
    dialog = opened(qtbot, window)
    dialog.regex.click()
    dialog.text.setText("a red.*")
    rows = shown(qtbot, dialog, "0 captions of 0 photos will change. 3 cannot")
    assert rows[0] == ("a red car", "Stays as it is: Nothing would be left of it.")
    assert not dialog.apply.isEnabled()


def test_another_library_closes_the_dialog(qtbot, window, tmp_path):
    dialog = opened(qtbot, window)
    gone = []
    dialog.destroyed.connect(lambda: gone.append(True))
    window.open_folder(draw_photos(tmp_path / "more", 2))
    qtbot.waitUntil(lambda: bool(gone), timeout=WAIT)


def test_what_changes_late_in_a_long_caption_is_seen():
    before = "a very long caption that says a lot before it comes to the red car"
    assert _from(before, _start(before, before.replace("red", "blue"))) == "… before it comes to the red car"
    assert _from("a red car", _start("a red car", "a blue car")) == "a red car"
