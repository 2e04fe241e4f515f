"""Starts the app: one QApplication, the theme, the session and the window; and the last resort for bugs."""

from __future__ import annotations

import gc
import logging
import os
import sys
import traceback
from collections.abc import Callable, Mapping, Sequence
from logging.handlers import RotatingFileHandler
from pathlib import Path
from types import TracebackType
from typing import Any, cast

from PySide6.QtCore import QCoreApplication, QSettings, Qt, QtMsgType, qInstallMessageHandler
from PySide6.QtWidgets import QApplication

from core.paths import config_dir, log_dir, log_file
from gui import translations
from gui.bridge import remove_old_logs
from gui.dialogs import CrashDialog
from gui.garbage import Garbage
from gui.icons import app_icon
from gui.main_window import MainWindow
from gui.session import Session
from gui.theme import MODES, Mode, Theme
from gui.views.library_view import LibraryView
from gui.words import tr

_log = logging.getLogger("seedcap")

SWITCH_S = 0.0005
"""Threads that read photos and the library hand the interpreter back after this: painting a screen of tiles asks for it
a hundred times, and would wait up to 5 ms (Python's default) each."""


def main(argv: Sequence[str]) -> int:
    """Run the app until its window is closed. ``argv``: nothing, or what ``open`` and ``demo`` take."""
    app, _window = begin(argv)
    return app.exec()


def begin(argv: Sequence[str]) -> tuple[QApplication, MainWindow]:
    """Show the window, and open in it what ``argv`` asks for."""
    arguments: Mapping[str, Any] = {}
    if argv:
        from core.cli import parse

        arguments = vars(parse(argv)[1])
    sys.setswitchinterval(SWITCH_S)
    app = make_application()
    translations.install()  # before anything is shown: what stands there already is not looked up again
    settings = open_settings()
    window = make_window(settings)
    sys.excepthook = crash_hook(window)
    log_qt_messages()
    remove_old_logs(log_dir())
    # What is imported by the first library stays: looking at all of it again, a full collection of garbage takes tens
    # of milliseconds in the midst of scrolling or of a search.
    window.session.opened.connect(gc.freeze, Qt.ConnectionType.SingleShotConnection)
    window.show()
    show_first(window, arguments, settings.value("last_library") if window.preferences.wants("reopen") else None)
    return app, window


run = main


def show_first(window: MainWindow, arguments: Mapping[str, Any], last: object = None) -> None:
    """Open what the command line names: ``folder``; ``photos``, or the sample scenes, with ``seeds``; else ``last``."""
    folder = arguments.get("photos") or arguments.get("folder")
    seeds = arguments.get("seeds")
    if folder is not None:
        place = folder.expanduser().absolute()
        window.open_folder(place) if seeds is None else _open_with_captions(window, place, seeds)
    elif seeds is not None:
        window.open_sample(write_seeds=seeds)
    elif last and Path(str(last)).is_dir():
        window.reopen(Path(str(last)))


def _open_with_captions(window: MainWindow, photos: Path, seeds: int) -> None:
    """Open a folder of photos, and take in the captions that lie beside them, as ``demo --photos`` does."""
    session = window.session

    def scanned() -> None:
        from core.demo_captions import CAPTIONS_FILE, SeedOrder, write_seeds

        service = session.service
        if service is None or not (photos / CAPTIONS_FILE).is_file():
            return
        order = SeedOrder(service.path, photos, seeds)
        title = tr("Taking in captions")
        job = session.start(session.light, write_seeds, order, title=title, kind="captions")
        if job is not None:
            job.finished.connect(lambda written: window.go("train") if written else None)

    def opened() -> None:
        from core.demo_captions import CAPTIONS_FILE

        if (photos / CAPTIONS_FILE).is_file():
            window.expect_captions()
        view = window.view("library")
        assert isinstance(view, LibraryView)
        job = view.scan((photos,))
        if job is not None:
            job.finished.connect(lambda _result: session.after_overview(scanned))

    session.open(photos, opened)
    window.go("library")


def make_application() -> QApplication:
    existing = QApplication.instance()
    app = existing if isinstance(existing, QApplication) else QApplication(sys.argv[:1])
    app.setApplicationName("seedcap")
    app.setApplicationDisplayName("Seedcap")
    app.setDesktopFileName("seedcap")
    if app.findChild(Garbage) is None:
        Garbage(app)
    return app


def open_settings() -> QSettings:
    """Window state and the like; a file of our own, so that ``SEEDCAP_HOME`` moves it too."""
    folder = config_dir()
    folder.mkdir(parents=True, exist_ok=True)
    return QSettings(str(folder / "window.ini"), QSettings.Format.IniFormat)


def make_window(settings: QSettings, *, in_process: bool | None = None) -> MainWindow:
    """``in_process``: jobs run in threads of the app; by default ``SEEDCAP_IN_PROCESS`` decides, and unset means no."""
    if in_process is None:
        in_process = os.environ.get("SEEDCAP_IN_PROCESS", "") not in ("", "0")
    start_logging()
    app = QApplication.instance()
    if not isinstance(app, QApplication):
        raise RuntimeError("make_window() needs a QApplication")
    stored = str(settings.value("theme", "system"))
    mode = cast(Mode, stored) if stored in MODES else "system"
    if app.findChild(Theme) is None:
        Theme(app, mode)
    app.setWindowIcon(app_icon())
    return MainWindow(Session(in_process=in_process), settings)


def crash_hook(
    window: MainWindow,
) -> Callable[[type[BaseException], BaseException, TracebackType | None], None]:
    """What an exception that nobody caught becomes: a log entry and a window that can be copied from."""

    def hook(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
        if issubclass(kind, KeyboardInterrupt):
            QCoreApplication.quit()
            return
        details = "".join(traceback.format_exception(kind, error, trace))
        _log.error("uncaught exception\n%s", details)
        if not window.findChildren(CrashDialog):  # one bug in a paint event must not open a hundred windows
            CrashDialog(f"{kind.__name__}: {error}", details, window).show()

    return hook


def start_logging() -> None:
    """Our log and Qt's messages in one rotating file; the console stays quiet."""
    root = logging.getLogger()
    if any(isinstance(handler, RotatingFileHandler) for handler in root.handlers):
        return
    path = log_file()
    path.parent.mkdir(parents=True, exist_ok=True)
    handler = RotatingFileHandler(path, maxBytes=1_000_000, backupCount=3, encoding="utf-8")
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    root.addHandler(handler)
    root.setLevel(logging.INFO)
    logging.getLogger("alembic").setLevel(logging.WARNING)


def log_qt_messages() -> None:
    levels = {
        QtMsgType.QtDebugMsg: logging.DEBUG,
        QtMsgType.QtInfoMsg: logging.INFO,
        QtMsgType.QtWarningMsg: logging.WARNING,
        QtMsgType.QtCriticalMsg: logging.ERROR,
        QtMsgType.QtFatalMsg: logging.CRITICAL,
    }

    def handle(kind: QtMsgType, context: object, message: str) -> None:
        logging.getLogger("qt").log(levels.get(kind, logging.WARNING), message)

    qInstallMessageHandler(handle)
