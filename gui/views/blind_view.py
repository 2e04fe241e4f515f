"""A blind round: two captions of a photo side by side, and at the end which model wrote the better ones."""

from __future__ import annotations

from typing import TYPE_CHECKING

from PySide6.QtCore import Qt, Signal
from PySide6.QtWidgets import QFrame, QPushButton, QStackedWidget, QWidget

from gui import theme, words
from gui.actions import Actions
from gui.comparing import PAIRS, BlindMade, BlindOrder, Standing, begin_blind_round
from gui.services import LibraryService
from gui.session import Session
from gui.theme import scaled_font
from gui.widgets.basics import EmptyState, action_button, button, card, column, label, row
from gui.widgets.flow import Flow, scrolling
from gui.widgets.photo_view import PhotoView

if TYPE_CHECKING:
    from core.library.blind_rounds import OpenRound, Side
    from core.library.records import ImageRow

ANSWERS = ("blind_left", "blind_right", "blind_same", "blind_back")


class BlindView(QWidget):
    """``closed``: back to the suggestions. Whose captions are whose is not known here before the round has ended."""

    closed = Signal()
    standing_changed = Signal(object)  # Standing

    def __init__(self, session: Session, actions: Actions) -> None:
        super().__init__()
        self._session = session
        self._actions = actions
        self.going_on: OpenRound | None = None
        self._answers: list[Side | None] = []
        self.at = 0
        self._wanted = False
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self._build()
        session.opened.connect(self._new_library)
        for name, handler in (
            ("blind_left", lambda: self.answer("left")),
            ("blind_right", lambda: self.answer("right")),
            ("blind_same", lambda: self.answer("same")),
            ("blind_back", self.back),
            ("blind_leave", self.leave),
        ):
            actions[name].triggered.connect(lambda _checked=False, handler=handler: handler())
            self.addAction(actions[name])
        self._allow_answers(False)

    def _build(self) -> None:
        self.begin_button = button(self.tr("Begin"), self.begin, role="primary", icon_name="play")
        text = self.tr(
            "You see a photo and two captions, {n} times, and choose the better one. One is by the newer model, the "
            "other by the one before it; which is which you learn at the end. Photos that you have captioned are left "
            "out."
        ).format(n=PAIRS)
        back = button(self.tr("Back to the suggestions"), self.closed.emit)
        self.start = EmptyState("blind", self.tr("Which captions do you like better?"), text, back, self.begin_button)
        self.busy = EmptyState("clock", self.tr("Both models caption some photos"), "", self._back_button())
        self.again = button(self.tr("Compare again"), self.begin, icon_name="refresh")
        close = button(self.tr("Back to the suggestions"), self.closed.emit, role="primary")
        self.end = EmptyState("blind", "", "", self.again, close)
        self.end.title.setWordWrap(True)
        self.pages = QStackedWidget()
        for page in (self.start, self.busy, scrolling(self._asking()), self.end):
            self.pages.addWidget(page)
        layout = column(self.pages)
        layout.setContentsMargins(0, 0, theme.L, theme.L)
        self.setLayout(layout)

    def _back_button(self) -> QPushButton:
        return button(self.tr("Back to the suggestions"), self.closed.emit)

    def _asking(self) -> QWidget:
        self.picture = PhotoView(self._session.pictures)
        self.left, self.right = label("", wrap=True), label("", wrap=True)
        self.answers: dict[str, QPushButton] = {}
        self.counter = label("", "muted")
        back = action_button(self._actions["blind_back"], text=self.tr("Back one"), icon_name="undo")
        finish = action_button(self._actions["blind_leave"], text=self.tr("End here"))
        pause = button(self.tr("Go on later"), self.closed.emit)
        head = Flow().put(self.counter, None, back, pause, finish)
        left, right = self._card(self.left, "blind_left"), self._card(self.right, "blind_right")
        same = self.answers["blind_same"] = action_button(self._actions["blind_same"], text="")
        cards = row(left, right, spacing=theme.L)
        cards.setStretch(0, 1)
        cards.setStretch(1, 1)
        self.keys = label("", "small", wrap=True)
        self.keys.setAlignment(Qt.AlignmentFlag.AlignHCenter)
        self._actions.keys_changed.connect(self._tell_keys)
        self._tell_keys()
        layout = column(head, self.picture, cards, row(None, same, None), self.keys, spacing=theme.M)
        layout.setStretch(1, 1)
        page = QWidget()
        page.setLayout(layout)
        for one in page.findChildren(QPushButton):
            one.setFocusPolicy(Qt.FocusPolicy.NoFocus)  # Space says "no difference", wherever the last click was
        return page

    def _card(self, text: QWidget, action: str) -> QFrame:
        text.setFont(scaled_font(1.15))
        answer = self.answers[action] = action_button(self._actions[action], text="")
        return card(column(text, None, answer, spacing=theme.M))

    def _tell_keys(self) -> None:
        texts = {
            "blind_left": self.tr("Left is better"),
            "blind_right": self.tr("Right is better"),
            "blind_same": self.tr("No difference"),
        }
        for name, text in texts.items():
            key = self._actions.key(name)
            self.answers[name].setText(f"{key} · {text}" if key else text)
        answers = (self.tr("{} left"), "blind_left"), (self.tr("{} right"), "blind_right")
        same = self.tr("{} no difference"), "blind_same"
        leave = (self.tr("{} back"), "blind_back"), (self.tr("{} ends"), "blind_leave")
        self.keys.setText(self._actions.key_line(*answers, same, *leave))

    # -- a round ----------------------------------------------------------------------------------------------------

    def open(self) -> None:
        """Go on with the round where it stopped, or offer a new one."""
        self._wanted = True
        self._read()

    def refresh(self) -> None:
        """Tell those who offer rounds how things stand."""
        self._session.read(lambda service: service.blind.standing(), self.standing_changed.emit, key="blind-standing")

    def begin(self) -> None:
        service = self._session.service
        if service is None:
            return
        title = self.tr("Captioning with both models")
        job = self._session.start(
            self._session.heavy, begin_blind_round, BlindOrder(service.path), title=title, kind="blind"
        )
        if job is None:
            return
        self.pages.setCurrentIndex(1)
        job.finished.connect(self._made)
        job.failed.connect(lambda _failure: self.pages.setCurrentIndex(0))
        job.cancelled.connect(lambda: self.pages.setCurrentIndex(0))

    def _made(self, made: BlindMade) -> None:
        if made.pairs or not self._wanted:
            self._read()
            return
        equal = words.counted(made.equal, self.tr("photo"), self.tr("photos", "", made.equal))
        text = self.tr("Both models say the same of {photos}, word for word.").format(photos=equal)
        self._show_end(self.tr("There is nothing to choose between"), text)

    def _read(self) -> None:
        def read() -> None:
            self._session.read(lambda service: service.blind.standing(), self._show, key="blind-round")

        self._session.after_writes(read)

    def _show(self, standing: Standing) -> None:
        self.standing_changed.emit(standing)
        before, self.going_on = self.going_on, standing.going_on
        if self.going_on is not None:
            self._answers = [pair.answer for pair in self.going_on.pairs]
            self.at = self.going_on.next_place
            self.pages.setCurrentIndex(2)
            self._allow_answers(True)
            self._show_pair()
        elif before is not None and standing.last is not None and standing.last.id == before.id:
            self._tell(standing)
        else:
            self._allow_answers(False)
            self.begin_button.setEnabled(standing.possible)
            self.pages.setCurrentIndex(0)
        if self._wanted and self.isVisible():
            self.setFocus(Qt.FocusReason.OtherFocusReason)

    def _show_pair(self) -> None:
        assert self.going_on is not None
        pair = self.going_on.pairs[self.at]
        self.left.setText(pair.left)
        self.right.setText(pair.right)
        total = len(self.going_on.pairs)
        self.counter.setText(self.tr("{n} of {all}").format(n=words.count(self.at + 1), all=words.count(total)))
        told = self.tr("Left: {left}. Right: {right}").format(left=pair.left, right=pair.right)
        self.setAccessibleName(self.counter.text())
        self.setAccessibleDescription(told)
        self._actions["blind_back"].setEnabled(self.at > 0)
        self.picture.clear()
        image_id = pair.image_id
        if image_id is None:
            return

        def show(image: ImageRow | None) -> None:
            if image is not None:
                self.picture.show_photo(image, self._session.thumbnails.pixmap(image))

        self._session.read(lambda service: service.blind.photo(image_id), show, key="blind-photo")

    def answer(self, side: Side) -> None:
        if self.going_on is None:
            return
        self._keep(self.at, side)
        left = [at for at, one in enumerate(self._answers) if one is None]
        if left:
            self.at = left[0]
            self._show_pair()
        else:
            self._allow_answers(False)
            self._read()

    def back(self) -> None:
        """The pair before this one is asked again."""
        if self.going_on is not None and self.at > 0:
            self.at -= 1
            self._keep(self.at, None)
            self._show_pair()

    def leave(self) -> None:
        """End the round with the answers given so far; elsewhere, go back to the suggestions."""
        going_on = self.going_on if self.pages.currentIndex() == 2 else None
        if going_on is None:
            self.closed.emit()
            return
        self._allow_answers(False)
        self._session.write(lambda service: service.blind.end(going_on.id), lambda _: self._read())

    def _keep(self, at: int, side: Side | None) -> None:
        assert self.going_on is not None
        round_id, place = self.going_on.id, self.going_on.pairs[at].place
        self._answers[at] = side

        def write(service: LibraryService) -> None:
            service.blind.answer(round_id, place, side)

        self._session.write(write, lambda _: None)

    # -- its end ----------------------------------------------------------------------------------------------------

    def _tell(self, standing: Standing) -> None:
        """Now it may be known which model is which."""
        result = standing.last
        assert result is not None
        newer, older = (words.model_name(standing.dates.get(one)) for one in (result.new_model, result.old_model))
        parts = [
            self.tr("New: {new}. Old: {old}.").format(new=newer, old=older),
            self.tr("New better: {n}. Old better: {o}. No difference: {same}.").format(
                n=words.count(result.new), o=words.count(result.old), same=words.count(result.same)
            ),
        ]
        if result.equal:
            equal = words.counted(result.equal, self.tr("photo"), self.tr("photos", "", result.equal))
            parts.append(self.tr("Of {photos} both said the same; you were not asked.").format(photos=equal))
        if result.unanswered:
            parts.append(self.tr("Not answered: {n}.").format(n=words.count(result.unanswered)))
        self._show_end(words.preference_sentence(result), "\n".join(parts))

    def _show_end(self, title: str, text: str) -> None:
        self._allow_answers(False)
        self.going_on = None
        self.end.say(title, text)
        self.setAccessibleName(title)
        self.setAccessibleDescription(text)
        self.pages.setCurrentIndex(3)

    def _allow_answers(self, allowed: bool) -> None:
        for name in ANSWERS:
            self._actions[name].setEnabled(allowed)

    def close_round(self) -> None:
        """The view is left: what was answered is kept, and the round goes on when it is opened again."""
        self._wanted = False
        self._allow_answers(False)

    def _new_library(self) -> None:
        self.going_on = None
        self._wanted = False
        self._allow_answers(False)
        self.pages.setCurrentIndex(0)
        self.closed.emit()
