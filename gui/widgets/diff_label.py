"""A line that shows what an edit changed, legible without colour and readable aloud."""

from __future__ import annotations

from PySide6.QtCore import Qt
from PySide6.QtWidgets import QLabel, QSizePolicy

from gui import theme
from gui.word_diff import Piece, as_html, word_diff, words_of


class DiffLabel(QLabel):
    """Hidden while there is nothing to show."""

    def __init__(self) -> None:
        super().__init__()
        self._pieces: tuple[Piece, ...] = ()
        self.setTextFormat(Qt.TextFormat.RichText)
        self.setTextInteractionFlags(Qt.TextInteractionFlag.NoTextInteraction)
        self.setWordWrap(True)
        policy = QSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Minimum)
        policy.setHeightForWidth(True)
        self.setSizePolicy(policy)
        theme.theme().changed.connect(self._draw)
        self.hide()

    @property
    def pieces(self) -> tuple[Piece, ...]:
        return self._pieces

    def show_change(self, before: str, after: str) -> None:
        """What makes ``after`` of ``before``; nothing where they are the same."""
        self._pieces = word_diff(before, after) if before != after and after else ()
        parts = []
        for kind, said in (("removed", self.tr("Removed: {words}")), ("added", self.tr("Added: {words}"))):
            found = words_of(self._pieces, kind)  # type: ignore[arg-type]
            parts += [said.format(words=found)] if found else []
        self.setAccessibleName(". ".join(parts))
        self._draw()
        self.setVisible(bool(self._pieces))

    def _draw(self) -> None:
        self.setText(as_html(self._pieces, theme.colour("bad").name(), theme.colour("good").name()))
