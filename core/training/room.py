"""How much memory the models of a training take, told from their names before anything is loaded."""

from __future__ import annotations

from pathlib import Path

from core.devices import Device, fit
from core.hub.pins import read_pins
from core.known_models import Kind, known_models
from core.training.adaptation import adapted
from core.training.presets import Preset
from core.training.stage1 import LARGE_LM

_BYTES = {"none": 4, "lora": 8, "last": 10, "all": 20}
"""For a number of the language model, by what of it learns: itself in float32; where it changes, what it was, to
compare with; where it learns as a whole, its gradient and the two moments of AdamW, too (estimated for ``last``)."""
_ENCODER_BYTES = 4


def said_room(device: Device, encoder: str, lm: str, preset: Preset, captions: int) -> str:
    """A sentence on whether a training fits ``device``; empty where nobody knows how large a model is.

    Raises:
        UserError: it does not fit, however little else runs.
    """
    needed = needed_bytes(encoder, lm, preset, captions)
    return "" if needed is None else fit(device, needed)


def needed_bytes(encoder: str, lm: str, preset: Preset, captions: int) -> int | None:
    """Bytes of the models while ``preset`` learns from so many captions, or ``None``."""
    seen, said = parameters_of("encoder", encoder), parameters_of("language_model", lm)
    if seen is None or said is None:
        return None
    learns = adapted(preset, captions, large=said > LARGE_LM).lm.train
    return _ENCODER_BYTES * seen + _BYTES[learns] * said


def parameters_of(kind: Kind, name: str) -> int | None:
    """How many numbers a model has: as its pin says, or the list, or the headers of its files; ``None``: unknown."""
    pin = read_pins().get(name)
    if pin is not None and pin.parameters:
        return pin.parameters
    known = next((one for one in known_models() if (one.kind, one.name) == (kind, name)), None)
    if known is not None:
        return round(known.parameters_m * 1e6)
    scheme, _, place = name.partition(":")
    if scheme == "dir" or place.startswith("local-dir:"):
        return _in_folder(Path(place.removeprefix("local-dir:")).expanduser())
    return None


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
