"""The order of a photo's suggestions, between the person's wording and the best fit: seen at once, for this
photo and the next ones; and then, in one step, for all of the library."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from PySide6.QtCore import Signal
from PySide6.QtGui import QAction
from PySide6.QtWidgets import QWidget

from gui import theme
from gui.services import Overview
from gui.session import Session
from gui.widgets.basics import action_button, column, label, row
from gui.widgets.wording_slider import WordingScale

if TYPE_CHECKING:
    from core.library.records import CaptionRow


class OrderChoice(QWidget):
    """``use``: the action that makes the order shown the library's."""

    moved = Signal()  # the captions shown are to be put in order again

    def __init__(self, session: Session, use: QAction) -> None:
        super().__init__()
        self._session = session
        self._action = use
        self._kept = self._sharpness = 1.0
        self.scale = WordingScale("small", self.tr("Best fit"))
        self.scale.setToolTip(
            self.tr(
                "Fit says how well a caption and its photo go together, by the model that looks at photos; higher is "
                "better. Compare it within this library."
            )
        )
        self.scale.slider.setAccessibleName(self.tr("Order of suggestions, from your wording to the best fit"))
        self.why_not = label("", "small", wrap=True)
        self.use_button = action_button(use, role="link", text=self.tr("Use this order for all photos"))
        self.setLayout(column(self.scale, self.why_not, row(None, self.use_button), spacing=theme.XS))
        self._follow(1.0)
        self.scale.moved.connect(self._moved)
        use.triggered.connect(lambda _checked=False: self.use())
        session.overview_changed.connect(self._apply_overview)
        session.opened.connect(lambda: self._follow(self._kept))
        self.show_for(())

    def in_order(self, captions: Sequence[CaptionRow]) -> tuple[CaptionRow, ...]:
        """A photo's captions as the slider stands."""
        from core.library.candidate_order import in_order

        return in_order(captions, self.scale.distinctive, self._sharpness)

    def show_for(self, captions: Sequence[CaptionRow]) -> None:
        """Whether these can be put in another order; if not, why not."""
        from core.library.candidate_order import can_be_ordered

        candidates = [one for one in captions if one.state == "candidate"]
        possible = can_be_ordered(captions)
        unknown = [one for one in candidates if one.author == "run" and one.mean_log_prob is None]
        self.setVisible(len(candidates) > 1)
        self.scale.setEnabled(possible)
        if possible:
            self.why_not.hide()
        else:
            text = self.tr("It is not known how natural the model finds these. Caption this photo again to choose.")
            self.why_not.setText(text if unknown else self.tr("The order can be chosen when these have been scored."))
            self.why_not.show()
        self._offer()

    def use(self) -> None:
        self._session.commands.order_candidates(self.scale.distinctive)

    def _apply_overview(self, overview: Overview) -> None:
        """What is kept has changed, by this or by undo: it is what is shown then."""
        self._sharpness = overview.score_sharpness
        if overview.candidate_order != self._kept:
            self._follow(overview.candidate_order)

    def _follow(self, kept: float) -> None:
        self._kept = kept
        self.scale.set_distinctive(kept)
        self._offer()

    def _moved(self) -> None:
        self._offer()
        self.moved.emit()

    def _offer(self) -> None:
        offered = self.scale.isEnabled() and self.scale.distinctive != self._kept
        self._action.setEnabled(offered)
        self.use_button.setVisible(offered)
