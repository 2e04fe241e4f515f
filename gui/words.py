"""Numbers and states as words a person reads: one place, so that every view says the same thing the same way."""

from __future__ import annotations

import math
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from PySide6.QtCore import QCoreApplication, QDateTime, QLocale

if TYPE_CHECKING:
    from core.batch.pace import Expected
    from core.library.blind_rounds import RoundResult
    from core.library.records import CaptionRow, ScoreRow
    from core.onnx.precision_loss import PrecisionLoss
    from core.training.messages import StageStarted
    from gui.worker import Progress


def tr(text: str, note: str = "", n: int = -1) -> str:
    """A text in the person's language, looked up now: what ``self.tr`` is outside the classes of Qt.

    ``note`` tells one text from another that reads the same; ``n``, where it is no less than 0, chooses the plural.
    docs/translating.md says how texts are marked.
    """
    return QCoreApplication.translate("", text, note, n)


def holds(line: str, typed: str) -> bool:
    """Whether a line holds every word that was typed, or what is typed of it so far; upper and lower case are one."""
    line = line.casefold()
    return all(word in line for word in typed.casefold().split())


def count(number: int) -> str:
    """``4812`` as ``4,812``."""
    return f"{number:,}"


def counted(number: int, one: str, many: str) -> str:
    """``1 photo``, ``4,812 photos``.

    Give ``number`` to the second text too, ``tr("photos", "", number)``: a translator writes as many forms of it as the
    language has, the first text being the one for exactly 1.
    """
    return f"{count(number)} {one if number == 1 else many}"


def so_far(done: int, total: int | None, *, percent: bool = False) -> str:
    """``31 of 4,812``; ``43 %`` where what is counted has no name; what is done alone where nobody knows the whole."""
    if not total:
        return count(done) if done else ""
    return (
        f"{100 * done // total} %" if percent else tr("{done} of {total}").format(done=count(done), total=count(total))
    )


def doing(progress: Progress) -> str:
    """What a job says it does now; in English where that is not marked for translators."""
    return progress.message and tr(progress.message)


def ordinal(number: int) -> str:
    """``first`` to ``third`` in words where a sentence carries it, then ``4th``, ``11th``, ``22nd``."""
    if number == 1:
        return tr("first")
    if number == 2:
        return tr("second")
    if number == 3:
        return tr("third")
    forms = {1: tr("{n}st"), 2: tr("{n}nd"), 3: tr("{n}rd")}
    form = tr("{n}th") if 10 <= number % 100 <= 20 else forms.get(number % 10, tr("{n}th"))
    return form.format(n=count(number))


def duration(seconds: float) -> str:
    """A time a person can plan with, never more exact than it is."""
    seconds = max(0.0, seconds)
    if seconds < 10:
        return tr("a few seconds")
    if seconds < 55:
        told = round(seconds / 5) * 5
        return tr("{n} seconds", "", told).format(n=told)
    minutes = round(seconds / 60)
    if minutes < 60:
        return tr("1 minute") if minutes <= 1 else tr("{n} minutes", "", minutes).format(n=minutes)
    hours, rest = divmod(round(seconds / 300) * 5, 60)
    return tr("{h} h {m} min").format(h=hours, m=rest) if rest else tr("{h} h").format(h=hours)


def span(low: float, high: float) -> str:
    """Seconds from ``low`` to ``high`` as times in one unit: "4 to 9 minutes"."""
    if high < 90:
        first, last = max(5, round(low / 5) * 5), max(10, round(high / 5) * 5)
        return tr("{a} to {b} seconds", "", last).format(a=first, b=last)
    if high < 7200:
        first, last = max(1, round(low / 60)), max(2, round(high / 60))
        return (
            tr("about {n} minutes", "", last).format(n=last)
            if first >= last
            else tr("{a} to {b} minutes", "", last).format(a=first, b=last)
        )
    return tr("{a} to {b} hours").format(a=f"{low / 3600:.1f}", b=f"{high / 3600:.1f}")


def captioning_time(found: Expected, ready: bool) -> str:
    """What to expect before captioning begins; not ``ready``: the model has never captioned before."""
    sure = tr("{time} on this computer, judged by the last captioning here.")
    unsure = tr("Roughly {time} on this computer; known better after the first captioning here.")
    text = (sure if found.measured else unsure).format(time=span(found.low, found.high))
    text = text[0].upper() + text[1:]
    later = tr("A new model gets ready first, once: about a minute more, on a slow computer a few.")
    return text if ready else f"{text} {later}"


def said_in_vain(photos: int) -> str:
    """For so many photos a captioning had nothing new; empty for none."""
    if not photos:
        return ""
    number = counted(photos, tr("photo"), tr("photos", "", photos))
    text = tr("For {photos} the model has nothing new: all it says is there already, or was rejected.").format(
        photos=number
    )
    return text + " " + tr("Write a caption in Seed, or ask for more suggestions or another model below.")


def place(path: Path) -> str:
    """A file or folder by its whole name, the person's own folder as ``~``."""
    home = Path.home()
    return str(Path("~") / path.relative_to(home)) if path.is_relative_to(home) else str(path)


def megabytes(number: float) -> str:
    """``420 MB``, ``1.2 GB``: memory as people count it."""
    return tr("{n} GB").format(n=f"{number / 1024:.1f}") if number >= 1_000 else tr("{n} MB").format(n=f"{number:.0f}")


def rank_sentence(score: ScoreRow | None) -> str:
    """What the score of a caption means, as something a person can check."""
    if score is None:
        return tr("Not scored yet.")
    rank, gallery = round(score.rank), score.gallery_size
    if gallery <= 1:
        return tr("The only photo here, so there is nothing to tell it apart from.")
    place = tr("Finds this photo {rank} of {count}").format(rank=ordinal(rank), count=count(gallery))
    if score.plain_rank is None or round(score.plain_rank) == rank:
        return f"{place}."
    plain = ordinal(round(score.plain_rank))
    return tr("{place}; the starter's plain caption finds it {plain}.").format(place=place, plain=plain)


def fit(score: ScoreRow) -> str:
    """CLIP-S, named: how well the caption fits its photo in the eyes of the encoder that scored it."""
    return tr("Fit {score}").format(score=f"{score.clip_s:.2f}")


def standing(score: ScoreRow) -> float:
    """How far up a caption finds its photo among all, 0 (last) to 1 (first): the same for every encoder.

    By the logarithm of the rank, since 1st and 10th differ more to a person than 100th and 110th.
    """
    if score.gallery_size <= 1:
        return 1.0
    return max(0.0, 1.0 - math.log(max(1.0, score.rank)) / math.log(score.gallery_size))


def state_of(caption: CaptionRow | None) -> str:
    """The role a caption plays, as the key of :func:`state_word`."""
    if caption is None:
        return "none"
    return "seed" if caption.is_seed else caption.state


def state_word(state: str) -> str:
    return {
        "none": tr("No caption yet"),
        "seed": tr("Your caption"),
        "accepted": tr("Accepted"),
        "candidate": tr("To review"),
        "rejected": tr("Rejected"),
    }[state]


STATE_COLOURS = {"none": "outline", "seed": "accent", "accepted": "good", "candidate": "warn", "rejected": "bad"}


def paused_at(stage: StageStarted) -> str:
    """Where the training that waits was stopped."""
    text = tr("Training is paused at step {done} of {total} of stage {n}")
    return text.format(done=count(stage.done), total=count(stage.total_steps), n=stage.stage)


def model_sentence(run_date: datetime | None) -> str:
    """Which model captions come from."""
    if run_date is None:
        return tr("The starter model writes these captions. Train on your own captions to get your wording.")
    return tr("Your model of {date} writes these captions.").format(date=moment(run_date))


def model_name(run_date: datetime | None) -> str:
    """The starter model, or the one that was trained then."""
    return tr("the starter model") if run_date is None else tr("your model of {date}").format(date=moment(run_date))


def preference_sentence(result: RoundResult) -> str:
    """What a blind round has said, as one sentence with its interval."""
    if not result.decided:
        return tr("You preferred no caption to another.")
    low, high = (round(100 * end) for end in result.interval)
    said = {
        "new": tr("the new model is clearly better"),
        "old": tr("the old model is clearly better"),
        "unclear": tr("too close to say"),
    }[result.verdict]
    return tr("You preferred the new model {n} of {all} times (between {low}% and {high}%): {said}.").format(
        n=count(result.new), all=count(result.decided), low=low, high=high, said=said
    )


def faster_sentence(loss: PrecisionLoss | None) -> str:
    """What captions made with smaller numbers lose, and whether they may be had."""
    if loss is None:
        return tr(
            "Faster: the first time, a copy of the model with rounded numbers is made and compared with the exact one"
            " on your photos. It is used only where little is lost."
        )
    if loss.acceptable:
        return tr("Its rounded copy, compared with the exact model: {loss}").format(loss=loss.sentence)
    return tr("No rounded copy of this model, it could lose too much. Compared with the exact one: {loss}").format(
        loss=loss.sentence
    )


def parity_sentence(same: tuple[int, int] | None) -> str:
    """Whether a bundle says what the model says that it was made from."""
    if same is None:
        return ""
    return tr("The bundle that captions says the same as the model on {n} of {all} photos.").format(
        n=count(same[0]), all=count(same[1])
    )


def moment(when: datetime) -> str:
    """Date and time as the person's country writes them; where no country is set, as ISO 8601 does."""
    locale, then = QLocale(), QDateTime.fromSecsSinceEpoch(int(when.timestamp()))
    if locale.language() == QLocale.Language.C:
        return locale.toString(then, "yyyy-MM-dd HH:mm")
    return locale.toString(then, QLocale.FormatType.ShortFormat)


def export_action(action: str) -> str:
    return {
        "create": tr("New file"),
        "merge": tr("Added; all else in it stays"),
        "same": tr("Up to date"),
        "replace": tr("Its words are replaced"),
        "keep": tr("Kept: it says something else"),
        "fail": tr("Cannot be written"),
    }[action]


def nothing_to_review(*, training: bool, done: bool) -> tuple[str, str]:
    """Why Review is empty, and what would fill it. ``done``: suggestions have been decided on before."""
    if training:
        text = tr("When it is done, caption the library with it in Deliver. Suggestions then wait here.")
        return tr("Your model is learning just now"), text
    if done:
        text = tr("Every suggestion has been looked at. Export the captions, or caption more photos, in Deliver.")
        return tr("Nothing left to review"), text
    text = tr(
        "Train on your captions, or have the model in use caption the library in Deliver. Its suggestions then wait"
        " here."
    )
    return tr("No suggestions yet"), text
