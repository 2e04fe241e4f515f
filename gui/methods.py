"""What the presets and models of a training do and cost, each in a plain sentence."""

from __future__ import annotations

from dataclasses import dataclass

from core.errors import UserError
from core.hub.cache import find, megabytes
from core.hub.names import is_downloaded
from core.known_models import Kind, known_models
from gui.words import tr

OWN = "starter"


@dataclass(frozen=True)
class Told:
    """A choice as a person reads it."""

    sentence: str
    cost: str


def encoder() -> str:
    """What an encoder is for."""
    return tr("The encoder looks at photos and sentences, and says how well they fit together.")


def language_model() -> str:
    """What a language model is for."""
    return tr("The language model puts captions into words.")


def sentences() -> str:
    """What a file with sentences is for."""
    return tr(
        "Sentences in the wording you want, one a line, with no photo to them: useful where you have many of them and"
        " few captions. Leave it empty otherwise. Takes no longer."
    )


def method(preset: str) -> Told:
    """Of a preset of ``core.training.presets``, by name."""
    as_long = tr("Two stages, about as long as the recommended method.")
    one = tr("One stage, but a longer one.")
    return {
        "recommended": Told(
            tr("Learns your wording, then practises on photos without captions, and checks that each step has helped."),
            tr("Two stages; how long they take here stands at the top of this page."),
        ),
        "two-stage": Told(
            tr("Practice rewards a caption for fitting its photo and for nothing else; the English tends to suffer."),
            as_long,
        ),
        "clip-reward": Told(
            tr("Practice prefers captions that fit better than its plain one, with no brake on odd English."), as_long
        ),
        "clipcap-mlp": Told(
            tr("Learns from your captions and from nothing else; it takes hundreds of them to be good."), one
        ),
        "clipcap-transformer": Told(
            tr("The same with a larger part that learns, while the language stays as it is; it takes hundreds, too."),
            one,
        ),
        "capdec": Told(
            tr("Learns from sentences alone, yours or those of a text file, without looking at a photo."), one
        ),
        "clip-reward-grammar": Told(
            tr("Practice rewards good grammar besides a good fit, learned from captions that were spoiled on purpose."),
            tr("Two stages, and some minutes for the grammar before the second."),
        ),
        "cider-clip": Told(
            tr("Practice rewards captions for being like yours of the same photo, so it stays with your photos."),
            tr("Two stages, about as long as the recommended method; it takes many captions."),
        ),
    }[preset]


def short_title(preset: str) -> str:
    """Of a preset, where there is room for a few words; of one that is not here any more, its name."""
    return {
        "recommended": tr("Recommended"),
        "two-stage": tr("Two stages, similarity alone"),
        "clip-reward": tr("CLIP reward"),
        "clipcap-mlp": tr("ClipCap, MLP mapper"),
        "clipcap-transformer": tr("ClipCap, transformer mapper"),
        "capdec": tr("CapDec"),
        "clip-reward-grammar": tr("CLIP reward with grammar"),
        "cider-clip": tr("CIDEr and CLIP reward"),
    }.get(preset, preset)


def models(kind: Kind) -> dict[str, str]:
    """What people call the models that are offered, by name. Others can be named."""
    return {one.name: tr(one.title) for one in known_models() if one.kind == kind}


def model(kind: Kind, name: str) -> Told:
    """Of a model that is offered, as things are now: once downloaded, it is here."""
    known = next(one for one in known_models() if (one.kind, one.name) == (kind, name))
    if not known.download:
        begins = tr("No download")
    elif is_here(name):
        begins = tr("Downloaded already")
    else:
        begins = tr("Downloads about {size} once").format(size=megabytes(known.size_mb * 1_000_000))
    told = tr("{begins}; about {memory} of memory to train with. Licence: {licence}.")
    memory = megabytes(known.memory_mb * 1_000_000)
    return Told(tr(known.sentence), told.format(begins=begins, memory=memory, licence=known.licence))


def is_here(name: str) -> bool:
    """Whether nothing would be downloaded for this model."""
    if not is_downloaded(name):
        return True
    try:
        return find(name) is not None
    except UserError:  # the list of downloaded models is damaged: whoever downloads says so
        return False
