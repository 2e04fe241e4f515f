"""The one window: navigation, the five places, messages above and running work below."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from PySide6.QtCore import QSettings, Qt, QTimer, Signal
from PySide6.QtGui import QCloseEvent, QDragEnterEvent, QDropEvent, QResizeEvent
from PySide6.QtWidgets import QAbstractButton, QDialog, QMainWindow, QStackedWidget, QWidget

from core.paths import log_file
from gui import theme, words
from gui.actions import Actions
from gui.bridge import RunningJob
from gui.choosing import choose_folder
from gui.dialogs import AboutDialog, CrashDialog
from gui.dropping import Dropping
from gui.hub_settings import HubSettings
from gui.log_dialog import LogDialog
from gui.memory import ModelMemory
from gui.notify import Notifier
from gui.offers import Offers
from gui.palette import CommandPalette
from gui.preferences import Preferences
from gui.services import Overview
from gui.session import Session
from gui.settings_dialog import SettingsDialog
from gui.shortcuts_dialog import ShortcutsDialog
from gui.theme import MODES, Mode
from gui.views.library_view import LibraryView
from gui.waiting import WaitingTraining
from gui.widgets.basics import column, row
from gui.widgets.job_bar import JobBar
from gui.widgets.library_place import LibraryPlace
from gui.widgets.message_bar import MessageBar
from gui.widgets.models_part import ModelsPart
from gui.widgets.nav import PLACES, NavRail
from gui.widgets.toast import Toast
from gui.window_state import keep_window, restore_parts, restore_size
from gui.worker import Failure

SMALLEST = (640, 400)  # half of what a small laptop has, for who has it shown twice as large
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
        self.preferences = Preferences(settings, self)
        self.hub = HubSettings(settings, self)
        session.spelling.obey(self.preferences)
        self._notifier = Notifier(self, self.preferences)
        self._memory = ModelMemory(session, self.actions_table["free_memory"])
        self._views: dict[str, QWidget] = {}
        self.setWindowTitle("Seedcap")
        self.setMinimumSize(*SMALLEST)
        self.setAcceptDrops(True)
        self.resize(1240, 800)
        self.rail = NavRail(self.actions_table)
        self.messages = MessageBar()
        self.job_bar = JobBar()
        self.library_place = LibraryPlace(session.said.emit)
        self.stack = QStackedWidget()
        self._holders: dict[str, QWidget] = {}
        for name in PLACES:
            holder = QWidget()
            self._holders[name] = holder
            self.stack.addWidget(holder)
        right = column(self.messages, self.stack, self.job_bar, self.library_place, spacing=0)
        right.setStretch(1, 1)
        body = row(self.rail, right, spacing=0)
        body.setStretch(1, 1)
        central = QWidget()
        central.setLayout(body)
        self.setCentralWidget(central)
        self.toast = Toast(central, self.rail, before=(self.library_place.show_it, self.job_bar.time))
        self.palette_of_actions = CommandPalette(central, self.actions_table, self.go)
        self._offers = Offers(self)
        self._dropping = Dropping(self)
        self._build_menus()
        self._connect()
        self._waiting = WaitingTraining(self)
        self._show_theme()
        restore_size(self, settings)
        self.go("library")

    # -- building ---------------------------------------------------------------------------------------------------

    def view(self, name: str) -> QWidget:
        """A place; made when it is first asked for, since only Library is needed for the window to open."""
        found = self._views.get(name)
        if found is None:
            found = self._views[name] = self._make(name)
            restore_parts(found, self._settings)
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
            self._offers.follow(library)
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
            train.go_deliver.connect(self.caption_library)
            return train
        if name == "review":
            from gui.views.review_view import ReviewView

            review = ReviewView(self.session, actions)
            review.go_deliver.connect(lambda: self.go("deliver"))
            review.go_train.connect(lambda: self.go("train"))
            return review
        from gui.views.deliver_view import DeliverView

        deliver = DeliverView(self.session, actions)
        deliver.go_review.connect(self.review_from_the_first)
        return deliver

    def _build_menus(self) -> None:
        actions = self.actions_table
        bar = self.menuBar()
        menus = {
            self.tr("&File"): ("open", "add_folder", "rescan", "", "sample", "", "quit"),
            self.tr("&Edit"): ("undo", "redo", "", "rewrite"),
            self.tr("&Go"): tuple(f"go_{name}" for name in PLACES),
            self.tr("&View"): ("zoom_in", "zoom_out", "", "theme_system", "theme_light", "theme_dark"),
            self.tr("&Tools"): ("palette", "", "cancel_job", "free_memory", "", "settings"),
            self.tr("&Help"): ("shortcuts", "log", "about"),
        }
        for title, names in menus.items():
            menu = bar.addMenu(title)
            menu.setToolTipsVisible(True)  # why something cannot be done now
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
        session.settled.connect(self.messages.withdraw)
        session.said.connect(self.toast.say)
        session.commands.led_to.connect(self._lead_to)
        session.job_started.connect(self._job_started)
        session.job_started.connect(self._notifier.watch)
        self.messages.details_wanted.connect(self._show_details)
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
            "filter": lambda: self._type_into(self._library().filter_box),
            "find": lambda: self._type_into(self._library().search_box),
            "next_theme": self._next_theme,
            "cancel_job": self.session.cancel_all,
            "palette": lambda: self.palette_of_actions.open(self.place.capitalize()),
            "settings": self._show_settings,
            "shortcuts": lambda: self._show_dialog(ShortcutsDialog(self.actions_table, self)),
            "log": lambda: self._show_dialog(LogDialog(log_file(), self)),
            "about": lambda: self._show_dialog(AboutDialog(self)),
            **{f"go_{name}": (lambda name=name: self.go(name)) for name in PLACES},
            **{f"theme_{mode}": (lambda mode=mode: self.set_theme(mode)) for mode in MODES},
        }
        for name, handler in handlers.items():
            self.actions_table[name].triggered.connect(lambda _checked=False, handler=handler: handler())
        for name in ("undo", "redo", "add_folder", "rescan", "rewrite", "cancel_job"):
            self.actions_table[name].setEnabled(False)
        for name in ("zoom_in", "zoom_out"):  # keys of Library; in the menu from everywhere
            self.actions_table[name].triggered.connect(lambda: self.go("library"))
        for runner in session.runners:
            for news in (runner.started, runner.idle):
                news.connect(lambda *_: self.actions_table["cancel_job"].setEnabled(session.busy))

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
        focus = self.focusWidget()
        if not view.isAncestorOf(focus or self) or isinstance(focus, QAbstractButton):
            view.setFocus(Qt.FocusReason.OtherFocusReason)  # its keys work from now on

    def _type_into(self, box: QWidget) -> None:
        """What is looked for is shown in Library, wherever a person thought of it."""
        self.go("library")
        box.setFocus(Qt.FocusReason.ShortcutFocusReason)

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

    def review_from_the_first(self) -> None:
        from gui.views.review_view import ReviewView

        view = self.view("review")
        assert isinstance(view, ReviewView)
        view.from_the_first()
        self.go("review")

    def caption_library(self) -> None:
        """Begin to caption in Deliver, where it says how far it is."""
        from gui.views.deliver_view import DeliverView

        self.go("deliver")
        view = self.view("deliver")
        assert isinstance(view, DeliverView)
        view.begin_if_any()

    def rewrite(self) -> None:
        """Change many captions: those of the photos that Library shows, or of the ones selected there."""
        self.go("library")
        self._library().rewrite()

    # -- libraries --------------------------------------------------------------------------------------------------

    def ask_open(self) -> None:
        choose_folder(self, self.tr("Open a folder of photos, or a library"), self.open_folder)

    def ask_add(self) -> None:
        title = self.tr("Add a folder of photos to this library")
        choose_folder(self, title, lambda folder: self.take_folders([folder]))

    def open_folder(self, folder: Path) -> None:
        """Open the library of this folder, making one if there is none, and look through it."""
        self._open_folder(folder, "library")

    def reopen(self, folder: Path) -> None:
        """The same, and show the place where the window was left."""
        place = str(self._settings.value("place", "library"))
        self._open_folder(folder, place if place in PLACES else "library")

    def _open_folder(self, folder: Path, place: str) -> None:
        library = folder.suffix == ".seedcap"

        def opened() -> None:
            self._library().scan(() if library else (folder,), quietly=True)
            if self.place == "library":  # nobody has gone elsewhere meanwhile
                self.go(place)

        self.session.open(folder, opened)
        self.go("library")

    def take_folders(self, folders: Sequence[Path]) -> None:
        """Dropped or chosen folders: the first makes a library where there is none, the rest are added."""
        if self.session.service is None:
            self.session.open(folders[0], lambda: self._library().scan(folders))
        else:
            self._library().scan(folders)
        self.go("library")

    def resizeEvent(self, event: QResizeEvent) -> None:
        super().resizeEvent(event)
        self.rail.fit(self.width())

    def dragEnterEvent(self, event: QDragEnterEvent) -> None:
        if any(url.isLocalFile() for url in event.mimeData().urls()):
            event.acceptProposedAction()

    def dropEvent(self, event: QDropEvent) -> None:
        paths = [Path(url.toLocalFile()) for url in event.mimeData().urls() if url.isLocalFile()]
        if paths:
            self._dropping.take(paths)
        event.acceptProposedAction()

    def open_sample(self, *, write_seeds: int = 0) -> None:
        """The sample scenes; ``write_seeds`` captions are written for the demo."""
        self._offers.open_sample(write_seeds)

    def expect_captions(self) -> None:
        """Captions for the library that was just opened are on their way."""
        self._offers.expect_captions()

    def _library_opened(self) -> None:
        service = self.session.service
        is_open = service is not None
        self.library_place.tell(service.path if service is not None else None)
        self._show_job_bar()
        for name in ("add_folder", "rescan", "rewrite"):
            self.actions_table[name].setEnabled(is_open)
        if service is not None:
            self._settings.setValue("last_library", str(service.path))
            self.messages.clear()

    def _apply_overview(self, overview: Overview) -> None:
        counts = overview.counts
        self._offers.apply_overview(overview)
        self.setWindowTitle(f"{overview.name} – Seedcap")
        self.rail.library_name.set_text(overview.name)
        photos = words.counted(counts.photos, self.tr("photo"), self.tr("photos", "", counts.photos))
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

    def _lead_to(self, image_id: int) -> None:
        """Where photos are shown, that one: else nobody sees what was undone."""
        if self.place in ("library", "seed", "review"):
            self.view(self.place).lead_to(image_id)  # type: ignore[attr-defined]

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
        # Not both for a moment: the window would be laid out for that.
        first, second = (self.library_place, self.job_bar) if elsewhere else (self.job_bar, self.library_place)
        first.hide()
        second.setVisible(elsewhere or self.library_place.known)

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

    def _show_settings(self) -> None:
        models = ModelsPart(self.session, self.hub)
        self._show_dialog(SettingsDialog(self.preferences, self.actions_table, self.set_theme, models, self))

    def _show_details(self, failure: Failure) -> None:
        self._show_dialog(CrashDialog(failure.message, failure.details, self))

    def _show_dialog(self, dialog: QDialog) -> None:
        """Beside the window, never in its way."""
        for shown in self.findChildren(type(dialog)):
            if shown is not dialog:
                shown.close()
        dialog.show()

    # -- the end ----------------------------------------------------------------------------------------------------

    def closeEvent(self, event: QCloseEvent) -> None:
        """Keep what is typed, ask running work to stop, wait for it without freezing, then close."""
        self._keep_typed()
        keep_window(self, self.place, self._settings)
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
