"""What the Train place says before a training: what it learns from, and how long it takes on this computer."""

from __future__ import annotations

import math

from core.training.messages import TrainRequest
from gui import words
from gui.methods import OWN
from gui.seed_words import NEEDED
from gui.services import Overview
from gui.trainings import expected
from gui.words import tr


def headline(overview: Overview, *, stopped: bool) -> str:
    seeds = overview.counts.seeds
    if seeds < NEEDED:
        more = NEEDED - seeds
        several = tr("{n} more captions are needed", "", more).format(n=more)
        return several if more > 1 else tr("One more caption is needed")
    stage = overview.trainings.stage
    if stopped and stage is not None:
        return words.paused_at(stage)
    text = tr("Learn from {captions}, practise on {photos}")
    captions, rest = words.counted(seeds, tr("caption"), tr("captions", "", seeds)), unlabelled(overview)
    return text.format(captions=captions, photos=words.counted(rest, tr("photo"), tr("photos", "", rest)))


def before(overview: Overview, request: TrainRequest, *, stopped: bool) -> str:
    """How long ``request`` will take, and what the buttons do."""
    if overview.counts.seeds < NEEDED:
        least = tr("Seedcap learns from captions that you write. {n} are the least it can learn from.")
        return least.format(n=NEEDED)
    time = time_of(overview, request) or _unknown(request)
    if not stopped:
        work_on = tr("You can go on working; nothing is lost if you close.")
        return f"{time} {work_on}"
    if not overview.trainings.so_far:
        go_on = tr("Go on takes up the training that was stopped; Begin anew leaves it.")
        return f"{time} {go_on}"
    buttons = tr("Go on learns the rest. End here uses what it has learned, if it wins. Begin anew drops it.")
    return f"{time} {buttons}"


def time_of(overview: Overview, request: TrainRequest) -> str:
    """A sentence; empty where nothing is known of this computer or these models."""
    found = expected(overview.trainings, request, overview.counts)
    if found is None:
        return ""
    low, high = found
    text = tr("{time} for the rest, on this computer.") if request.resume else tr("{time} on this computer.")
    sentence = text.format(time=words.span(low, high))
    sentence = sentence[:1].upper() + sentence[1:]
    limit = request.limit_minutes
    if limit is not None and 60 * limit < high:
        stops = tr("It ends by itself after {time} of learning, as chosen behind More.")
        return f"{sentence} {stops.format(time=words.duration(60 * limit))}"
    return sentence


def longest(overview: Overview, request: TrainRequest) -> float:
    """Seconds that it may take; infinite where nothing is known and no limit was set."""
    found = expected(overview.trainings, request, overview.counts)
    limit = math.inf if request.limit_minutes is None else 60 * request.limit_minutes
    return min(limit, math.inf if found is None else found[1])


def _unknown(request: TrainRequest) -> str:
    if request.encoder == request.lm == OWN:
        return tr("How long it takes on this computer is being measured…")
    return tr("How long it takes depends on the models behind More; it is told when it runs.")


def unlabelled(overview: Overview) -> int:
    """The photos to practise on: those without a caption of the person's own."""
    return max(0, overview.counts.photos - overview.counts.seeds)
