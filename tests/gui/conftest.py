"""A folder of small rendered photos, and the real window on a real library of them."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from PIL import Image, ImageDraw
from PySide6.QtCore import QCoreApplication, QEvent, QSettings, Qt
from PySide6.QtGui import QAccessible
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QWidget

from core import machine
from core.library import queries
from core.library.candidates import add_candidates
from core.library.library import Library
from core.library.records import ScoreRow
from core.library.scores import gallery_version, write_scores
from gui.app import make_application, make_window
from gui.main_window import MainWindow
from gui.theme import theme

SPEED = machine.GemmRate(50.0, "made up", "computer")
WAIT = 120_000  # a busy computer is slow; nothing waits longer than it must
COLOURS = ("red", "green", "blue", "orange", "purple", "brown", "teal", "gold")


def draw_photos(folder: Path, number: int = 8) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for at in range(number):
        image = Image.new("RGB", (120, 90), COLOURS[at % len(COLOURS)])
        ImageDraw.Draw(image).ellipse((10 + at, 10, 60 + at, 60), fill="white")
        image.save(folder / f"photo{at}.png")
    return folder


@pytest.fixture
def photos(tmp_path) -> Path:
    return draw_photos(tmp_path / "photos")


@pytest.fixture
def open_window(qtbot, qapp, seedcap_home) -> Iterator[Callable[..., MainWindow]]:
    """Opens windows as the app does, with jobs in threads; closes what a test leaves open."""
    make_application()
    opened: list[MainWindow] = []

    def open_one(
        folder: Path | None = None, *, scan: bool = True, in_process: bool = True, starter: bool = False
    ) -> MainWindow:
        (seedcap_home / "config").mkdir(parents=True, exist_ok=True)
        if machine.kept_rate() is None:
            machine.keep_rate(SPEED)  # or Train would measure this computer in every test
        settings = QSettings(str(seedcap_home / "config" / "window.ini"), QSettings.Format.IniFormat)
        settings.setValue("starter", starter)  # or it would say something about the photos of every test
        theme().set_mode("light")
        window = make_window(settings, in_process=in_process)
        opened.append(window)
        window.show()
        qtbot.waitExposed(window)
        if folder is not None:
            if scan:
                window.open_folder(folder)
            else:
                window.session.open(folder)
            settle(qtbot, window)
        return window

    yield open_one
    for window in opened:
        close(qtbot, window)
        window.deleteLater()
    QCoreApplication.sendPostedEvents(None, QEvent.Type.DeferredDelete)  # or every window slows the next one down


def settle(qtbot, window: MainWindow) -> None:
    """Wait until no job runs, no lane has work, and the overview is there."""

    def quiet() -> bool:
        session = window.session
        lanes = session.lanes
        return (
            session.service is not None
            and session.overview is not None
            and not session.busy
            and not session._refresh.isActive()
            and all(lane.drain(0.0) for lane in lanes)
        )

    # What one lane answers makes the window ask the next: quiet is what stays quiet.
    end = time.monotonic() + WAIT / 1000
    passes = 0
    while passes < 6:
        qtbot.wait(5)
        passes = passes + 1 if quiet() else 0
        assert time.monotonic() < end, window.messages.message


def close(qtbot, window: MainWindow) -> None:
    """Close as a person does, and wait until it is really closed."""
    if not window.isVisible():
        return
    with qtbot.waitSignal(window.closed, timeout=WAIT):
        window.close()
    assert window.session.service is None


def nameless(root: QWidget) -> set[str]:
    """Shown widgets below ``root`` that take the focus and have no name, as what they are in."""
    found = set()
    for widget in (root, *root.findChildren(QWidget)):
        if widget.focusPolicy() == Qt.FocusPolicy.NoFocus or not widget.isVisible():
            continue
        told = QAccessible.queryAccessibleInterface(widget)
        if told is None or not told.text(QAccessible.Text.Name).strip():
            parents = [type(widget).__name__]
            while (widget := widget.parentWidget()) is not None and len(parents) < 4:
                parents.append(type(widget).__name__)
            found.add(" in ".join(parents))
    return found


def seed_texts(path) -> dict[int, tuple[str, ...]]:
    with Library.open(path) as library:
        return {seed.image_id: seed.texts for seed in queries.seeds(library)}


def suggest_captions(library_path: Path, texts: dict[int, list[str]], scores: dict[str, tuple[float, float]]) -> None:
    """Write suggestions as a captioning job would: ``scores`` gives a text's CLIP-S and rank."""
    with Library.open(library_path) as library:
        written = add_candidates(library, None, texts, "add")
        rows = {}
        for image_id, ids in written.items():
            for caption_id, text in zip(ids, texts[image_id], strict=True):
                if text in scores:
                    clip_s, rank = scores[text]
                    rows[caption_id] = ScoreRow(clip_s, rank, len(texts), rank + 3, 0.1)
        write_scores(library, "f" * 64, rows, gallery_version=gallery_version(library))


def type_caption(qtbot, window, text: str) -> None:
    """As a person types: into the box, then Ctrl+Return."""
    seed = window.view("seed")
    qtbot.waitUntil(lambda: seed.current_id is not None, timeout=WAIT)
    QTest.keyClicks(seed.editor, text)
    QTest.keyClick(seed.editor, Qt.Key.Key_Return, Qt.KeyboardModifier.ControlModifier)
    settle(qtbot, window)
