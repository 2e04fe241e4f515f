"""Trainings side by side: when, how, on what, and what it has brought; any of their models can be taken again."""

from __future__ import annotations

from PySide6.QtCore import Qt, Signal
from PySide6.QtWidgets import QFrame, QHeaderView, QTableWidgetItem

from gui import methods, theme, words
from gui.history import RunLine
from gui.widgets.basics import button, column, label, plain_table, row, set_role
from gui.words import tr

SHOWN_ROWS = 6
_NUMBERS = (2, 5, 6)  # columns


class History(QFrame):
    use = Signal(object)  # the id of a run, None for the starter model
    report = Signal(object)  # Path

    def __init__(self) -> None:
        super().__init__()
        set_role(self, "card")
        self._lines: tuple[RunLine, ...] = ()
        headings = (
            self.tr("When"),
            self.tr("Method"),
            self.tr("Captions"),
            self.tr("Took"),
            self.tr("Outcome"),
            self.tr("Like yours"),
            self.tr("Finds its photo"),
        )
        self.table = plain_table(headings, self.tr("Trainings so far"))
        self.table.setSelectionMode(self.table.SelectionMode.SingleSelection)
        header = self.table.horizontalHeader()
        header.setSectionResizeMode(QHeaderView.ResizeMode.ResizeToContents)
        header.setSectionResizeMode(1, QHeaderView.ResizeMode.Stretch)
        given = self.tr("Captions: photos with captions of yours that it was given.")
        like = self.tr(
            "Like yours: how much its captions say what you said of photos that it has not learned from, before and"
            " after (agreement, CIDEr; more is better)."
        )
        finds = self.tr(
            "Finds its photo: how many of its captions fit their own photo better than all others, before and after."
        )
        for place, tip in ((2, given), (5, like), (6, finds)):
            heading = self.table.horizontalHeaderItem(place)
            if heading is not None:
                heading.setToolTip(tip)
                heading.setTextAlignment(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
        self.take = button(self.tr("Use this model"), self._use)
        self.open = button(self.tr("Open its report"), self._open, icon_name="info")
        foot = row(self.take, self.open, None)
        self.legend = label(f"{like} {finds}", "small", wrap=True)  # tips are for those with a mouse
        self.table.setAccessibleDescription(f"{given} {like} {finds}")
        heading = label(self.tr("Trainings so far"), "heading")
        self.setLayout(column(heading, self.table, self.legend, foot, spacing=theme.S, margin=theme.L))
        self.table.itemSelectionChanged.connect(self._show_buttons)
        self.table.cellActivated.connect(lambda *_: self._open())
        self._show_buttons()

    @property
    def lines(self) -> tuple[RunLine, ...]:
        return self._lines

    def set_lines(self, lines: tuple[RunLine, ...]) -> None:
        at = max(0, self.table.currentRow())
        self._lines = lines
        self.table.setRowCount(len(lines))
        for number, line in enumerate(lines):
            for place, text in enumerate(_texts(line)):
                item = QTableWidgetItem(text)
                if place in _NUMBERS:
                    item.setTextAlignment(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
                if line.in_use:
                    font = item.font()
                    font.setBold(True)
                    item.setFont(font)
                self.table.setItem(number, place, item)
        high = sum(self.table.rowHeight(number) for number in range(min(SHOWN_ROWS, len(lines))))
        self.table.setFixedHeight(high + self.table.horizontalHeader().sizeHint().height() + theme.S)
        if lines:
            self.table.setCurrentCell(min(at, len(lines) - 1), 0)
        self._show_buttons()

    @property
    def _current(self) -> RunLine | None:
        at = self.table.currentRow()
        return self._lines[at] if 0 <= at < len(self._lines) else None

    def _show_buttons(self) -> None:
        line = self._current
        self.take.setEnabled(line is not None and line.usable and not line.in_use)
        self.open.setEnabled(line is not None and line.page is not None)
        self.take.setToolTip(_why_not(line))

    def _use(self) -> None:
        if self._current is not None:
            self.use.emit(self._current.run_id)

    def _open(self) -> None:
        if self._current is not None and self._current.page is not None:
            self.report.emit(self._current.page)


def _texts(line: RunLine) -> tuple[str, ...]:
    if line.run_id is None:
        used = tr("In use") if line.in_use else ""
        return (tr("From the start"), tr("Starter model"), "", "", used, "", "")
    return (
        "" if line.created_at is None else words.moment(line.created_at),
        methods.short_title(line.preset),
        "" if line.seeds is None else words.count(line.seeds),
        "" if line.seconds is None else words.duration(line.seconds),
        outcome(line),
        _change(line, "cider", "{:.1f}"),
        _change(line, "r1", "{:.0f}%"),
    )


def outcome(line: RunLine) -> str:
    """How a training ended, in a word or two."""
    if line.in_use:
        return tr("In use")
    if line.status == "done":
        return tr("No better") if line.kept == "before" else tr("New model")
    if not line.newest and line.status in ("cancelled", "interrupted"):
        return tr("Stopped")
    return {
        "running": tr("Running"),
        "cancelled": tr("Paused"),
        "interrupted": tr("Interrupted"),
        "failed": tr("Failed"),
    }.get(line.status, line.status)


def _change(line: RunLine, measure: str, form: str) -> str:
    """``12.3 → 18.9``; where nothing was kept, what there was."""
    before, after = line.before.get(measure), line.after.get(measure)
    known = [form.format(value) for value in (before, after) if value is not None]
    return known[0] if line.kept == "before" and known else " → ".join(known)


def _why_not(line: RunLine | None) -> str:
    if line is None or (line.usable and not line.in_use):
        return tr("Captions come from this model from now on")
    if line.in_use:
        return tr("This model is in use")
    return tr("This training has left no model of its own")
