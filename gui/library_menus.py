"""The menus of Library: what can be done with a photo, and of which state photos are shown."""

from __future__ import annotations

from collections.abc import Callable

from PySide6.QtCore import QPoint, Qt
from PySide6.QtGui import QKeySequence
from PySide6.QtWidgets import QMenu, QWidget

from gui.actions import Actions
from gui.filters import STATES
from gui.services import Photo
from gui.words import tr


def photo_menu(parent: QWidget, actions: Actions, photo: Photo | None, review: Callable[[], None]) -> QMenu:
    """For a photo of the grid; ``photo``: what is known of it, if that has been read already."""
    menu = QMenu(parent)
    menu.addAction(actions["open_photo"])
    of_review = menu.addAction(tr("Review its suggestions"), review)
    of_review.setShortcut(QKeySequence())
    of_review.setEnabled(photo is not None and bool(photo.candidates))
    menu.addAction(actions["similar"])
    menu.addSeparator()
    menu.addAction(actions["accept_selected"])
    menu.addAction(actions["reject_selected"])
    menu.addAction(actions["rewrite"])
    menu.addSeparator()
    menu.addAction(actions["reveal"])
    out = photo is not None and photo.image.removed
    menu.addAction(actions["put_back" if out else "remove_photos"])
    menu.addAction(actions["trash_photos"])
    return menu


def filter_menu(parent: QWidget, shown: str, choose: Callable[[str], object]) -> QMenu:
    """Of filters that need not be typed; ``shown``: the one there is."""
    menu = QMenu(parent)
    texts = {
        "none": tr("No caption yet"),
        "seed": tr("Your captions"),
        "candidate": tr("To review"),
        "accepted": tr("Accepted"),
        "rejected": tr("Rejected"),
        "failed": tr("Could not be read"),
        "missing": tr("Missing: the file is not where it was"),
        "removed": tr("Removed from the library"),
    }
    menu.addAction(tr("All photos"), lambda: choose(""))
    menu.addSeparator()
    for state in STATES:
        asked = f"state:{state}"
        only = menu.addAction(texts[state], lambda asked=asked: choose(asked))
        only.setCheckable(True)
        only.setChecked(shown == asked)
    return menu


def open_menu(menu: QMenu, at: QPoint) -> None:
    """Beside the window's own work, which goes on meanwhile; it is gone once it is closed."""
    menu.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
    menu.popup(at)
