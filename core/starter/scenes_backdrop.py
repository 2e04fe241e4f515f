"""What stands behind and under the things: ground textures, walls, skies, and the three lights."""

from __future__ import annotations

import math
import random
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

Array = np.ndarray
Rgb = tuple[float, float, float]

TEXTURE = 512
TILE_UNITS = 4.0
"""A texture covers a square of this many scene units and repeats."""

_LEVELS = 5
OUTDOORS = frozenset({"grass", "sand", "snow"})


@dataclass(frozen=True)
class Light:
    """Linear colours: of the lamp or sun, of the sky's share of light, of the sky overhead and near the horizon."""

    sun: Rgb
    ambient: Rgb
    zenith: Rgb
    horizon: Rgb
    elevation: float
    glow: float
    """How much of the lamp's light gathers around the things; 0 is even light."""


LIGHTS = {
    "day": Light((1.02, 0.98, 0.90), (0.46, 0.50, 0.56), (0.20, 0.42, 0.82), (0.74, 0.86, 0.96), 0.92, 0.0),
    "sunset": Light((1.26, 0.78, 0.44), (0.36, 0.31, 0.38), (0.26, 0.20, 0.42), (1.05, 0.52, 0.24), 0.46, 0.12),
    "night": Light((0.74, 0.76, 0.86), (0.080, 0.105, 0.20), (0.006, 0.012, 0.045), (0.03, 0.05, 0.13), 0.80, 0.9),
}


def linear(red: int, green: int, blue: int) -> Array:
    """An sRGB colour as linear light, [3] float32."""
    return ((np.array([red, green, blue], np.float32) / 255) ** 2.2).astype(np.float32)


@dataclass(frozen=True)
class Texture:
    """Linear albedo at ``_LEVELS`` resolutions, one after another, so that a pixel far away reads a coarse one."""

    texels: Array
    offsets: Array
    mean: Array

    def sample(self, u: Array, v: Array, footprint: Array) -> Array:
        """Albedo [rows, columns, 3] at scene coordinates; ``footprint`` [rows, 1] is a pixel's length on the ground."""
        texel = TILE_UNITS / TEXTURE
        level = np.clip(np.log2(np.maximum(footprint / texel, 1e-3)) + 0.3, 0, _LEVELS - 1).astype(np.int32)
        side = (TEXTURE >> level).astype(np.int32)
        scale = (side / TILE_UNITS).astype(np.float32)
        column = (u * scale).astype(np.int32) & (side - 1)
        row = (v * scale).astype(np.int32) & (side - 1)
        return np.take(self.texels, self.offsets[level] + row * side + column, axis=0)


@lru_cache
def ground_texture(ground: str) -> Texture:
    """The tileable texture of a ground; the same on every call, so scenes differ by where they stand on it."""
    noise = np.random.RandomState(1000 + sum(map(ord, ground)))
    image = np.clip(_PAINTERS[ground](noise), 0.004, 1).astype(np.float32)
    levels, offsets, offset = [], [], 0
    for _ in range(_LEVELS):
        offsets.append(offset)
        levels.append(image.reshape(-1, 3))
        offset += image.shape[0] ** 2
        half = image.shape[0] // 2
        image = image.reshape(half, 2, half, 2, 3).mean((1, 3))
    return Texture(np.concatenate(levels), np.array(offsets, np.int32), levels[0].mean(0))


def _smooth(noise: np.random.RandomState, cells: int, stretch: int = 1) -> Array:
    """Tileable smooth noise [TEXTURE, TEXTURE] with mean 0 and deviation 1; ``stretch`` lengthens it along x."""
    grid = noise.normal(size=(cells, max(cells // stretch, 2))).astype(np.float32)
    padded = np.pad(grid, 2, mode="wrap")
    rows, columns = grid.shape
    size = (TEXTURE // columns * padded.shape[1], TEXTURE // rows * padded.shape[0])
    big = np.asarray(Image.fromarray(padded).resize(size, Image.Resampling.BICUBIC))
    top, left = 2 * (TEXTURE // rows), 2 * (TEXTURE // columns)
    field = big[top : top + TEXTURE, left : left + TEXTURE]
    return (field - field.mean()) / field.std()


def _tint(base: Array, *amounts: tuple[Array, float]) -> Array:
    shade = np.ones((TEXTURE, TEXTURE), np.float32)
    for field, strength in amounts:
        shade *= np.exp(field * strength)
    return base * shade[..., None]


def _wood(noise: np.random.RandomState) -> Array:
    planks = 8
    rows = np.arange(TEXTURE)
    plank = rows * planks // TEXTURE
    tone = np.exp(noise.normal(size=planks) * 0.10)[plank][:, None].astype(np.float32)
    shift = noise.randint(0, TEXTURE, planks)
    grain, streak = _smooth(noise, 128, 32), _smooth(noise, 256, 64)
    wave = np.sin(_smooth(noise, 16, 8) * 3.2 + rows[:, None] * 0.22).astype(np.float32)
    grain, streak, wave = (
        np.concatenate([np.roll(f[plank == i], int(shift[i]), axis=1) for i in range(planks)])
        for f in (grain, streak, wave)
    )
    colour = _tint(linear(176, 124, 78), (grain, 0.10), (streak, 0.07), (wave, 0.10)) * tone[..., None]
    seam = (rows % (TEXTURE // planks)) < 2
    colour[seam] *= 0.42
    return colour


def _grass(noise: np.random.RandomState) -> Array:
    colour = _tint(
        linear(92, 134, 58), (_smooth(noise, 8), 0.13), (_smooth(noise, 64), 0.14), (_smooth(noise, 256), 0.16)
    )
    canvas = Image.new("L", (TEXTURE, TEXTURE), 128)
    draw = ImageDraw.Draw(canvas)
    for _ in range(5200):
        x, y = noise.randint(0, TEXTURE, 2)
        lean, length, tone = noise.randint(-3, 4), noise.randint(5, 13), int(noise.randint(70, 200))
        draw.line((int(x), int(y), int(x + lean), int(y + length)), fill=tone, width=1)
    blades = (np.asarray(canvas, np.float32) - 128) / 64
    warm = np.array([1.12, 1.0, 0.8], np.float32) ** (_smooth(noise, 16)[..., None] * 0.5)
    return colour * np.exp(blades * 0.32)[..., None] * warm


def _sand(noise: np.random.RandomState) -> Array:
    rows = np.arange(TEXTURE, dtype=np.float32)[:, None]
    ripple = np.sin(rows * (2 * math.pi * 11 / TEXTURE) + _smooth(noise, 8) * 1.1)
    grain = noise.normal(size=(TEXTURE, TEXTURE)).astype(np.float32)
    return _tint(
        linear(222, 192, 142), (ripple, 0.055), (_smooth(noise, 8), 0.05), (_smooth(noise, 128), 0.04), (grain, 0.05)
    )


def _tiles(noise: np.random.RandomState) -> Array:
    cells, side = 4, TEXTURE // 4
    rows, columns = np.mgrid[0:TEXTURE, 0:TEXTURE]
    checker = (rows // side + columns // side) % 2
    tone = np.exp(noise.normal(size=(cells, cells)) * 0.04)[rows // side, columns // side]
    pale, dark = linear(226, 222, 212), linear(142, 158, 164)
    colour = np.where(checker[..., None] == 0, pale, dark) * tone[..., None]
    vein = np.exp(-((_smooth(noise, 16) * 2.2) ** 2)) * 0.5
    colour = colour * np.exp(-0.20 * vein + 0.03 * _smooth(noise, 64))[..., None]
    groove = (np.minimum(rows % side, columns % side) < 4)[..., None]
    return np.where(groove, linear(118, 114, 108), colour)


def _snow(noise: np.random.RandomState) -> Array:
    base = np.broadcast_to(linear(236, 240, 246), (TEXTURE, TEXTURE, 3))
    drift = _smooth(noise, 8)
    sparkle = (noise.random_sample((TEXTURE, TEXTURE)) > 0.996).astype(np.float32)
    colour = base * np.exp(0.06 * drift + 0.035 * _smooth(noise, 32) + 0.02 * _smooth(noise, 128))[..., None]
    return colour + sparkle[..., None] * 0.12


def _carpet(noise: np.random.RandomState) -> Array:
    rows, columns = np.mgrid[0:TEXTURE, 0:TEXTURE]
    field, line = linear(122, 126, 140), linear(198, 190, 174)
    period = TEXTURE // 4
    diamond = (np.abs(rows % period - period // 2) + np.abs(columns % period - period // 2)) / (period // 2)
    lattice = np.clip(1 - np.abs(diamond - 1) * 9, 0, 1)
    dot = np.clip((0.22 - diamond) * 9, 0, 1)
    colour = field + (line - field) * np.maximum(lattice, dot)[..., None] * 0.75
    weave = np.sin(rows * math.pi / 2) * np.sin(columns * math.pi / 2)
    fuzz = noise.normal(size=(TEXTURE, TEXTURE))
    return colour * np.exp(0.06 * weave + 0.13 * fuzz + 0.05 * _smooth(noise, 32))[..., None]


_PAINTERS = {"wood": _wood, "grass": _grass, "sand": _sand, "tiles": _tiles, "snow": _snow, "carpet": _carpet}

_WALLS = ((206, 198, 184), (184, 196, 202), (196, 204, 186), (212, 192, 182), (188, 186, 204), (214, 210, 200))


def backdrop(ground: str, light: str, seed: int, width: int, height: int) -> Array:
    """Linear picture [height, width, 3] of what is behind the ground, its last row where ground and backdrop meet."""
    draw = random.Random(seed * 31 + 5)
    paint = _sky if ground in OUTDOORS else _wall
    # Painted at half size and blurred: what is far is out of focus, and half the pixels are a quarter of the work.
    small = paint(ground, light, draw, max(width // 2, 8), max(height // 2, 4))
    channels = [
        Image.fromarray(np.ascontiguousarray(small[..., c])).resize((width, height), Image.Resampling.BILINEAR)
        for c in range(3)
    ]
    return np.stack([np.asarray(c) for c in channels], 2)


def _wall(ground: str, light: str, draw: random.Random, width: int, height: int) -> Array:
    lamp = LIGHTS[light]
    rows = np.linspace(1, 0, height, dtype=np.float32)[:, None, None]
    columns = np.linspace(-1, 1, width, dtype=np.float32)[None, :, None]
    wall = linear(*draw.choice(_WALLS))
    side, lift = draw.choice((-1, 1)) * draw.uniform(0.2, 0.8), draw.uniform(0.2, 0.9)
    pool = np.exp(-(((columns - side) / 0.75) ** 2) - ((rows - lift) / 0.8) ** 2)
    strength = {"day": 0.30, "sunset": 0.55, "night": 0.34}[light]
    light_here = np.array(lamp.ambient, np.float32) * 0.95 + np.array(lamp.sun, np.float32) * (
        0.16 + strength * pool
    ) * (0.45 if light == "night" else 1.0)
    picture = np.broadcast_to(wall, (height, width, 3)) * light_here
    if draw.random() < 0.6:
        picture = _window_light(picture, lamp, draw, 0.07 if light == "night" else 0.22)
    skirting = max(round(height * 0.06), 1) if ground != "wood" else 0
    if skirting:
        picture[-skirting:] = linear(226, 220, 210) * light_here[-skirting:] * 0.9
        picture[-skirting - 1] *= 0.72
    return picture


def _window_light(picture: Array, lamp: Light, draw: random.Random, strength: float) -> Array:
    """A slanting patch of light as a window with two panes throws it."""
    height, width, _ = picture.shape
    mask = Image.new("L", (width, height), 0)
    pen = ImageDraw.Draw(mask)
    left, pane, slant = draw.uniform(0.05, 0.6) * width, 0.14 * width, 0.10 * width * draw.choice((-1, 1))
    for i in range(2):
        x = left + i * pane * 1.12
        pen.polygon([(x + slant, 0), (x + pane + slant, 0), (x + pane, height * 0.72), (x, height * 0.72)], fill=255)
    soft = np.asarray(mask.filter(ImageFilter.GaussianBlur(max(width / 90, 0.6))), np.float32)[..., None] / 255
    return picture + picture * soft * strength * np.array(lamp.sun, np.float32) * 2


def _sky(ground: str, light: str, draw: random.Random, width: int, height: int) -> Array:
    lamp = LIGHTS[light]
    rows = np.linspace(1, 0, height, dtype=np.float32)[:, None, None]
    columns = np.linspace(-1, 1, width, dtype=np.float32)[None, :]
    zenith, horizon = np.array(lamp.zenith, np.float32), np.array(lamp.horizon, np.float32)
    picture = np.broadcast_to(horizon + (zenith - horizon) * rows**0.8, (height, width, 3)).copy()
    noise = np.random.RandomState(draw.randrange(2**31))
    if light == "night":
        stars = noise.random_sample((height, width)) > 0.994
        picture += (stars * noise.random_sample((height, width)) * 0.5).astype(np.float32)[..., None]
    else:
        picture += _clouds(noise, width, height) * (horizon * 0.35 + 0.16)
    if light == "sunset":
        at = draw.uniform(-0.8, 0.8)
        glow = np.exp(-(((columns - at) / 0.35) ** 2)) * np.exp(-((rows[..., 0] / 0.55) ** 2))
        picture += glow[..., None] * np.array([0.75, 0.36, 0.10], np.float32)
    return _hills(picture, ground, light, draw)


def _clouds(noise: np.random.RandomState, width: int, height: int) -> Array:
    total = np.zeros((height, width), np.float32)
    for cells, weight in ((3, 0.6), (7, 0.3), (15, 0.15)):
        grid = Image.fromarray(noise.random_sample((cells, cells * 2)).astype(np.float32))
        total += np.asarray(grid.resize((width, height), Image.Resampling.BICUBIC)) * weight
    return np.clip((total - 0.52) * 2.6, 0, 1)[..., None]


_HILLS = {
    "grass": ((72, 104, 60), (112, 140, 122)),
    "sand": ((196, 166, 122), (84, 142, 168)),
    "snow": ((190, 204, 222), (128, 148, 172)),
}


def _hills(picture: Array, ground: str, light: str, draw: random.Random) -> Array:
    """Two soft ridges at the horizon; on sand the far one is the sea and lies flat."""
    height, width, _ = picture.shape
    lamp = LIGHTS[light]
    shine = np.array(lamp.ambient, np.float32) * 0.8 + np.array(lamp.sun, np.float32) * (
        0.08 if light == "night" else 0.42
    )
    x = np.linspace(0, 2 * math.pi, width, dtype=np.float32)
    below = np.arange(height, 0, -1, dtype=np.float32)[:, None] / height
    for layer in (1, 0):
        base = linear(*_HILLS[ground][layer]) * shine
        base = base + (np.array(lamp.horizon, np.float32) * 0.6 - base) * (0.35 if layer else 0.12)
        if ground == "sand" and layer:
            crest = np.full(width, 0.34, np.float32)
        else:
            crest = (
                0.16
                + 0.16 * layer
                + (0.05 + 0.05 * layer)
                * (
                    np.sin(x * draw.uniform(0.6, 1.3) + draw.uniform(0, 6))
                    + 0.5 * np.sin(x * draw.uniform(2, 3.4) + draw.uniform(0, 6))
                )
            )
        cover = np.clip((crest[None] - below) * height / 1.5 + 0.5, 0, 1)[..., None]
        picture = picture + (base - picture) * cover
    return picture
