"""What there is to say about a sample scene, as FineCapEval's annotators would list it.

The real set's photos and texts are not ours to ship; this one has its columns, is exact, and can be made anywhere.
"""

from __future__ import annotations

from collections.abc import Sequence

from core.metrics.fine_cap_eval import FineRow
from core.starter.scenes import Scene
from core.starter.scenes_words import STANDARD, Dialect, noun_phrase

_LEADING = frozenset({"on", "in", "at", "by", "a", "an", "the", "one"})


def fine_rows(image: str, scene: Scene, captions: Sequence[str], dialect: Dialect = STANDARD) -> list[FineRow]:
    """One row a caption, all with the same phrases: the annotators of a scene see the same truth.

    background: ground and light; object: each kind of thing with its colour, material, size and number; relation: where
    the main things stand, and to each other.
    """
    phrases = _phrases(scene, dialect)
    return [FineRow(image, caption, phrases) for caption in captions]


def _phrases(scene: Scene, dialect: Dialect) -> dict[str, tuple[str, ...]]:
    ground, light = dialect.grounds[scene.ground][0], dialect.lights[scene.light][0]
    names = {kind.shape: dialect.shapes[kind.shape][kind.count > 1] for kind in scene.kinds}
    relations = [f"{names[scene.kinds[0].shape]} {ground}"]
    if scene.relation is not None:
        words = dialect.relations[scene.relation.name][0]
        relations.append(f"{names[scene.relation.subject]} {words} {names[scene.relation.object]}")
    return {
        "background": (_bare(ground), _bare(light)),
        "object": tuple(_bare(noun_phrase(kind, dialect)) for kind in scene.kinds),
        "relation": tuple(relations),
    }


def _bare(phrase: str) -> str:
    """Without the preposition and the article before it, which every caption has."""
    words = phrase.split()
    while len(words) > 1 and words[0] in _LEADING:
        words.pop(0)
    return " ".join(words)
