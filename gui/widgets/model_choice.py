"""Choosing an encoder or a language model: one of a few, with what each takes, or any other by its name."""

from __future__ import annotations

from PySide6.QtCore import Signal
from PySide6.QtGui import QShowEvent
from PySide6.QtWidgets import QLineEdit, QWidget

from core.known_models import Kind
from gui import methods, theme
from gui.widgets.basics import ComboBox, column, label, row

BY_NAME = ""
EXAMPLES: dict[Kind, str] = {
    "encoder": "open_clip:ARCH/PRETRAINED, open_clip:hf-hub:REPO",
    "language_model": "hf:REPO, dir:FOLDER, gguf:FILE",
}


class ModelChoice(QWidget):
    changed = Signal()

    def __init__(self, kind: Kind, name: str, what: str = "") -> None:
        """``name``: of the choice, to be read out; ``what``: what such a model is for."""
        super().__init__()
        self._kind: Kind = kind
        self._what = what
        self.box = ComboBox()
        self.box.setAccessibleName(name)
        for key, title in methods.models(kind).items():
            self.box.addItem(title, key)
        self.box.addItem(self.tr("Another, by its name…"), BY_NAME)
        self.other = QLineEdit()
        self.other.setPlaceholderText(EXAMPLES[kind])
        self.other.setAccessibleName(self.tr("{what}: the name of another").format(what=name))
        self.about = label("", "muted", wrap=True)
        line = row(self.box, self.other)
        line.setStretch(1, 1)
        line.addStretch(0)  # the room of the other while that is hidden
        self.setLayout(column(line, self.about, spacing=theme.XS))
        self.box.currentIndexChanged.connect(lambda _index: self._choose())
        self.other.textChanged.connect(lambda _text: self.changed.emit())
        self._choose()

    @property
    def value(self) -> str:
        """The model's name; as long as another one is not named, the own one's."""
        return self.box.currentData() or self.other.text().strip() or methods.OWN

    def showEvent(self, event: QShowEvent) -> None:
        """What is downloaded may have changed since it was seen last."""
        super().showEvent(event)
        self._describe()

    def _choose(self) -> None:
        self.other.setVisible(self.box.currentData() == BY_NAME)
        self._describe()
        self.changed.emit()

    def _describe(self) -> None:
        key = self.box.currentData()
        if key == BY_NAME:
            told = self.tr(
                "Read from its folder, or downloaded once: Train then says its size, memory and licence first."
            )
        else:
            offered = methods.model(self._kind, key)
            told = f"{offered.sentence} {offered.cost}"
        self.about.setText(f"{self._what} {told}".strip())
        self.box.setAccessibleDescription(self.about.text())
