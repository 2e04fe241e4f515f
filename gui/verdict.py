"""How a training ended, as words and a small table: which model is in use now, and on what evidence."""

from __future__ import annotations

import math
from dataclasses import dataclass

from core.training.gate_words import in_plain_words
from core.training.messages import GateRow, StageResult, TrainReport
from gui import words
from gui.words import tr

FEW_STEPS = 20
"""Of stage 1, where it usually takes a hundred: the time given was over, or a person has ended it."""
FEW = 20
"""Of fewer held-out captions, likeness to them is mostly luck."""
_MORE_IS_BETTER = ("r1", "clip_s")
"""What is told to be better or worse. Likeness to captions is not: it is of the few held-out photos that have some."""


@dataclass(frozen=True)
class Line:
    """A measure: its name and a value for each model. ``change``: from the model before to the one that was kept,
    more than 0 better; 0 where nothing changed that is shown, or more is neither better nor worse."""

    title: str
    values: tuple[str, ...]
    change: float = 0.0


def headline(report: TrainReport, *, in_use: bool) -> str:
    """``in_use``: whether the library uses this run's model; it does not when an older one did better."""
    if not in_use or report.kept == "before":
        return tr("The old model stays in use")
    return (
        tr("The new model is in use, as it was after stage 1") if _fell_back(report) else tr("The new model is in use")
    )


def summary(report: TrainReport, *, in_use: bool) -> str:
    """The outcome in a sentence or two without a number, none of which the table refutes; the report's own reason, in
    its measures, is among the details."""
    if report.kept == "before":
        return tr("What was learned this time is not better than what there was, so nothing changes.")
    if not in_use:
        return tr("A new model was learned; the one you had before writes the captions.")
    learned = _learned(report) if "stage1" in report.results else ""
    if report.kept == "stage1":
        practised = tr("Practising on photos without captions did not make it better.") if _fell_back(report) else ""
    else:
        practised = _practised(report)
    return " ".join(filter(None, (learned, practised)))


def _learned(report: TrainReport) -> str:
    """What stage 1 has brought."""
    steps = report.results["stage1"].steps
    if 0 < steps < FEW_STEPS:
        text = tr("There was time for {steps} of stage 1, too few to learn your wording: give it more.")
        return text.format(steps=words.counted(steps, tr("step"), tr("steps", "", steps)))
    learned = report.kept == "stage1" or report.learned_wording
    return tr("It has learned your wording.") if learned else tr("Your wording is what it spoke already.")


def _practised(report: TrainReport) -> str:
    """What practice has brought: stage 2 is kept for its fit, and its captions need not find their photo more often."""
    from_wording = "stage1" in report.results and report.learned_wording
    more = _finds(report) > _finds(report, "stage1" if from_wording else "before")
    if _finds(report) < _finds(report, "before"):
        return (
            tr("Practice made captions tell photos apart better, though not yet as well as before this training.")
            if more
            else tr("Practice made captions fit their photos better; they find them first less often than before.")
        )
    return (
        tr("Practice made its captions tell your photos apart better.")
        if more
        else tr("Practice made its captions fit their photos better.")
    )


def _fell_back(report: TrainReport) -> bool:
    return report.kept == "stage1" and "stage2" in report.results


def _finds(report: TrainReport, name: str = "stage2") -> float:
    """How many of a model's captions find their photo first, percent; 0 where that was not measured."""
    return report.results[name].values.get("r1", 0.0) if name in report.results else 0.0


def check(gate: GateRow) -> str:
    """A guard in plain words; its own sentence, among the details, has the figures."""
    return tr(in_plain_words(gate.name, gate.state, gate.sentence))


def judged(report: TrainReport) -> str:
    """On what the figures rest."""
    if report.held_out:
        photos = words.counted(report.held_out, tr("photo"), tr("photos", "", report.held_out))
        text = tr(
            "Judged on {photos} that it did not learn from; “like your captions” on those that you captioned, from 0 "
            "for nothing in common, without an upper limit."
        )
        text = text.format(photos=photos)
        if 0 < report.held_seeds < FEW:
            text += " " + tr("Those are {n}, too few to say much.").format(n=words.count(report.held_seeds))
    else:
        text = tr("Judged on photos that it learned from, as there were too few to hold some out: it flatters.")
    watch = [check(gate) for gate in report.gates if gate.state != "green"] if report.kept == "stage2" else []
    if not watch:
        return text
    more = tr("At the end of its practice: {sentences}").format(sentences=" ".join(watch))
    return f"{text} {more}"


def advice(report: TrainReport) -> str:
    """What may help where the encoder does not know such photos; empty where it does."""
    own = report.own_captions
    if own is None or not own.few:
        return ""
    text = tr(
        "Of {captions} of your own captions {found} find their photo among the first five of {photos}: the encoder "
        "knows little of such photos, or of your words for them. Another one may know more: “Train again”, and choose "
        "it behind “More”."
    )
    return text.format(captions=words.count(own.captions), found=words.count(own.found), photos=words.count(own.photos))


def compared(change: float) -> tuple[str, str]:
    """What a change is to a person, and the role of the text that says it."""
    if change == 0:
        return "", "small"
    return (tr("better"), "good") if change > 0 else (tr("worse"), "bad")


def evidence(report: TrainReport) -> tuple[list[tuple[str, str]], list[Line]]:
    """``(key, title)`` of the models that were judged, and a line for each measure."""
    titles = (("before", tr("Before")), ("stage1", tr("After stage 1")), ("stage2", tr("After stage 2")))
    columns = [(key, title) for key, title in titles if key in report.results]
    measures = (
        ("r1", tr("Find their own photo first"), "{:.0f}%"),
        ("clip_s", tr("Fit to the photo"), "{:.3f}"),
        ("cider", tr("Like your captions"), "{:.1f}"),
        ("unique_ratio", tr("Different captions"), "{:.0%}"),
        ("length", tr("Words in a caption"), "{:.1f}"),
    )
    lines = []
    for name, title, form in measures:
        values = tuple(_value(report.results[key], name, form) for key, _ in columns)
        if any(value != "–" for value in values):
            lines.append(Line(title, values, _change(report, name, form) if name in _MORE_IS_BETTER else 0.0))
    return columns, lines


def _change(report: TrainReport, name: str, form: str) -> float:
    """Of the figures as they are shown: what looks the same is the same."""
    shown = [_value(report.results[key], name, form) for key in ("before", report.kept) if key in report.results]
    if report.kept == "before" or len(shown) < 2 or "–" in shown or shown[0] == shown[1]:
        return 0.0
    before, now = (report.results[key].values[name] for key in ("before", report.kept))
    if name == "r1" and abs(now - before) < _by_chance(before, now, report.held_out):
        return 0.0
    return now - before


def _by_chance(before: float, now: float, photos: int) -> float:
    """What two shares, percent, of so many photos may differ by where nothing has changed: two standard errors."""
    share = (before + now) / 200
    return 200 * math.sqrt(2 * share * (1 - share) / max(photos, 1))


def _value(result: StageResult, name: str, form: str) -> str:
    value = result.values.get(name)
    return "–" if value is None else form.format(value)
