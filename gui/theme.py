"""Colours, spacing and type in one place; light and dark, following the system and switchable while the app runs.

The palette colours are chosen for WCAG AA: text on its ground at least 4.5:1, borders of controls at least 3:1
(``tests/gui/test_theme.py`` measures them). There is one accent; green, amber and red are kept for states.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from functools import lru_cache
from pathlib import Path
from typing import Literal

from PySide6.QtCore import QObject, QSize, Qt, Signal
from PySide6.QtGui import QColor, QFont, QFontMetricsF, QPalette
from PySide6.QtWidgets import QApplication, QStyleFactory

Mode = Literal["system", "light", "dark"]
MODES: tuple[Mode, ...] = ("system", "light", "dark")

# Spacing scale in device-independent pixels.
XS, S, M, L, XL, XXL = 4, 8, 12, 16, 24, 40
RADIUS = 6
# Type scale: factors of the system's font size.
USUAL_LETTER = 6.1  # px: the width of a letter of 9 points
SMALL, BODY, STRONG, HEADING, TITLE = 0.92, 1.0, 1.0, 1.25, 1.7


@dataclass(frozen=True)
class Colours:
    """Every colour the app paints with; names say the role, not the hue."""

    ground: str  # behind everything
    surface: str  # cards, lists, editors
    raised: str  # buttons, hovered rows
    sunken: str  # the navigation rail, wells behind photos
    border: str  # separators
    outline: str  # borders of things that take input
    text: str
    muted: str  # secondary text
    accent: str
    on_accent: str
    accent_soft: str  # selected rows
    good: str
    warn: str
    bad: str
    good_soft: str
    warn_soft: str
    bad_soft: str


LIGHT = Colours(
    ground="#f5f6f8",
    surface="#ffffff",
    raised="#ffffff",
    sunken="#eceef2",
    border="#dcdfe5",
    outline="#7a8290",
    text="#1a1d23",
    muted="#565e6c",
    accent="#3a50c9",
    on_accent="#ffffff",
    accent_soft="#e3e7fb",
    good="#1b7340",
    warn="#8a5a00",
    bad="#b3261e",
    good_soft="#e0f2e6",
    warn_soft="#fbefd5",
    bad_soft="#fbe6e4",
)
DARK = Colours(
    ground="#17191d",
    surface="#1f2227",
    raised="#2a2e35",
    sunken="#121417",
    border="#32363e",
    outline="#767f8d",
    text="#e9ebef",
    muted="#a6aebb",
    accent="#9aaaff",
    on_accent="#12163a",
    accent_soft="#2c3357",
    good="#6fd196",
    warn="#f0bd5c",
    bad="#ff938a",
    good_soft="#1c3426",
    warn_soft="#3a2e14",
    bad_soft="#432322",
)


class Theme(QObject):
    """Applies the colours to the application and tells those who paint for themselves when they change."""

    changed = Signal()

    def __init__(self, app: QApplication, mode: Mode = "system") -> None:
        super().__init__(app)
        self._app = app
        self._mode: Mode = mode
        self.colours = LIGHT
        app.setStyle(QStyleFactory.create("Fusion"))
        app.styleHints().colorSchemeChanged.connect(self._system_changed)
        self.set_mode(mode)

    @property
    def mode(self) -> Mode:
        return self._mode

    @property
    def dark(self) -> bool:
        return self.colours is DARK

    def set_mode(self, mode: Mode) -> None:
        """Switch at once; ``system`` follows the desktop from now on."""
        self._mode = mode
        hints = self._app.styleHints()
        wanted = {"light": Qt.ColorScheme.Light, "dark": Qt.ColorScheme.Dark}.get(mode, Qt.ColorScheme.Unknown)
        hints.setColorScheme(wanted)
        self._apply()

    def _system_changed(self) -> None:
        if self._mode == "system":
            self._apply()

    def _apply(self) -> None:
        # A platform without a theme plugin ignores setColorScheme, so an explicit choice never asks it back.
        dark = self._mode == "dark" or (
            self._mode == "system" and self._app.styleHints().colorScheme() == Qt.ColorScheme.Dark
        )
        self.colours = DARK if dark else LIGHT
        self._app.setPalette(palette(self.colours))
        self._app.setStyleSheet(stylesheet(self.colours, self._app.font().pointSizeF()))
        self.changed.emit()


def theme() -> Theme:
    """The application's theme; made on the first call."""
    app = QApplication.instance()
    if not isinstance(app, QApplication):
        raise RuntimeError("theme() needs a QApplication")
    return _theme_of(app)


@lru_cache(maxsize=1)
def _theme_of(app: QApplication) -> Theme:
    """Asked for several times a tile while a grid is painted."""
    found = app.findChild(Theme)
    return found if found is not None else Theme(app)


def colour(name: str) -> QColor:
    """The current colour for a role of :class:`Colours`."""
    return QColor(_parsed(getattr(theme().colours, name)))


@lru_cache
def _parsed(name: str) -> QColor:
    return QColor(name)


def scaled_font(factor: float, *, bold: bool = False) -> QFont:
    font = QFont(QApplication.font())
    font.setPointSizeF(font.pointSizeF() * factor)
    if bold:
        font.setWeight(QFont.Weight.DemiBold)
    return font


def letters(number: float) -> int:
    """The room of so many letters of the application's font, in device-independent pixels."""
    return round(number * QFontMetricsF(QApplication.font()).averageCharWidth())


def icon_size(side: int) -> QSize:
    """Of an icon that is ``side`` px beside letters of the usual size: it grows with them."""
    grown = letters(side / USUAL_LETTER)
    return QSize(grown, grown)


def palette(c: Colours) -> QPalette:
    """A complete QPalette, so that Fusion's own painting matches the style sheet."""
    role = QPalette.ColorRole
    result = QPalette(QColor(c.raised), QColor(c.ground))
    pairs = {
        role.Window: c.ground,
        role.WindowText: c.text,
        role.Base: c.surface,
        role.AlternateBase: c.sunken,
        role.Text: c.text,
        role.Button: c.raised,
        role.ButtonText: c.text,
        role.ToolTipBase: c.raised,
        role.ToolTipText: c.text,
        role.PlaceholderText: c.muted,
        role.Highlight: c.accent,
        role.HighlightedText: c.on_accent,
        role.Link: c.accent,
        role.LinkVisited: c.accent,
        role.BrightText: c.bad,
        role.Light: c.border,
        role.Midlight: c.border,
        role.Mid: c.outline,
        role.Dark: c.outline,
        role.Shadow: c.border,
    }
    for key, value in pairs.items():
        result.setColor(key, QColor(value))
    for key in (role.WindowText, role.Text, role.ButtonText):
        result.setColor(QPalette.ColorGroup.Disabled, key, QColor(c.outline))
    return result


def stylesheet(c: Colours, point_size: float) -> str:
    """The QSS of ``gui/theme.qss`` with ``@name`` replaced by colours, spacing and font sizes."""
    values = {field.name: str(getattr(c, field.name)) for field in fields(c)}
    sizes = {"small": SMALL, "body": BODY, "heading": HEADING, "title": TITLE}
    values |= {f"font_{name}": f"{point_size * factor:.2f}pt" for name, factor in sizes.items()}
    values |= {"xs": f"{XS}px", "s": f"{S}px", "m": f"{M}px", "l": f"{L}px", "radius": f"{RADIUS}px"}
    text = (Path(__file__).parent / "theme.qss").read_text("utf-8")
    for name in sorted(values, key=len, reverse=True):  # longest first: @accent_soft before @accent
        text = text.replace(f"@{name}", values[name])
    return text
