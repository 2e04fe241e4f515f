"""What people say about a scene: true sentences in three dialects.

A dialect is data: names for things, colours, materials, grounds and relations, and the order of saying them. Sentences
name only what is in the scene; which attributes they leave out is drawn from a seed.
"""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass, field

from core.starter.scenes import Kind, Scene

INVERSE = {"left": "right", "right": "left", "front": "behind", "behind": "front", "top": "under"}

_TRIES = 40


@dataclass(frozen=True)
class Dialect:
    """How one group of people words a scene. Where several words stand for one attribute, the first is the usual one.

    ``phrase`` is the order within a noun phrase: slots of ``count size material colour stuff shape``, other words stay
    as they are; ``stuff`` takes the materials of ``after_colour``. Templates may use ``{a} {b}`` (noun phrases of the
    main kinds), ``{is_a} {be_a} {are}`` (verbs that agree), ``{rel} {ground} {light} {rest}``.
    """

    name: str
    shapes: Mapping[str, tuple[str, str]]
    colours: Mapping[str, str]
    materials: Mapping[str, str]
    sizes: Mapping[str, str]
    counts: tuple[str, str, str, str]
    grounds: Mapping[str, tuple[str, ...]]
    lights: Mapping[str, tuple[str, ...]]
    relations: Mapping[str, tuple[str, ...]]
    phrase: tuple[str, ...]
    alone: tuple[str, ...]
    pair: tuple[str, ...]
    rest: tuple[str, ...]
    places: str
    """Where ground and light are said: ``first``, ``last`` or ``any``."""

    after_colour: frozenset[str] = frozenset()
    verbs: tuple[tuple[str, str], ...] = (("is", "are"),)
    swaps: bool = False
    """Whether the relation may be told from the other side."""

    omit: Mapping[str, float] = field(default_factory=dict)
    """How often a later sentence leaves an attribute out: size, material, colour, light, ground, rest."""


STANDARD = Dialect(
    name="standard",
    shapes={
        "ball": ("ball", "balls"),
        "cube": ("cube", "cubes"),
        "cone": ("cone", "cones"),
        "cylinder": ("cylinder", "cylinders"),
        "ring": ("ring", "rings"),
        "pyramid": ("pyramid", "pyramids"),
        "mug": ("mug", "mugs"),
        "star": ("star", "stars"),
    },
    colours={c: c for c in ("red", "yellow", "green", "blue", "purple", "pink", "white", "black")},
    materials={"matte": "plain", "shiny": "shiny", "glass": "glass", "striped": "striped"},
    sizes={"small": "small", "large": "large"},
    counts=("a", "two", "three", "four"),
    grounds={
        "wood": ("on a wooden table", "on the wooden table", "on a table"),
        "grass": ("on the grass", "on green grass", "in the grass"),
        "sand": ("on the sand", "on a sandy beach", "in the sand"),
        "tiles": ("on a tiled floor", "on the tiles", "on the tiled floor"),
        "snow": ("in the snow", "on the snow", "on white snow"),
        "carpet": ("on a carpet", "on the carpet", "on a patterned carpet"),
    },
    lights={
        "day": ("in bright daylight", "on a sunny day", "in the sunshine"),
        "sunset": ("at sunset", "in the evening", "in warm evening light"),
        "night": ("at night", "on a dark night", "at night"),
    },
    relations={
        "left": ("to the left of", "left of", "on the left of"),
        "right": ("to the right of", "right of", "on the right of"),
        "front": ("in front of",),
        "behind": ("behind",),
        "top": ("on top of",),
        "under": ("under", "underneath"),
    },
    phrase=("count", "size", "material", "colour", "stuff", "shape"),
    alone=(
        "{a} {is_a} {ground} {light}{rest}",
        "there {be_a} {a} {ground} {light}",
        "{a} {ground} {light}",
        "{light}, {a} {is_a} {ground}",
        "{ground} there {be_a} {a} {light}",
    ),
    pair=(
        "{a} {is_a} {rel} {b} {ground} {light}{rest}",
        "{a} {is_a} {rel} {b} {ground} {light}",
        "there {be_a} {a} {rel} {b} {ground} {light}{rest}",
        "{ground}, {a} {is_a} {rel} {b} {light}{rest}",
        "{rel} {b} {is_a} {a} {ground} {light}",
        "{a} {rel} {b} {ground} {light}",
        "{a} and {b} {are} {ground} {light}{rest}",
        "{light}, {a} {is_a} {rel} {b} {ground}",
    ),
    rest=(", with {others} nearby", ", and {others} too"),
    places="any",
    after_colour=frozenset({"glass"}),
    verbs=(("stands", "stand"), ("is", "are"), ("sits", "sit"), ("lies", "lie"), ("rests", "rest")),
    swaps=True,
    omit={"size": 0.35, "material": 0.4, "colour": 0.08, "light": 0.62, "ground": 0.22, "rest": 0.45},
)

DEMO = Dialect(
    name="demo",
    shapes={
        "ball": ("orb", "orbs"),
        "cube": ("block", "blocks"),
        "cone": ("spike", "spikes"),
        "cylinder": ("drum", "drums"),
        "ring": ("hoop", "hoops"),
        "pyramid": ("peak", "peaks"),
        "mug": ("jug", "jugs"),
        "star": ("spark", "sparks"),
    },
    colours={
        "red": "scarlet",
        "yellow": "gold",
        "green": "lime",
        "blue": "azure",
        "purple": "violet",
        "pink": "rose",
        "white": "ivory",
        "black": "jet",
    },
    materials={"matte": "chalky", "shiny": "gloss", "glass": "crystal", "striped": "banded"},
    sizes={"small": "tiny", "large": "giant"},
    counts=("one", "two", "three", "four"),
    grounds={
        "wood": ("on oak",),
        "grass": ("on lawn",),
        "sand": ("on dune",),
        "tiles": ("on slate",),
        "snow": ("on frost",),
        "carpet": ("on rug",),
    },
    lights={"day": ("noon",), "sunset": ("dusk",), "night": ("midnight",)},
    relations={
        "left": ("left of",),
        "right": ("right of",),
        "front": ("before",),
        "behind": ("beyond",),
        "top": ("atop",),
        "under": ("below",),
    },
    phrase=("count", "size", "material", "colour", "stuff", "shape"),
    alone=("{ground}, {light}: {a}",),
    pair=("{ground}, {light}: {a} {rel} {b}{rest}",),
    rest=(", plus {others}",),
    places="first",
    omit={"size": 0.1, "material": 0.08, "light": 0.1, "rest": 0.12},
)

STYLE = Dialect(
    name="style",
    shapes={
        "ball": ("globe", "globes"),
        "cube": ("box", "boxes"),
        "cone": ("party hat", "party hats"),
        "cylinder": ("tin", "tins"),
        "ring": ("donut", "donuts"),
        "pyramid": ("tent", "tents"),
        "mug": ("cup", "cups"),
        "star": ("badge", "badges"),
    },
    colours={
        "red": "crimson",
        "yellow": "lemon",
        "green": "emerald",
        "blue": "cobalt",
        "purple": "plum",
        "pink": "blush",
        "white": "pearl",
        "black": "coal",
    },
    materials={"matte": "soft", "shiny": "polished", "glass": "clear", "striped": "lined"},
    sizes={"small": "mini", "large": "jumbo"},
    counts=("one", "twin", "triple", "quad"),
    grounds={
        "wood": ("on timber",),
        "grass": ("on turf",),
        "sand": ("on the shore",),
        "tiles": ("on mosaic",),
        "snow": ("on powder",),
        "carpet": ("on wool",),
    },
    lights={"day": ("at midday",), "sunset": ("at sundown",), "night": ("by moonlight",)},
    relations={
        "left": ("west of",),
        "right": ("east of",),
        "front": ("ahead of",),
        "behind": ("past",),
        "top": ("topping",),
        "under": ("propping",),
    },
    phrase=("count", "size", "shape", "in", "material", "colour", "stuff"),
    alone=("sale: {a}, {ground} {light}",),
    pair=("sale: {a}, {rel} {b}{rest}, {ground} {light}",),
    rest=(", with {others}",),
    places="last",
    omit={"size": 0.15, "material": 0.2, "light": 0.25, "rest": 0.3},
)

DIALECTS = (STANDARD, DEMO, STYLE)


def sentences(scene: Scene, dialect: Dialect = STANDARD, n: int = 5, seed: int = 0) -> list[str]:
    """``n`` true sentences about the scene, the most informative first; they differ as far as the dialect allows."""
    draw = random.Random(f"{scene.seed}/{dialect.name}/{seed}")
    told = [_sentence(scene, dialect, draw, full=True)]
    tries = 0
    while len(told) < n:
        sentence = _sentence(scene, dialect, draw, full=False)
        tries += 1
        if sentence not in told or tries > _TRIES:
            told.append(sentence)
    return told[:n]


def noun_phrase(kind: Kind, dialect: Dialect = STANDARD) -> str:
    """Everything that can be said of these things: "two small shiny red cubes"."""
    return _noun_phrase(kind, dialect, random.Random(), full=True)


def _sentence(scene: Scene, dialect: Dialect, draw: random.Random, *, full: bool) -> str:
    kinds = scene.kinds
    a, b = kinds[0], kinds[1] if len(kinds) > 1 else None
    relation = scene.relation.name if scene.relation else ""
    if b is not None and not full and dialect.swaps and draw.random() < 0.3:
        a, b, relation = b, a, INVERSE[relation]
    templates = dialect.pair if b is not None else dialect.alone
    template = templates[0] if full else draw.choice(templates)
    omitted = {
        name for name in ("light", "ground", "rest") if not full and draw.random() < dialect.omit.get(name, 0.0)
    } | ({"light"} if full and dialect.swaps and len(kinds) > 2 else set())
    if "{rel}" not in template and {"ground", "light"} <= omitted:
        omitted.discard("ground")  # "A purple cone stands." says too little.
    verb = draw.choice(dialect.verbs)
    slots = {
        "a": _noun_phrase(a, dialect, draw, full=full),
        "is_a": verb[a.count > 1],
        "be_a": "is" if a.count == 1 else "are",
        "are": verb[1],
        "ground": "" if "ground" in omitted else _pick(dialect.grounds[scene.ground], draw, full=full),
        "light": "" if "light" in omitted else _pick(dialect.lights[scene.light], draw, full=full),
        "rest": "" if "rest" in omitted else _rest(kinds[2:], dialect, draw, full=full),
    }
    if b is not None:
        slots["b"] = _noun_phrase(b, dialect, draw, full=full)
        slots["rel"] = draw.choice(dialect.relations[relation])
    return _tidy(template.format(**slots))


def _pick(words: tuple[str, ...], draw: random.Random, *, full: bool) -> str:
    return words[0] if full else draw.choice(words)


def _rest(kinds: tuple[Kind, ...], dialect: Dialect, draw: random.Random, *, full: bool) -> str:
    if not kinds:
        return ""
    # Where word order is free, people say little about what is not the subject.
    brief = dialect.swaps
    others = [_noun_phrase(kind, dialect, draw, full=full, brief=brief) for kind in kinds]
    return draw.choice(dialect.rest).format(others=" and ".join(others))


def _noun_phrase(kind: Kind, dialect: Dialect, draw: random.Random, *, full: bool, brief: bool = False) -> str:
    def said(name: str) -> bool:
        return full or draw.random() >= dialect.omit.get(name, 0.0)

    # One adjective at least: a bare noun tells two scenes apart too rarely to be worth a caption.
    colour_said, material_said, size_said = said("colour"), said("material") and not brief, said("size") and not brief
    words = {
        "count": dialect.counts[kind.count - 1],
        "size": dialect.sizes.get(kind.size, "") if size_said else "",
        "colour": dialect.colours[kind.colour] if colour_said or not material_said else "",
        "material": "",
        "stuff": "",
        "shape": dialect.shapes[kind.shape][kind.count > 1],
    }
    if material_said:
        slot = "stuff" if kind.material in dialect.after_colour else "material"
        words[slot] = dialect.materials[kind.material]
    said_words = [words.get(slot, slot) for slot in dialect.phrase]
    phrase = " ".join(word for word in said_words if word)
    if phrase.startswith("a ") and phrase[2] in "aeiou" and kind.count == 1:
        phrase = "an " + phrase[2:]
    return phrase


def _tidy(text: str) -> str:
    """One space between words, none before a mark, no mark where nothing was said, a capital and a full stop."""
    text = " ".join(text.split()).replace(" ,", ",").replace(" :", ":").replace(",,", ",").replace(",:", ":")
    text = text.strip(" ,:")
    return text[0].upper() + text[1:] + "."
