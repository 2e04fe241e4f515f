"""Garbage with cycles goes in the GUI thread, and in no other."""

from __future__ import annotations

import gc
import threading
import weakref

from PySide6.QtCore import QObject

from gui.app import make_application
from gui.garbage import EVERY_MS, Garbage


def test_no_other_thread_destroys_what_qt_owns(qtbot, qapp):
    app = make_application()
    assert not gc.isenabled() and len(app.findChildren(Garbage)) == len(make_application().findChildren(Garbage)) == 1
    one = QObject()
    one.itself = one  # type: ignore[attr-defined]  # a cycle
    gone = weakref.ref(one)
    del one
    kept: list[list[int]] = []
    thread = threading.Thread(target=lambda: kept.extend([i] for i in range(200_000)))
    thread.start()
    thread.join()
    assert gone() is not None, "a thread that allocates has collected it"
    qtbot.waitUntil(lambda: gone() is None, timeout=100 * EVERY_MS)
