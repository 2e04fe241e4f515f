"""How captions shall be: close to the person's wording, or telling photos apart; or as the model was trained."""

from __future__ import annotations

from PySide6.QtCore import QEvent, Qt, Signal
from PySide6.QtGui import QKeyEvent
from PySide6.QtWidgets import QSlider, QWidget

from gui import theme
from gui.widgets.basics import CheckBox, column, label, row

STEPS = 4
_ITS_KEYS = (Qt.Key.Key_Left, Qt.Key.Key_Right, Qt.Key.Key_Home, Qt.Key.Key_End)
_WITH = Qt.KeyboardModifier.ControlModifier | Qt.KeyboardModifier.AltModifier


class _Slider(QSlider):
    def event(self, event: QEvent) -> bool:
        """While it has the focus, its keys are not the place's."""
        if isinstance(event, QKeyEvent) and event.type() == QEvent.Type.ShortcutOverride and _is_its_own(event):
            event.accept()
            return True
        return super().event(event)


def _is_its_own(event: QKeyEvent) -> bool:
    return event.key() in _ITS_KEYS and not event.modifiers() & _WITH


class WordingScale(QWidget):
    """From 0 (the person's wording) to 1 (telling photos apart): :attr:`distinctive`."""

    moved = Signal()

    def __init__(self, role: str = "", end: str = "") -> None:
        """``end``: what its right end means, where that is not how well photos are told apart."""
        super().__init__()
        self.slider = _Slider(Qt.Orientation.Horizontal)
        self.slider.setRange(0, STEPS)
        self.slider.setValue(STEPS // 2)
        self.slider.setPageStep(1)
        self.slider.setMinimumWidth(theme.letters(10))
        self.slider.setAccessibleName(self.tr("From your wording to telling photos apart"))
        ends = label(self.tr("Your wording"), role), label(end or self.tr("Tells photos apart"), role)
        scale = row(ends[0], self.slider, ends[1], spacing=theme.M)
        scale.setStretch(1, 1)
        self.setLayout(scale)
        self.slider.valueChanged.connect(lambda _value: self.moved.emit())

    @property
    def distinctive(self) -> float:
        return self.slider.value() / STEPS

    def set_distinctive(self, distinctive: float) -> None:
        self.slider.setValue(round(distinctive * STEPS))


class WordingSlider(QWidget):
    """:attr:`distinctive` is None until the person wants to choose."""

    def __init__(self) -> None:
        super().__init__()
        self.chosen = CheckBox(self.tr("Choose how near captions stay to your wording"))
        self.scale = WordingScale()
        about = label(self.tr("Takes a few times as long: the best of at least five captions is used."), "muted")
        self.details = QWidget()
        inside = column(self.scale, about, spacing=theme.S)
        inside.setContentsMargins(theme.L, 0, 0, theme.S)
        self.details.setLayout(inside)
        self.details.setMaximumWidth(560)
        self.setLayout(column(self.chosen, self.details, spacing=theme.XS))
        self.details.hide()
        self.chosen.toggled.connect(self.details.setVisible)

    @property
    def distinctive(self) -> float | None:
        """From 0 (the wording of the seeds) to 1 (telling photos apart)."""
        return self.scale.distinctive if self.chosen.isChecked() else None
