"""Colours that can be read, a switch that takes effect at once, icons that follow it."""

from __future__ import annotations

import pytest
from PySide6.QtCore import QRect, QSize, Qt
from PySide6.QtGui import QColor, QIcon
from PySide6.QtWidgets import QApplication

from core.paths import resources_dir
from gui.actions import SPECS
from gui.icons import icon
from gui.theme import DARK, LIGHT, Colours, Theme, letters, stylesheet, theme
from gui.widgets.basics import EMPTY_LETTERS, MIDDLE, ElidedLabel, EmptyState, button


@pytest.fixture
def light(qapp):
    made = theme()
    made.set_mode("light")
    yield made
    made.set_mode("light")


def luminance(name: str) -> float:
    """Relative luminance as WCAG 2 defines it."""
    channels = QColor(name).getRgbF()[:3]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one: str, other: str) -> float:
    lighter, darker = sorted((luminance(one), luminance(other)), reverse=True)
    return (lighter + 0.05) / (darker + 0.05)


@pytest.mark.parametrize("c", [LIGHT, DARK], ids=["light", "dark"])
def test_text_is_readable_on_every_ground(c: Colours):
    for ground in (c.ground, c.surface, c.raised, c.sunken, c.accent_soft):
        for text in (c.text, c.muted):
            assert contrast(text, ground) >= 4.5, (text, ground)
    for text in (c.accent, c.good, c.warn, c.bad):
        assert contrast(text, c.surface) >= 4.5, text
        assert contrast(text, c.ground) >= 4.5, text
    assert contrast(c.on_accent, c.accent) >= 4.5
    for soft in (c.good_soft, c.warn_soft, c.bad_soft, c.accent_soft):
        assert contrast(c.text, soft) >= 4.5, soft


@pytest.mark.parametrize("c", [LIGHT, DARK], ids=["light", "dark"])
def test_controls_stand_out_from_what_is_behind_them(c: Colours):
    soft = (c.accent_soft, c.good_soft, c.warn_soft, c.bad_soft)  # of the bar with messages, and of what is selected
    for ground in (c.ground, c.surface, c.raised, c.sunken, *soft):
        assert contrast(c.outline, ground) >= 3.0, (c.outline, ground)
        assert contrast(c.accent, ground) >= 3.0, ("the focus ring", ground)


def test_the_style_sheet_has_no_placeholder_left(qapp):
    assert "@" not in stylesheet(LIGHT, 10.0)
    assert LIGHT.accent_soft in stylesheet(LIGHT, 10.0)


def test_switching_takes_effect_at_once_and_is_told(qapp, qtbot, light: Theme):
    with qtbot.waitSignal(light.changed, timeout=1_000):
        light.set_mode("dark")
    assert light.dark
    assert QApplication.palette().window().color() == QColor(DARK.ground)
    assert DARK.surface in qapp.styleSheet()
    light.set_mode("light")
    assert QApplication.palette().window().color() == QColor(LIGHT.ground)


def test_every_action_has_its_icon(qapp):
    for spec in SPECS:
        if spec.icon:
            assert (resources_dir() / "icons" / f"{spec.icon}.svg").exists(), spec.icon


def test_icons_have_no_colour_of_their_own():
    for file in (resources_dir() / "icons").glob("*.svg"):
        text = file.read_text("utf-8")
        assert "currentColor" in text, file.name
        assert "#" not in text and "rgb(" not in text, file.name


def darkest(shown: QIcon) -> QColor:
    image = shown.pixmap(QSize(32, 32)).toImage()
    opaque = [image.pixelColor(x, y) for x in range(32) for y in range(32) if image.pixelColor(x, y).alpha() > 250]
    assert opaque, "the icon is empty"
    return min(opaque, key=lambda c: c.lightness())


def test_an_icon_made_before_a_switch_follows_it(qapp, light: Theme):
    made = icon("library")
    before = darkest(made)
    light.set_mode("dark")
    assert before.lightness() < 80 < 150 < darkest(made).lightness()


def test_what_an_empty_place_says_leaves_no_word_alone_in_its_last_line(qtbot):
    words = ("Add a folder of photos first. Then write captions for a handful of them here. " * 2).split()
    for number in range(8, len(words)):
        empty = EmptyState("seed", "", " ".join(words[:number]))
        qtbot.addWidget(empty)
        metrics, sides = empty.text.fontMetrics(), empty.text.contentsMargins()
        room = QRect(0, 0, letters(EMPTY_LETTERS) - sides.left() - sides.right(), 1_000)
        lines = (
            metrics.boundingRect(room, Qt.TextFlag.TextWordWrap, empty.text.text()).height() // metrics.lineSpacing()
        )
        assert metrics.horizontalAdvance(empty.text.text()) > (lines - 0.6) * room.width()


def test_a_sentence_is_cut_at_its_end_and_a_name_in_its_middle(qtbot):
    text = "Write captions for a handful of photos.png"
    for made, end in ((ElidedLabel(text), "…"), (ElidedLabel(text, cut=MIDDLE), ".png")):
        qtbot.addWidget(made)
        made.resize(made.fontMetrics().horizontalAdvance(made.full_text()) - 12, 20)
        made.show()
        assert made.text().startswith("Write") and made.text().endswith(end) and "…" in made.text()
        assert made.toolTip() == text


@pytest.mark.parametrize("mode", ["light", "dark"])
def test_a_link_that_opens_something_looks_otherwise_while_it_is_open(qtbot, light, mode):
    light.set_mode(mode)
    link = button("Photos it fits", role="link")
    link.setCheckable(True)
    qtbot.addWidget(link)
    link.show()
    closed = link.grab().toImage()
    link.setChecked(True)
    assert link.grab().toImage() != closed
