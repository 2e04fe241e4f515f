"""What stands above the work of Review: how photos are ordered, what was decided today, the way to a blind round."""

from __future__ import annotations

from typing import TYPE_CHECKING

from PySide6.QtWidgets import QWidget

from gui import theme, words
from gui.actions import Actions
from gui.widgets.basics import ElidedLabel, action_button, column, label, relabel
from gui.widgets.flow import Flow

if TYPE_CHECKING:
    from core.library.decided import Decided
    from gui.comparing import Standing


class ReviewHead(QWidget):
    """``comparing``: a blind round is shown below, which has an order of its own and no way to itself."""

    def __init__(self, actions: Actions) -> None:
        super().__init__()
        self._blind = actions["blind"]
        self._comparing = False
        self.blind_button = action_button(self._blind, text=self.tr("Compare two models"))
        self.today = label("", "muted")
        self.subtitle = ElidedLabel("", "muted")
        title = column(label(self.tr("Review"), "title"), self.subtitle, spacing=2)
        line = Flow(spacing=theme.M).put(title, least=theme.letters(36), stretch=1).put(self.today, self.blind_button)
        line.setContentsMargins(0, 0, theme.L, 0)
        self.setLayout(line)
        self.set_comparing(False)
        self.blind_button.hide()

    def set_comparing(self, comparing: bool) -> None:
        self._comparing = comparing
        order = self.tr("Weakest fit first. The next training learns from what you edit, not from what you accept.")
        blind = self.tr("Which caption is better? The photos are drawn by lot; whose is whose is said at the end.")
        self.subtitle.set_text(blind if comparing else order)
        self.blind_button.setVisible(not comparing and self._blind.isEnabled())

    def show_today(self, decided: Decided) -> None:
        parts = [
            self.tr("{n} accepted today").format(n=words.count(decided.accepted)) if decided.accepted else "",
            self.tr("{n} rejected today").format(n=words.count(decided.rejected)) if decided.rejected else "",
        ]
        self.today.setText(" · ".join(part for part in parts if part))

    def show_standing(self, standing: Standing) -> None:
        """Whether two models can be compared, or a round gone on with."""
        going_on = standing.going_on
        self._blind.setEnabled(standing.possible or going_on is not None)
        text = self.tr("Compare two models")
        if going_on is not None:
            done, total = words.count(going_on.next_place), words.count(len(going_on.pairs))
            text = self.tr("Go on comparing ({n} of {all})").format(n=done, all=total)
        relabel(self.blind_button, text)
        self.set_comparing(self._comparing)
