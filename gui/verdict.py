"""How a training ended, as words and a small table: which model is in use now, and on what evidence."""

from __future__ import annotations

from core.training.messages import StageResult, TrainReport
from gui.words import tr

COLUMNS = (("starter", "Before"), ("stage1", "After stage 1"), ("stage2", "After stage 2"))


def headline(report: TrainReport) -> str:
    return {
        "starter": tr("The old model stays in use"),
        "stage1": tr("The new model is in use, as it was after stage 1"),
        "stage2": tr("The new model is in use"),
    }[report.kept]


def summary(report: TrainReport) -> str:
    """The outcome in a sentence without a number; the report's own reason, with numbers, goes under it."""
    tried_both = "stage2" in report.results
    return {
        "starter": tr("What was learned this time is not better than what there was, so nothing changes."),
        "stage1": tr("It has learned your wording; practising on photos without captions did not make it better.")
        if tried_both
        else tr("It has learned your wording."),
        "stage2": tr("It has learned your wording, and its captions tell your photos apart better."),
    }[report.kept]


def evidence(report: TrainReport) -> tuple[list[tuple[str, str]], list[tuple[str, tuple[str, ...]]]]:
    """``(key, title)`` of the models that were judged, and for each measure its name and a value for each of them."""
    columns = [(key, tr(title)) for key, title in COLUMNS if key in report.results]
    measures = (
        ("r1", tr("Captions that find their own photo first"), "{:.0f}%"),
        ("clip_s", tr("Fit to the photo"), "{:.2f}"),
        ("cider", tr("Agreement with your captions"), "{:.1f}"),
        ("unique_ratio", tr("Different captions"), "{:.0%}"),
        ("length", tr("Words in a caption"), "{:.1f}"),
    )
    lines = []
    for name, words, form in measures:
        values = tuple(_value(report.results[key], name, form) for key, _ in columns)
        if any(value != "–" for value in values):
            lines.append((words, values))
    return columns, lines


def _value(result: StageResult, name: str, form: str) -> str:
    value = result.values.get(name)
    return "–" if value is None else form.format(value)
