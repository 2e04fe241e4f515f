"""Encoders by name, whatever runs them; this module needs no torch."""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from typing import Any

from core.devices import AUTO, choose_device
from core.encoders.encoder import Encoder
from core.errors import UserError
from core.known_models import did_you_mean


@dataclass(frozen=True)
class Loader:
    """``module``: where ``load_encoder(name, device)`` stands; ``names``: what names it takes, for people."""

    module: str
    names: str


_OPEN_CLIP = "core.encoders.open_clip_encoder"
LOADERS: dict[str, Loader] = {
    "starter": Loader(_OPEN_CLIP, "starter"),
    "open_clip": Loader(
        _OPEN_CLIP, "open_clip:ARCH/PRETRAINED, open_clip:hf-hub:REPO[@REVISION], open_clip:local-dir:PATH"
    ),
}
"""By what a name begins with, up to its first colon. ``docs/extending.md`` shows how to add an encoder."""


def load_encoder(name: str, device: Any = AUTO) -> Encoder:
    """The encoder of this name, ready to embed on ``device``; its module is imported now and not before.

    ``auto``: on what :func:`core.devices.choose_device` takes, so that ``SEEDCAP_DEVICE`` counts.

    Training and bundles need more than :class:`Encoder` has, and load with ``core.encoders.open_clip_encoder``.

    Raises:
        UserError: the name is not understood, the model is missing or damaged, or there is no such device.
    """
    loader = LOADERS.get(name.partition(":")[0])
    if loader is None:
        known = ", ".join(one.names for one in LOADERS.values())
        raise UserError(f"'{name}' does not name an encoder.", f"{did_you_mean(name, 'encoder')}Use one of: {known}.")
    place = choose_device().name if device == AUTO else device
    return importlib.import_module(loader.module).load_encoder(name, place)
