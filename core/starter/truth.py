"""What a caption claims about a sample scene, and how much of it is true.

A caption is read with every dialect's words, so the same claim counts the same in any wording. The reader expects no
grammar: it looks for shape nouns, binds the adjectives around each one to it, and ties two nouns by the relation words
between them.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache

from core.starter.scenes import Scene, true_relations
from core.starter.scenes_words import DIALECTS, Dialect


@dataclass(frozen=True, order=True)
class Claim:
    """``kind`` is shape, colour, material, size, count, relation, ground or light. Colour, material, size and count are
    claimed of ``shape``; a relation (left, front or top only: the others are turned round) ties ``shape`` to ``other``.
    """

    kind: str
    value: str
    shape: str = ""
    other: str = ""


@dataclass(frozen=True)
class TruthScore:
    """``true`` of ``claimed`` claims hold; ``told`` of the scene's ``total`` facts are claimed. 0 of 0 makes 0."""

    precision: float
    recall: float
    true: int
    claimed: int
    told: int
    total: int


@dataclass(frozen=True)
class Mention:
    """A shape noun at token ``index``; ``attributes`` are (token index, kind, value) bound to it."""

    shape: str
    index: int
    attributes: list[tuple[int, str, str]] = field(default_factory=list)


@dataclass(frozen=True)
class Reading:
    mentions: list[Mention]
    places: list[tuple[int, str, str]]
    relations: list[tuple[str, Mention, Mention]]


# Words for the same attributes that no dialect uses but captions may.
_MORE: dict[str, dict[str, tuple[str, ...]]] = {
    "shape": {
        "ball": ("sphere", "spheres"),
        "ring": ("doughnut", "doughnuts"),
        "mug": ("pitcher", "pitchers"),
    },
    "material": {
        "matte": ("matte", "dull"),
        "shiny": ("glossy", "metal", "metallic"),
        "striped": ("stripy", "stripes"),
    },
    "size": {"small": ("little",), "large": ("big", "huge")},
    "ground": {
        "wood": ("wooden", "wood", "table", "oak", "timber"),
        "grass": ("grass", "grassy", "lawn", "turf"),
        "sand": ("sand", "sandy", "beach", "dune", "shore"),
        "tiles": ("tile", "tiles", "tiled", "slate", "mosaic"),
        "snow": ("snow", "snowy", "frost", "powder"),
        "carpet": ("carpet", "rug", "wool"),
    },
    "light": {
        "day": ("daylight", "sunny", "sunshine", "noon", "midday"),
        "sunset": ("sunset", "evening", "dusk", "sundown"),
        "night": ("night", "midnight", "moonlight"),
    },
}

_RELATIONS = {
    "left of": "left",
    "left side of": "left",
    "west of": "left",
    "right of": "right",
    "right side of": "right",
    "east of": "right",
    "in front of": "front",
    "ahead of": "front",
    "before": "front",
    "behind": "behind",
    "beyond": "behind",
    "past": "behind",
    "on top of": "top",
    "atop": "top",
    "topping": "top",
    "under": "under",
    "underneath": "under",
    "beneath": "under",
    "below": "under",
    "propping": "under",
}

_COUNTS = {
    "one": "1",
    "single": "1",
    "another": "1",
    "two": "2",
    "three": "3",
    "four": "4",
    "five": "5",
    "six": "6",
    "pair of": "2",
    "twin": "2",
    "triple": "3",
    "quad": "4",
    **{str(n): str(n) for n in range(1, 10)},
}

_CONNECTORS = frozenset({"in", "is", "are", "that", "which", "looks", "and"})
_PRONOUNS = frozenset({"it", "them", "this", "these"})
_TOKEN = re.compile(r"[a-z]+|\d+|[.,;:!?]")
_LONGEST = 3


def claims(text: str, dialect: Dialect | None = None) -> frozenset[Claim]:
    """The claims of a caption, read with the words of ``dialect`` or of all of them."""
    reading = read(text, dialect)
    found = {Claim(kind, value) for _, kind, value in reading.places}
    for mention in reading.mentions:
        found.add(Claim("shape", mention.shape))
        found |= {Claim(kind, value, mention.shape) for _, kind, value in mention.attributes}
    for name, subject, other in reading.relations:
        found.add(_relation(name, subject.shape, other.shape))
    return frozenset(found)


def facts(scene: Scene) -> frozenset[Claim]:
    """What a complete caption claims: everything but medium sizes and the relations beside the main one."""
    found = {Claim("ground", scene.ground), Claim("light", scene.light)}
    for kind in scene.kinds:
        found |= {
            Claim("shape", kind.shape),
            Claim("colour", kind.colour, kind.shape),
            Claim("material", kind.material, kind.shape),
            Claim("count", str(kind.count), kind.shape),
        }
        if kind.size != "medium":
            found.add(Claim("size", kind.size, kind.shape))
    if scene.relation is not None:
        found.add(_relation(scene.relation.name, scene.relation.subject, scene.relation.object))
    return frozenset(found)


def score_truth(text: str, scene: Scene, dialect: Dialect | None = None) -> TruthScore:
    """How true and how complete a caption is. A relation between any two kinds counts as true where it can be seen."""
    claimed, known = claims(text, dialect), facts(scene)
    granted = known | {_relation(r.name, r.subject, r.object) for r in true_relations(scene)}
    true, told = len(claimed & granted), len(claimed & known)
    return TruthScore(_share(true, len(claimed)), _share(told, len(known)), true, len(claimed), told, len(known))


def truth(captions: Sequence[str], scenes: Sequence[Scene], dialect: Dialect | None = None) -> tuple[float, float]:
    """Precision and recall over all claims of all captions, one caption a scene."""
    scores = [score_truth(text, scene, dialect) for text, scene in zip(captions, scenes, strict=True)]
    precision = _share(sum(s.true for s in scores), sum(s.claimed for s in scores))
    return precision, _share(sum(s.told for s in scores), sum(s.total for s in scores))


def style_rate(captions: Sequence[str], dialect: Dialect) -> float:
    """Share of captions that name a thing, use no other dialect's words, and say things in this dialect's order."""
    return _share(sum(speaks(text, dialect) for text in captions), len(captions))


def speaks(text: str, dialect: Dialect) -> bool:
    own, anyone = read(text, dialect), read(text)
    if not own.mentions or _size(own) != _size(anyone):
        return False
    if own.places and dialect.places == "first" and own.places[-1][0] > own.mentions[0].index:
        return False
    if own.places and dialect.places == "last" and own.places[0][0] < own.mentions[-1].index:
        return False
    late = "material" if dialect.after_colour else ""
    order = [late if slot == "stuff" else slot for slot in dialect.phrase]
    for mention in own.mentions:
        said = sorted([*((i, kind) for i, kind, _ in mention.attributes), (mention.index, "shape")])
        if not _follows([kind for _, kind in said], order):
            return False
    return True


def _size(reading: Reading) -> int:
    return len(reading.places) + len(reading.mentions) + sum(len(m.attributes) for m in reading.mentions)


def _follows(said: list[str], order: list[str]) -> bool:
    """Whether ``said`` is a subsequence of ``order``."""
    rest = iter(order)
    return all(any(slot == kind for slot in rest) for kind in said)


def _share(part: int, whole: int) -> float:
    return part / whole if whole else 0.0


def _relation(name: str, subject: str, other: str) -> Claim:
    turned = {"right": "left", "behind": "front", "under": "top"}
    if name in turned:
        return Claim("relation", turned[name], other, subject)
    return Claim("relation", name, subject, other)


# --------------------------------------------------------------------------------------------------------- the reading


@lru_cache
def _vocabulary(name: str | None) -> Mapping[str, tuple[str, str]]:
    """Words and phrases to (kind, value), of one dialect or of everybody."""
    words: dict[str, tuple[str, str]] = {}
    for dialect in DIALECTS:
        if name in (None, dialect.name):
            words |= {word: ("shape", key) for key, forms in dialect.shapes.items() for word in forms}
            words |= {word: ("colour", key) for key, word in dialect.colours.items()}
            words |= {word: ("material", key) for key, word in dialect.materials.items()}
            words |= {word: ("size", key) for key, word in dialect.sizes.items()}
            for kind, table in (("ground", dialect.grounds), ("light", dialect.lights)):
                for key, phrases in table.items():
                    spoken = {word for phrase in phrases for word in phrase.split()}
                    words |= {word: (kind, key) for word in _MORE[kind][key] if word in spoken}
    if name is None:
        words |= {word: (kind, key) for kind, table in _MORE.items() for key, more in table.items() for word in more}
    words |= {phrase: ("relation", value) for phrase, value in _RELATIONS.items()}
    words |= {phrase: ("count", value) for phrase, value in _COUNTS.items()}
    return words


def _items(text: str, words: Mapping[str, tuple[str, str]]) -> Iterator[tuple[int, str, str]]:
    """(token index, kind, value) of the longest known phrases; ``word`` and ``mark`` for what is left."""
    tokens = _TOKEN.findall(text.lower())
    at = 0
    while at < len(tokens):
        for length in range(_LONGEST, 0, -1):
            phrase = " ".join(tokens[at : at + length])
            if at + length <= len(tokens) and phrase in words:
                yield (at, *words[phrase])
                at += length
                break
        else:
            yield (at, "word" if tokens[at].isalnum() else "mark", tokens[at])
            at += 1


def read(text: str, dialect: Dialect | None = None) -> Reading:
    """The shape nouns, what is bound to each, the places, and the relations of a text."""
    reader = _Reader()
    items = list(_items(text, _vocabulary(dialect.name if dialect else None)))
    for at, item in enumerate(items):
        reader.take(item, items[at + 1 :])
    reader.bind_backwards()
    return Reading(reader.mentions, reader.places, reader.relations)


class _Reader:
    """Goes through the items once. Adjectives wait in ``pending`` for the noun that follows; where none follows, they
    belong to the noun before ("a ball in shiny red") if nothing but connecting words stood between."""

    def __init__(self) -> None:
        self.mentions: list[Mention] = []
        self.places: list[tuple[int, str, str]] = []
        self.relations: list[tuple[str, Mention, Mention]] = []
        self.pending: list[tuple[int, str, str]] = []
        self.last: Mention | None = None
        self.linked = False
        self.relation: str | None = None
        self.subject: Mention | None = None
        self.object: Mention | None = None

    def take(self, item: tuple[int, str, str], ahead: list[tuple[int, str, str]]) -> None:
        index, kind, value = item
        if kind in ("colour", "material", "size"):
            self.pending.append(item)
        elif kind == "count":
            self.bind_backwards()
            self.pending.append(item)
        elif kind == "shape":
            self._name(Mention(value, index, self.pending))
        elif kind in ("ground", "light"):
            self.pending = []
            self.linked = False
            self.places.append(item)
        elif kind == "relation":
            self._relate(value)
        elif kind == "mark":
            self._mark(value)
        else:
            self._word(index, value, ahead)

    def bind_backwards(self) -> None:
        if self.linked and self.last is not None:
            self.last.attributes.extend(item for item in self.pending if item[1] != "count")
        self.pending = []

    def _name(self, mention: Mention) -> None:
        self.mentions.append(mention)
        self.pending = []
        if self.relation is not None:
            if self.subject is not None:
                self.relations.append((self.relation, self.subject, mention))
                self.relation = None
            elif self.object is not None:
                self.relations.append((self.relation, mention, self.object))
                self.relation = None
            else:
                self.object = mention
        self.last, self.linked = mention, True

    def _relate(self, name: str) -> None:
        self.bind_backwards()
        self.relation, self.subject, self.object = name, self.last, None
        self.linked = False

    def _mark(self, mark: str) -> None:
        if mark == ",":
            return
        self.bind_backwards()
        self.last, self.linked, self.relation = None, False, None

    def _word(self, index: int, word: str, ahead: list[tuple[int, str, str]]) -> None:
        if word in ("a", "an", "the"):
            self.bind_backwards()
            if word != "the":
                self.pending.append((index, "count", "1"))
            # "a pair of" says two, and its article nothing.
            if ahead and ahead[0][1] == "count":
                self.pending = []
            return
        if word == "and" and self.pending:
            return
        if word in _PRONOUNS and self.relation is not None and self.subject is not None:
            self.subject, self.object = None, self.subject
            return
        if word == "on" and self.last is not None and _noun_follows(ahead):
            self._relate("top")
            return
        self.bind_backwards()
        self.linked = self.linked and word in _CONNECTORS


def _noun_follows(ahead: list[tuple[int, str, str]]) -> bool:
    """Whether a shape comes next with nothing but its own adjectives before it."""
    for _, kind, value in ahead:
        if kind == "shape":
            return True
        if kind not in ("colour", "material", "size", "count") and value not in ("a", "an", "the"):
            return False
    return False
