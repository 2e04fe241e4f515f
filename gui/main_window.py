"""The one window: navigation, the five places, messages above and running work below."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from PySide6.QtCore import QSettings, Qt, QTimer, Signal
from PySide6.QtGui import QCloseEvent, QDragEnterEvent, QDropEvent
from PySide6.QtWidgets import QDialog, QFileDialog, QMainWindow, QStackedWidget, QWidget

from core.paths import log_file
from gui import theme, words
from gui.actions import Actions
from gui.bridge import RunningJob
from gui.dialogs import AboutDialog
from gui.log_dialog import LogDialog
from gui.services import Overview
from gui.session import Session
from gui.shortcuts_dialog import ShortcutsDialog
from gui.tasks import TakenOut, TakeOutOrder, take_out_folder
from gui.theme import MODES, Mode
from gui.views.library_view import LibraryView
from gui.widgets.basics import column, row
from gui.widgets.job_bar import JobBar
from gui.widgets.message_bar import MessageBar
from gui.widgets.nav import PLACES, NavRail
from gui.widgets.toast import Toast
from gui.worker import Failure

SAMPLE_SEEDS = 24
SEARCH_SHOWN_AFTER_MS = 1_500
PLACES_WITH_OWN_PROGRESS = {"train": "train", "caption": "deliver"}  # kind of job -> where it is shown at length


class MainWindow(QMainWindow):
    closed = Signal()

    def __init__(self, session: Session, settings: QSettings) -> None:
        super().__init__()
        self.session = session
        session.setParent(self)
        self._settings = settings
        self._closing = False
        self.actions_table = Actions(self, settings)
        self._views: dict[str, QWidget] = {}
        self.setWindowTitle("Seedcap")
        self.setMinimumSize(900, 600)
        self.setAcceptDrops(True)
        self.resize(1240, 800)
        self.rail = NavRail(self.actions_table)
        self.messages = MessageBar()
        self.job_bar = JobBar()
        self.stack = QStackedWidget()
        self._holders: dict[str, QWidget] = {}
        for name in PLACES:
            holder = QWidget()
            self._holders[name] = holder
            self.stack.addWidget(holder)
        right = column(self.messages, self.stack, self.job_bar, spacing=0)
        right.setStretch(1, 1)
        body = row(self.rail, right, spacing=0)
        body.setStretch(1, 1)
        central = QWidget()
        central.setLayout(body)
        self.setCentralWidget(central)
        self.toast = Toast(central, below=self.messages)
        self._build_menus()
        self._connect()
        self._show_theme()
        self._restore()
        self.go("library")

    # -- building ---------------------------------------------------------------------------------------------------

    def view(self, name: str) -> QWidget:
        """A place; made when it is first asked for, since only Library is needed for the window to open."""
        found = self._views.get(name)
        if found is None:
            found = self._views[name] = self._make(name)
            layout = column(found)
            self._holders[name].setLayout(layout)
            if self.session.overview is not None:
                self.session.overview_changed.emit(self.session.overview)
                self.session.data_changed.emit()
        return found

    def _make(self, name: str) -> QWidget:
        actions = self.actions_table
        if name == "library":
            library = LibraryView(self.session, actions)
            library.open_photo.connect(self.write_for)
            library.review_photo.connect(self.review)
            library.first_photos.connect(self._offer_first_captions)
            library.folder_away.connect(self._offer_to_take_out)
            return library
        if name == "seed":
            from gui.views.seed_view import SeedView

            seed = SeedView(self.session, actions)
            seed.go_train.connect(lambda: self.go("train"))
            return seed
        if name == "train":
            from gui.views.train_view import TrainView

            train = TrainView(self.session, actions)
            train.go_seed.connect(lambda: self.go("seed"))
            train.go_deliver.connect(lambda: self.go("deliver"))
            return train
        if name == "review":
            from gui.views.review_view import ReviewView

            review = ReviewView(self.session, actions)
            review.go_deliver.connect(lambda: self.go("deliver"))
            review.go_train.connect(lambda: self.go("train"))
            return review
        from gui.views.deliver_view import DeliverView

        deliver = DeliverView(self.session, actions)
        deliver.go_review.connect(lambda: self.go("review"))
        return deliver

    def _build_menus(self) -> None:
        actions = self.actions_table
        bar = self.menuBar()
        menus = {
            self.tr("&File"): ("open", "add_folder", "rescan", "", "sample", "", "quit"),
            self.tr("&Edit"): ("undo", "redo", "", "rewrite"),
            self.tr("&Go"): tuple(f"go_{name}" for name in PLACES),
            self.tr("&View"): ("theme_system", "theme_light", "theme_dark"),
            self.tr("&Help"): ("shortcuts", "log", "about"),
        }
        for title, names in menus.items():
            menu = bar.addMenu(title)
            for name in names:
                if name:
                    menu.addAction(actions[name])
                else:
                    menu.addSeparator()
        for action in actions.of("Anywhere"):
            self.addAction(action)

    def _connect(self) -> None:
        session = self.session
        session.overview_changed.connect(self._apply_overview)
        session.opened.connect(self._library_opened)
        session.failed.connect(self.messages.show_failure)
        session.said.connect(self.toast.say)
        session.job_started.connect(self._job_started)
        self.rail.chosen.connect(self.go)
        theme.theme().changed.connect(self._show_theme)
        handlers: dict[str, Callable[[], object]] = {
            "open": self.ask_open,
            "add_folder": self.ask_add,
            "rescan": lambda: self._library().scan(),
            "sample": self.open_sample,
            "quit": self.close,
            "undo": self.undo,
            "redo": self.redo,
            "rewrite": self.rewrite,
            "next_theme": self._next_theme,
            "cancel_job": self.session.cancel_all,
            "shortcuts": lambda: self._show_dialog(ShortcutsDialog(self.actions_table, self)),
            "log": lambda: self._show_dialog(LogDialog(log_file(), self)),
            "about": lambda: self._show_dialog(AboutDialog(self)),
            **{f"go_{name}": (lambda name=name: self.go(name)) for name in PLACES},
            **{f"theme_{mode}": (lambda mode=mode: self.set_theme(mode)) for mode in MODES},
        }
        for name, handler in handlers.items():
            self.actions_table[name].triggered.connect(lambda _checked=False, handler=handler: handler())
        for name in ("undo", "redo", "add_folder", "rescan", "rewrite"):
            self.actions_table[name].setEnabled(False)

    def _library(self) -> LibraryView:
        view = self.view("library")
        assert isinstance(view, LibraryView)
        return view

    # -- going about ------------------------------------------------------------------------------------------------

    @property
    def place(self) -> str:
        return PLACES[self.stack.currentIndex()]

    def go(self, name: str) -> None:
        self._keep_typed()
        view = self.view(name)
        self.stack.setCurrentWidget(self._holders[name])
        self.rail.select(name)
        self._show_job_bar()
        if not view.isAncestorOf(self.focusWidget() or self):
            view.setFocus(Qt.FocusReason.OtherFocusReason)  # its keys work from now on

    def write_for(self, image_id: int) -> None:
        from gui.views.seed_view import SeedView

        self.go("seed")
        view = self.view("seed")
        assert isinstance(view, SeedView)
        view.show_id(image_id)

    def review(self, image_id: int) -> None:
        from gui.views.review_view import ReviewView

        self.go("review")
        view = self.view("review")
        assert isinstance(view, ReviewView)
        view.show_id(image_id)

    def rewrite(self) -> None:
        """Change many captions: those of the photos that Library shows, or of the ones selected there."""
        self.go("library")
        self._library().rewrite()

    # -- libraries --------------------------------------------------------------------------------------------------

    def ask_open(self) -> None:
        chosen = QFileDialog.getExistingDirectory(self, self.tr("Open a folder of photos, or a library"))
        if chosen:
            self.open_folder(Path(chosen))

    def ask_add(self) -> None:
        chosen = QFileDialog.getExistingDirectory(self, self.tr("Add a folder of photos to this library"))
        if chosen:
            self.take_folders([Path(chosen)])

    def open_folder(self, folder: Path) -> None:
        """Open the library of this folder, making one if there is none, and look through it."""
        library = folder.suffix == ".seedcap"
        self.session.open(folder, lambda: self._library().scan(() if library else (folder,), quietly=True))
        self.go("library")

    def take_folders(self, folders: Sequence[Path]) -> None:
        """Dropped or chosen folders: the first makes a library where there is none, the rest are added."""
        if self.session.service is None:
            self.session.open(folders[0], lambda: self._library().scan(folders))
        else:
            self._library().scan(folders)
        self.go("library")

    def dragEnterEvent(self, event: QDragEnterEvent) -> None:
        if any(url.isLocalFile() for url in event.mimeData().urls()):
            event.acceptProposedAction()

    def dropEvent(self, event: QDropEvent) -> None:
        """Folders as they are; for single files, the folders they lie in."""
        paths = [Path(url.toLocalFile()) for url in event.mimeData().urls() if url.isLocalFile()]
        folders = list(dict.fromkeys(path if path.is_dir() else path.parent for path in paths))
        if folders:
            self.take_folders(folders)
        event.acceptProposedAction()

    def _offer_first_captions(self, photos: int) -> None:
        """New photos and no caption anywhere: the starter model can say something at once."""
        self.messages.show_message(
            self.tr("{n} photos are here.").format(n=words.count(photos)),
            self.tr(
                "Write captions for a handful in Seed. Or have the starter model suggest captions for all of them now."
            ),
            action=(self.tr("Suggest captions"), self._suggest_captions),
        )

    def _offer_to_take_out(self, folder: Path) -> None:
        """A folder of the library is not there: moved, on a drive that is not plugged in, or gone for good."""
        hint = self.tr("If it was moved, add it where it is now. If it is on a drive, plug that in.")
        gone = self.tr("If it is gone for good, take it out of the library; captions of its photos are kept.")
        self.messages.show_message(
            self.tr("The folder {folder} is not there.").format(folder=folder),
            f"{hint} {gone}",
            kind="warn",
            action=(self.tr("Take it out"), lambda: self._take_out(folder)),
        )

    def _take_out(self, folder: Path) -> None:
        service = self.session.service
        if service is None:
            return
        self.messages.clear()
        order, title = TakeOutOrder(service.path, folder), self.tr("Taking a folder out")
        job = self.session.start(self.session.light, take_out_folder, order, title=title, kind="take out")
        if job is not None:
            job.finished.connect(self._taken_out)

    def _taken_out(self, result: TakenOut) -> None:
        kept = words.counted(result.kept, self.tr("captioned photo"), self.tr("captioned photos"))
        text = self.tr("Taken out. Captions moved to copies: {moved}. Missing now: {kept}.")
        self.session.said.emit(text.format(moved=words.count(result.moved), kept=kept))

    def _suggest_captions(self) -> None:
        from gui.views.deliver_view import DeliverView

        self.messages.clear()
        self.go("deliver")
        view = self.view("deliver")
        assert isinstance(view, DeliverView)
        view.begin()

    def open_sample(self, *, write_seeds: int = 0) -> None:
        """Paint the sample scenes if need be, open them, and offer captions for some (or write them, for the demo)."""
        from gui.services import sample_folder
        from gui.tasks import SampleOrder, render_samples

        order = SampleOrder(sample_folder())
        title = self.tr("Painting sample scenes")
        job = self.session.start(self.session.light, render_samples, order, title=title, kind="sample")
        if job is not None:
            job.finished.connect(lambda folder: self._show_sample(folder, write_seeds))

    def _show_sample(self, folder: Path, write_seeds: int) -> None:
        def scanned() -> None:
            overview = self.session.overview
            if overview is not None and overview.counts.seeds:
                return
            if write_seeds:
                self.session.commands.write_sample_seeds(write_seeds, lambda: self.go("train"))
            else:
                self.messages.show_message(
                    self.tr("These are painted scenes to try things on."),
                    self.tr("Write captions for a few of them in Seed, or have some written for you."),
                    action=(self.tr("Write {n} for me").format(n=SAMPLE_SEEDS), self._write_samples),
                )

        def opened() -> None:
            job = self._library().scan((folder,))
            if job is not None:
                job.finished.connect(lambda _result: self.session.after_overview(scanned))

        self.session.open(folder, opened)
        self.go("library")

    def _write_samples(self) -> None:
        self.messages.clear()
        self.session.commands.write_sample_seeds(SAMPLE_SEEDS, lambda: self.go("seed"))

    def _library_opened(self) -> None:
        service = self.session.service
        is_open = service is not None
        for name in ("add_folder", "rescan", "rewrite"):
            self.actions_table[name].setEnabled(is_open)
        if service is not None:
            self._settings.setValue("last_library", str(service.path))
            self.messages.clear()

    def _apply_overview(self, overview: Overview) -> None:
        counts = overview.counts
        if self.messages.kind == "info" and counts.seeds + counts.candidates + counts.accepted:
            self.messages.clear()  # an offer to begin, and it has begun
        self.setWindowTitle(f"{overview.name} – Seedcap")
        self.rail.library_name.set_text(overview.name)
        photos = words.counted(counts.photos, self.tr("photo"), self.tr("photos"))
        self.rail.library_detail.set_text(photos)
        badges = {
            "library": counts.photos,
            "seed": counts.seeds,
            "review": overview.to_review,
        }
        for name, number in badges.items():
            self.rail.buttons[name].set_badge(words.count(number) if number else "")
        for name, text, label in (
            ("undo", self.tr("&Undo"), overview.undo),
            ("redo", self.tr("&Redo"), overview.redo),
        ):
            action = self.actions_table[name]
            action.setEnabled(label is not None)
            action.setText(f"{text}: {label}" if label else text)

    # -- undo -------------------------------------------------------------------------------------------------------

    def undo(self) -> None:
        self._keep_typed()
        self.session.commands.undo()

    def redo(self) -> None:
        self.session.commands.redo()

    def _keep_typed(self) -> None:
        for name in ("seed", "review"):
            if name in self._views:
                self._views[name].keep()  # type: ignore[attr-defined]

    # -- jobs -------------------------------------------------------------------------------------------------------

    def _job_started(self, job: RunningJob) -> None:
        if job.kind in PLACES_WITH_OWN_PROGRESS:
            self.messages.clear()  # it tells of an earlier try, and this is the next
        if job.kind in ("search", "suggest", "fits"):
            # They take a moment; only the first one, which looks at every photo, takes long.
            QTimer.singleShot(SEARCH_SHOWN_AFTER_MS, job, lambda: self._watch(job))
            return
        self._watch(job)

    def _watch(self, job: RunningJob) -> None:
        if job not in [runner.current for runner in self.session.runners]:
            return
        self.job_bar.watch(job)
        job.ended.connect(self._show_job_bar)
        self._show_job_bar()

    def _show_job_bar(self) -> None:
        """Not where the place itself shows the same progress at length."""
        job = self.job_bar.job
        elsewhere = job is not None and PLACES_WITH_OWN_PROGRESS.get(job.kind) != self.place
        self.job_bar.setVisible(elsewhere)

    # -- appearance -------------------------------------------------------------------------------------------------

    def set_theme(self, mode: Mode) -> None:
        theme.theme().set_mode(mode)
        self._settings.setValue("theme", mode)

    def _next_theme(self) -> None:
        self.set_theme(MODES[(MODES.index(theme.theme().mode) + 1) % len(MODES)])

    def _show_theme(self) -> None:
        mode = theme.theme().mode
        shown = {
            "system": ("system", self.tr("System")),
            "light": ("sun", self.tr("Light")),
            "dark": ("moon", self.tr("Dark")),
        }[mode]
        self.rail.set_theme(*shown)
        for name in MODES:
            self.actions_table[f"theme_{name}"].setChecked(name == mode)

    def _show_dialog(self, dialog: QDialog) -> None:
        """Beside the window, never in its way."""
        for shown in self.findChildren(type(dialog)):
            if shown is not dialog:
                shown.close()
        dialog.show()

    def _restore(self) -> None:
        geometry = self._settings.value("geometry")
        if geometry is not None:
            self.restoreGeometry(geometry)

    # -- the end ----------------------------------------------------------------------------------------------------

    def closeEvent(self, event: QCloseEvent) -> None:
        """Keep what is typed, ask running work to stop, wait for it without freezing, then close."""
        self._keep_typed()
        self._settings.setValue("geometry", self.saveGeometry())
        running = self.session.busy
        if not self.session.wind_down():
            event.ignore()
            if not self._closing:
                self._closing = True
                self.setEnabled(False)
                if running:
                    self.job_bar.show_cancelling()
                    self.job_bar.show()
                self._close_when_idle()
            return
        self.session.close()
        for dialog in self.findChildren(QDialog):
            dialog.close()
        event.accept()
        self.closed.emit()

    def _close_when_idle(self) -> None:
        if self.session.wind_down():
            self.close()
        else:
            QTimer.singleShot(50, self._close_when_idle)

    def show_crash(self, summary: str, details: str) -> None:
        failure = Failure(
            self.tr("Something went wrong inside Seedcap: {summary}").format(summary=summary),
            self.tr("Your captions are safe. If it happens again, copy the details into a report."),
            details,
        )
        self.messages.show_failure(failure)
