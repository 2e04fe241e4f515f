"""How captions shall be: close to the person's wording, or telling photos apart; or as the model was trained."""

from __future__ import annotations

from PySide6.QtCore import Qt
from PySide6.QtWidgets import QSlider, QWidget

from gui import theme
from gui.widgets.basics import CheckBox, column, label, row

STEPS = 4


class WordingSlider(QWidget):
    """:attr:`distinctive` is None until the person wants to choose."""

    def __init__(self) -> None:
        super().__init__()
        self.chosen = CheckBox(self.tr("Choose between your wording and telling photos apart"))
        self.slider = QSlider(Qt.Orientation.Horizontal)
        self.slider.setRange(0, STEPS)
        self.slider.setValue(STEPS // 2)
        self.slider.setPageStep(1)
        self.slider.setAccessibleName(self.tr("From your wording to telling photos apart"))
        scale = row(label(self.tr("Your wording")), self.slider, label(self.tr("Tells photos apart")), spacing=theme.M)
        scale.setStretch(1, 1)
        about = label(self.tr("Takes a few times as long: the best of at least five captions is used."), "muted")
        self.details = QWidget()
        inside = column(scale, about, spacing=theme.S)
        inside.setContentsMargins(theme.L, 0, 0, theme.S)
        self.details.setLayout(inside)
        self.details.setMaximumWidth(560)
        self.setLayout(column(self.chosen, self.details, spacing=theme.XS))
        self.details.hide()
        self.chosen.toggled.connect(self.details.setVisible)

    @property
    def distinctive(self) -> float | None:
        """From 0 (the wording of the seeds) to 1 (telling photos apart)."""
        return self.slider.value() / STEPS if self.chosen.isChecked() else None
