"""Change many captions at once: find and replace, words before or after. What would happen is shown while typing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from PySide6.QtCore import Qt, QTimer
from PySide6.QtWidgets import (
    QButtonGroup,
    QGridLayout,
    QHeaderView,
    QLabel,
    QLineEdit,
    QRadioButton,
    QTableWidget,
    QTableWidgetItem,
    QWidget,
)

from gui import theme, words
from gui.actions import Actions
from gui.dialogs import Beside
from gui.rewriting import Mode, RewriteOrder, RewritePreview
from gui.session import Session
from gui.theme import colour
from gui.widgets.basics import (
    CheckBox,
    ComboBox,
    action_button,
    button,
    column,
    label,
    plain_table,
    relabel,
    row,
    set_role,
)

ROWS = 200
PAUSE_MS = 150
SHOWN_BEFORE = 40  # characters of a caption before what changes in it


@dataclass(frozen=True)
class Photos:
    """Photos whose captions may be changed, in words and as ids; None: all."""

    text: str
    image_ids: tuple[int, ...] | None


class RewriteDialog(Beside):
    """Nothing is written that has not been shown: the button waits for the preview of what is typed."""

    def __init__(self, session: Session, actions: Actions, parent: QWidget | None = None) -> None:
        super().__init__(self.tr("Change many captions"), parent)
        self._session = session
        self._actions = actions
        self._choices: list[Photos] = []
        self._done: tuple[RewriteOrder, str] | None = None  # what has been changed last, and how that is said
        self._pause = QTimer(self, singleShot=True, interval=PAUSE_MS)
        self._pause.timeout.connect(self._preview)
        self.resize(820, 580)
        self._build()
        self._connect()
        self._show_mode()

    # -- building ---------------------------------------------------------------------------------------------------

    def _build(self) -> None:
        self.modes = QButtonGroup(self)
        modes = row(spacing=theme.M)
        for key, text in (
            ("replace", self.tr("&Find and replace")),
            ("before", self.tr("Put words &before")),
            ("after", self.tr("Put words af&ter")),
        ):
            choice = QRadioButton(text)
            choice.setProperty("key", key)
            choice.setChecked(key == "replace")
            self.modes.addButton(choice)
            modes.addWidget(choice)
        modes.addStretch(1)
        self.text = QLineEdit()
        self.by = QLineEdit()
        self._text_name, self._by_name = label(""), label(self.tr("Replace by"))
        self.case = CheckBox(self.tr("Match &case"))
        self.whole_words = CheckBox(self.tr("&Whole words"))
        self.regex = CheckBox(self.tr("&Regular expression"))
        self.regex.setToolTip(self.tr(r"A pattern; in the replacement, \1 stands for its first group in brackets"))
        self.spaced = CheckBox(self.tr("A &space between"))
        self.spaced.setChecked(True)
        self.photos = ComboBox()
        self.photos.setAccessibleName(self.tr("Of which photos"))
        self.which = ComboBox()
        self.which.setAccessibleName(self.tr("Which captions"))
        for text, key in (
            (self.tr("Accepted captions and suggestions"), "all"),
            (self.tr("Accepted captions only"), "accepted"),
            (self.tr("Suggestions only"), "candidate"),
        ):
            self.which.addItem(text, key)
        self.summary = label("", "muted", wrap=True)
        self.table = self._table()
        self.undo = action_button(self._actions["undo"], text=self.tr("Undo"), icon_name="undo")
        self.undo.hide()
        self.undo.setAutoDefault(False)
        close = button(self.tr("Close"), self.close)
        close.setAutoDefault(False)
        self.apply = button(self.tr("Change"), self.change, role="primary", icon_name="check")
        self.apply.setDefault(True)
        layout = column(
            modes,
            self._fields(),
            self.summary,
            self.table,
            row(self.undo, None, close, self.apply),
            spacing=theme.M,
            margin=theme.L,
        )
        layout.setStretch(3, 1)
        self.setLayout(layout)

    def _fields(self) -> QGridLayout:
        grid = QGridLayout()
        grid.setHorizontalSpacing(theme.M)
        grid.setVerticalSpacing(theme.S)
        grid.setColumnStretch(1, 1)
        where = row(self.which, _buddy(self.tr("&of"), self.photos), self.photos, None)
        options = row(self.case, self.whole_words, self.regex, self.spaced, None, spacing=theme.M)
        captions = _buddy(self.tr("&In"), self.which)
        self._text_name.setBuddy(self.text)
        self._by_name.setBuddy(self.by)
        for line, (name, content) in enumerate(
            ((self._text_name, self.text), (self._by_name, self.by), (None, options), (captions, where))
        ):
            if name is not None:
                grid.addWidget(name, line, 0)
            if isinstance(content, QWidget):
                grid.addWidget(content, line, 1)
            else:
                grid.addLayout(content, line, 1)
        return grid

    def _table(self) -> QTableWidget:
        table = plain_table((self.tr("Photo"), self.tr("Now"), self.tr("Then")), self.tr("What will change"))
        table.verticalHeader().setDefaultSectionSize(2 * table.fontMetrics().lineSpacing() + theme.S)
        header = table.horizontalHeader()
        header.setSectionResizeMode(0, QHeaderView.ResizeMode.Interactive)
        header.setSectionResizeMode(1, QHeaderView.ResizeMode.Stretch)
        header.setSectionResizeMode(2, QHeaderView.ResizeMode.Stretch)
        header.resizeSection(0, 140)
        return table

    def _connect(self) -> None:
        for box in (self.text, self.by):
            box.textChanged.connect(lambda _text: self._ask())
        for check in (self.case, self.whole_words, self.regex, self.spaced):
            check.toggled.connect(lambda _on: self._ask())
        for choice in (self.photos, self.which):
            choice.currentIndexChanged.connect(lambda _at: self._ask())
        self.modes.buttonClicked.connect(lambda _button: self._show_mode())
        self._session.data_changed.connect(self._ask)
        self._session.commands.undone.connect(self._forget_done)
        self._session.opened.connect(self.close)  # it is about the photos of another library

    # -- what is asked for ------------------------------------------------------------------------------------------

    @property
    def mode(self) -> Mode:
        chosen = self.modes.checkedButton()
        return chosen.property("key") if chosen is not None else "replace"

    def offer(self, choices: Sequence[Photos]) -> None:
        """Whose captions may be changed; the first is chosen."""
        self._choices = list(choices)
        self.photos.blockSignals(True)
        self.photos.clear()
        self.photos.addItems([choice.text for choice in choices])
        self.photos.blockSignals(False)
        self.text.setFocus(Qt.FocusReason.OtherFocusReason)
        self._ask()

    def order(self) -> RewriteOrder:
        at = self.photos.currentIndex()
        return RewriteOrder(
            self.mode,
            self.text.text(),
            self.by.text(),
            self.regex.isChecked(),
            self.case.isChecked(),
            self.whole_words.isChecked(),
            self.spaced.isChecked(),
            self.which.currentData(),
            self._choices[at].image_ids if 0 <= at < len(self._choices) else (),
        )

    def _show_mode(self) -> None:
        replacing = self.mode == "replace"
        self._text_name.setText(self.tr("F&ind") if replacing else self.tr("&Words"))
        self.text.setAccessibleName(self.tr("Find") if replacing else self.tr("Words to put there"))
        self.by.setAccessibleName(self.tr("Replace by"))
        for widget in (self._by_name, self.by, self.case, self.whole_words, self.regex):
            widget.setVisible(replacing)
        self.spaced.setVisible(not replacing)
        self._ask()

    def _ask(self) -> None:
        self.apply.setEnabled(False)
        self._pause.start()

    def _preview(self) -> None:
        order = self.order()

        def show(found: RewritePreview) -> None:
            if order == self.order():
                self.show_preview(found)

        self._session.look_up(lambda service: service.preview_rewrite(order, ROWS), show, key="rewrite")

    # -- what would happen ------------------------------------------------------------------------------------------

    def show_preview(self, found: RewritePreview) -> None:
        if self._done is not None and self._done[0] == self.order():
            found = RewritePreview()  # words would be put before the captions a second time
        wrong = bool(found.problem)
        self.text.setProperty("invalid", "true" if wrong else "false")
        set_role(self.text, "")
        set_role(self.summary, "bad" if wrong else "muted")
        self.summary.setText(found.problem or self._said(found))
        self.apply.setEnabled(found.captions > 0)
        changed = words.counted(found.captions, self.tr("caption"), self.tr("captions", "", found.captions))
        text = self.tr("Change {captions}").format(captions=changed) if found.captions else self.tr("Change")
        relabel(self.apply, text)
        self.table.setRowCount(len(found.rows))
        for at, line in enumerate(found.rows):
            then = self.tr("Stays as it is: {reason}").format(reason=line.refused) if line.refused else line.after
            start = _start(line.before, line.after)
            cut = then if line.refused else _from(then, start)
            for place, (text, whole) in enumerate(
                ((line.photo, line.photo), (_from(line.before, start), line.before), (cut, then))
            ):
                item = QTableWidgetItem(text)
                item.setToolTip(whole)
                if line.refused:
                    item.setForeground(colour("muted"))
                self.table.setItem(at, place, item)

    def _said(self, found: RewritePreview) -> str:
        if self._done is not None and self._done[0] == self.order():
            return self._done[1]
        if self.order().empty:
            return self.tr("Type something; what would change is shown here before anything is written.")
        if not found.captions and not found.refused:
            return self.tr("No caption here has that.")
        captions = words.counted(found.captions, self.tr("caption"), self.tr("captions", "", found.captions))
        photos = words.counted(found.photos, self.tr("photo"), self.tr("photos", "", found.photos))
        text = self.tr("{captions} of {photos} will change.").format(captions=captions, photos=photos)
        if found.refused:
            text += " " + self.tr("{n} cannot, and will stay as they are.").format(n=words.count(found.refused))
        if found.captions + found.refused > len(found.rows):
            text += " " + self.tr("The first {n} are shown.").format(n=words.count(len(found.rows)))
        return text

    def _forget_done(self) -> None:
        self._done = None

    def change(self) -> None:
        """Do what the preview shows, as one step."""
        if not self.apply.isEnabled():
            return
        order = self.order()

        def done(told: RewritePreview) -> None:
            changed = words.counted(told.captions, self.tr("caption has"), self.tr("captions have", "", told.captions))
            self._done = order, self.tr("{captions} been changed. Undo takes it back.").format(captions=changed)
            self.undo.show()

        self.apply.setEnabled(False)
        self._session.commands.rewrite(order, done)


def _buddy(text: str, of: QWidget) -> QLabel:
    made = label(text)
    made.setBuddy(of)
    return made


def _start(before: str, after: str) -> int:
    """Where to begin to show both so that what differs is seen: 0, or a word shortly before it."""
    pairs = enumerate(zip(before, after, strict=False))
    same = next((at for at, (one, other) in pairs if one != other), min(len(before), len(after)))
    return 0 if same <= SHOWN_BEFORE else before.rfind(" ", 0, same - SHOWN_BEFORE // 2) + 1


def _from(text: str, start: int) -> str:
    return f"… {text[start:]}" if start else text


def show_rewrite_dialog(session: Session, actions: Actions, window: QWidget, choices: Sequence[Photos]) -> None:
    """Open the dialog, or the one that is open, for these photos."""
    shown = [one for one in window.findChildren(RewriteDialog) if one.isVisible()]
    dialog = shown[0] if shown else RewriteDialog(session, actions, window)
    dialog.offer(list(choices))
    dialog.show()
    dialog.activateWindow()
