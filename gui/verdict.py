"""How a training ended, as words and a small table: which model is in use now, and on what evidence."""

from __future__ import annotations

from core.training.messages import GateRow, StageResult, TrainReport
from gui.words import tr

COLUMNS = (("before", "Before"), ("stage1", "After stage 1"), ("stage2", "After stage 2"))


def headline(report: TrainReport, *, in_use: bool) -> str:
    """``in_use``: whether the library uses this run's model; it does not when an older one did better."""
    if not in_use or report.kept == "before":
        return tr("The old model stays in use")
    return (
        tr("The new model is in use, as it was after stage 1") if _fell_back(report) else tr("The new model is in use")
    )


def summary(report: TrainReport, *, in_use: bool) -> str:
    """The outcome in a sentence without a number; the report's own reason, in its measures, is among the details."""
    if report.kept == "before":
        return tr("What was learned this time is not better than what there was, so nothing changes.")
    if not in_use:
        return tr("A new model was learned; the one you had before writes the captions.")
    if report.kept == "stage2" and not report.learned_wording:
        return tr("Your wording is what it spoke already; its captions tell your photos apart better.")
    if report.kept == "stage2" and _less_telling(report):
        return tr(
            "It has learned your wording. Its captions tell your photos apart better than the wording alone did, though"
            " not as well as those before."
        )
    if report.kept == "stage2":
        return tr("It has learned your wording, and its captions tell your photos apart better.")
    if _fell_back(report):
        return tr("It has learned your wording; practising on photos without captions did not make it better.")
    return tr("It has learned your wording.")


def _fell_back(report: TrainReport) -> bool:
    return report.kept == "stage1" and "stage2" in report.results


def _less_telling(report: TrainReport) -> bool:
    """Whether captions of the model before found their photo more often than those of this one."""
    before, now = (
        report.results[key].values.get("r1") if key in report.results else None for key in ("before", "stage2")
    )
    return before is not None and now is not None and now < before


def check(gate: GateRow) -> str:
    """A guard in plain words. What two of them measure has no everyday unit; their own sentences have the figures."""
    plain = {
        "fluency": {
            "green": tr("Its wording is as natural as after stage 1."),
            "amber": tr("Its wording is becoming less natural."),
            "red": tr("Its wording is no longer natural."),
        },
        "drift": {
            "green": tr("It stays close to what it learned from you."),
            "amber": tr("It is moving away from what it learned from you."),
            "red": tr("It has moved too far from what it learned from you."),
        },
    }
    return plain.get(gate.name, {}).get(gate.state, gate.sentence)


def evidence(report: TrainReport) -> tuple[list[tuple[str, str]], list[tuple[str, tuple[str, ...]]]]:
    """``(key, title)`` of the models that were judged, and for each measure its name and a value for each of them."""
    columns = [(key, tr(title)) for key, title in COLUMNS if key in report.results]
    measures = (
        ("r1", tr("Captions that find their own photo first"), "{:.0f}%"),
        ("clip_s", tr("Fit to the photo"), "{:.2f}"),
        ("cider", tr("Like your captions (agreement, CIDEr)"), "{:.1f}"),
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
