"""Settings that apply at once, news of long work, freeing memory, and the window as it was left."""

from __future__ import annotations

import logging

import pytest
from PySide6.QtCore import QObject, Qt, Signal
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QApplication, QFileDialog

from gui import notify
from gui import theme as theming
from gui.app import show_first
from gui.dialogs import CrashDialog
from gui.memory import ModelMemory
from gui.settings_dialog import SettingsDialog
from gui.widgets.photo_grid import SIDES
from gui.worker import Failure
from tests.gui import toy_jobs
from tests.gui.conftest import WAIT, close, settle


@pytest.fixture
def settings(open_window):
    window = open_window(starter=True)
    window.actions_table["settings"].trigger()
    return window, window.findChild(SettingsDialog)


def test_each_setting_applies_the_moment_it_is_chosen(settings):
    window, dialog = settings
    assert not dialog.isModal()
    QTest.mouseClick(dialog.modes["dark"], Qt.MouseButton.LeftButton)
    assert theming.theme().dark and window._settings.value("theme") == "dark"
    window.set_theme("light")
    assert dialog.modes["light"].isChecked(), "changed elsewhere, shown here"
    for choice, check in dialog.checks.items():
        assert check.isChecked() and window.preferences.wants(choice)
        check.setFocus()
        QTest.keyClick(check, Qt.Key.Key_Space)
        assert not window.preferences.wants(choice)


def test_choices_are_kept(qtbot, settings, open_window):
    window, dialog = settings
    dialog.checks["notify"].click()
    close(qtbot, window)
    again = open_window()
    assert not again.preferences.wants("notify") and again.preferences.wants("reopen")


# -- news of long work ------------------------------------------------------------------------------------------------


class FakeJob(QObject):
    finished, failed, cancelled = Signal(object), Signal(object), Signal()
    title = "Training"
    gives_way = False


@pytest.fixture
def told(open_window, monkeypatch):
    """What the desktop was asked to show, with nobody looking at the window and a clock that can be moved."""
    window, asked, now = open_window(), [], [0.0]
    monkeypatch.setattr(notify, "monotonic", lambda: now[0])
    monkeypatch.setattr(notify.QApplication, "activeWindow", lambda: None)
    monkeypatch.setattr(notify.QApplication, "alert", lambda which: asked.append(which))
    return window, asked, now


def run(window, now, seconds: float, how: str) -> None:
    job = FakeJob(window)
    window._notifier.watch(job)
    now[0] += seconds
    {
        "done": lambda: job.finished.emit(None),
        "failed": lambda: job.failed.emit(Failure("The disk is full.")),
        "cancelled": lambda: job.cancelled.emit(),
    }[how]()


@pytest.mark.parametrize(
    ("seconds", "how", "times"), [(31, "done", 1), (31, "failed", 1), (31, "cancelled", 0), (29, "done", 0)]
)
def test_only_long_work_that_ended_by_itself_is_told(told, seconds, how, times):
    window, asked, now = told
    run(window, now, seconds, how)
    assert asked == [window] * times


def test_nothing_is_told_to_who_is_looking_or_wants_to_hear_nothing(told, monkeypatch):
    window, asked, now = told
    window.preferences.set("notify", False)
    run(window, now, 60, "done")
    window.preferences.set("notify", True)
    monkeypatch.setattr(notify.QApplication, "activeWindow", lambda: window)
    run(window, now, 60, "done")
    assert asked == []


def test_a_desktop_with_a_tray_shows_a_message_that_leads_back(told, monkeypatch):
    window, _, now = told
    shown = []
    monkeypatch.setattr(notify.QSystemTrayIcon, "isSystemTrayAvailable", lambda: True)
    monkeypatch.setattr(notify.QSystemTrayIcon, "supportsMessages", lambda: True)
    monkeypatch.setattr(notify.QSystemTrayIcon, "show", lambda _self: shown.append("icon"))
    monkeypatch.setattr(notify.QSystemTrayIcon, "showMessage", lambda _self, *text: shown.append(text[:2]))
    run(window, now, 60, "failed")
    assert shown == ["icon", ("Training: not finished", "The disk is full.")]
    monkeypatch.setattr(window, "raise_", lambda: None)  # no windows lie over one another here
    window.showMinimized()
    window._notifier._tray.messageClicked.emit()
    assert not window.isMinimized()


# -- memory -----------------------------------------------------------------------------------------------------------


def test_memory_of_kept_models_is_given_back_and_said(qtbot, open_window, photos):
    window = open_window(photos, in_process=False)
    session, action = window.session, window.actions_table["free_memory"]
    assert not action.isEnabled() and "No model" in action.toolTip()
    job = session.start(session.words, toy_jobs.endless, None, title="Searching", kind="search")
    qtbot.waitSignal(job.progress, timeout=WAIT).wait()
    assert not action.isEnabled() and "Searching" in action.toolTip()
    job.cancel()
    qtbot.waitUntil(lambda: session.held is not None, timeout=WAIT)
    assert action.isEnabled() and session.held.memory_mb > 1
    said = []
    session.said.connect(said.append)
    action.trigger()
    qtbot.waitUntil(lambda: bool(said), timeout=WAIT)
    assert said[0].startswith("Given back: ") and "MB" in said[0] and "GPU" not in said[0]
    assert not action.isEnabled() and session.held is None and not session.words.ending


def test_what_a_gpu_gives_back_is_said_too(open_window):
    from gui.bridge import Held

    memory = open_window().findChild(ModelMemory)
    assert memory._sentence(Held(420.4, 2048.0)) == "Given back: 420 MB, and 2.0 GB of the GPU's."
    assert "GPU" not in memory._sentence(Held(420.4, 0.0)) and "MB" not in memory._sentence(Held(0.0, 0.0))


# -- as it was left ---------------------------------------------------------------------------------------------------


def test_the_window_comes_back_as_it_was_left(qtbot, open_window, photos, tmp_path):
    window = open_window(photos)
    window.view("library").grid.set_side(SIDES[1])
    window.view("library").show_folders(True)
    window.go("train")
    window.view("train").options.more.set_open(True)
    exporting = window.view("deliver").exporting
    exporting.format.setCurrentIndex(exporting.format.findData("csv"))
    exporting.which.setCurrentIndex(exporting.which.findData("best"))
    out = tmp_path / "out"
    out.mkdir()
    exporting.set_target(out / "mine.csv")
    close(qtbot, window)
    again = open_window()
    assert again.view("library").grid.side == SIDES[1]
    show_first(again, {}, str(photos))
    qtbot.waitUntil(lambda: again.place == "train", timeout=WAIT)
    settle(qtbot, again)
    assert again.view("train").options.more.is_open
    exporting = again.view("deliver").exporting
    assert (exporting.format.currentData(), exporting.which.currentData()) == ("csv", "best")
    assert exporting._target == out / "captions.csv"
    again.go("library")
    folders = again.view("library").folders
    assert folders.isVisible() and again.actions_table["folders"].isChecked()
    assert folders.tree.topLevelItem(0).text(1) == "8", "it is filled when its library is open"
    again.view("library").show_folders(False)
    close(qtbot, again)
    assert not open_window().view("library").folders.isVisible()


def test_a_person_who_goes_elsewhere_meanwhile_is_left_there(qtbot, open_window, photos):
    window = open_window(photos)
    window.go("train")
    close(qtbot, window)
    again = open_window()
    show_first(again, {}, str(photos))
    again.go("seed")
    settle(qtbot, again)
    assert again.place == "seed"


def test_stored_nonsense_does_no_harm(open_window, seedcap_home):
    window = open_window()
    for key in (
        "geometry",
        "place",
        "parts/library-grid",
        "parts/library-folders",
        "parts/export-format",
        "parts/export-folder",
    ):
        window._settings.setValue(key, "nonsense")
    window._settings.sync()
    again = open_window()
    assert again.place == "library" and again.view("library").grid.side in SIDES
    assert again.view("deliver").exporting.format.currentData() == "txt"


# -- faults and choosing ----------------------------------------------------------------------------------------------


def test_a_fault_inside_a_job_can_be_opened_copied_and_found_in_the_log(
    qtbot, qapp, open_window, photos, caplog, monkeypatch
):
    ours = logging.getLogger("gui.session")
    monkeypatch.setattr(ours, "disabled", False)  # a library that sets up logging of its own may have done that
    monkeypatch.setattr(ours, "handlers", [caplog.handler])
    window = open_window(photos)
    window.session.start(window.session.light, toy_jobs.break_down, None, title="Reading", kind="scan")
    qtbot.waitUntil(lambda: "KeyError" in window.messages.message, timeout=WAIT)
    qtbot.waitUntil(lambda: "Traceback" in caplog.text and "break_down" in caplog.text, timeout=WAIT)
    QTest.mouseClick(window.messages._open, Qt.MouseButton.LeftButton)
    dialog = window.findChild(CrashDialog)
    assert dialog.isVisible() and not dialog.isModal()
    dialog.copy.click()
    assert "break_down" in QApplication.clipboard().text()


def test_choosing_a_folder_is_not_waited_for(qtbot, open_window, photos):
    window = open_window()
    window.actions_table["open"].trigger()  # comes back at once
    dialog = window.findChild(QFileDialog)
    assert dialog.windowModality() == Qt.WindowModality.WindowModal
    dialog.fileSelected.emit(str(photos))
    dialog.close()
    settle(qtbot, window)
    assert window.session.overview.counts.photos == 8
