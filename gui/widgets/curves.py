"""A curve that grows while training runs. pyqtgraph is imported with this module, so only when Train is first shown."""

from __future__ import annotations

import pyqtgraph as pg
from PySide6.QtWidgets import QSizePolicy, QWidget

from gui import theme
from gui.theme import colour
from gui.widgets.basics import column, label

HEIGHT = 168


class Curve(QWidget):
    """One titled plot; ``add`` is cheap, drawing happens once per event-loop turn."""

    def __init__(self, title: str, hint: str) -> None:
        super().__init__()
        self._x: list[float] = []
        self._y: list[float] = []
        self._plot = pg.PlotWidget()
        self._plot.setFixedHeight(HEIGHT)
        self._plot.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self._plot.setMenuEnabled(False)
        self._plot.setMouseEnabled(False, False)
        self._plot.hideButtons()
        self._plot.setAccessibleName(title)
        self._item = pg.PlotDataItem(antialias=True)
        self._plot.addItem(self._item)
        head = column(label(title, "strong"), label(hint, "small", wrap=True), spacing=0)
        self.setLayout(column(head, self._plot, spacing=theme.XS))
        theme.theme().changed.connect(self._restyle)
        self._restyle()

    @property
    def points(self) -> list[tuple[float, float]]:
        return list(zip(self._x, self._y, strict=True))

    def clear(self) -> None:
        self._x.clear()
        self._y.clear()
        self._item.setData([], [])

    def extend(self, points: list[tuple[float, float]]) -> None:
        if points:
            self._x.extend(x for x, _ in points)
            self._y.extend(y for _, y in points)
            self._item.setData(self._x, self._y)

    def _restyle(self) -> None:
        self._plot.setBackground(colour("surface"))
        self._item.setPen(pg.mkPen(colour("accent"), width=2))
        font = theme.scaled_font(theme.SMALL)
        for side in ("left", "bottom"):
            axis = self._plot.getAxis(side)
            axis.setPen(pg.mkPen(colour("border")))
            axis.setTextPen(pg.mkPen(colour("muted")))
            axis.setTickFont(font)
            axis.enableAutoSIPrefix(False)
        self._plot.showGrid(x=False, y=True, alpha=0.15)
