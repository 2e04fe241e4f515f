"""From a picture to the numbers an image encoder takes: one Pillow path for torch and for ONNX.

It gives what open_clip's evaluation transform gives: Pillow resizes the 8-bit picture (antialiased), then the values
are scaled to 0..1 and normalised per channel.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from PIL import Image

from core.images.decode import load_image

_LONGEST_RATIO = 64
"""A strip longer than this many times its width is cut before it is resized, or it would become a huge picture."""
DRAFT_MARGIN = 8
"""How many times the encoder's side a JPEG that is decoded smaller must still measure. Up to four times, vectors were
found that differ from those of the whole decode by more than a cosine of 0.999 allows (docs/decisions/0029)."""
_RESAMPLING = {"bicubic": Image.Resampling.BICUBIC, "bilinear": Image.Resampling.BILINEAR}


@dataclass(frozen=True)
class Preprocess:
    """How an encoder wants its pictures.

    ``size``: side of the square, pixels. ``mean`` and ``std``: per channel, of values scaled to 0..1. ``resize_mode``:
    ``squash`` makes the whole picture a square; ``shortest`` shrinks the shorter side to ``size`` and takes the centre.
    """

    size: int
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    resize_mode: Literal["squash", "shortest"] = "squash"
    interpolation: Literal["bicubic", "bilinear"] = "bicubic"

    def __post_init__(self) -> None:
        if not 1 <= self.size <= 4096:
            raise ValueError(f"The picture size must be from 1 to 4096 pixels, not {self.size}.")
        if self.resize_mode not in ("squash", "shortest"):
            raise ValueError(f"The resize mode must be 'squash' or 'shortest', not {self.resize_mode!r}.")
        if self.interpolation not in _RESAMPLING:
            raise ValueError(f"The interpolation must be 'bicubic' or 'bilinear', not {self.interpolation!r}.")
        for name in ("mean", "std"):
            values = tuple(float(value) for value in getattr(self, name))
            if len(values) != 3 or not np.all(np.isfinite(values)) or (name == "std" and min(values) <= 0):
                raise ValueError(f"{name} must be three finite numbers (std: above 0), not {getattr(self, name)!r}.")
            object.__setattr__(self, name, values)

    def key(self) -> str:
        """A short stable hash of every setting: vectors made with other settings are never mixed with these."""
        text = json.dumps(self.to_dict(), sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON, read back by :meth:`from_dict`."""
        values = asdict(self)
        return {**values, "mean": list(self.mean), "std": list(self.std)}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Preprocess:
        """The reverse of :meth:`to_dict`; raises ``ValueError`` for values that make no sense."""
        try:
            return cls(
                size=int(values["size"]),
                mean=tuple(values["mean"]),  # pyright: ignore[reportArgumentType] - checked in __post_init__
                std=tuple(values["std"]),  # pyright: ignore[reportArgumentType]
                resize_mode=values["resize_mode"],
                interpolation=values["interpolation"],
            )
        except (KeyError, TypeError, OverflowError) as error:
            raise ValueError(f"Preprocessing settings are not complete: {error}") from error


def preprocess(image: Image.Image, spec: Preprocess) -> np.ndarray:
    """``image`` as float32 ``[3, size, size]``, channels in RGB order, normalised with ``spec``."""
    return normalised(square(image, spec), spec)


def square(image: Image.Image, spec: Preprocess) -> np.ndarray:
    """``image`` as the encoder sees it but for its scale: uint8 ``[size, size, 3]``, a quarter of the memory."""
    picture = image if image.mode == "RGB" else image.convert("RGB")
    resampling = _RESAMPLING[spec.interpolation]
    if spec.resize_mode == "squash":
        return np.asarray(picture.resize((spec.size, spec.size), resampling))
    return np.asarray(_shortest_side_and_crop(picture, spec.size, resampling))


def normalised(squares: np.ndarray, spec: Preprocess) -> np.ndarray:
    """Squares uint8 ``[..., size, size, 3]`` as float32 ``[..., 3, size, size]``, normalised with ``spec``."""
    values = squares.astype(np.float32) / np.float32(255.0)
    values = (values - np.asarray(spec.mean, np.float32)) / np.asarray(spec.std, np.float32)
    return np.ascontiguousarray(np.moveaxis(values, -1, -3))


def load_pixels(path: Path, spec: Preprocess) -> np.ndarray:
    """Decode and preprocess a photo: float32 ``[3, size, size]``. Raises ``ImageError`` with the reason."""
    return normalised(load_square(path, spec), spec)


def load_square(path: Path, spec: Preprocess) -> np.ndarray:
    """Decode a photo to what :func:`square` gives. Raises ``ImageError`` with the reason.

    Large JPEGs are decoded at a fraction of their size, never below :data:`DRAFT_MARGIN` times the side that the
    encoder takes.
    """
    return square(load_image(path, min_side=DRAFT_MARGIN * spec.size), spec)


def _shortest_side_and_crop(picture: Image.Image, size: int, resampling: Image.Resampling) -> Image.Image:
    """Shrink the shorter side to ``size`` and keep the centre, with torchvision's roundings."""
    short = min(picture.size)
    if max(picture.size) > _LONGEST_RATIO * short:
        picture = _centre(picture, _LONGEST_RATIO * short)
    width, height = (size if side == short else int(size * side / short) for side in picture.size)
    scaled = picture.resize((width, height), resampling)
    left, top = round((width - size) / 2.0), round((height - size) / 2.0)
    return scaled.crop((left, top, left + size, top + size))


def _centre(picture: Image.Image, longest: int) -> Image.Image:
    """At most the middle ``longest`` pixels of each side: what lies beyond would be cropped away after resizing."""
    width, height = picture.size
    left, top = max(0, (width - longest) // 2), max(0, (height - longest) // 2)
    return picture.crop((left, top, width - left, height - top))
