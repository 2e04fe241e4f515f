"""The log in the window: what was noted down, as it grows, ready for a report."""

from __future__ import annotations

from core.paths import log_file
from gui import log_dialog
from gui.log_dialog import LogDialog


def test_what_is_noted_down_while_it_is_open_appears_and_can_be_copied(qtbot, qapp, open_window, monkeypatch):
    monkeypatch.setattr(log_dialog, "_LOOK_MS", 20)
    window = open_window()
    window.actions_table["log"].trigger()
    dialog = window.findChild(LogDialog)
    assert not dialog.isModal()
    log_file().parent.mkdir(parents=True, exist_ok=True)
    with log_file().open("a", encoding="utf-8") as file:
        file.write("a disk said no\n")
    qtbot.waitUntil(lambda: "a disk said no" in dialog.text.toPlainText())
    dialog.copy.click()
    copied = qapp.clipboard().text()
    assert copied.startswith("Seedcap") and "a disk said no" in copied


def test_of_a_long_log_whole_lines_of_the_end_are_shown(qtbot, tmp_path, monkeypatch):
    monkeypatch.setattr(log_dialog, "SHOWN_BYTES", 100)
    path = tmp_path / "long.log"
    path.write_text("".join(f"line {number:03d}\n" for number in range(100)))
    dialog = LogDialog(path)
    qtbot.addWidget(dialog)
    lines = dialog.text.toPlainText().splitlines()
    assert lines[-1] == "line 099" and all(len(line) == 8 for line in lines) and len(lines) == 11


def test_without_a_log_it_says_so(qtbot, tmp_path):
    dialog = LogDialog(tmp_path / "none.log")
    qtbot.addWidget(dialog)
    assert not dialog.text.toPlainText() and "Nothing" in dialog.text.placeholderText()
