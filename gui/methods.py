"""What the presets and models of a training do and cost, each in a plain sentence."""

from __future__ import annotations

from dataclasses import dataclass

from gui.words import tr

OWN = "starter"
ENCODER = tr("The encoder looks at photos and sentences, and says how well they fit together.")
LANGUAGE_MODEL = tr("The language model puts captions into words.")
SENTENCES = tr(
    "Sentences in the wording you want, one a line, with no photo to them: useful where you have many of them and few"
    " captions. Leave it empty otherwise. Takes no longer."
)


@dataclass(frozen=True)
class Told:
    """A choice as a person reads it."""

    sentence: str
    cost: str


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


def encoders() -> dict[str, tuple[str, Told]]:
    """Encoders that are offered, by name: a title, and what it does and costs. Others can be named."""
    return {
        OWN: (tr("Seedcap's own"), Told(tr("Small and quick."), tr("No download."))),
        "open_clip:ViT-B-32/laion2b_s34b_b79k": (
            tr("OpenCLIP ViT-B-32"),
            Told(
                tr("Sees more in photos."),
                tr("Downloads about 600 MB once; looking at the photos takes several times as long."),
            ),
        ),
    }


def language_models() -> dict[str, tuple[str, Told]]:
    """The same of language models."""
    slow = tr("takes many times as long without a graphics card.")
    return {
        OWN: (tr("Seedcap's own"), Told(tr("Small and quick."), tr("No download."))),
        "hf:HuggingFaceTB/SmolLM2-135M": (
            tr("SmolLM2, 135 million"),
            Told(tr("Knows more of the world."), tr("Downloads about 270 MB once; training {slow}").format(slow=slow)),
        ),
        "hf:openai-community/gpt2": (
            tr("GPT-2, 124 million"),
            Told(
                tr("The model of the published methods."),
                tr("Downloads about 550 MB once; training {slow}").format(slow=slow),
            ),
        ),
    }
