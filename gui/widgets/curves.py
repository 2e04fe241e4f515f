"""A curve that grows while training runs. pyqtgraph is imported with this module, so only when Train is first shown."""

from __future__ import annotations

import pyqtgraph as pg
from PySide6.QtGui import QWheelEvent
from PySide6.QtWidgets import QSizePolicy, QWidget

from gui import theme
from gui.theme import colour
from gui.widgets.basics import column, label

HEIGHT = 168
MEMORY = 8.0  # steps over which the smooth line of a restless curve looks back


class _Plot(pg.PlotWidget):
    def wheelEvent(self, event: QWheelEvent) -> None:
        """For the page that scrolls; an axis would take it and do nothing."""
        event.ignore()


class Curve(QWidget):
    """One titled plot; ``add`` is cheap, drawing happens once per event-loop turn.

    ``restless``: single steps scatter, so that the line shown is their running mean, over the steps in grey.
    """

    def __init__(self, title: str, hint: str, axes: tuple[str, str] = ("", ""), *, restless: bool = False) -> None:
        """``axes``: what is counted to the right, and what upwards."""
        super().__init__()
        self._title = f"{title}. {hint}"
        self._x: list[float] = []
        self._y: list[float] = []
        self._restless = restless
        self._plot = _Plot()
        self._plot.setFixedHeight(HEIGHT)
        self._plot.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self._plot.setMenuEnabled(False)
        self._plot.setMouseEnabled(False, False)
        self._plot.hideButtons()
        self.axes = dict(zip(("bottom", "left"), axes, strict=True))
        for side in self.axes:
            # Once, while no label is shown: pyqtgraph works a prefix out at this call and keeps it, a thousandfold.
            self._plot.getAxis(side).enableAutoSIPrefix(False)
        self._steps = pg.PlotDataItem(antialias=True)
        self._line = pg.PlotDataItem(antialias=True)
        self._now = pg.ScatterPlotItem(size=8, antialias=True)
        for item in (self._steps, self._line, self._now):
            self._plot.addItem(item)
        head = column(label(title, "strong", wrap=True), label(hint, "small", wrap=True), spacing=0)
        self.setLayout(column(head, None, self._plot, spacing=theme.XS))  # curves side by side stay level
        theme.theme().changed.connect(self._restyle)
        self._restyle()
        self.begin(1)

    @property
    def points(self) -> list[tuple[float, float]]:
        return list(zip(self._x, self._y, strict=True))

    def begin(self, total_steps: int, done: int = 0) -> None:
        """With room for so many steps; empty but for the first ``done``, which were drawn before."""
        kept = sum(x <= done for x in self._x)
        del self._x[kept:], self._y[kept:]
        self._plot.getViewBox().setRange(xRange=(0, max(1, total_steps)), padding=0.02)
        self._draw()

    def end(self) -> None:
        """No more steps come: the ones there fill the plot."""
        if self._x:
            self._plot.getViewBox().setRange(xRange=(0, self._x[-1]), padding=0.02)

    def extend(self, points: list[tuple[float, float]]) -> None:
        """``(step, value)`` in order; a step that was there already goes on from there, and never draws a loop."""
        if not points:
            return
        while self._x and self._x[-1] >= points[0][0]:
            self._x.pop()
            self._y.pop()
        self._x.extend(x for x, _ in points)
        self._y.extend(y for _, y in points)
        self._draw()

    def _draw(self) -> None:
        shown = smooth(self._y) if self._restless else self._y
        self._steps.setData(self._x, self._y if self._restless else shown)
        self._line.setData(self._x, shown)
        self._now.setData(self._x[-1:], shown[-1:])
        for side, text in self.axes.items():
            axis = self._plot.getAxis(side)
            axis.setStyle(showValues=bool(self._x))  # figures of nothing would be made up
            axis.showLabel(bool(self._x and text))
        now = f" {self._y[-1]:.2f} after step {self._x[-1]:.0f}." if self._x else ""
        self._plot.setAccessibleName(f"{self._title}{now}")

    def _restyle(self) -> None:
        self._plot.setBackground(colour("surface"))
        self._steps.setPen(pg.mkPen(colour("border"), width=1))
        self._line.setPen(pg.mkPen(colour("accent"), width=2))
        self._now.setPen(pg.mkPen(None))
        self._now.setBrush(pg.mkBrush(colour("accent")))
        font = theme.scaled_font(theme.SMALL)
        for side in ("left", "bottom"):
            axis = self._plot.getAxis(side)
            axis.setPen(pg.mkPen(colour("border")))
            axis.setTextPen(pg.mkPen(colour("muted")))
            axis.setTickFont(font)
            small = {"color": colour("muted").name(), "font-size": f"{font.pointSizeF():.1f}pt"}
            axis.setLabel(self.axes[side], **small)
            axis.showLabel(bool(self._x and self.axes[side]))
        self._plot.showGrid(x=False, y=True, alpha=0.15)


def smooth(values: list[float]) -> list[float]:
    """The mean so far, in which a step weighs less the longer ago it was; the first steps count fully."""
    total = weight = 0.0
    means = []
    for value in values:
        total = total * (1 - 1 / MEMORY) + value
        weight = weight * (1 - 1 / MEMORY) + 1
        means.append(total / weight)
    return means
