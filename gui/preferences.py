"""What a person has chosen for the window, kept with its other settings and in force at once."""

from __future__ import annotations

from typing import Literal

from PySide6.QtCore import QObject, QSettings, Signal

Choice = Literal["notify", "reopen", "spelling", "starter"]
"""``notify``: tell when long work ends; ``reopen``: begin with the library that was open last; ``spelling``: underline
words that no dictionary knows; ``starter``: have the starter model suggest captions for the first photos of a new
library."""


class Preferences(QObject):
    """Choices between yes and no; yes until somebody says otherwise."""

    changed = Signal(str)

    def __init__(self, settings: QSettings, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._settings = settings

    def wants(self, choice: Choice) -> bool:
        return bool(self._settings.value(choice, True, bool))

    def set(self, choice: Choice, wanted: bool) -> None:
        if wanted != self.wants(choice):
            self._settings.setValue(choice, wanted)
            self.changed.emit(choice)
