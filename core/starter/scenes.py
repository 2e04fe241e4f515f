"""Toy scenes with exact ground truth: what stands where, on which ground, in which light.

A scene is pure data drawn from a seed. ``scenes_render`` turns it into a picture, ``scenes_words`` into sentences and
``truth`` into claims that a caption can be checked against. Lengths are in scene units: x to the right, y up, z away
from the viewer; a medium thing is about one unit wide. The ground is the plane y = 0.
"""

from __future__ import annotations

import math
import random
from collections.abc import Iterator
from dataclasses import dataclass, replace

SHAPES = ("ball", "cube", "cone", "cylinder", "ring", "pyramid", "mug", "star")
COLOURS = ("red", "yellow", "green", "blue", "purple", "pink", "white", "black")
MATERIALS = ("matte", "shiny", "glass", "striped")
SIZES = ("small", "medium", "large")
GROUNDS = ("wood", "grass", "sand", "tiles", "snow", "carpet")
LIGHTS = ("day", "sunset", "night")
RELATIONS = ("left", "right", "front", "behind", "top")

HALF_WIDTH = {"small": 0.31, "medium": 0.48, "large": 0.68}
"""Radius of the circle that a thing of this size stands in."""

HEIGHT = {
    "ball": 2.0,
    "cube": 1.5,
    "cone": 2.3,
    "cylinder": 2.0,
    "ring": 2.0,
    "pyramid": 1.75,
    "mug": 1.75,
    "star": 2.05,
}
"""Height of each shape, in half-widths."""

FLAT_TOP = ("cube", "cylinder")
_MAX_THINGS = 6
_NEAREST = 0.62  # The most that the camera zooms in: small must stay smaller than large.


@dataclass(frozen=True)
class Thing:
    """One object. ``position`` is the middle of its base; ``turn`` its rotation about the vertical, in radians."""

    shape: str
    colour: str
    material: str
    size: str
    position: tuple[float, float, float]
    turn: float = 0.0

    @property
    def kind(self) -> tuple[str, str, str, str]:
        return (self.shape, self.colour, self.material, self.size)

    @property
    def half_width(self) -> float:
        return HALF_WIDTH[self.size]

    @property
    def height(self) -> float:
        return HEIGHT[self.shape] * self.half_width


@dataclass(frozen=True)
class Kind:
    """Things that look the same, counted. No two kinds of a scene share a shape."""

    shape: str
    colour: str
    material: str
    size: str
    count: int


@dataclass(frozen=True)
class Relation:
    """``subject`` stands ``name`` (one of RELATIONS) of ``object``; both are shapes."""

    name: str
    subject: str
    object: str


@dataclass(frozen=True)
class Camera:
    """A pinhole at (0, height, -distance) looking at (0, ``aim``, 0); ``tangent`` is that of half the view.

    ``shift`` moves the picture down, in half pictures, as a view camera does: verticals keep their direction.
    """

    height: float
    distance: float
    aim: float
    tangent: float
    shift: float = 0.0

    @property
    def pitch(self) -> float:
        return math.atan2(self.height - self.aim, self.distance)

    def project(self, x: float, y: float, z: float) -> tuple[float, float, float]:
        """Screen x and y in [-1, 1] inside the picture (y up), and the depth."""
        sine, cosine = math.sin(self.pitch), math.cos(self.pitch)
        up, ahead = y - self.height, z + self.distance
        depth = ahead * cosine - up * sine
        return x / (depth * self.tangent), (up * cosine + ahead * sine) / (depth * self.tangent) - self.shift, depth


@dataclass(frozen=True)
class Scene:
    """``relation`` ties the first two kinds of ``things``; None when there is only one kind."""

    things: tuple[Thing, ...]
    relation: Relation | None
    ground: str
    light: str
    seed: int

    @property
    def kinds(self) -> tuple[Kind, ...]:
        """The kinds in the order of their first thing: the first two are the main ones."""
        counts: dict[tuple[str, str, str, str], int] = {}
        for thing in self.things:
            counts[thing.kind] = counts.get(thing.kind, 0) + 1
        return tuple(Kind(*kind, count=count) for kind, count in counts.items())

    @property
    def camera(self) -> Camera:
        """The seed's camera, zoomed until the things fill the picture, and shifted to show some sky or wall."""
        camera = _camera(self.seed)
        reach = max(max(abs(x), abs(y)) + radius for x, y, radius in (_disc(t, camera) for t in self.things))
        camera = replace(camera, tangent=camera.tangent * min(max(reach + 0.12, _NEAREST), 1.0))
        horizon = math.tan(camera.pitch) / camera.tangent
        room = min(y - radius for _, y, radius in (_disc(t, camera) for t in self.things)) + 0.9
        wanted = horizon - random.Random(self.seed * 3 + 1).uniform(0.5, 0.8)
        return replace(camera, shift=max(min(wanted, room), 0.0))


def _camera(seed: int) -> Camera:
    draw = random.Random(seed * 7919 + 17)
    return Camera(2.1 + 0.7 * draw.random(), 6.1 + 0.6 * draw.random(), 0.42 + 0.12 * draw.random(), 0.40)


def sample_scene(seed: int) -> Scene:
    """The scene of this seed: one to four kinds of things, at most six things, none hiding another."""
    draw = random.Random(seed)
    ground, light = draw.choice(GROUNDS), draw.choice(LIGHTS)
    camera = _camera(seed)
    number = draw.choices((1, 2, 3, 4), weights=(16, 54, 25, 5))[0]
    name = draw.choice(RELATIONS) if number > 1 else None
    while True:
        kinds = _sample_kinds(draw, number, ground)
        if name == "top":
            kinds = _stackable(draw, kinds)
        things = _place(draw, kinds, name, camera)
        if things is not None:
            break
    relation = Relation(name, kinds[0].shape, kinds[1].shape) if name else None
    return Scene(_centred(draw, things), relation, ground, light, seed)


def true_relations(scene: Scene) -> frozenset[Relation]:
    """Every relation that a fair viewer would grant, for all pairs of kinds; ``scene.relation`` is among them.

    Left and right go by the screen, front and behind by the ground, and hold for all things of both kinds.
    """
    found = set() if scene.relation is None else {scene.relation}
    groups = {kind.shape: [t for t in scene.things if t.shape == kind.shape] for kind in scene.kinds}
    for first, second in ((a, b) for a in groups for b in groups if a != b):
        if any(_stands_on(a, b) or _stands_on(b, a) for a in groups[first] for b in groups[second]):
            continue
        if max(_screen_x(t, scene.camera) for t in groups[first]) + 0.06 < min(
            _screen_x(t, scene.camera) for t in groups[second]
        ):
            found |= {Relation("left", first, second), Relation("right", second, first)}
        if max(t.position[2] for t in groups[first]) + 0.25 < min(t.position[2] for t in groups[second]):
            found |= {Relation("front", first, second), Relation("behind", second, first)}
    return frozenset(found)


def _stands_on(upper: Thing, lower: Thing) -> bool:
    return upper.position[1] > 0 and math.dist(upper.position[::2], lower.position[::2]) < lower.half_width


def _screen_x(thing: Thing, camera: Camera) -> float:
    return camera.project(thing.position[0], thing.position[1] + thing.height / 2, thing.position[2])[0]


def _sample_kinds(draw: random.Random, number: int, ground: str) -> list[Kind]:
    shapes = draw.sample(SHAPES, number)
    colours = draw.sample([c for c in COLOURS if (c, ground) != ("white", "snow")], number)
    kinds, left = [], _MAX_THINGS
    for i, (shape, colour) in enumerate(zip(shapes, colours, strict=True)):
        # Colourless glass would have no colour to name, and white stripes no second one.
        materials = [
            m for m in MATERIALS if colour not in {"glass": ("white", "black"), "striped": ("white",)}.get(m, ())
        ]
        count = draw.choices((1, 2, 3, 4), weights=(58, 24, 13, 5))[0]
        count = max(1, min(count, left - (number - 1 - i)))
        size = draw.choices(SIZES, weights=(25, 55, 20) if count < 3 else (45, 55, 0))[0]
        kinds.append(Kind(shape, colour, draw.choice(materials), size, count))
        left -= count
    return kinds


def _stackable(draw: random.Random, kinds: list[Kind]) -> list[Kind]:
    """The first kind becomes one thing that fits on the second, which becomes one with a flat top."""
    upper, lower, *rest = kinds
    free = [shape for shape in FLAT_TOP if shape not in {k.shape for k in (upper, *rest)}]
    if lower.shape not in FLAT_TOP and not free:
        shape = next(k.shape for k in kinds if k.shape in FLAT_TOP)
        swapped = [_with_shape(k, lower.shape) if k.shape == shape else k for k in (upper, *rest)]
        return _stackable(draw, [swapped[0], _with_shape(lower, shape), *swapped[1:]])
    shape = lower.shape if lower.shape in FLAT_TOP else draw.choice(free)
    lower_size = draw.choice(("medium", "large"))
    upper_size = "small" if lower_size == "medium" else draw.choice(("small", "medium"))
    return [
        Kind(upper.shape, upper.colour, upper.material, upper_size, 1),
        Kind(shape, lower.colour, lower.material, lower_size, 1),
        *rest,
    ]


def _with_shape(kind: Kind, shape: str) -> Kind:
    return Kind(shape, kind.colour, kind.material, kind.size, kind.count)


# Where the things of the first and of the second kind may stand: (x from, x to, z from, z to).
_REGIONS = {
    "left": ((-1.75, -0.35, -0.9, 0.9), (0.35, 1.75, -0.9, 0.9)),
    "right": ((0.35, 1.75, -0.9, 0.9), (-1.75, -0.35, -0.9, 0.9)),
    "front": ((-1.1, 1.1, -1.5, -0.5), (-1.1, 1.1, 0.7, 2.2)),
    "behind": ((-1.1, 1.1, 0.7, 2.2), (-1.1, 1.1, -1.5, -0.5)),
    "top": ((-0.9, 0.9, -0.8, 0.6), (-0.9, 0.9, -0.8, 0.6)),
}
_ALONE = (-1.0, 1.0, -0.9, 0.9)
_OTHERS = (-1.8, 1.8, -1.3, 2.2)


def _place(draw: random.Random, kinds: list[Kind], relation: str | None, camera: Camera) -> tuple[Thing, ...] | None:
    """Things that do not touch, stay in the picture and hide little of each other; None when they do not fit."""
    placed: list[list[Thing]] = [[] for _ in kinds]
    order = [1, 0, *range(2, len(kinds))] if relation == "top" else range(len(kinds))
    for i in order:
        region = _OTHERS if i > 1 else _ALONE if relation is None else _REGIONS[relation][i]
        for _ in range(kinds[i].count):
            others = [t for group in placed for t in group]
            stack = placed[1][0] if relation == "top" and i == 0 else None
            for thing in _attempts(draw, kinds[i], region, stack):
                if stack is not None or _fits(thing, others, camera):
                    placed[i].append(thing)
                    break
            else:
                return None
    if not _relation_clear(relation, placed, camera):
        return None
    return tuple(t for group in placed for t in group)


def _attempts(
    draw: random.Random, kind: Kind, region: tuple[float, float, float, float], stack: Thing | None
) -> Iterator[Thing]:
    for _ in range(40):
        x, z = draw.uniform(region[0], region[1]), draw.uniform(region[2], region[3])
        turn = _turn(draw, kind.shape)
        where = (x, 0.0, z) if stack is None else (stack.position[0], stack.height, stack.position[2])
        yield Thing(kind.shape, kind.colour, kind.material, kind.size, where, turn)


def _turn(draw: random.Random, shape: str) -> float:
    """Each shape shows a side that tells it from the others: the hole of a ring, the handle of a mug."""
    if shape in ("ring", "star"):
        return draw.uniform(-0.55, 0.55)
    if shape == "mug":
        return draw.uniform(-0.5, 0.3) + draw.choice((0.0, math.pi))
    return draw.uniform(0.15, 1.4)


def _fits(thing: Thing, others: list[Thing], camera: Camera) -> bool:
    x, y, radius = _disc(thing, camera)
    if abs(x) + radius * 0.95 > 1 or y - radius < -0.97 or y + radius > 0.97:
        return False
    for other in others:
        gap = math.dist(thing.position[::2], other.position[::2])
        if gap < (thing.half_width + other.half_width) * 1.12 + 0.04:
            return False
        ox, oy, other_radius = _disc(other, camera)
        if math.hypot(x - ox, (y - oy) * 1.15) < (radius + other_radius) * 0.92:
            return False
    return True


def _centred(draw: random.Random, things: tuple[Thing, ...]) -> tuple[Thing, ...]:
    """The things moved sideways, together, to about the middle."""
    left = min(t.position[0] - t.half_width for t in things)
    right = max(t.position[0] + t.half_width for t in things)
    shift = (left + right) / 2 * draw.uniform(0.6, 1.1)
    return tuple(replace(t, position=(t.position[0] - shift, *t.position[1:])) for t in things)


def _disc(thing: Thing, camera: Camera) -> tuple[float, float, float]:
    """Middle and radius of the disc on the screen that the thing about fills."""
    x, y, z = thing.position
    sx, sy, depth = camera.project(x, y + thing.height / 2, z)
    return sx, sy, max(thing.half_width, thing.height / 2) / (depth * camera.tangent)


def _relation_clear(relation: str | None, placed: list[list[Thing]], camera: Camera) -> bool:
    """Whether a viewer would choose this relation before any other."""
    if relation in (None, "top"):
        return True
    gaps = [
        (abs(_screen_x(a, camera) - _screen_x(b, camera)), abs(a.position[2] - b.position[2]))
        for a in placed[0]
        for b in placed[1]
    ]
    if relation in ("left", "right"):
        return all(dx > 0.2 and dz < 1.3 for dx, dz in gaps)
    return all(dz > 1.0 for _, dz in gaps) and min(dx for dx, _ in gaps) < 0.35 and max(dx for dx, _ in gaps) < 0.75
