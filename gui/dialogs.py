"""Windows beside the window: about, and the report of a bug. None of them blocks what is running."""

from __future__ import annotations

import platform
import sys

from PySide6.QtCore import Qt, qVersion
from PySide6.QtGui import QFontDatabase, QGuiApplication, QKeySequence, QShortcut
from PySide6.QtWidgets import QDialog, QPlainTextEdit, QWidget

from core.version import version
from gui import theme
from gui.widgets.basics import IconLabel, button, column, label, row


class Beside(QDialog):
    """Stays beside the window, which goes on working; Esc and Ctrl+W close it."""

    def __init__(self, title: str, parent: QWidget | None) -> None:
        super().__init__(parent)
        self.setWindowTitle(title)
        self.setModal(False)
        self.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        QShortcut(QKeySequence("Ctrl+W"), self, self.close)


class AboutDialog(Beside):
    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(self.tr("About Seedcap"), parent)
        picture = IconLabel("app", "accent", 56)
        text = label(
            self.tr("Caption a handful of photos, press one button, and every photo gets a caption in your words."),
            wrap=True,
        )
        text.setMinimumWidth(theme.letters(52))
        small = label(
            self.tr("Version {version}. Nothing leaves this computer.").format(version=version()), "muted", wrap=True
        )
        copy = button(self.tr("Copy system details"), lambda: _copy(system_details()), icon_name="copy")
        close = button(self.tr("Close"), self.close, role="primary")
        words = column(label("Seedcap", "title"), text, small, spacing=theme.S)
        body = row(picture, words, spacing=theme.L)
        body.setStretch(1, 1)
        self.setLayout(column(body, theme.M, row(None, copy, close), spacing=theme.S, margin=theme.XL))


class CrashDialog(Beside):
    """A bug: what happened, that the captions are safe, and the details to copy."""

    def __init__(self, summary: str, details: str, parent: QWidget | None = None) -> None:
        super().__init__(self.tr("Something went wrong"), parent)
        self.resize(640, 420)
        self.details = f"{system_details()}\n\n{details}"
        text = QPlainTextEdit(self.details)
        text.setReadOnly(True)
        text.setFont(QFontDatabase.systemFont(QFontDatabase.SystemFont.FixedFont))
        text.setAccessibleName(self.tr("Details"))
        explanation = label(
            self.tr("Your captions are safe; you can go on. If it happens again, copy the details into a report."),
            "muted",
            wrap=True,
        )
        self.copy = button(self.tr("Copy details"), lambda: _copy(self.details), icon_name="copy")
        close = button(self.tr("Close"), self.close, role="primary")
        heading = label(summary, "heading", wrap=True)
        layout = column(heading, explanation, text, row(None, self.copy, close), spacing=theme.M, margin=theme.L)
        layout.setStretch(2, 1)
        self.setLayout(layout)


def system_details() -> str:
    return (
        f"Seedcap {version()} · Python {sys.version.split()[0]} · Qt {qVersion()} ·"
        f" {platform.platform()} · {QGuiApplication.platformName()}"
    )


def _copy(text: str) -> None:
    QGuiApplication.clipboard().setText(text)
