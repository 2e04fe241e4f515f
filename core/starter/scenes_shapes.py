"""Where rays meet the toy shapes: first hits and surface normals, in numpy.

Every function takes the eye ``o`` [3] and the rays ``d`` [n, 3] in the thing's own axes (base at the origin, y up, the
half-width is 1) and returns the distances ``t`` [n] along the rays, inf where they miss, and a function that gives the
unit normals [m, 3] at the hit points ``p`` [m, 3] of the rays numbered ``rows``.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import lru_cache

import numpy as np

Array = np.ndarray
Normals = Callable[[Array, Array], Array]

CYLINDER_RADIUS, CYLINDER_HEIGHT = 0.8, 2.0
CONE_RADIUS, CONE_HEIGHT = 0.95, 2.3
CUBE_HALF = 0.75
RING_RADIUS, RING_TUBE = 0.74, 0.26
MUG_RADIUS, MUG_INNER, MUG_FLOOR, MUG_HEIGHT = 0.72, 0.62, 0.12, 1.75
HANDLE_X, HANDLE_Y, HANDLE_RADIUS, HANDLE_TUBE = 0.78, 0.88, 0.42, 0.11
_STEPS = 22


def unit(v: Array) -> Array:
    return v / np.sqrt(np.einsum("ij,ij->i", v, v))[:, None]


def ball(o: Array, d: Array) -> tuple[Array, Normals]:
    centre = np.array([0, 1, 0], np.float32)
    t = _sphere(o - centre, d)
    return t, lambda p, rows: p - centre


def cube(o: Array, d: Array) -> tuple[Array, Normals]:
    centre = np.array([0, CUBE_HALF, 0], np.float32)
    with np.errstate(divide="ignore"):
        inverse = 1 / d
    a, b = (-CUBE_HALF + centre - o) * inverse, (CUBE_HALF + centre - o) * inverse
    near, far = np.minimum(a, b).max(1), np.maximum(a, b).min(1)
    t = np.where(near < far, near, np.inf).astype(np.float32)

    def normals(p: Array, rows: Array) -> Array:
        # Normals bend within a narrow strip at the edges, as if they were rounded: they catch the light.
        q = (p - centre) / CUBE_HALF
        return unit(np.sign(q) * np.maximum(np.abs(q) - 0.9, 1e-4))

    return t, normals


def cylinder(o: Array, d: Array) -> tuple[Array, Normals]:
    side = _tube(o, d, CYLINDER_RADIUS, 0.0, CYLINDER_HEIGHT)
    top = _disc(o, d, CYLINDER_HEIGHT, 0.0, CYLINDER_RADIUS)
    t = np.minimum(side, top)

    def normals(p: Array, rows: Array) -> Array:
        radial = np.hypot(p[:, 0], p[:, 2])
        out = np.maximum(radial / CYLINDER_RADIUS - 0.9, 1e-4) / radial
        up = np.maximum(p[:, 1] / CYLINDER_HEIGHT - 0.955, 1e-4) * 2.2
        return unit(np.stack([p[:, 0] * out, up, p[:, 2] * out], 1))

    return t, normals


def cone(o: Array, d: Array) -> tuple[Array, Normals]:
    slope = CONE_RADIUS / CONE_HEIGHT
    k = slope * slope
    oy = o[1] - CONE_HEIGHT
    a = d[:, 0] ** 2 + d[:, 2] ** 2 - k * d[:, 1] ** 2
    b = d[:, 0] * o[0] + d[:, 2] * o[2] - k * d[:, 1] * oy
    c = o[0] ** 2 + o[2] ** 2 - k * oy * oy
    disc = b * b - a * c
    root = np.sqrt(np.maximum(disc, 0))
    with np.errstate(divide="ignore", invalid="ignore"):
        first, second = (-b - root) / a, (-b + root) / a
    t = np.full(len(d), np.inf, np.float32)
    for candidate in (np.maximum(first, second), np.minimum(first, second)):
        y = o[1] + candidate * d[:, 1]
        good = (disc >= 0) & (candidate > 0) & (y >= 0) & (y <= CONE_HEIGHT)
        t = np.where(good, candidate, t)

    def normals(p: Array, rows: Array) -> Array:
        radial = np.maximum(np.hypot(p[:, 0], p[:, 2]), 1e-5)
        return unit(np.stack([p[:, 0] / radial, np.full_like(radial, slope), p[:, 2] / radial], 1))

    return t.astype(np.float32), normals


def ring(o: Array, d: Array) -> tuple[Array, Normals]:
    centre = np.array([0, 1, 0], np.float32)
    t = _torus(o - centre, d, RING_RADIUS, RING_TUBE)
    return t, lambda p, rows: _torus_normals(p - centre, RING_RADIUS)


def mug(o: Array, d: Array) -> tuple[Array, Normals]:
    outer = _tube(o, d, MUG_RADIUS, 0.0, MUG_HEIGHT)
    rim = _disc(o, d, MUG_HEIGHT, MUG_INNER, MUG_RADIUS)
    mouth = _disc(o, d, MUG_HEIGHT, 0.0, MUG_INNER)
    wall = _tube(o, d, MUG_INNER, MUG_FLOOR, MUG_HEIGHT, far=True)
    floor = _disc(o, d, MUG_FLOOR, 0.0, MUG_INNER)
    inside = np.where(np.isfinite(mouth), np.minimum(wall, floor), np.inf)
    grip = np.array([HANDLE_X, HANDLE_Y, 0], np.float32)
    handle = _torus(o - grip, d, HANDLE_RADIUS, HANDLE_TUBE)
    hit_x = o[0] + np.where(np.isfinite(handle), handle, 0) * d[:, 0]
    handle = np.where(hit_x > MUG_INNER, handle, np.inf)
    parts = np.stack([outer, rim, inside, handle])
    which = parts.argmin(0)
    t = parts.min(0)

    def normals(p: Array, rows: Array) -> Array:
        part = which[rows][:, None]
        flat = np.broadcast_to(np.array([0, 1, 0], np.float32), p.shape)
        radial = p * np.array([1, 0, 1], np.float32)
        inner = np.where(p[:, 1:2] > MUG_FLOOR + 1e-3, -radial, flat)
        return unit(
            np.select([part == 0, part == 1, part == 2], [radial, flat, inner], _torus_normals(p - grip, HANDLE_RADIUS))
        )

    return t, normals


def pyramid(o: Array, d: Array) -> tuple[Array, Normals]:
    return _polyhedron(o, d, _pyramid_faces())


def star(o: Array, d: Array) -> tuple[Array, Normals]:
    return _polyhedron(o, d, _star_faces())


SHAPES: dict[str, Callable[[Array, Array], tuple[Array, Normals]]] = {
    "ball": ball,
    "cube": cube,
    "cone": cone,
    "cylinder": cylinder,
    "ring": ring,
    "pyramid": pyramid,
    "mug": mug,
    "star": star,
}


@lru_cache
def outline(shape: str) -> tuple[Array, Array | None]:
    """Points [n, 3] whose shadow's convex hull is the shape's shadow, and the points of a hole in it.

    The star's points are its outline in order and are filled as they are.
    """
    angle = np.linspace(0, 2 * math.pi, 28, endpoint=False)
    sine, cosine, nought = np.sin(angle), np.cos(angle), np.zeros_like(angle)
    if shape == "ball":
        layers = [(math.sqrt(1 - h * h), 1 + h) for h in np.linspace(-1, 1, 9)]
        return np.concatenate([_circle(r, y) for r, y in layers]), None
    if shape == "cube":
        return np.array([(x, y, z) for x in (-0.75, 0.75) for y in (0, 1.5) for z in (-0.75, 0.75)]), None
    if shape == "cone":
        return np.concatenate([_circle(CONE_RADIUS, 0), [[0, CONE_HEIGHT, 0]]]), None
    if shape == "pyramid":
        return np.unique(_pyramid_faces().reshape(-1, 3), axis=0), None
    if shape == "star":
        return _star_points(), None
    if shape == "ring":
        rim, hole = RING_RADIUS + RING_TUBE, RING_RADIUS - RING_TUBE
        tube = [
            np.stack([cosine * RING_RADIUS, 1 + sine * RING_RADIUS, nought + z], 1) for z in (-RING_TUBE, RING_TUBE)
        ]
        return (
            np.concatenate([np.stack([cosine * rim, 1 + sine * rim, nought], 1), *tube]),
            np.stack([cosine * hole, 1 + sine * hole, nought], 1),
        )
    radius, height = (MUG_RADIUS, MUG_HEIGHT) if shape == "mug" else (CYLINDER_RADIUS, CYLINDER_HEIGHT)
    points = np.concatenate([_circle(radius, 0), _circle(radius, height)])
    return points, None


def _circle(radius: float, y: float) -> Array:
    angle = np.linspace(0, 2 * math.pi, 28, endpoint=False)
    return np.stack([np.cos(angle) * radius, np.full(28, y), np.sin(angle) * radius], 1)


def _sphere(o: Array, d: Array, radius: float = 1.0, far: bool = False) -> Array:
    a = np.einsum("ij,ij->i", d, d)
    b = d @ o
    disc = b * b - a * np.float32(o @ o - radius * radius)
    root = np.sqrt(np.maximum(disc, 0))
    return np.where(disc > 0, (-b + root if far else -b - root) / a, np.inf).astype(np.float32)


def _tube(o: Array, d: Array, radius: float, low: float, high: float, *, far: bool = False) -> Array:
    """Side of an upright cylinder: the near wall from outside, or the far wall from inside."""
    a = d[:, 0] ** 2 + d[:, 2] ** 2
    b = d[:, 0] * o[0] + d[:, 2] * o[2]
    disc = b * b - a * np.float32(o[0] ** 2 + o[2] ** 2 - radius * radius)
    root = np.sqrt(np.maximum(disc, 0))
    t = (-b + root if far else -b - root) / a
    y = o[1] + t * d[:, 1]
    return np.where((disc > 0) & (y >= low) & (y <= high), t, np.inf).astype(np.float32)


def _disc(o: Array, d: Array, y: float, inner: float, outer: float) -> Array:
    with np.errstate(divide="ignore", invalid="ignore"):
        t = (y - o[1]) / d[:, 1]
        squared = (o[0] + t * d[:, 0]) ** 2 + (o[2] + t * d[:, 2]) ** 2
    return np.where((squared <= outer * outer) & (squared >= inner * inner), t, np.inf).astype(np.float32)


def _torus(o: Array, d: Array, radius: float, tube: float) -> Array:
    """First hit with a ring around the z axis, by sphere tracing inside its bounding ball."""
    t = np.full(len(d), np.inf, np.float32)
    start, end = _sphere(o, d, radius + tube), _sphere(o, d, radius + tube, far=True)
    live = np.flatnonzero(np.isfinite(start))
    if not len(live):
        return t
    ray = d[live]
    speed = np.sqrt(np.einsum("ij,ij->i", ray, ray))
    at, end = start[live], end[live]
    for _ in range(_STEPS):
        x, y, z = (o[axis] + at * ray[:, axis] for axis in range(3))
        gap = np.hypot(np.hypot(x, y) - radius, z) - tube
        at = at + gap / speed
        done = gap < 1.5e-3
        if done.any() or (at > end).any():
            t[live[done]] = at[done]
            keep = ~done & (at <= end)
            live, ray, speed, at, end = live[keep], ray[keep], speed[keep], at[keep], end[keep]
            if not len(live):
                break
    return t


def _torus_normals(p: Array, radius: float) -> Array:
    flat = np.maximum(np.hypot(p[:, 0], p[:, 1]), 1e-6)
    pull = (1 - radius / flat)[:, None]
    return unit(p * np.concatenate([pull, pull, np.ones_like(pull)], 1) + 1e-9)


def _polyhedron(o: Array, d: Array, faces: Array) -> tuple[Array, Normals]:
    """``faces`` [f, 3, 3]: triangles that wind counter-clockwise seen from outside. No two front faces overlap on the
    ray beyond the nearest one, so the minimum is the first hit."""
    edges = faces - o
    normal = np.cross(faces[:, 1] - faces[:, 0], faces[:, 2] - faces[:, 0])
    normal /= np.linalg.norm(normal, axis=1, keepdims=True)
    offset = np.einsum("fi,fi->f", normal, edges[:, 0])
    front = offset < -1e-6
    edges, normal, offset = edges[front], normal[front], offset[front]
    t = np.full(len(d), np.inf, np.float32)
    which = np.zeros(len(d), np.int16)
    for i, (a, b, c) in enumerate(edges):
        sides = d @ np.stack([np.cross(a, b), np.cross(b, c), np.cross(c, a)], 1).astype(np.float32)
        inside = np.flatnonzero((sides <= 0).all(1))
        hit = (offset[i] / (d[inside] @ normal[i])).astype(np.float32)
        nearer = hit < t[inside]
        t[inside[nearer]] = hit[nearer]
        which[inside[nearer]] = i
    return t, lambda p, rows: normal[which[rows]].astype(np.float32)


@lru_cache
def _pyramid_faces() -> Array:
    s, top = 0.78, (0.0, 1.75, 0.0)
    corners = [(-s, 0, -s), (s, 0, -s), (s, 0, s), (-s, 0, s)]
    return np.array([(corners[(i + 1) % 4], corners[i], top) for i in range(4)], np.float32)


@lru_cache
def _star_points() -> Array:
    angle = math.pi / 2 + np.arange(10) * math.pi / 5
    radius = np.where(np.arange(10) % 2 == 0, 1.12, 0.52)
    lift = 1.12 * math.cos(math.pi / 5)
    return np.stack([np.cos(angle) * radius, np.sin(angle) * radius + lift, np.zeros(10)], 1).astype(np.float32)


@lru_cache
def _star_faces() -> Array:
    points, faces = _star_points(), []
    lift = 1.12 * math.cos(math.pi / 5)
    for depth in (-0.34, 0.34):
        apex = np.array([0, lift, depth], np.float32)
        for i in range(10):
            a, b = points[i], points[(i + 1) % 10]
            faces.append((b, a, apex) if depth < 0 else (a, b, apex))
    return np.array(faces, np.float32)
