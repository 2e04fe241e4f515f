"""The settings: each is in force the moment it is chosen, so that there is nothing to confirm or to take back."""

from __future__ import annotations

from collections.abc import Callable

from PySide6.QtWidgets import QButtonGroup, QLayout, QPushButton, QRadioButton, QWidget

from core.paths import data_dir
from gui import theme, words
from gui.actions import Actions
from gui.dialogs import Beside
from gui.preferences import Choice, Preferences
from gui.revealing import show_folder
from gui.tasks import FIRST_CAPTIONS
from gui.theme import Mode
from gui.widgets.basics import MIDDLE, CheckBox, ElidedLabel, action_button, button, column, label, row, under_check
from gui.widgets.flow import scrolling
from gui.widgets.models_part import ModelsPart


class SettingsDialog(Beside):
    """``set_theme(mode)`` switches the colours and remembers them."""

    def __init__(
        self,
        preferences: Preferences,
        actions: Actions,
        set_theme: Callable[[Mode], object],
        models: ModelsPart,
        parent: QWidget | None = None,
    ) -> None:
        super().__init__(self.tr("Settings"), parent)
        self.setMinimumWidth(theme.letters(76))
        self._preferences = preferences
        self._set_theme = set_theme
        self.models = models
        self.modes: dict[Mode, QRadioButton] = {}
        self.checks: dict[Choice, CheckBox] = {}
        colours = self._part(self.tr("Colours"), self._colours())
        starting = self._check("reopen", self.tr("Begin with the library that was open last, where I was"))
        first = self._check("starter", self.tr("Suggest first captions in a new library"))
        few = self.tr("The starter model's, for {n} photos at most, once. They wait in Review.")
        new = column(first, under_check(label(few.format(n=FIRST_CAPTIONS), "muted", wrap=True)), spacing=0)
        telling = self._check("notify", self.tr("Tell me when work of more than half a minute has ended"))
        hint = label(self.tr("Only while another window is in front."), "muted", wrap=True)
        spelling = self._check("spelling", self.tr("Underline words that no dictionary of this system knows"))
        keys = action_button(actions["shortcuts"], text=self.tr("Keyboard shortcuts…"), icon_name="keyboard")
        memory = action_button(actions["free_memory"])
        where = ElidedLabel(words.place(data_dir()), "muted", cut=MIDDLE)
        show = button(self.tr("Show the folder"), lambda: show_folder(data_dir(), foot.setText), icon_name="folder")
        place = row(where, show)
        place.setStretch(0, 1)
        foot = label(self.tr("Changes apply at once."), "small", wrap=True)
        close = button(self.tr("Close"), self.close, role="primary")
        end = row(foot, close)
        end.setStretch(0, 1)
        parts = QWidget()
        parts.setLayout(
            column(
                colours,
                self._part(self.tr("At the start"), starting),
                self._part(self.tr("New photos"), new),
                self._part(self.tr("Long work"), column(telling, under_check(hint), spacing=0)),
                self._part(self.tr("Spelling"), spelling),
                self._part(self.tr("Keys and memory"), row(keys, memory, None)),
                self._part(self.tr("Libraries are kept in"), place),
                self._part(self.tr("Downloaded models are kept in"), models),
                None,
                spacing=theme.L,
            )
        )
        page = scrolling(parts)
        self.setLayout(column(page, end, spacing=theme.L, margin=theme.XL))
        room = self.screen().availableSize()
        self.resize(
            self.sizeHint().width(), min(self.sizeHint().height() + parts.sizeHint().height(), room.height() * 4 // 5)
        )
        for one in self.findChildren(QPushButton):
            one.setAutoDefault(False)  # Enter in a field is no press of the first button
        preferences.changed.connect(self._show)
        theme.theme().changed.connect(self._show)
        self._show()
        self.modes[theme.theme().mode].setFocus()

    def _part(self, title: str, content: QWidget | QLayout) -> QWidget:
        part = QWidget()
        part.setLayout(column(label(title, "strong"), content, spacing=theme.S))
        return part

    def _colours(self) -> QWidget:
        holder = QWidget()
        group = QButtonGroup(holder)
        texts: dict[Mode, str] = {
            "system": self.tr("As the system has them"),
            "light": self.tr("Light"),
            "dark": self.tr("Dark"),
        }
        for mode, text in texts.items():
            group.addButton(self._mode(mode, text))
        holder.setLayout(row(*self.modes.values(), None, spacing=theme.L))
        return holder

    def _mode(self, mode: Mode, text: str) -> QRadioButton:
        made = self.modes[mode] = QRadioButton(text)
        made.clicked.connect(lambda _checked=False: self._set_theme(mode))
        return made

    def _check(self, choice: Choice, text: str) -> CheckBox:
        made = self.checks[choice] = CheckBox(text)
        made.clicked.connect(lambda checked: self._preferences.set(choice, checked))
        return made

    def _show(self) -> None:
        self.modes[theme.theme().mode].setChecked(True)
        for choice, check in self.checks.items():
            check.setChecked(self._preferences.wants(choice))
