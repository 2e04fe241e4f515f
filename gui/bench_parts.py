"""The parts of ``bench app``, each the real app in a process of its own, started by :mod:`core.bench.app`.

``python -m gui.bench_parts PART [ARGUMENT …]`` writes one JSON object to stdout. Nothing is imported at the top that
the app would not import: the time from the process' start is one of the figures.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from PySide6.QtCore import QEvent, QObject, Qt, QTimer

if TYPE_CHECKING:
    from PySide6.QtWidgets import QApplication, QWidget

    from gui.main_window import MainWindow
    from gui.widgets.photo_grid import PhotoGrid

FORBIDDEN = ("torch", "transformers", "open_clip", "timm", "peft", "onnxruntime")
"""Modules that only worker processes may load."""
FRAME_MS, TICK_MS = 16, 4
WHEEL_FRAMES, WHEEL_PX = 300, 120
SWEEP_FRAMES = 600
TRAIN_FRAMES = 300
LONGEST_S = 300.0


class FirstPaint(QObject):
    """When a widget was first painted while ``holds()``: seconds of ``time.time()``, None before."""

    def __init__(self, widget: QWidget, holds: Callable[[], bool] = lambda: True) -> None:
        super().__init__(widget)
        self._holds = holds
        self.at: float | None = None
        self.processor_s = 0.0  # what the process had used by then
        widget.installEventFilter(self)

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        if event.type() == QEvent.Type.Paint and self.at is None and self._holds():
            QTimer.singleShot(0, self, self._painted)
        return False

    def _painted(self) -> None:
        if self.at is None:
            self.at, self.processor_s = time.time(), time.process_time()


class Stalls(QObject):
    """How long the GUI thread does not answer: a quick timer's worst delay within each frame, in milliseconds.

    ``frames``: by the clock, waiting for a processor included. ``work``: what the thread itself did at a stretch, which
    is the same however busy the computer is.
    """

    def __init__(self) -> None:
        super().__init__()
        self.frames: list[float] = []
        self.work: list[float] = []
        self._worst, self._most = 0.0, 0.0
        self._last, self._worked = time.perf_counter(), time.thread_time()
        self._tick = QTimer(self, interval=TICK_MS, timerType=Qt.TimerType.PreciseTimer)
        self._tick.timeout.connect(self._ticked)

    def begin(self) -> None:
        self._ticked()
        self._worst = self._most = 0.0
        self._tick.start()

    def end_frame(self) -> None:
        self.frames.append(self._worst)
        self.work.append(self._most)
        self._worst = self._most = 0.0

    def _ticked(self) -> None:
        now, worked = time.perf_counter(), time.thread_time()
        self._worst = max(self._worst, 1000 * (now - self._last) - TICK_MS)
        self._most = max(self._most, 1000 * (worked - self._worked))
        self._last, self._worked = now, worked


def start() -> dict[str, Any]:
    """The app with no library; ``shown_at``: when its window had been painted, in seconds of ``time.time()``."""
    app, window = _begin()
    painted = FirstPaint(window.stack)
    _wait(app, lambda: painted.at is not None)
    _close(app, window)
    return {"shown_at": painted.at, "processor_s": painted.processor_s, "forbidden": _forbidden()}


def paint(library: str, warm_with: str) -> dict[str, Any]:
    """From choosing the library to its first rows and to all pictures of the first screen, in seconds.

    ``warm_with``: a library that is opened before, so that its modules are loaded; empty for none.
    """
    app, window = _begin()
    if warm_with:
        _open(app, window, Path(warm_with))
    grid = _grid(window)
    rows = FirstPaint(grid.viewport(), lambda: _shows(window, library) and grid.photos.photo(0) is not None)
    pictures = FirstPaint(grid.viewport(), lambda: _shows(window, library) and _has_pictures(window, grid))
    started = time.time()
    window.open_folder(Path(library))
    _wait(app, lambda: rows.at is not None and pictures.at is not None)
    assert rows.at is not None and pictures.at is not None
    _close(app, window)
    return {"rows_s": rows.at - started, "pictures_s": pictures.at - started}


def scroll(library: str, sample: str) -> dict[str, Any]:
    """Scroll a library from end to end, then again while ``sample`` is trained, then look on at the training."""
    from core.bench.memory import resident_mb

    app, window = _begin()
    _open(app, window, Path(library))
    quiet = _scrolled(app, _grid(window))
    rss = resident_mb()
    busy, trained = _while_training(app, window, Path(sample))
    forbidden = _forbidden()
    _close(app, window)
    return {
        "quiet_ms": quiet.frames,
        "busy_ms": busy.frames,
        "work_ms": busy.work,
        "trained": trained,
        "rss_mb": rss,
        "forbidden": forbidden,
    }


def _while_training(app: QApplication, window: MainWindow, sample: Path) -> tuple[Stalls, bool]:
    """Stalls in Library and in Train while a training runs; whether it ran to the end of that."""
    from core.training.messages import MetricRow, TrainRequest
    from gui.tasks import train

    window.view("train")
    session, rows, problems = window.session, list[object](), list[object]()
    job = session.start(session.heavy, train, TrainRequest(sample), title="Training", kind="train")
    assert job is not None
    job.partials.connect(lambda said: rows.extend(one for one in said if isinstance(one, MetricRow)))
    job.failed.connect(problems.append)
    _wait(app, lambda: bool(rows or problems))
    if problems:
        raise RuntimeError(f"the training failed: {problems[0]}")
    stalls = _scrolled(app, _grid(window))
    window.go("train")
    _frames(app, stalls, (lambda: None,) * TRAIN_FRAMES)
    return stalls, session.heavy.current is job


def _scrolled(app: QApplication, grid: PhotoGrid) -> Stalls:
    """As by the wheel, then as by pulling the bar from one end to the other."""
    bar = grid.verticalScrollBar()
    bar.setValue(0)
    places = [WHEEL_PX * (frame + 1) for frame in range(WHEEL_FRAMES)]
    places += [bar.maximum() * (frame + 1) // SWEEP_FRAMES for frame in range(SWEEP_FRAMES)]
    stalls = Stalls()
    _frames(app, stalls, [lambda place=place: bar.setValue(place) for place in places])
    return stalls


def _frames(app: QApplication, stalls: Stalls, steps: Sequence[Callable[[], object]]) -> None:
    """One step a frame."""
    waiting = list(reversed(steps))
    timer = QTimer(interval=FRAME_MS, timerType=Qt.TimerType.PreciseTimer)

    def next_frame() -> None:
        stalls.end_frame()
        if waiting:
            waiting.pop()()
        else:
            timer.stop()
            app.exit()

    timer.timeout.connect(next_frame)
    stalls.begin()
    timer.start()
    app.exec()


def _begin() -> tuple[QApplication, MainWindow]:
    """The app as it starts; only that what goes wrong is told to whoever measures, and not in a dialog."""
    from gui.app import begin, make_application, open_settings

    make_application()
    open_settings().remove("last_library")  # of the part before
    app, window = begin([])
    sys.excepthook = sys.__excepthook__
    return app, window


def _open(app: QApplication, window: MainWindow, library: Path) -> None:
    """Open a library, and wait until it has been looked through."""
    window.open_folder(library)
    session = window.session
    _wait(app, lambda: _shows(window, str(library)) and session.overview is not None and not session.busy)


def _shows(window: MainWindow, library: str) -> bool:
    service = window.session.service
    return service is not None and service.path == Path(library) and _grid(window).photos.rowCount() > 0


def _has_pictures(window: MainWindow, grid: PhotoGrid) -> bool:
    photos = [grid.photos.photo(row) for row in range(grid.rows_in_sight())]
    return bool(photos) and all(
        photo is not None and window.session.thumbnails.pixmap(photo.image) is not None for photo in photos
    )


def _grid(window: MainWindow) -> PhotoGrid:
    from gui.views.library_view import LibraryView

    view = window.view("library")
    assert isinstance(view, LibraryView)
    return view.grid


def _wait(app: QApplication, holds: Callable[[], bool]) -> None:
    """Run the event loop until ``holds()``. Its end by ``quit`` would close the window first."""
    end = time.monotonic() + LONGEST_S
    came = False
    timer = QTimer(interval=TICK_MS)

    def look() -> None:
        nonlocal came
        came = came or holds()
        if came or time.monotonic() > end:
            app.exit()

    timer.timeout.connect(look)
    timer.start()
    app.exec()
    if not came:
        raise RuntimeError("the window did not come so far")


def _close(app: QApplication, window: MainWindow) -> None:
    """As a person does: whoever leaves without would leave threads and workers behind."""
    window.closed.connect(app.quit)
    if not window.close():
        app.exec()


def _forbidden() -> list[str]:
    return [name for name in FORBIDDEN if name in sys.modules]


PARTS: dict[str, Callable[..., dict[str, Any]]] = {"start": start, "paint": paint, "scroll": scroll}


def main(argv: Sequence[str]) -> None:
    part, *arguments = argv
    result = PARTS[part](*arguments)
    sys.stdout.write(json.dumps(result) + "\n")


if __name__ == "__main__":
    main(sys.argv[1:])
