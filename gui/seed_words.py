"""How many captions are enough: a rule of thumb until trainings have measured it, and then what they told."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gui import words
from gui.words import tr

if TYPE_CHECKING:
    from core.training.enough import MoreSeeds

NEEDED = 5  # training is refused below this
ENOUGH = 20


def enough(seeds: int, more: MoreSeeds | None) -> tuple[str, int]:
    """A sentence or two about ``seeds`` captions, and the number that the bar of progress is full at."""
    if seeds < NEEDED:
        needed = tr("{n} are needed before training can start. As a rule of thumb, {enough} make a good beginning.")
        return needed.format(n=NEEDED, enough=ENOUGH), ENOUGH
    if more is None:
        text = tr(
            "Enough to train. As a rule of thumb, {enough} make a good beginning; trainings tell what more bring."
        )
        if seeds >= ENOUGH:
            text = tr("As a rule of thumb, a good beginning. Trainings tell what more captions bring.")
        return text.format(enough=ENOUGH), ENOUGH
    twice = 2 * more.seeds
    said = {
        "helps": tr(
            "Measured on yours: twice as many as the last training had ({n}) would bring it nearer to your words."
        ),
        "little": tr("Measured on yours: twice as many as the last training had ({n}) would change little."),
        "unclear": tr("Measured on yours: whether more captions would help cannot be told yet."),
        None: tr("The last training had {had}. One with clearly more will measure what more captions bring."),
    }
    target = {"helps": twice, "little": more.seeds}.get(more.answer or "", ENOUGH)
    return said[more.answer].format(n=words.count(twice), had=words.count(more.seeds)), target
