"""Seed: one photo large, its caption under it, the next one a key away. What is typed is kept at every pause."""

from __future__ import annotations

import numpy as np
from PySide6.QtCore import Qt, QTimer, Signal
from PySide6.QtWidgets import QFrame, QProgressBar, QStackedWidget, QVBoxLayout, QWidget

from gui import theme, words
from gui.actions import Actions
from gui.commands import Draft
from gui.filters import Filter
from gui.seed_words import ENOUGH, NEEDED, enough
from gui.services import LibraryService, Overview, Photo, Query
from gui.session import Session
from gui.tasks import Suggestion, SuggestOrder, suggest_photos
from gui.versions import Earlier
from gui.widgets.basics import (
    ElidedLabel,
    EmptyState,
    action_button,
    button,
    card,
    column,
    label,
    relabel,
    row,
    set_role,
    tool_button,
)
from gui.widgets.caption_edit import CaptionEdit
from gui.widgets.earlier_texts import EarlierTexts
from gui.widgets.flow import Beside, Flow
from gui.widgets.photo_grid import PhotoGrid
from gui.widgets.photo_view import PhotoView
from gui.widgets.spell_marks import SpellMarks

SUGGESTED = 12  # at a time, once there are that many
SIDE_LETTERS = (44, 44)  # the width of what stands beside the photo
SLOW_MS = 250  # from then on it is better to show no photo than the last one


class SeedView(QWidget):
    go_train = Signal()

    def __init__(self, session: Session, actions: Actions) -> None:
        super().__init__()
        self._session = session
        self._actions = actions
        self._order = np.empty(0, dtype=np.int64)
        self._captioned = np.empty(0, dtype=np.int64)  # photos with a caption of the person's own
        self._shown: int | None = None  # the photo in the place, from the moment it is chosen
        self._photo: Photo | None = None  # what is known of it, once that has been read
        self._draft: Draft | None = None
        self._chosen_in: LibraryService | None = None  # whose chosen photos have been read
        self._slow = QTimer(self, singleShot=True, interval=SLOW_MS)
        self._build()
        self.setFocusProxy(self.editor)
        self._connect()

    # -- building ---------------------------------------------------------------------------------------------------

    def _build(self) -> None:
        self.picture = PhotoView(self._session.pictures)
        self.name = ElidedLabel("", "muted", cut=Qt.TextElideMode.ElideMiddle)
        self.editor = CaptionEdit(self.tr("Say what this photo shows, in the words you want all captions to have"))
        self.editor.setAccessibleName(self.tr("Your caption"))
        SpellMarks(self.editor, self._session.spelling)
        self.saved = label("", "small")
        self.others = QVBoxLayout()
        self.others.setSpacing(theme.XS)
        self.suggestion = QFrame()
        self._suggested_text = label("", "muted", wrap=True)
        use = action_button(self._actions["use_suggestion"], role="link", text=self.tr("Start from this"))
        hint = row(label(self.tr("Suggestion:"), "muted"), self._suggested_text, use)
        hint.setStretch(1, 1)
        hint.setContentsMargins(0, 0, 0, 0)
        self.suggestion.setLayout(hint)
        self.suggestion.setFixedHeight(max(use.sizeHint().height(), 2 * self._suggested_text.fontMetrics().height()))
        previous = tool_button("previous", self.tr("Previous photo"), self._actions["seed_previous"].trigger)
        following = tool_button("next", self.tr("Next photo"), self._actions["seed_next"].trigger)
        another = action_button(self._actions["another"], text=self.tr("Another caption"), icon_name="plus")
        save = action_button(self._actions["save_next"], role="primary", text=self.tr("Save and next"))
        save.setMinimumWidth(save.sizeHint().width())  # the other thing it says is shorter
        self.save = save
        self.earlier = EarlierTexts(self._session, self._actions["seed_earlier"])
        head = row(previous, following, self.name, self.saved, self.earlier.toggle, spacing=theme.XS)
        head.setStretch(2, 1)
        self.keys = label("", "small", wrap=True)
        self._actions.keys_changed.connect(self._tell_keys)
        self._tell_keys()
        foot = Flow().put(self.keys, least=theme.letters(18), stretch=1).put(Flow().put(another, save))
        self.changed = label("", "warn", wrap=True)
        self.changed.hide()
        below = column(self.others, self.suggestion, self.earlier, foot, spacing=theme.S)
        main = column(head, self.picture, self.changed, self.editor, below, spacing=theme.S)
        main.setStretch(1, 1)
        self.pages = QStackedWidget()
        self.pages.addWidget(Beside(main, self._side_panel(), SIDE_LETTERS))
        self.pages.addWidget(
            EmptyState(
                "seed",
                self.tr("No photos to caption yet"),
                self.tr("Add a folder of photos first. Then write captions for a handful of them here."),
                action_button(
                    self._actions["open"], role="primary", text=self.tr("Choose a folder…"), icon_name="folder"
                ),
            )
        )
        self.pages.setCurrentIndex(1)
        subtitle = self.tr(
            "Write captions for a handful of photos. Seedcap learns your words and your way of saying things."
        )
        layout = column(label(self.tr("Seed"), "title"), ElidedLabel(subtitle, "muted"), theme.S, self.pages, spacing=2)
        layout.setStretch(3, 1)
        layout.setContentsMargins(theme.L, theme.L, 0, 0)
        self.setLayout(layout)

    def _tell_keys(self) -> None:
        others = self.tr("{} {} other photos"), "seed_previous", "seed_next"
        every = self.tr("{} all keys"), "shortcuts"
        self.keys.setText(self._actions.key_line(self.tr("Enter saves and goes on"), others, every))

    def _side_panel(self) -> QWidget:
        self.count = label("", "heading", wrap=True)
        self.bar = QProgressBar()
        self.bar.setTextVisible(False)
        self.bar.setRange(0, ENOUGH)
        self.verdict = label("", "muted", wrap=True)
        self.train = button(self.tr("Go to Train"), self.go_train.emit, icon_name="train")
        progress = card(column(self.count, self.bar, self.verdict, self.train, spacing=theme.S))
        self.suggest_button = action_button(
            self._actions["suggest"], text=self.tr("Choose photos for me"), icon_name="suggest"
        )
        self.strip = PhotoGrid(self._session, captions=False, side=108)
        set_role(self.strip, "strip")  # it lies on a card
        self.strip.setAccessibleName(self.tr("Caption these next"))
        self.strip_title = label(self.tr("Caption these next"), "strong", wrap=True)
        self.strip_hint = label(
            self.tr("Different photos teach more than similar ones. Let Seedcap choose a set that covers the library."),
            "muted",
            wrap=True,
        )
        nexts = column(self.strip_title, self.strip_hint, self.suggest_button, self.strip, spacing=theme.S)
        nexts.setStretch(3, 1)
        nexts.addStretch(0)
        panel = QWidget()
        body = column(progress, card(nexts), spacing=theme.M)
        body.setStretch(1, 1)
        panel.setLayout(body)
        return panel

    def _connect(self) -> None:
        self.editor.paused.connect(self.keep)
        self.editor.submitted.connect(self.save_and_next)
        self.editor.textChanged.connect(self._text_changed)
        self._slow.timeout.connect(self._show_nothing)
        self._session.leaving.connect(self.keep)
        self._session.opened.connect(self._new_library)
        self._session.data_changed.connect(self.reload)
        self._session.overview_changed.connect(self._apply_overview)
        self._session.typed.connect(self._kept)
        self.earlier.chosen.connect(self._use_again)
        self.strip.activated_id.connect(self.show_id)
        self.strip.clicked.connect(lambda index: self.show_id(self.strip.photos.id_at(index.row())))
        for name, handler in (
            ("save_next", self.save_and_next),
            ("another", self.another),
            ("seed_previous", lambda: self.step(-1)),
            ("seed_next", lambda: self.step(1)),
            ("next_uncaptioned", self.next_uncaptioned),
            ("suggest", self.suggest),
            ("use_suggestion", self.use_suggestion),
        ):
            self._actions[name].triggered.connect(lambda _checked=False, handler=handler: handler())
            self.addAction(self._actions[name])
        self.addAction(self._actions["seed_earlier"])
        self.picture.obey(self._actions, "seed", self)

    # -- which photo ------------------------------------------------------------------------------------------------

    @property
    def current_id(self) -> int | None:
        return self._shown

    def show_id(self, image_id: int | None) -> None:
        """Keep what is typed and show another photo."""
        if image_id is None or image_id == self.current_id:
            return
        self.keep()
        self._shown, self._photo = image_id, None
        self.strip.frame(image_id)
        # Whoever types before the photo has been read begins a caption of this photo, not of the last one.
        self._draft = Draft(image_id)
        self.editor.set_text("")
        self.saved.setText("")
        self._show_others(None)
        self._show_suggestion()
        self.earlier.show_for(None)
        self.changed.hide()
        self._load(image_id)
        self._slow.start()

    def lead_to(self, image_id: int) -> None:
        """Show a photo whose caption was changed from elsewhere, if it is among these."""
        if image_id in self._order:
            self.show_id(image_id)

    def reload(self) -> None:
        """Captions or photos have changed elsewhere (undo, a scan): read the order and this photo again."""
        if self._session.service is not self._chosen_in:
            self._chosen_in = self._session.service
            self._session.read(lambda service: service.chosen(), self._show_chosen, key="seed-chosen")
        both = Query(), Query(Filter("seed"))
        self._session.read(
            lambda service: [service.ids(one) for one in both], lambda ids: self._set_order(*ids), key="seed-order"
        )
        self._read_captioned()
        if self.current_id is not None:
            self._load(self.current_id)
        self.strip.photos.refresh()

    def step(self, by: int) -> None:
        order = self._walk()
        if not len(order):
            return
        at = np.flatnonzero(order == (self.current_id or -1))
        here = int(at[0]) if len(at) else -by
        self.show_id(int(order[(here + by) % len(order)]))

    def save_and_next(self) -> None:
        """On to the next photo that waits for a caption: of the chosen ones first, then of all."""
        if not self.next_uncaptioned():
            self.step(1)
        self.editor.setFocus(Qt.FocusReason.ShortcutFocusReason)

    def next_uncaptioned(self) -> bool:
        """Show the next photo, in order, without a caption of the person's own; False if there is none left."""
        self.keep()
        walk = self._walk()
        waiting = self._uncaptioned_after(walk)
        if not len(waiting) and walk is not self._order:
            waiting = self._uncaptioned_after(self._order)
            self._session.said.emit(self.tr("All of the chosen photos have captions. Choose others, or go on here."))
        if len(waiting):
            self.show_id(int(waiting[0]))
        return len(waiting) > 0

    def _uncaptioned_after(self, order: np.ndarray) -> np.ndarray:
        at = np.flatnonzero(order == (self.current_id or -1))
        start = int(at[0]) + 1 if len(at) else 0
        rest = np.concatenate([order[start:], order[: max(0, start - 1)]])
        return rest[~np.isin(rest, self._captioned)]

    def _read_captioned(self) -> None:
        def read(captioned: np.ndarray) -> None:
            self._captioned = captioned

        self._session.after_writes(lambda: self._session.read_ids(Query(Filter("seed")), read, key="seed-captioned"))

    def _walk(self) -> np.ndarray:
        """The chosen photos while there are any and one of them is shown; else all photos."""
        chosen = self.strip.photos.ids
        return chosen if len(chosen) and self.current_id in set(chosen.tolist()) else self._order

    def _set_order(self, order: np.ndarray, captioned: np.ndarray) -> None:
        self._order = order
        appeared = len(order) > 0 and self.pages.currentIndex() != 0
        self.pages.setCurrentIndex(0 if len(order) else 1)
        if appeared and self.isVisible():
            self.editor.setFocus(Qt.FocusReason.OtherFocusReason)
        if not len(order):
            self._shown = self._photo = self._draft = None
            self.picture.clear()
            self.earlier.show_for(None)
        elif self._shown is None:  # where there is something to do: of the chosen ones first
            nexts = np.concatenate([self.strip.photos.ids, order])
            waiting = nexts[~np.isin(nexts, captioned)]
            self.show_id(int((waiting if len(waiting) else order)[0]))

    def _new_library(self) -> None:
        self._shown = self._photo = self._draft = None
        self.editor.set_text("")
        self.picture.clear()
        self.earlier.show_for(None)
        self._order = self._captioned = np.empty(0, dtype=np.int64)
        self.strip.photos.set_ids(self._order)
        self._show_strip()

    def _load(self, image_id: int) -> None:
        self._session.after_writes(
            lambda: self._session.read(lambda service: service.photo(image_id), self._show, key="seed-photo")
        )

    def _show(self, photo: Photo | None) -> None:
        draft = self._draft
        if photo is None or photo.image.id != self._shown or draft is None:
            return
        first = self._photo is None
        self._slow.stop()
        self._photo = photo
        self.picture.show_photo(photo.image, self._session.thumbnails.pixmap(photo.image))
        self.name.set_text(str(photo.image.relative_path))
        typing = self.editor.text != draft.saved  # what is in the box is newer than what was read
        if not typing and (first or not draft.adding):
            mine = draft.caption_id, draft.removed
            active = next((caption for caption in photo.kept if caption.id in mine), None)
            emptied = active is None and draft.removed is not None  # to be written anew
            active = active or (photo.kept[0] if photo.kept else None)
            if not emptied:
                self._edit(active.id if active else None, active.text if active else "")
        self._show_others(self._draft.caption_id if self._draft else None)
        self._show_suggestion()
        self.earlier.show_for(photo.image.id)
        mine = self.tr("The photo changed after this caption was written.")
        self.changed.setText(mine if photo.own else self.tr("The photo changed after this suggestion was made."))
        self.changed.setVisible(photo.changed)
        self.strip.frame(photo.image.id)

    def _show_nothing(self) -> None:
        self.picture.clear()
        self.name.set_text("")

    def _text_changed(self) -> None:
        self.saved.setText("")
        self._show_suggestion()

    def _edit(self, caption_id: int | None, text: str) -> None:
        """Put one of the photo's captions into the box."""
        if self._shown is not None:
            self._draft = Draft(self._shown, caption_id, text)
            if self.editor.text != text:
                self.editor.set_text(text)
            self.saved.setText(self.tr("Saved") if text else "")

    def _show_others(self, active: int | None) -> None:
        while (item := self.others.takeAt(0)) is not None:
            widget = item.widget()
            if widget is not None:
                widget.deleteLater()
        rest = [caption for caption in (self._photo.kept if self._photo else ()) if caption.id != active]
        for caption in rest:
            text = button(caption.text, lambda c=caption: self._switch(c.id, c.text), role="link")
            text.setToolTip(self.tr("Edit this caption"))
            take = tool_button(
                "trash", self.tr("Remove this caption"), lambda c=caption: self._session.commands.remove(c.id)
            )
            holder = QWidget()
            line = row(label(self.tr("Also:"), "muted"), text, None, take)
            holder.setLayout(line)
            self.others.addWidget(holder)

    def _switch(self, caption_id: int, text: str) -> None:
        self.keep()
        if self._shown is not None:
            self._edit(caption_id, text)
            self._load(self._shown)

    def _show_suggestion(self) -> None:
        suggested = self._photo.suggestion if self._photo else None
        shown = suggested is not None and not self.editor.text
        self.suggestion.setVisible(suggested is not None)  # its place stays while a caption is typed
        for widget in self.suggestion.findChildren(QWidget):
            widget.setVisible(shown)
        self._suggested_text.setText(suggested.text if suggested else "")
        self._actions["use_suggestion"].setEnabled(shown)
        relabel(self.save, self.tr("Save and next") if self.editor.text else self.tr("Skip this one"))
        self._actions["another"].setEnabled(bool(self.editor.text))

    # -- typing -----------------------------------------------------------------------------------------------------

    def keep(self) -> None:
        """Keep what is typed, now. Cheap when nothing has changed."""
        self.editor.settle()
        draft = self._draft
        if draft is not None and self.editor.text != draft.saved:
            if self.editor.text:  # known at once, so that "next" need not wait for the database
                self._captioned = np.append(self._captioned, draft.image_id)
            self._session.commands.save_draft(draft, self.editor.text, undone=self.editor.undone)

    def _kept(self) -> None:
        self.changed.hide()  # what is written now is of the photo as it is
        if self._draft is not None and self.editor.text == self._draft.saved:
            self.saved.setText(self.tr("Saved") if self._draft.saved else "")
        self._read_captioned()
        self._show_suggestion()
        self.strip.photos.refresh()

    def another(self) -> None:
        """Keep this caption and begin a second one for the same photo."""
        if self._shown is None or not self.editor.text:
            return
        self.keep()
        self._draft = Draft(self._shown, adding=True)
        self.editor.set_text("")
        self.saved.setText("")
        self._load(self._shown)  # the caption just kept joins the others
        self.editor.setFocus(Qt.FocusReason.ShortcutFocusReason)

    def use_suggestion(self) -> None:
        suggested = self._photo.suggestion if self._photo else None
        if suggested is not None and not self.editor.text:
            self.editor.setPlainText(suggested.text)
            self.editor.setFocus(Qt.FocusReason.ShortcutFocusReason)
            self.editor.selectAll()

    def _use_again(self, text: Earlier) -> None:
        """An earlier caption stands again, beside the one in the box."""
        self.keep()
        if self._shown is not None:
            self._session.commands.write(self._shown, text.text)

    # -- which photos next, and how many ----------------------------------------------------------------------------

    def suggest(self) -> None:
        service = self._session.service
        if service is None:
            return
        busy = self._session.words.current
        if busy is not None:
            if busy.kind == "search":
                busy.ended.connect(self.suggest)  # the first one looks at every photo, and may take minutes
            return
        overview = self._session.overview
        missing = ENOUGH - (overview.counts.seeds if overview is not None else 0)
        order = SuggestOrder(service.path, max(NEEDED, missing) if missing > 0 else SUGGESTED)
        title = self.tr("Choosing photos")

        def chosen(result: Suggestion) -> None:
            if self._session.service is service:
                self.show_suggested(result)

        job = self._session.start(self._session.words, suggest_photos, order, title=title, kind="suggest")
        if job is not None:
            job.finished.connect(chosen)

    def _show_chosen(self, image_ids: tuple[int, ...]) -> None:
        self.strip.photos.set_ids(np.array(image_ids, dtype=np.int64))
        self._show_strip()
        self.strip.frame(self.current_id or 0)

    def show_suggested(self, result: Suggestion) -> None:
        self._session.write(lambda service: service.keep_chosen(result.image_ids), lambda _: None)
        self._show_chosen(result.image_ids)
        if result.image_ids:
            self.show_id(result.image_ids[0])
            self.strip.frame(result.image_ids[0])  # also where it was there already
            self.editor.setFocus(Qt.FocusReason.OtherFocusReason)

    def _show_strip(self) -> None:
        chosen = len(self.strip.photos.ids) > 0
        self.strip.setVisible(chosen)
        self.strip_hint.setVisible(not chosen)
        relabel(self.suggest_button, self.tr("Choose others") if chosen else self.tr("Choose photos for me"))

    def _apply_overview(self, overview: Overview) -> None:
        seeds = overview.counts.seeds
        self.count.setText(words.counted(seeds, self.tr("caption written"), self.tr("captions written", "", seeds)))
        text, target = enough(seeds, overview.trainings.more)
        self.bar.setRange(0, target)
        self.bar.setValue(min(seeds, target))
        self.bar.setAccessibleName(self.count.text())
        self.verdict.setText(text)
        self.train.setEnabled(seeds >= NEEDED)
        self._show_strip()
