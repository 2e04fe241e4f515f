"""Library: every photo and its caption; find, filter, sort; what could not be read and why."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from PySide6.QtCore import QPoint, QSignalBlocker, Qt, QTimer, Signal
from PySide6.QtGui import QResizeEvent
from PySide6.QtWidgets import QStackedWidget, QWidget

from gui import theme, words
from gui.actions import Actions
from gui.bridge import RunningJob
from gui.filters import FilterError, parse
from gui.finding import Finding
from gui.library_menus import filter_menu, open_menu, photo_menu
from gui.models.image_list_model import WINDOW
from gui.revealing import show_file
from gui.scanning import Scanning
from gui.selected import Selected
from gui.services import FirstPhotos, Overview, Photo, Query
from gui.session import Session
from gui.views.failed_panel import FailedPanel
from gui.widgets.basics import (
    ComboBox,
    ElidedLabel,
    EmptyState,
    action_button,
    action_tool_button,
    button,
    card,
    column,
    label,
    row,
    search_box,
    set_role,
    tool_button,
)
from gui.widgets.filter_box import FilterBox
from gui.widgets.flow import Flow, side_width
from gui.widgets.folder_panel import FolderPanel
from gui.widgets.library_count import LibraryCount
from gui.widgets.photo_grid import PhotoGrid
from gui.widgets.trouble_links import TroubleLinks

FILTER_PAUSE_MS = 180
OF_THE_GRID = ("open_photo", "remove_photos", "trash_photos")
MATCH = "match"  # the order in which a search has found photos


class LibraryView(QWidget):
    open_photo = Signal(int)
    review_photo = Signal(int)

    def __init__(self, session: Session, actions: Actions) -> None:
        super().__init__()
        self._session = session
        self._actions = actions
        self._query = Query()
        self._sort_before: str = "path"
        self.scanning = Scanning(session)
        self.first_photos, self.folder_away = self.scanning.first_photos, self.scanning.folder_away
        self.finding = Finding(session)
        self.folders = FolderPanel(session)
        self.folders.hide()
        self.folders.setObjectName("library-folders")  # that it is open is kept
        self.grid = PhotoGrid(session)
        self.grid.setAccessibleName(self.tr("Photos"))
        self.grid.setObjectName("library-grid")  # its size is kept
        self.grid.setContextMenuPolicy(Qt.ContextMenuPolicy.CustomContextMenu)
        self.selected = Selected(session, actions, self.grid)
        self.selected.link.clicked.connect(lambda: self.filter_box.setText("state:removed"))
        self.failed = FailedPanel(session)
        self.failed.closed.connect(lambda: self.show_failed(False))
        self.failed.hide()
        self._pause = QTimer(self, singleShot=True, interval=FILTER_PAUSE_MS)
        self._build()
        self.setFocusProxy(self.grid)
        self._connect()
        self._apply_overview(None)

    # -- building ---------------------------------------------------------------------------------------------------

    def _build(self) -> None:
        self.title = label(self.tr("Library"), "title")
        self.subtitle = LibraryCount()
        self.trouble = TroubleLinks()
        self.trouble.failed_wanted.connect(lambda: self.show_failed(True))
        self.trouble.missing_wanted.connect(lambda: self.filter_box.setText("state:missing"))
        add = action_button(self._actions["add_folder"], icon_name="folder-add", text=self.tr("Add folder"))
        rescan = action_button(self._actions["rescan"], icon_name="refresh", text=self.tr("Look for changes"))
        self.search_box = search_box(
            self.tr("What photos show, e.g. a red car"), self.tr("Find photos by what they show")
        )
        self.filter_box = FilterBox(
            self.tr("Words in captions, names"),
            self.tr("Find photos by words in captions or file names, or by fields"),
        )
        self.filter_menu = tool_button("filter", self.tr("Show only…"))
        set_role(self.filter_menu, "framed")
        self.sort = ComboBox()
        self.sort.setAccessibleName(self.tr("Order"))
        for text, key in (
            (self.tr("By file name"), "path"),
            (self.tr("Best fit first"), "score"),
            (self.tr("Weakest fit first"), "weakest"),
            (self.tr("Most telling first"), "distinctiveness"),
        ):
            self.sort.addItem(text, key)
        self._filter_problem = label("", "bad", wrap=True)
        self._filter_problem.hide()
        self.likeness = ElidedLabel("", "strong")
        back = action_button(self._actions["back"], icon_name="previous", text=self.tr("All photos"))
        like_row = row(self.likeness, back, spacing=theme.S)
        like_row.setStretch(0, 1)
        self._like_bar = card(like_row, margin=theme.S)
        self._like_bar.hide()
        self._of_folders = (rescan, add)
        of_title = column(self.title, self.subtitle, spacing=2)
        buttons = Flow().put(self.trouble, self.selected.link, rescan, add)
        header = Flow().put(of_title, least=theme.letters(36), stretch=1).put(buttons)
        folders = action_tool_button(self._actions["folders"], named=True)
        tools = Flow().put(folders).put(self.search_box, least=theme.letters(34), stretch=3)
        tools.put(self.filter_box, least=theme.letters(26), stretch=2).put(self.filter_menu, self.sort)
        self._tools = QWidget()
        boxes = column(tools, self._filter_problem, self._like_bar, self.selected.bar)
        boxes.setContentsMargins(0, 0, theme.L, 0)
        self._tools.setLayout(boxes)

        self.pages = QStackedWidget()
        self.pages.addWidget(self.grid)
        self.pages.addWidget(self._no_photos())
        self.nothing = EmptyState("search", self.tr("No photo fits"), "", button(self.tr("Show all"), self.show_all))
        self.pages.addWidget(self.nothing)
        self.waiting = EmptyState("images", "", "")
        self.pages.addWidget(self.waiting)
        header.setContentsMargins(0, 0, theme.L, 0)
        body = row(self.folders, self.pages, self.failed, spacing=0)
        body.setStretch(1, 1)
        layout = column(header, self._tools, body, spacing=theme.M)
        layout.setStretch(2, 1)
        layout.setContentsMargins(theme.L, theme.L, 0, 0)
        self.setLayout(layout)

    def _no_photos(self) -> EmptyState:
        self._choose = action_button(
            self._actions["open"], role="primary", text=self.tr("Choose a folder…"), icon_name="folder"
        )
        return EmptyState(
            "images",
            self.tr("Drop a folder of photos here"),
            self.tr(
                "Seedcap looks through the folder and everything in it. Your photos stay where they are and are not"
                " changed; captions are kept apart from them until you export them."
            ),
            self._choose,
            action_button(self._actions["sample"], text=self.tr("Try it on sample scenes")),
        )

    def _connect(self) -> None:
        session = self._session
        session.overview_changed.connect(self._apply_overview)
        session.data_changed.connect(self.reload)
        session.opened.connect(self._new_library)
        session.opening_changed.connect(self._choose_page)
        self.grid.activated_id.connect(self.open_photo)
        self.grid.customContextMenuRequested.connect(self._menu)
        self.grid.photos.count_changed.connect(lambda _count: self._choose_page())
        self.filter_box.textChanged.connect(lambda _text: self._pause.start())
        self.filter_box.returnPressed.connect(self._apply_filter)
        self._pause.timeout.connect(self._apply_filter)
        self.scanning.begun_or_ended.connect(self._choose_page)
        self.finding.found.connect(self._found)
        self.folders.chosen.connect(self._folder_chosen)
        self.folders.closed.connect(lambda: self.show_folders(False))
        self.folders.open_wanted.connect(self.show_folders)
        self.folders.names_known.connect(lambda names: setattr(self.filter_box, "folders", names))
        self._actions["folders"].toggled.connect(self.show_folders)
        self.filter_menu.clicked.connect(self._show_filter_menu)
        self.search_box.returnPressed.connect(self.search)
        self.search_box.textChanged.connect(lambda text: None if text.strip() else self._end_search())
        self.sort.currentIndexChanged.connect(self._apply_sort)
        for name, handler in (
            ("zoom_in", lambda: self.grid.zoom(1)),
            ("zoom_out", lambda: self.grid.zoom(-1)),
            ("reveal", self._reveal),
            ("similar", self.similar),
            ("back", self.back),
        ):
            self._actions[name].triggered.connect(lambda _checked=False, handler=handler: handler())
        self.addActions([one for one in self._actions.of("Library") if one.objectName() not in OF_THE_GRID])
        open_photo = self._actions["open_photo"]
        open_photo.triggered.connect(lambda: self.grid.activate_current())
        # Return and Delete belong to the grid: in a box they mean something else.
        self.grid.addActions([self._actions[name] for name in OF_THE_GRID])

    # -- what is shown ----------------------------------------------------------------------------------------------

    def _ask(self, query: Query) -> None:
        """Show other photos, or another order: the first ones at once, however many there are."""
        self._query = query

        def show(first: FirstPhotos | None) -> None:
            if first is not None and query is self._query:
                self.grid.photos.show_first(first.ids, first.photos)

        self._session.read(lambda service: service.first(query, WINDOW), show, key="library-first")
        self.reload()

    def reload(self) -> None:
        query, wanted = self._query, self.selected.wanted

        def show(ids: np.ndarray) -> None:
            self.grid.photos.set_ids(ids)
            self.selected.give_up(wanted)
            self.subtitle.show_found(query, len(ids))

        self._session.read_ids(query, show, key="library-ids")

    def _new_library(self) -> None:
        self._offer_match_order(False)
        self.finding.forget()
        self._end_likeness()
        self.folders.forget()
        for box in (self.search_box, self.filter_box):
            box.blockSignals(True)
            box.clear()
            box.blockSignals(False)
        self.grid.photos.set_ids(np.empty(0, dtype=np.int64))
        self._ask(Query(sort=self.sort.currentData()))
        self.show_failed(False)
        self._filter_problem.hide()

    def _apply_overview(self, overview: Overview | None) -> None:
        for one in self._of_folders:
            one.setVisible(overview is not None)
        self.subtitle.tell(overview)
        if overview is None:
            self.trouble.tell(None)
            self.selected.say(0)
            self._choose_page()
            return
        counts = overview.counts
        self.trouble.tell(counts)
        self.selected.say(counts.removed)
        if self.folders.is_open:
            self.folders.reload()
        self._choose_page()

    def _choose_page(self) -> None:
        overview = self._session.overview
        shown = self.grid.photos.rowCount()
        filtering = not self._query.everything
        before = self.pages.currentIndex()
        if shown or (overview is not None and overview.counts.photos and not filtering):
            self.pages.setCurrentIndex(0)
        elif filtering:
            text = self.tr("Nothing here matches what you typed. Try other words, or show everything again.")
            self.nothing.say(self.tr("No photo fits"), text)
            self.pages.setCurrentIndex(2)
        else:
            self._say_waiting()
        self.setFocusProxy(self._choose if self.pages.currentIndex() == 1 else self.grid)
        self._tools.setVisible(self.pages.currentIndex() in (0, 2))
        if before in (1, 3) and self.pages.currentIndex() == 0 and self.isVisible():
            self.grid.setFocus(Qt.FocusReason.OtherFocusReason)  # where the keys work

    def _say_waiting(self) -> None:
        """No photo is there (yet): what is being waited for, if anything is."""
        opening = self._session.opening
        if opening is not None:
            self.waiting.say(self.tr("Opening {folder}…").format(folder=opening.stem), words.place(opening))
        elif self._session.light.current is not None:
            found = self.tr("Photos appear here as they are found.")
            self.waiting.say(self.tr("Looking through the folder…"), found)
        waits = opening is not None or self._session.light.current is not None
        self.pages.setCurrentIndex(3 if waits else 1)

    def show_failed(self, shown: bool) -> None:
        self.failed.setVisible(shown)
        if shown:
            self.failed.reload()

    def show_all(self) -> None:
        self.search_box.clear()
        self._end_search()
        self.folders.choose("")
        self.filter_box.clear()
        self._apply_filter()

    # -- filter, sort, search ---------------------------------------------------------------------------------------

    def _apply_filter(self) -> None:
        self._pause.stop()
        parsed = parse(self.filter_box.text())
        wrong = isinstance(parsed, FilterError)
        self.filter_box.setProperty("invalid", "true" if wrong else "false")
        set_role(self.filter_box, "")
        self._filter_problem.setVisible(wrong)
        if isinstance(parsed, FilterError):
            self.filter_box.mark(parsed.start, parsed.end)
            self._filter_problem.setText(parsed.message)
            self._place_problem()
            return
        self.filter_box.clear_mark()
        self.selected.bar.setVisible(parsed.removed)
        if parsed.state == "failed":
            self.show_failed(True)
            return
        self._ask(replace(self._query, filter=parsed))

    def _place_problem(self) -> None:
        """What is wrong stands under the word that is; further to the left, on several lines, where it does not fit."""
        word = self.filter_box.mapTo(self._tools, QPoint(self.filter_box.mark_left(), 0)).x()
        text = self._filter_problem.fontMetrics().horizontalAdvance(self._filter_problem.text()) + theme.M
        self._filter_problem.setIndent(max(0, min(word, self._tools.width() - theme.L - text)))

    def resizeEvent(self, event: QResizeEvent) -> None:
        super().resizeEvent(event)
        self._place_problem()
        for side in (self.folders, self.failed):
            side.setFixedWidth(side_width(side.LETTERS, self.width()))

    def _show_filter_menu(self) -> None:
        menu = filter_menu(self, self.filter_box.text().strip(), self.filter_box.setText)
        open_menu(menu, self.filter_menu.mapToGlobal(self.filter_menu.rect().bottomLeft()))

    def _apply_sort(self) -> None:
        sort = self.sort.currentData()
        self._ask(replace(self._query, sort="path" if sort == MATCH else sort))

    def _offer_match_order(self, offered: bool) -> None:
        """While photos found by words are shown, the order of the search is the first choice."""
        self.sort.blockSignals(True)
        if offered and self.sort.findData(MATCH) < 0:
            self._sort_before = self.sort.currentData()
            self.sort.insertItem(0, self.tr("Best match first"), MATCH)
            self.sort.setCurrentIndex(0)
        elif not offered and self.sort.findData(MATCH) >= 0:
            self.sort.removeItem(self.sort.findData(MATCH))
            self.sort.setCurrentIndex(max(0, self.sort.findData(self._sort_before)))
        self.sort.blockSignals(False)

    def search(self) -> None:
        """Find photos by the words in the box."""
        self._end_likeness()
        self.finding.by_words(self.search_box.text())

    def similar(self) -> None:
        """Show the photos most like the current one."""
        photo = self._current()
        if photo is None:
            return
        with QSignalBlocker(self.search_box):
            self.search_box.clear()
        self.finding.similar(photo)

    def _found(self, image_ids: tuple[int, ...]) -> None:
        self._offer_match_order(True)
        like = self.finding.like
        if like is not None:
            text = self.tr("Photos like {name}, the most alike first").format(name=like.image.path.name)
            self.likeness.set_text(text)
        self._like_bar.setVisible(like is not None)
        self._ask(replace(self._query, found=image_ids, sort="path"))
        self.grid.scrollToTop()

    def back(self) -> None:
        """From what was found to all photos, with the one that was looked at in sight."""
        looked_at = self.grid.current_id()
        self.search_box.clear()
        self._end_search()
        if self._query.filter.removed:
            self.filter_box.clear()
            self._apply_filter()
        if looked_at is not None:
            self._session.after_reads(lambda: self._select(looked_at))

    def _select(self, image_id: int) -> None:
        self.grid.select_id(image_id)

    def lead_to(self, image_id: int) -> None:
        """Show a photo that was changed from elsewhere, if it is among these, or will be when they are read again."""
        self.selected.want(image_id)

    def _end_likeness(self) -> None:
        self._like_bar.hide()

    def _end_search(self) -> None:
        self.finding.forget()
        self._end_likeness()
        if self._query.found is not None:
            self._offer_match_order(False)
            self._ask(replace(self._query, found=None, sort=self.sort.currentData()))

    # -- folders ----------------------------------------------------------------------------------------------------

    def show_folders(self, shown: bool) -> None:
        """The tree of folders; without it, photos of all of them are shown."""
        self.folders.setVisible(shown)
        self._actions["folders"].setChecked(shown)
        if shown:
            self.folders.reload()
        else:
            self.folders.choose("")
        if self.isVisible():  # not while the window is made as it was left
            (self.folders.tree if shown else self.grid).setFocus(Qt.FocusReason.OtherFocusReason)

    def _folder_chosen(self, folder: str) -> None:
        if folder != self._query.folder:
            self._ask(replace(self._query, folder=folder))

    # -- doing ------------------------------------------------------------------------------------------------------

    def scan(self, folders: Sequence[Path] = (), *, quietly: bool = False) -> RunningJob | None:
        return self.scanning.scan(folders, quietly=quietly)

    def look_again(self, folders: Sequence[Path]) -> None:
        self.scanning.look_again(folders)

    def rewrite(self) -> None:
        """Open the dialog that changes many captions: of the selected photos, else of those shown, else of all."""
        from gui.rewrite_dialog import Photos, show_rewrite_dialog

        choices = [Photos(self.tr("All photos"), None)]
        if not self._query.everything:
            shown = tuple(self.grid.photos.ids.tolist())
            text = words.counted(
                len(shown), self.tr("photo that is shown"), self.tr("photos that are shown", "", len(shown))
            )
            choices.insert(0, Photos(text, shown))
        selected = tuple(self.grid.selected_ids())
        if selected:
            text = words.counted(
                len(selected), self.tr("selected photo"), self.tr("selected photos", "", len(selected))
            )
            choices.insert(0, Photos(text, selected))
        show_rewrite_dialog(self._session, self._actions, self.window(), choices)

    def _reveal(self) -> None:
        photo = self._current()
        if photo is not None:
            show_file(photo.image.path, self._session.said.emit)

    def _current(self) -> Photo | None:
        index = self.grid.currentIndex()
        return self.grid.photos.photo(index.row()) if index.isValid() else None

    def _menu(self, position: QPoint) -> None:
        image_id = self.grid.current_id()
        if image_id is not None:
            menu = photo_menu(self, self._actions, self._current(), lambda: self.review_photo.emit(image_id))
            open_menu(menu, self.grid.viewport().mapToGlobal(position))
