"""Which part of a picture a room shows, and how large: arithmetic without a widget."""

from __future__ import annotations

from PySide6.QtCore import QPointF, QRectF, QSizeF

STEP = 1.25
LARGEST = 8.0


class Zoom:
    """Sizes of the ``room`` in device-independent pixels, of the ``picture`` in its own; scales are of the room's
    pixels to the picture's. Until it is asked for a scale, the picture is as large as fits, and never larger than
    the room."""

    def __init__(self) -> None:
        self._picture = QSizeF()
        self._room = QRectF()
        self._scale: float | None = None  # None: as large as fits
        self._centre = QPointF()  # what of the picture is in the middle of the room

    @property
    def picture(self) -> QSizeF:
        return self._picture

    @property
    def fits(self) -> bool:
        """The whole picture is shown."""
        return self._scale is None

    @property
    def fitting(self) -> float:
        """The scale at which the whole picture just fits; 0 while there is none."""
        if self._picture.isEmpty() or self._room.isEmpty():
            return 0.0
        return min(self._room.width() / self._picture.width(), self._room.height() / self._picture.height())

    @property
    def scale(self) -> float:
        return self.fitting if self._scale is None else self._scale

    def begin(self, picture: QSizeF) -> None:
        """Another picture, whole."""
        self._picture = picture
        self.fit()

    def set_room(self, room: QRectF) -> None:
        self._room = room
        self._bound()

    def fit(self) -> None:
        self._scale = None
        self._centre = QPointF(self._picture.width() / 2, self._picture.height() / 2)

    def to(self, scale: float, at: QPointF | None = None) -> None:
        """Show it at this scale; what lies at the point ``at`` of the room (its middle) stays there."""
        if not self.fitting:
            return
        if scale <= self.fitting:
            self.fit()
            return
        at = self._room.center() if at is None else at
        under = self._centre + (at - self._room.center()) / self.scale
        self._scale = min(scale, max(LARGEST, self.fitting))
        self._centre = under - (at - self._room.center()) / self._scale
        self._bound()

    def by(self, steps: float, at: QPointF | None = None) -> None:
        """Larger by so many steps, or smaller."""
        self.to(self.scale * STEP**steps, at)

    def pan(self, by: QPointF) -> None:
        """Move the picture by so much of the room."""
        if self._scale is not None:
            self._centre -= by / self._scale
            self._bound()

    def target(self) -> QRectF:
        """Where the whole picture lies; parts of it may be outside the room."""
        size = self._picture * self.scale
        corner = self._room.center() - self._centre * self.scale
        return QRectF(corner, size)

    def _bound(self) -> None:
        """No empty space beside a picture that is larger than the room."""
        if self._scale is None:
            return
        if self._scale <= self.fitting:
            self.fit()
            return
        self._centre = QPointF(
            _within(self._centre.x(), self._picture.width(), self._room.width() / self._scale),
            _within(self._centre.y(), self._picture.height(), self._room.height() / self._scale),
        )


def _within(centre: float, whole: float, seen: float) -> float:
    return whole / 2 if seen >= whole else min(max(centre, seen / 2), whole - seen / 2)
