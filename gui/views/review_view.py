"""Review: what was suggested for a photo, ranked, each with a sentence that can be checked; accept, edit or reject."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from PySide6.QtCore import Qt, Signal
from PySide6.QtWidgets import QHBoxLayout, QStackedWidget, QWidget

from gui import theme, words
from gui.actions import Actions
from gui.delegates.candidate import CandidateDelegate
from gui.models.candidate_model import CandidateModel
from gui.services import Photo
from gui.session import Session
from gui.versions import Earlier
from gui.views.blind_view import BlindView
from gui.widgets.basics import (
    ElidedLabel,
    EmptyState,
    action_button,
    button,
    column,
    label,
    relabel,
    row,
    tool_button,
)
from gui.widgets.candidate_list import CandidateList
from gui.widgets.caption_edit import CaptionEdit
from gui.widgets.diff_label import DiffLabel
from gui.widgets.earlier_texts import EarlierTexts
from gui.widgets.fits_panel import FitsPanel
from gui.widgets.flow import Beside, Flow
from gui.widgets.near_duplicates import NearDuplicates
from gui.widgets.order_choice import OrderChoice
from gui.widgets.photo_view import PhotoView
from gui.widgets.review_head import ReviewHead
from gui.widgets.share_preview import SharePreview
from gui.widgets.spell_marks import SpellMarks

if TYPE_CHECKING:
    from core.library.records import CaptionRow

SIDE_LETTERS = (56, 86)  # the suggestions beside the photo: in a small window, and at most


class ReviewView(QWidget):
    go_deliver = Signal()
    go_train = Signal()

    def __init__(self, session: Session, actions: Actions) -> None:
        super().__init__()
        self._session = session
        self._actions = actions
        self._queue = np.empty(0, dtype=np.int64)
        self._photo: Photo | None = None
        self._at, self._came = 0, False  # the place in the queue, and whether the person went there
        self._asked: int | None = None  # the photo that is shown, or will be when it has been read
        self._editing: CaptionRow | None = None
        self._build()
        self.setFocusProxy(self.list)
        self._connect()
        self._set_queue(self._queue)
        self._wait()

    # -- building ---------------------------------------------------------------------------------------------------

    def _build(self) -> None:
        self._build_photo()
        self._build_suggestions()
        photo = column(self._head(), self.alike, self.picture, self.changed, spacing=theme.S)
        photo.setStretch(2, 1)
        # The keys of the suggestions work here, and not while two models are compared.
        self.work = Beside(photo, self._panel(), SIDE_LETTERS)
        self.deliver = button(self.tr("Go to Deliver"), self.go_deliver.emit, role="primary", icon_name="deliver")
        self.train = button(self.tr("Go to Train"), self.go_train.emit, icon_name="train")
        self.nothing = EmptyState("review", "", "", self.train, self.deliver)
        self.pages = QStackedWidget()
        self.pages.addWidget(self.work)
        self.pages.addWidget(self.nothing)
        self.pages.addWidget(QWidget())  # until it is known what waits
        self.blind = BlindView(self._session, self._actions)
        self.whole = QStackedWidget()
        self.whole.addWidget(self.pages)
        self.whole.addWidget(self.blind)
        self.head = ReviewHead(self._actions)
        self.today, self.blind_button = self.head.today, self.head.blind_button
        layout = column(self.head, theme.S, self.whole, spacing=2)
        layout.setStretch(2, 1)
        layout.setContentsMargins(theme.L, theme.L, 0, 0)
        self.setLayout(layout)
        self.editor.hide()
        self._tell_keys()

    def _build_photo(self) -> None:
        self.picture = PhotoView(self._session.pictures)
        self.name = ElidedLabel("", "muted", cut=Qt.TextElideMode.ElideMiddle)
        self.left = label("", "muted")
        self.alike = NearDuplicates(self._session)
        self.changed = label(self.tr("The photo changed after this caption was written."), "warn", wrap=True)
        self.changed.hide()

    def _head(self) -> QHBoxLayout:
        previous = tool_button("previous", self.tr("Previous photo"), self._actions["review_previous"].trigger)
        following = tool_button("next", self.tr("Next photo"), self._actions["review_next"].trigger)
        head = row(previous, following, self.name, self.left, spacing=theme.XS)
        head.setStretch(2, 1)
        return head

    def _build_suggestions(self) -> None:
        self.model = CandidateModel(self)
        self.list = CandidateList(self.model, CandidateDelegate(self))
        self.list.setAccessibleName(self.tr("Suggestions, the best first"))
        self.editor = CaptionEdit(self.tr("Write the caption as it should be"), alone=True)
        self.editor.setAccessibleName(self.tr("Edit the caption"))
        SpellMarks(self.editor, self._session.spelling)
        self.change = DiffLabel()
        self.keys = label("", "small", wrap=True)
        self._actions.keys_changed.connect(self._tell_keys)
        self.accept_button = action_button(self._actions["accept"], role="primary", text=self.tr("Accept and next"))
        self.edit_button = action_button(self._actions["edit"], text=self.tr("Edit"), icon_name="edit")
        self.reject_button = action_button(self._actions["reject"], text=self.tr("Reject all"), icon_name="trash")
        self.accept_all_button = action_button(self._actions["accept_group"], text="", icon_name="check")
        self.accept_all_button.hide()
        self.earlier = EarlierTexts(self._session, self._actions["review_earlier"])
        self.fits = FitsPanel(self._session, self._actions["review_fits"])
        self.order = OrderChoice(self._session, self._actions["use_order"])
        self.preview = SharePreview(self._session, self._actions["accept_group"])

    def _panel(self) -> QWidget:
        """The suggestions and what can be done with them."""
        self.buttons = QWidget()  # one question at a time: not while the preview asks
        self.buttons.setLayout(Flow().put(self.reject_button, self.edit_button, None, self.accept_button))
        heading = Flow().put(label(self.tr("Suggestions"), "heading"), None, self.fits.toggle, self.earlier.toggle)
        group = row(None, self.accept_all_button)
        right = column(
            heading, self.order, self.list, self.fits, self.earlier, self.editor, self.change, self.buttons, group,
            self.preview, self.keys, spacing=theme.S,
        )  # fmt: skip
        right.setStretch(2, 1)
        panel = QWidget()
        panel.setLayout(right)
        return panel

    def _connect(self) -> None:
        self._session.data_changed.connect(self.reload)
        self._session.leaving.connect(self.keep)
        self._session.opened.connect(self._new_library)
        self._session.job_started.connect(lambda _job: self._say_nothing())
        self._session.heavy.idle.connect(self._say_nothing)
        self.editor.submitted.connect(self._finish_edit)
        self.editor.escaped.connect(self._leave_edit)
        self.editor.textChanged.connect(self._show_change)
        self.alike.changed.connect(self._show_group)
        self.preview.refused.connect(self._leave_preview)
        self.list.selectionModel().currentChanged.connect(lambda *_: self._chosen())
        self.blind.closed.connect(self._leave_blind)
        self.blind.standing_changed.connect(self.head.show_standing)
        self._actions["blind"].triggered.connect(lambda _checked=False: self.compare())
        self.addAction(self._actions["blind"])
        self.earlier.chosen.connect(self._use_again)
        self.fits.taken.connect(self._take_plain)
        self.order.moved.connect(self._show_order)
        self.list.doubleClicked.connect(lambda _index: self.edit())
        for name, handler in (
            ("accept", self.accept),
            ("accept_group", self.accept_group),
            ("edit", self.edit),
            ("reject", self.reject),
            ("review_previous", lambda: self.step(-1)),
            ("review_next", lambda: self.step(1)),
            *((f"pick_{n}", lambda n=n: self.pick(n)) for n in range(1, 10)),
        ):
            self._actions[name].triggered.connect(lambda _checked=False, handler=handler: handler())
            self.work.addAction(self._actions[name])
        for name in ("review_earlier", "review_fits", "use_order"):
            self.work.addAction(self._actions[name])
        self.picture.obey(self._actions, "review", self.work)

    # -- the queue --------------------------------------------------------------------------------------------------

    @property
    def current_id(self) -> int | None:
        return self._photo.image.id if self._photo is not None else None

    def reload(self) -> None:
        def read() -> None:
            here = self._asked
            self._session.read(lambda service: service.to_review(here), self._set_queue, key="review-queue")
            self._session.read(lambda service: service.decided_today(), self.head.show_today, key="review-today")
            self.blind.refresh()

        self._session.after_writes(read)

    def show_id(self, image_id: int) -> None:
        """Review this photo now; the queue goes on from it."""
        if image_id not in set(self._queue.tolist()):
            self._queue = np.concatenate([[image_id], self._queue]).astype(np.int64)
        self._at = int(np.flatnonzero(self._queue == image_id)[0])
        self._came = True
        self._load()

    def from_the_first(self) -> None:
        """The captions are new: begin where there is most to gain, wherever the person was before."""
        self.keep()
        self._leave_edit()
        if self.whole.currentWidget() is self.blind:
            self._leave_blind()
        self._asked, self._at, self._came = None, 0, False
        self.reload()

    def lead_to(self, image_id: int) -> None:
        """Show a photo about which a decision was taken back; one that is decided about is not shown here."""

        def show(waiting: np.ndarray) -> None:
            if image_id in waiting:
                self.show_id(image_id)

        self._session.read(lambda service: service.to_review(image_id), show, key="review-led")

    def step(self, by: int) -> None:
        if len(self._queue):
            self.keep()
            self._leave_edit()
            self._at = (self._at + by) % len(self._queue)
            self._came = True
            self._load()

    # -- two models -------------------------------------------------------------------------------------------------

    def compare(self) -> None:
        """Ask which of two models' captions are better, without saying whose they are."""
        self.keep()
        self._leave_edit()
        self.whole.setCurrentWidget(self.blind)
        self.head.set_comparing(True)
        self.blind.open()
        self.blind.setFocus(Qt.FocusReason.OtherFocusReason)

    def _leave_blind(self) -> None:
        self.blind.close_round()
        self.whole.setCurrentWidget(self.pages)
        self.head.set_comparing(False)
        if self.isVisible():
            self.list.setFocus(Qt.FocusReason.OtherFocusReason)

    def _new_library(self) -> None:
        self._photo = self._asked = None
        self._at, self._came = 0, False
        self._leave_edit()
        self._set_queue(np.empty(0, dtype=np.int64))
        self._wait()

    def _wait(self) -> None:
        """Say nothing about a library before its photos to review are known."""
        if self._session.service is not None:
            self.pages.setCurrentIndex(2)

    def _set_queue(self, queue: np.ndarray) -> None:
        """Stay at the photo that is shown while it is in the queue, else at its place in it; where nobody has seen it
        yet, the weakest comes first."""
        known = self._came or self.isVisible()
        here = self._asked if known else None
        self._queue, self._came = queue, self._came and len(queue) > 0
        at = np.flatnonzero(queue == here) if here is not None else []
        self._at = int(at[0]) if len(at) else min(self._at, max(0, len(queue) - 1)) if known else 0
        appeared = len(queue) > 0 and self.pages.currentIndex() != 0
        self.pages.setCurrentIndex(0 if len(queue) else 1)
        if appeared and self.isVisible():
            self.list.setFocus(Qt.FocusReason.OtherFocusReason)  # where its keys work
        if len(queue):
            self._load()
        else:
            self.keep()
            self._photo = self._asked = None
            self.picture.clear()
            self.earlier.show_for(None)
            self.alike.show_for(None)
            self.fits.show_for(None)
            self.preview.hide()
            self._say_nothing()
        self.left.setText(words.counted(len(queue), self.tr("photo left"), self.tr("photos left", "", len(queue))))

    def _say_nothing(self) -> None:
        overview = self._session.overview
        counts = overview.counts if overview is not None else None
        done = counts is not None and (counts.accepted > counts.seeds or counts.rejected > 0)
        training = self._session.training
        self.train.setVisible(training or not done)
        self.deliver.setVisible(not training)
        self.nothing.say(*words.nothing_to_review(training=training, done=done))

    def _load(self) -> None:
        image_id = self._asked = int(self._queue[self._at])
        self._session.read(lambda service: service.photo(image_id), self.show_photo, key="review-photo")

    def show_photo(self, photo: Photo | None) -> None:
        if photo is None:
            return
        other = self._photo is None or photo.image.id != self._photo.image.id
        self._photo = photo
        self.picture.show_photo(photo.image, self._session.thumbnails.pixmap(photo.image))
        self.name.set_text(str(photo.image.relative_path))
        self.earlier.show_for(photo.image.id)
        self.alike.show_for(photo.image.id)
        self.changed.setVisible(photo.changed)
        shown = photo.live
        self.order.show_for(shown)
        self.model.set_captions(self.order.in_order(shown))
        if other:
            self.keep()
            self._leave_edit()
            self.preview.hide()
        if self._editing is None:
            self.pick(1)
        for name in ("accept", "edit", "reject"):
            self._actions[name].setEnabled(bool(shown))
        self._show_group()
        self.fits.show_for(self.model.caption(self.list.currentIndex().row()))

    def _show_order(self) -> None:
        """The same suggestions in another order, the best of it chosen; one that is being edited stays as it is."""
        if self._photo is not None:
            captions = self.order.in_order(self._photo.live)
            self.model.set_captions(captions)
            at = 0 if self._editing is None else [one.id for one in captions].index(self._editing.id)
            self.list.setCurrentIndex(self.model.index(at))

    def _chosen(self) -> None:
        """Another suggestion is the chosen one."""
        self.preview.hide()
        self._show_group()
        self.fits.show_for(self.model.caption(self.list.currentIndex().row()))

    def _show_group(self) -> None:
        """Offer to accept for all, where there are others that have no caption yet."""
        photos = 1 + len(self.alike.waiting)
        offered = photos > 1 and self.model.rowCount() > 0
        self._actions["accept_group"].setEnabled(offered)
        self.accept_all_button.setVisible(offered and self.preview.isHidden())
        self.buttons.setVisible(self.preview.isHidden())
        self._tell_keys()
        relabel(self.accept_all_button, self.tr("Accept for all {n}").format(n=words.count(photos)))

    # -- deciding ---------------------------------------------------------------------------------------------------

    def pick(self, number: int) -> None:
        """Choose the suggestion with this number; it is not accepted yet."""
        if 1 <= number <= self.model.rowCount():
            self.list.setCurrentIndex(self.model.index(number - 1))
            if self._editing is not None:
                self.edit()

    def accept(self) -> None:
        """Accept what is chosen (or what has been typed) and show the next photo."""
        if self._editing is not None:
            self._finish_edit()
            return
        caption = self.model.caption(self.list.currentIndex().row())
        if caption is None:
            return
        if caption.state == "candidate":
            self._session.commands.accept([caption.id])
        self._go_on()

    def accept_group(self) -> None:
        """The same for its near-duplicates too, except those that have an accepted caption: one step.

        The first time these photos are shown, the second time it is done.
        """
        caption = self.model.caption(self.list.currentIndex().row())
        editing = self._editing is not None
        photo, waiting = self._photo, self.alike.waiting
        if caption is None or photo is None or not waiting or (editing and not self.editor.text):
            return
        if self.preview.isHidden():
            text = self.editor.text if editing else caption.text
            self.preview.ask(text, photo.image, self.alike.photos, waiting)
            self._show_group()
            return
        chosen = caption if self._editing is None else self._editing
        self._session.commands.share(chosen.id, waiting, self.editor.text if editing else None)
        self._leave_preview()
        self._leave_edit()
        self._go_on()

    def _leave_preview(self) -> None:
        self.preview.hide()
        self._show_group()
        focus = self.list if self._editing is None else self.editor
        focus.setFocus(Qt.FocusReason.OtherFocusReason)

    def reject(self) -> None:
        """Reject every suggestion for this photo and show the next one; undo brings them back. Where all is decided,
        what was accepted of the model's is rejected after all."""
        if self._photo is None or self._editing is not None:
            return
        accepted = [caption for caption in self._photo.kept if not caption.is_seed]
        ids = [caption.id for caption in self._photo.candidates or accepted]
        if ids:
            self._session.commands.reject(ids)
        self._go_on()

    def edit(self) -> None:
        if self.preview.isVisible():  # Enter says yes to what is asked there
            self.accept_group()
            return
        caption = self.model.caption(self.list.currentIndex().row())
        if caption is None:
            return
        if self._editing is None or self._editing.id != caption.id:
            self.keep()
            self._editing = caption
            self.editor.set_text(caption.text)
        self._show_change()
        self.editor.show()
        self.editor.setFocus(Qt.FocusReason.ShortcutFocusReason)
        self._tell_keys()

    def _show_change(self) -> None:
        """What the edit has changed so far; photos that were shown for it are asked about again."""
        before = self._editing
        self.change.show_change(
            before.text if before is not None else "", self.editor.text if before is not None else ""
        )
        if not self.preview.isHidden():
            self.preview.hide()
            self._show_group()

    def _finish_edit(self) -> None:
        editing = self._editing
        if editing is None or not self.editor.text:
            return
        self.keep()
        if self._editing is not None and editing.state == "candidate":  # nothing was changed
            self._session.commands.accept([editing.id])
        self._leave_edit()
        self._go_on()

    def keep(self) -> None:
        """What has been typed over a caption is kept as an edit, wherever the person goes next; only Escape drops it.

        Cheap when nothing has been typed.
        """
        editing, text = self._editing, self.editor.text
        if editing is not None and text and text != editing.text:
            self._leave_edit()
            self._session.commands.edit(editing, text)

    def _use_again(self, text: Earlier) -> None:
        """An earlier caption is accepted in place of what is suggested; the next photo is shown."""
        self.keep()
        self._leave_edit()
        self._session.commands.use_again(text.id)
        self._go_on()

    def _take_plain(self, text: str) -> None:
        """The starter's caption becomes the person's own; the next photo is shown."""
        self.keep()
        self._leave_edit()
        if self.current_id is not None:
            self._session.commands.write(self.current_id, text)
            self._go_on()

    def _leave_edit(self) -> None:
        if self._editing is not None:
            self._editing = None
            self.editor.hide()
            self.change.hide()
            self.list.setFocus(Qt.FocusReason.OtherFocusReason)
            self._tell_keys()

    def _go_on(self) -> None:
        """The next photo of the queue; the one just decided leaves it without waiting for the database."""
        here = self.current_id
        if here is None:
            return
        rest = self._queue[self._queue != here]
        self._at, self._came = self._at if self._at < len(rest) else 0, True
        self._photo = self._asked = None
        self._set_queue(rest)

    def _tell_keys(self) -> None:
        if self._editing is not None:
            self.keys.setText(self.tr("Enter keeps the edited caption and goes on · Esc leaves it as it was"))
        elif not self.preview.isHidden():
            self.keys.setText(self.tr("Enter accepts for these photos · Esc leaves them as they are"))
        else:
            edits, accepts = (self.tr("{} edits"), "edit"), (self.tr("{} accepts and goes on"), "accept")
            rejects, others = (self.tr("{} rejects all"), "reject"), ("review_previous", "review_next")
            photos, choose = (self.tr("{} {} photos"), *others), (self.tr("{}–{} choose"), "pick_1", "pick_9")
            self.keys.setText(self._actions.key_line(choose, edits, accepts, rejects, photos))
