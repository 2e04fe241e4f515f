"""How a training ended, as a card: which model is in use, the evidence side by side, and what can be done now."""

from __future__ import annotations

from PySide6.QtCore import Qt, Signal
from PySide6.QtWidgets import QFrame, QGridLayout, QLabel

from core.training.messages import TrainReport
from gui import theme, verdict
from gui.widgets.basics import Disclosure, button, column, label, row, set_role
from gui.widgets.flow import Flow


class VerdictCard(QFrame):
    """``switch``: take the other of the two models; ``again``: back to the page before a training; ``seeds``: write
    more captions; ``report``: open the page about it; ``deliver``: caption with what is in use."""

    switch = Signal()
    again = Signal()
    seeds = Signal()
    report = Signal()
    deliver = Signal()

    def __init__(self) -> None:
        super().__init__()
        set_role(self, "card")
        self.kept = label("", "heading", wrap=True)
        self.outcome = label("", "", wrap=True)
        self.because = label("", "muted", wrap=True)
        self.judged = label("", "small", wrap=True)
        self.advice = label("", wrap=True)
        self.evidence = QGridLayout()
        self.evidence.setHorizontalSpacing(theme.M)
        self.evidence.setVerticalSpacing(theme.XS)
        self.choose_old = button(self.tr("Keep the old model instead"), self.switch.emit)
        again = button(self.tr("Train again"), self.again.emit)
        seeds = button(self.tr("Write more captions"), self.seeds.emit, icon_name="seed")
        self.to_report = button(self.tr("Open the report"), self.report.emit, icon_name="info")
        self.to_deliver = button(self.tr("Caption the library"), self.deliver.emit, role="primary", icon_name="deliver")
        self.details = Disclosure(self.tr("Details"), self.because)
        said = column(self.kept, self.outcome, spacing=theme.S)
        top = Flow(spacing=theme.L).put(said, least=theme.letters(36), stretch=1).put(column(self.choose_old, None))
        foot = Flow().put(again, seeds, self.to_report, None, self.to_deliver)
        parts = (top, theme.XS, row(self.evidence, None), self.judged, self.advice, self.details, theme.S, foot)
        self.setLayout(column(*parts, spacing=theme.S, margin=theme.L))

    def show_report(self, report: TrainReport) -> None:
        """The evidence; which of the models is in use is told by :meth:`tell_model`."""
        self.because.setText("\n".join((report.reason, *report.notes)))
        self.details.set_open(False)
        self.judged.setText(verdict.judged(report))
        self.advice.setText(verdict.advice(report))
        self.advice.setVisible(bool(self.advice.text()))
        while (item := self.evidence.takeAt(0)) is not None:
            widget = item.widget()
            if widget is not None:
                widget.deleteLater()
        columns, lines = verdict.evidence(report)
        for place, text in enumerate(("", *(title for _, title in columns))):
            self.evidence.addWidget(_aligned(label(text, "small"), place), 0, place)
        for line_number, line in enumerate(lines, start=1):
            self.evidence.addWidget(label(line.title, "muted"), line_number, 0)
            for place, (value, (key, _)) in enumerate(zip(line.values, columns, strict=True), start=1):
                made = label(value, "strong" if key == report.kept else "")
                self.evidence.addWidget(_aligned(made, place), line_number, place)
            told, role = verdict.compared(line.change)
            self.evidence.addWidget(label(told, role), line_number, len(columns) + 1)
        self.choose_old.setVisible(report.kept != "before")
        self.to_report.setVisible(report.page is not None)

    def tell_model(self, report: TrainReport, *, in_use: bool) -> None:
        """``in_use``: the library uses the model of this training."""
        self.kept.setText(verdict.headline(report, in_use=in_use))
        self.outcome.setText(verdict.summary(report, in_use=in_use))
        other = self.tr("Keep the old model instead") if in_use else self.tr("Use the new model after all")
        self.choose_old.setText(other)


def _aligned(text: QLabel, place: int) -> QLabel:
    if place:
        text.setAlignment(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
    return text
