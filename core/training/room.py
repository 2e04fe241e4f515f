"""How much memory the models of a training take, told from their names before anything is downloaded or loaded."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from core.devices import Device, choose_device, fit
from core.errors import UserError
from core.hub.get import ask_about, described, get
from core.hub.pins import ModelPin, read_pins
from core.jobs import JobContext
from core.known_models import LARGE_LM, Kind, known_models, memory_bytes
from core.library.library import Library
from core.library.queries import seeds
from core.training.adaptation import adapted
from core.training.messages import TrainRequest
from core.training.presets import Preset


def get_models(ctx: JobContext, library: Library, request: TrainRequest, preset: Preset) -> None:
    """Download what a training names and is not here; what cannot fit is refused before gigabytes of it have come.

    Raises:
        UserError: as :func:`said_room`, :func:`core.hub.get.pinned_or_asked` and :func:`core.hub.get.get`.
    """
    asked = ask_about(ctx, (request.encoder, request.lm))
    if not asked:
        return
    said = said_room(choose_device(request.device), library, request, preset, asked)
    for pin in asked.values():
        ctx.progress(0, None, f"{described(pin)}. {said}".strip())
        get(ctx, pin)


def said_room(
    device: Device,
    library: Library,
    request: TrainRequest,
    preset: Preset,
    asked: Mapping[str, ModelPin] | None = None,
) -> str:
    """A sentence on whether a training fits ``device``; empty where nobody knows how large a model is.

    ``asked``: what the hub said of models that are not noted here yet, by name.

    Raises:
        UserError: it does not fit, however little else runs.
    """
    captions = sum(len(one.texts) for one in seeds(library))
    needed = needed_bytes(request.encoder, request.lm, preset, captions, asked)
    return "" if needed is None else fit(device, needed)


def needed_bytes(
    encoder: str, lm: str, preset: Preset, captions: int, asked: Mapping[str, ModelPin] | None = None
) -> int | None:
    """Bytes of the models while ``preset`` learns from so many captions, or ``None``."""
    pins = {**read_pins(), **(asked or {})}
    seen = parameters_of("encoder", encoder, pins.get(encoder))
    said = parameters_of("language_model", lm, pins.get(lm))
    if seen is None or said is None:
        return None
    learns = adapted(preset, captions, large=said > LARGE_LM).lm.train
    return memory_bytes("encoder", seen) + memory_bytes("language_model", said, learns)


def parameters_of(kind: Kind, name: str, pin: ModelPin | None = None) -> int | None:
    """How many numbers a model has: as its pin says, or the list, or the headers of its files; ``None``: unknown."""
    if pin is not None and pin.parameters:
        return pin.parameters
    known = next((one for one in known_models() if (one.kind, one.name) == (kind, name)), None)
    if known is not None:
        return round(known.parameters_m * 1e6)
    scheme, _, place = name.partition(":")
    if scheme == "gguf":
        return _in_gguf(Path(place).expanduser())
    if scheme == "dir" or place.startswith("local-dir:"):
        return _in_folder(Path(place.removeprefix("local-dir:")).expanduser())
    return None


def _in_gguf(place: Path) -> int | None:
    """Of the header alone: the numbers themselves are not read."""
    from gguf import GGUFReader

    from core.captioner.language_model import gguf_file

    try:
        return sum(int(tensor.n_elements) for tensor in GGUFReader(gguf_file(place)).tensors) or None
    except (UserError, OSError, ValueError, KeyError, IndexError):
        return None  # whoever loads it says what is wrong


def _in_folder(folder: Path) -> int | None:
    from math import prod

    from safetensors import SafetensorError, safe_open

    total = 0
    try:
        for file in folder.glob("*.safetensors"):
            with safe_open(file, framework="np") as tensors:
                total += sum(prod(tensors.get_slice(name).get_shape()) for name in tensors.keys())  # noqa: SIM118
    except (OSError, SafetensorError):
        return None  # whoever loads it says what is wrong
    return total or None
