"""Draws a scene: a small deterministic ray caster in numpy, with soft shadows, reflections and glass.

The picture is made at twice its size in linear light and averaged down. Things are drawn from back to front, each only
in the rectangle it can cover. The same scene and size give the same pixels; across machines they may differ by a
rounding step where the processor's sine or square root does.
"""

from __future__ import annotations

import math
import random
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from core.starter import scenes_shapes
from core.starter.scenes import Camera, Scene, Thing
from core.starter.scenes_backdrop import LIGHTS, OUTDOORS, Light, backdrop, ground_texture, linear

Array = np.ndarray

COLOUR_SRGB = {
    "red": (206, 36, 38),
    "yellow": (240, 202, 36),
    "green": (38, 146, 62),
    "blue": (36, 84, 206),
    "purple": (116, 50, 158),
    "pink": (246, 138, 180),
    "white": (240, 238, 234),
    "black": (30, 30, 34),
}
"""What each colour's name looks like on a thing in plain light."""

_SUPERSAMPLE = 2
_SHADOW_AREA = (-5.0, 5.0, -4.0, 8.0)
"""Ground covered by the shadow map: x from, x to, z from, z to."""
_SHADOW_SIZE = 224


@dataclass
class _Canvas:
    """The picture in the making: linear colour [h, w, 3] and depth [h, w]."""

    colour: Array
    depth: Array


@dataclass(frozen=True)
class _Setting:
    """What every thing's shading needs to know about the scene."""

    camera: Camera
    light: Light
    sun: Array
    ground: Array
    things: tuple[Thing, ...]
    focus: tuple[float, float]


def render(scene: Scene, size: int = 256) -> Image.Image:
    """The picture of the scene, ``size`` x ``size`` RGB."""
    side = size * _SUPERSAMPLE
    setting = _setting(scene)
    canvas = _Canvas(np.empty((side, side, 3), np.float32), np.full((side, side), np.inf, np.float32))
    _draw_ground(canvas, scene, setting)
    for thing in _back_to_front((*scene.things, *_clutter(scene)), scene.camera):
        _draw_thing(canvas, thing, setting)
    return _develop(canvas.colour, scene, size)


def _setting(scene: Scene) -> _Setting:
    draw = random.Random(scene.seed * 13 + 3)
    light = LIGHTS[scene.light]
    side = draw.choice((-1, 1))
    turn = side * draw.uniform(0.55, 1.05)
    height = light.elevation + draw.uniform(-0.05, 0.05)
    sun = np.array(
        [math.sin(turn) * math.cos(height), math.sin(height), -math.cos(turn) * math.cos(height)], np.float32
    )
    middle = np.mean([t.position for t in scene.things], axis=0)
    return _Setting(
        scene.camera, light, sun, ground_texture(scene.ground).mean, scene.things, (float(middle[0]), float(middle[2]))
    )


def _back_to_front(things: Iterable[Thing], camera: Camera) -> list[Thing]:
    return sorted(things, key=lambda t: (-camera.project(*t.position)[2], t.position[1]))


def _clutter(scene: Scene) -> tuple[Thing, ...]:
    """Pebbles that captions never speak of, where they touch nothing."""
    draw = random.Random(scene.seed * 101 + 9)
    pebbles = []
    for _ in range(draw.randint(2, 6)):
        x, z = draw.uniform(-2.4, 2.4), draw.uniform(-2.0, 3.2)
        if all(math.dist((x, z), t.position[::2]) > t.half_width + 0.2 for t in scene.things):
            pebbles.append(
                Thing(
                    "pebble",
                    draw.choice(("grey", "brown")),
                    "matte",
                    draw.choice(("0.06", "0.08", "0.11")),
                    (x, 0.0, z),
                    0.0,
                )
            )
    return tuple(pebbles)


# ---------------------------------------------------------------------------------------------------------- the ground


def _rays(camera: Camera, rows: Array, columns: Array, side: int) -> tuple[Array, Array, Array]:
    """World directions of pixels, scaled so that distance along them is depth: x [columns], y and z [rows]."""
    up = (1 + camera.shift - (rows + 0.5) * 2 / side) * camera.tangent
    across = ((columns + 0.5) * 2 / side - 1) * camera.tangent
    sine, cosine = math.sin(camera.pitch), math.cos(camera.pitch)
    return across.astype(np.float32), (up * cosine - sine).astype(np.float32), (up * sine + cosine).astype(np.float32)


def _far_edge(scene: Scene) -> float:
    """How far the ground reaches: the table's edge, the wall, or where haze has swallowed it."""
    return {"wood": 4.2, "tiles": 5.5, "carpet": 5.5}.get(scene.ground, 26.0)


def _draw_ground(canvas: _Canvas, scene: Scene, setting: _Setting) -> None:
    side = canvas.depth.shape[0]
    camera = scene.camera
    across, down, ahead = _rays(camera, np.arange(side), np.arange(side), side)
    with np.errstate(divide="ignore"):
        depth = np.where(down < 0, -camera.height / down, np.inf)
    z = depth * ahead - camera.distance
    top = int(np.argmax(z < _far_edge(scene)))
    canvas.colour[: top + 1] = backdrop(scene.ground, scene.light, scene.seed, side, max(top + 1, 4))[-(top + 1) :]
    depth, z = depth[top:, None].astype(np.float32), z[top:, None].astype(np.float32)
    x = across[None] * depth
    canvas.depth[top:] = depth

    draw = random.Random(scene.seed * 17 + 1)
    turn = {"wood": 0.12, "tiles": 0.5, "carpet": 0.7}.get(scene.ground, 0.3) * draw.uniform(-1, 1)
    u = x * math.cos(turn) - z * math.sin(turn) + (40 + draw.uniform(0, 4))
    v = x * math.sin(turn) + z * math.cos(turn) + (80 + draw.uniform(0, 4))
    albedo = ground_texture(scene.ground).sample(u, v, depth * (2 * camera.tangent / side) * 1.6)

    shadow, contact = _shadow_maps(scene, setting, top, side)
    light = setting.light
    pool = _pool(x, z, setting)
    lit = (pool * (setting.sun[1] * 1.05) * shadow)[..., None] * np.array(light.sun, np.float32)
    lit += (contact * (0.55 + 0.45 * shadow))[..., None] * np.array(light.ambient, np.float32)
    colour = albedo * lit
    if scene.ground in ("tiles", "wood"):
        gloss = np.clip((z + 1) / 9, 0, 1) * (0.30 if scene.ground == "tiles" else 0.16)
        colour += gloss[..., None] * canvas.colour[max(top - 2, 0)].mean(0)
    if scene.ground in OUTDOORS:
        haze = np.clip((z - 5) / 22, 0, 0.85)[..., None]
        colour += (np.array(light.horizon, np.float32) * 0.55 - colour) * haze
    elif top:
        near_wall = np.clip((_far_edge(scene) - z) / 1.2, 0, 1)[..., None]
        colour *= 0.62 + 0.38 * near_wall
    canvas.colour[top:] = colour


def _pool(x: Array, z: Array, setting: _Setting) -> Array:
    """The lamp's share of light at ground points: 1 in even light, falling off around the things at night."""
    if setting.light.glow == 0:
        return np.ones(np.broadcast_shapes(x.shape, z.shape), np.float32)
    away = (x - setting.focus[0]) ** 2 + (z - setting.focus[1]) ** 2
    return 1 - setting.light.glow + setting.light.glow * 1.25 / (1 + away * 0.10)


def _shadow_maps(scene: Scene, setting: _Setting, top: int, side: int) -> tuple[Array, Array]:
    """Sun [rows, side] and sky visibility of the ground from row ``top`` down, 0 dark to 1 open.

    Shadows are filled as polygons on a map of the ground, blurred, and seen through the camera's homography.
    """
    x0, x1, z0, z1 = _SHADOW_AREA
    scale = _SHADOW_SIZE / (x1 - x0)
    map_size = (_SHADOW_SIZE, round((z1 - z0) * scale))
    cast, touch = Image.new("L", map_size, 0), Image.new("L", map_size, 0)
    pen, touch_pen = ImageDraw.Draw(cast), ImageDraw.Draw(touch)
    for thing in (*scene.things, *_clutter(scene)):
        fill = 150 if thing.material == "glass" else 255
        for polygon, inside in _shadow_polygons(thing, setting.sun):
            pen.polygon(((polygon - (x0, z0)) * scale).ravel().tolist(), fill=0 if inside else fill)
        if thing.position[1] == 0:
            x, _, z = thing.position
            reach = _radius(thing) * {"ring": 0.6, "star": 0.7, "ball": 0.7}.get(thing.shape, 0.95)
            touch_pen.ellipse(
                [(c - reach) * scale for c in (x - x0, z - z0)] + [(c + reach) * scale for c in (x - x0, z - z0)],
                fill=190,
            )
    softness = {"day": 1.0, "sunset": 1.4, "night": 1.7}[scene.light]
    cast = cast.filter(ImageFilter.GaussianBlur(softness))
    touch = touch.filter(ImageFilter.GaussianBlur(0.13 * scale))
    # Shadows are soft, so half of the supersampled pixels are enough.
    rows, half = (side - top + 1) // 2, side // 2
    coefficients = _ground_homography(scene.camera, half, top / 2, scale)
    seen = [
        np.asarray(
            m.transform((half, rows), Image.Transform.PERSPECTIVE, coefficients, Image.Resampling.BILINEAR), np.float32
        )
        for m in (cast, touch)
    ]
    sun, sky = (1 - np.repeat(np.repeat(m, 2, 0), 2, 1)[: side - top] / 255 for m in seen)
    return sun, 0.12 + 0.88 * sky


def _ground_homography(camera: Camera, side: int, top: float, scale: float) -> tuple[float, ...]:
    """Pillow's eight coefficients from picture pixels (rows from ``top``) to pixels of the shadow map."""
    sine, cosine, k = math.sin(camera.pitch), math.cos(camera.pitch), camera.tangent
    top -= camera.shift * side / 2
    # up(row) = k - 2k/side * (row + top); a ray's fall is -(up * cosine - sine), its depth height / fall.
    per_row = 2 * k / side
    fall_0, fall_row = sine - (k - per_row * top) * cosine, per_row * cosine
    ahead_0, ahead_row = cosine + (k - per_row * top) * sine, -per_row * sine
    x0, z0 = _SHADOW_AREA[0], _SHADOW_AREA[2] + camera.distance
    h = camera.height
    raw = (
        scale * h * per_row, -scale * x0 * fall_row, scale * (-h * k - x0 * fall_0),
        0.0, scale * (h * ahead_row - z0 * fall_row), scale * (h * ahead_0 - z0 * fall_0),
        0.0, fall_row,
    )  # fmt: skip
    return tuple(value / fall_0 for value in raw)


def _shadow_polygons(thing: Thing, sun: Array) -> list[tuple[Array, bool]]:
    """Outlines on the ground, each with whether it is a hole."""
    outer, hole = scenes_shapes.outline("ball" if thing.shape == "pebble" else thing.shape)
    found = []
    for points, inside in ((outer, False), (hole, True)):
        if points is None:
            continue
        world = _to_world(points, thing)
        flat = world[:, [0, 2]] - world[:, 1:2] * (sun[[0, 2]] / sun[1])
        found.append((flat if thing.shape == "star" else _hull(flat), inside))
    return found


def _hull(points: Array) -> Array:
    """Convex hull of points [n, 2], by which of them reaches farthest in each of many directions."""
    angle = np.linspace(0, 2 * math.pi, 64, endpoint=False)
    return points[(points @ np.stack([np.cos(angle), np.sin(angle)])).argmax(0)]


# ---------------------------------------------------------------------------------------------------------- the things


def _radius(thing: Thing) -> float:
    return float(thing.size) if thing.shape == "pebble" else thing.half_width


def _axes(thing: Thing) -> Array:
    """Rows: the thing's own x, y, z axes in the world. A pebble is a flattened ball."""
    sine, cosine = math.sin(thing.turn), math.cos(thing.turn)
    return np.array([[cosine, 0, sine], [0, 1, 0], [-sine, 0, cosine]], np.float32)


def _stretch(thing: Thing) -> Array:
    radius = _radius(thing)
    return np.array([radius, radius * (0.6 if thing.shape == "pebble" else 1), radius], np.float32)


def _to_world(points: Array, thing: Thing) -> Array:
    return (points * _stretch(thing)) @ _axes(thing) + np.array(thing.position)


def _window(thing: Thing, camera: Camera, side: int) -> tuple[int, int, int, int] | None:
    """Rows and columns (from, to) that the thing can cover."""
    reach = 1.25 if thing.shape == "mug" else 1.13
    corners = np.array([(x, y, z) for x in (-reach, reach) for y in (0, 2.32) for z in (-reach, reach)])
    seen = [camera.project(*corner) for corner in _to_world(corners, thing)]
    columns = [(x + 1) * side / 2 for x, _, _ in seen]
    rows = [(1 - y) * side / 2 for _, y, _ in seen]
    window = (
        max(int(min(rows)), 0),
        min(int(max(rows)) + 1, side),
        max(int(min(columns)), 0),
        min(int(max(columns)) + 1, side),
    )
    return window if window[0] < window[1] and window[2] < window[3] else None


def _draw_thing(canvas: _Canvas, thing: Thing, setting: _Setting) -> None:
    camera, side = setting.camera, canvas.depth.shape[0]
    window = _window(thing, camera, side)
    if window is None:
        return
    r0, r1, c0, c1 = window
    across, down, ahead = _rays(camera, np.arange(r0, r1), np.arange(c0, c1), side)
    shape = (r1 - r0, c1 - c0)
    rays = np.stack([np.broadcast_to(across, shape), *(np.broadcast_to(v[:, None], shape) for v in (down, ahead))], 2)
    rays = rays.reshape(-1, 3)
    axes, stretch = _axes(thing), _stretch(thing)
    eye = np.array([0, camera.height, -camera.distance], np.float32)
    local_eye = (axes @ (eye - np.array(thing.position, np.float32))) / stretch
    local_rays = (rays @ axes.T) / stretch
    kind = "ball" if thing.shape == "pebble" else thing.shape
    t, normals = scenes_shapes.SHAPES[kind](local_eye, local_rays)

    depth = canvas.depth[r0:r1, c0:c1].reshape(-1)
    hit = np.flatnonzero(t < depth)
    if not len(hit):
        return
    rays, t = rays[hit], t[hit]
    local = local_eye + local_rays[hit] * t[:, None]
    normal = scenes_shapes.unit((normals(local, hit).astype(np.float32) / stretch) @ axes)
    colour = _shade(
        thing,
        setting,
        _Surface(local, eye + rays * t[:, None], normal, scenes_shapes.unit(rays)),
        canvas,
        (hit, window),
    )
    rows, columns = hit // shape[1] + r0, hit % shape[1] + c0
    canvas.colour[rows, columns] = colour
    canvas.depth[rows, columns] = t


@dataclass(frozen=True)
class _Surface:
    """Hit points [n, 3] in the thing's axes and in the world, their normals, and the directions they are seen along."""

    local: Array
    world: Array
    normal: Array
    view: Array


def _shade(
    thing: Thing, setting: _Setting, surface: _Surface, canvas: _Canvas, where: tuple[Array, tuple[int, int, int, int]]
) -> Array:
    light, normal = setting.light, surface.normal
    albedo = _albedo(thing, surface.local)
    sun_colour, sky = np.array(light.sun, np.float32), np.array(light.ambient, np.float32)
    pool = _pool(surface.world[:, 0], surface.world[:, 2], setting)
    facing = normal @ setting.sun
    open_to_sun = _sun_reaching(thing, setting, surface.world)
    direct = np.clip(facing, 0, 1) * open_to_sun * pool
    height = np.clip((surface.world[:, 1] - thing.position[1]) / (_radius(thing) * 0.9), 0, 1)
    occlusion = (0.50 + 0.50 * height) * _inside(thing, surface.local)
    up = normal[:, 1]
    bounce = setting.ground * (sun_colour * (setting.sun[1] * 0.45) * pool[:, None] + sky * 0.5)
    ambient = sky * (0.5 + 0.5 * up)[:, None] + bounce * (0.5 - 0.5 * up)[:, None]
    diffuse = albedo * (direct[:, None] * sun_colour + ambient * occlusion[:, None])

    cosine = -np.einsum("ij,ij->i", normal, surface.view)
    fresnel = (1 - np.clip(cosine, 0, 1)) ** 5
    mirror = surface.view + 2 * cosine[:, None] * normal
    gleam = np.clip(mirror @ setting.sun, 0, 1)
    if thing.material in ("matte", "striped"):
        return diffuse + (0.05 * gleam**12 * open_to_sun * pool)[:, None] * sun_colour
    around = _environment(mirror, setting, pool)
    spot = (
        (2.6 * np.clip((gleam - 0.955) * 60, 0, 1) * open_to_sun + 0.25 * gleam**20)[:, None]
        * sun_colour
        * pool[:, None]
    )
    if thing.material == "shiny":
        tint = 0.35 + 0.65 * albedo
        return diffuse * 0.72 + around * tint * (0.26 + 0.6 * fresnel)[:, None] * occlusion[:, None] + spot
    through = _refracted(surface, canvas, where, setting)
    # Glass keeps the brightness behind it but gives it its own hue: a plain product would turn red on grass to brown.
    brightness = through @ np.array([0.3, 0.5, 0.2], np.float32)
    hue = 0.05 + 0.95 * albedo / albedo.max(1, keepdims=True)
    clear = (0.16 * through + 0.96 * brightness[:, None] * hue) * (0.68 + 0.32 * np.clip(cosine, 0, 1))[:, None]
    return clear * 0.74 + diffuse * 0.26 + around * (0.06 + 0.7 * fresnel)[:, None] + spot


def _albedo(thing: Thing, local: Array) -> Array:
    if thing.shape == "pebble":
        return np.broadcast_to(linear(*((128, 126, 122) if thing.colour == "grey" else (132, 112, 92))), local.shape)
    base = linear(*COLOUR_SRGB[thing.colour])
    if thing.material != "striped":
        return np.broadcast_to(base, local.shape)
    if thing.shape == "ring":
        phase = np.arctan2(local[:, 1] - 1, local[:, 0]) * (12 / (2 * math.pi))
    elif thing.shape == "star":
        phase = (local[:, 0] * 0.7 + local[:, 1]) * 2.6
    else:
        phase = local[:, 1] * 2.6 + 0.15
    pale = np.array(linear(246, 243, 236))
    return np.where((phase - np.floor(phase) < 0.62)[:, None], base, pale)


def _inside(thing: Thing, local: Array) -> Array | float:
    """Light that reaches the inside of a mug."""
    if thing.shape != "mug":
        return 1.0
    within = np.hypot(local[:, 0], local[:, 2]) < scenes_shapes.MUG_INNER + 0.01
    return np.where(within, np.clip(local[:, 1] / scenes_shapes.MUG_HEIGHT, 0.15, 1) ** 1.5 * 0.8, 1.0)


def _sun_reaching(thing: Thing, setting: _Setting, world: Array) -> Array:
    """Soft shadow that other things throw on this one: each of them is a ball to the sun."""
    reaching = np.ones(len(world), np.float32)
    for other in setting.things:
        if other is thing or other.shape in ("ring", "star"):
            continue
        radius = other.half_width * (0.78 if other.shape in ("cone", "pyramid") else 0.9)
        middle = np.array(other.position, np.float32) + np.array([0, other.height * 0.42, 0], np.float32)
        gap = middle - np.array(thing.position, np.float32)
        if float(gap @ setting.sun) < -0.2 or np.linalg.norm(gap) > 4:
            continue
        offset = middle - world
        along = offset @ setting.sun
        miss = np.sqrt(np.maximum(np.einsum("ij,ij->i", offset, offset) - along * along, 0))
        lit = np.clip((miss - radius * 0.8) / (radius * 0.4), 0, 1)
        reaching *= np.where(along > 0, 1 - (1 - lit) * (0.5 if other.material == "glass" else 0.92), 1)
    return reaching


def _environment(direction: Array, setting: _Setting, pool: Array) -> Array:
    """What a mirror shows towards ``direction`` [n, 3]: sky or room above, the lit ground below."""
    light = setting.light
    up = direction[:, 1:2]
    horizon, zenith = np.array(light.horizon, np.float32), np.array(light.zenith, np.float32)
    soft = np.array(light.ambient, np.float32) * 1.3
    above = (horizon + (zenith - horizon) * np.sqrt(np.clip(up, 0, 1))) * 0.6 + soft * 0.5
    lit = np.array(light.sun, np.float32) * setting.sun[1] * 0.8 + np.array(light.ambient, np.float32)
    below = setting.ground * lit * pool[:, None] * (0.45 + 0.55 * np.clip(1 + up, 0, 1))
    return below + (above - below) * np.clip(up * 9 + 0.5, 0, 1)


def _refracted(
    surface: _Surface, canvas: _Canvas, where: tuple[Array, tuple[int, int, int, int]], setting: _Setting
) -> Array:
    """The picture behind glass, shifted by the surface's slope."""
    hit, (r0, _, c0, c1) = where
    side = canvas.depth.shape[0]
    shift = side * 0.05
    across, up = surface.normal[:, 0], surface.normal[:, 1] * math.cos(setting.camera.pitch)
    rows = np.clip(hit // (c1 - c0) + r0 - up * shift, 0, side - 1).astype(np.int32)
    columns = np.clip(hit % (c1 - c0) + c0 + across * shift, 0, side - 1).astype(np.int32)
    return canvas.colour[rows, columns]


# ------------------------------------------------------------------------------------------------------- the developing


@lru_cache(maxsize=4)
def _vignette(size: int) -> Array:
    at = (np.arange(size, dtype=np.float32) + 0.5) / size * 2 - 1
    return (1 - 0.13 * (at[:, None] ** 2 + at[None] ** 2) ** 1.2)[..., None].astype(np.float32)


def _develop(colour: Array, scene: Scene, size: int) -> Image.Image:
    """Averages down, and turns linear light into sRGB with a soft shoulder instead of clipped highlights."""
    small = (colour[::2, ::2] + colour[1::2, ::2] + colour[::2, 1::2] + colour[1::2, 1::2]) * 0.25
    small *= _vignette(size) * (1.35 if scene.light == "night" else 1.02)
    small = np.where(small > 0.7, 1 - 0.3 * np.exp((0.7 - small) / 0.3), np.maximum(small, 0))
    return Image.fromarray((np.power(small, 1 / 2.2) * 255 + 0.5).astype(np.uint8), "RGB")
