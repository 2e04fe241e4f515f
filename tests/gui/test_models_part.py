"""Models in the settings: what is here and how it goes, and where downloads come from."""

from __future__ import annotations

import os

import pytest
from PySide6.QtCore import QSettings, Qt
from PySide6.QtTest import QTest

from core import paths
from core.hub.cache import find
from core.hub.get import get, pinned_or_asked
from core.hub.pins import lock_file
from core.jobs import QuietContext
from gui.hub_settings import MIRROR, OFFLINE, HubSettings
from gui.settings_dialog import SettingsDialog
from tests.gui import toy_jobs
from tests.gui.conftest import WAIT, close, settle

LM, ENCODER = "hf:tiny/lm", "open_clip:hf-hub:tiny/clip"


@pytest.fixture
def unset(monkeypatch):
    """As in a program that was started without such variables; what a test sets is taken back."""
    for name in (MIRROR, OFFLINE):
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)


def part_of(window):
    window.actions_table["settings"].trigger()
    return window.findChildren(SettingsDialog)[-1].models


def test_what_was_downloaded_is_listed_and_removed_at_the_second_press(qtbot, hub, models_on_hub, open_window, photos):
    for name in (LM, ENCODER):
        get(QuietContext(), pinned_or_asked(name))
    window = open_window(photos)
    said = []
    window.session.said.connect(said.append)
    part = part_of(window)
    assert set(part.remove_buttons) == {LM, ENCODER} and part.about.isHidden()
    assert ("models" in part.where.full_text() and " kB" in part.where.full_text()) or " MB" in part.where.full_text()
    part.remove_buttons[LM].setFocus()
    QTest.keyClick(part.remove_buttons[LM], Qt.Key.Key_Space)
    assert find(LM) is not None and "Really" in part.remove_buttons[LM].text()
    QTest.keyClick(part.remove_buttons[ENCODER], Qt.Key.Key_Space)
    assert "Really" not in part.remove_buttons[LM].text(), "another one is asked about now"
    for _ in range(2):
        part.remove_buttons[LM].click()
    settle(qtbot, window)
    assert find(LM) is None and find(ENCODER) is not None
    assert set(part.remove_buttons) == {ENCODER} and any(LM in one and "free again" in one for one in said)


def test_while_a_training_runs_nothing_is_removed(qtbot, hub, models_on_hub, open_window, photos):
    get(QuietContext(), pinned_or_asked(LM))
    window = open_window(photos)
    part = part_of(window)
    job = window.session.start(window.session.heavy, toy_jobs.endless, None, title="Training", kind="train")
    for _ in range(2):
        part.remove_buttons[LM].click()
    assert find(LM) is not None and not window.session.light.current
    with qtbot.waitSignal(job.ended, timeout=WAIT):
        job.cancel()


def test_without_models_and_with_a_damaged_list_it_says_so(open_window):
    window = open_window()
    part = part_of(window)
    assert part.about.isVisible() and "No model" in part.about.text()
    assert str(paths.models_dir()).endswith(part.where.full_text().removeprefix("~"))
    lock_file().parent.mkdir(parents=True, exist_ok=True)
    lock_file().write_text("{")
    assert "cannot be read" in part_of(window).about.text()


def test_mirror_and_offline_reach_the_next_jobs_process_and_stay(unset, qtbot, open_window, photos, tmp_path):
    window = open_window(photos, in_process=False)
    part = part_of(window)
    QTest.keyClicks(part.mirror, "https://mirror.invalid/hub/")
    part.mirror.editingFinished.emit()
    assert os.environ[MIRROR] == "https://mirror.invalid/hub"
    part.offline.click()
    session = window.session
    job = session.start(session.light, toy_jobs.variables, (MIRROR, OFFLINE), title="Looking")
    with qtbot.waitSignal(job.finished, timeout=WAIT) as ended:
        pass
    assert ended.args == [("https://mirror.invalid/hub", "1")]
    settings = window._settings
    close(qtbot, window)
    for name in (MIRROR, OFFLINE):
        os.environ.pop(name)
    again = HubSettings(settings)
    assert (again.mirror, again.offline, os.environ[MIRROR]) == ("https://mirror.invalid/hub", True, again.mirror)
    again.set_offline(False)
    assert again.set_mirror("") and MIRROR not in os.environ and OFFLINE not in os.environ


@pytest.mark.parametrize(
    "wrong", ["mirror", "ftp://mirror.invalid", "https://", "https://a b", "https://[", "file:///x"]
)
def test_what_is_no_address_is_not_kept(unset, open_window, wrong):
    window = open_window()
    part = part_of(window)
    part.mirror.setText(wrong)
    part.mirror.editingFinished.emit()
    assert window.hub.mirror == "" and MIRROR not in os.environ
    assert part.mirror.property("invalid") is True and part.mirror.accessibleDescription()


def test_what_the_environment_says_stays_where_nothing_is_set(unset, monkeypatch, tmp_path):
    monkeypatch.setenv(MIRROR, "https://company.invalid")
    monkeypatch.setenv(OFFLINE, "1")
    hub = HubSettings(QSettings(str(tmp_path / "w.ini"), QSettings.Format.IniFormat))
    assert hub.offline and hub.offline_at_start and hub.mirror == ""
    hub.set_offline(False)
    assert os.environ[OFFLINE] == "1"
    assert hub.set_mirror("https://other.invalid") and os.environ[MIRROR] == "https://other.invalid"
    assert hub.set_mirror("") and os.environ[MIRROR] == "https://company.invalid"
