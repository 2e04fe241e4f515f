"""The list of models worth naming: encoders and language models with what a person must know before a download."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

Kind = Literal["encoder", "language_model"]
LIST = Path(__file__).with_name("models.toml")
_LOADED, _LEARNING = 4, 16


@dataclass(frozen=True)
class KnownModel:
    """A model by the name that settings, runs and bundles have for it.

    ``parameters_m``: millions of parameters; ``bytes``: of each in the file that is downloaded; ``download``: whether
    anything is; ``sentence``: what it is good for.
    """

    kind: Kind
    name: str
    parameters_m: float
    bytes: int
    licence: str
    sentence: str
    download: bool = True

    @property
    def size_mb(self) -> int:
        """What is downloaded, in megabytes (10⁶ bytes), about: the numbers alone; 0 for what is here already."""
        return round(self.parameters_m * self.bytes) if self.download else 0

    @property
    def memory_mb(self) -> int:
        """Memory in use while training, in megabytes: :func:`memory_mb` of it."""
        return memory_mb(self.kind, self.parameters_m)


def memory_mb(kind: Kind, parameters_m: float) -> int:
    """Memory in use while training, in megabytes, about; photos, captions and the program come on top.

    An encoder is loaded in float32 and stays as it is: 4 bytes a parameter. All of a language model learns: its
    weights, their gradients and the two moments of AdamW, 16 bytes; adapters need a little more than 4.
    """
    return round(parameters_m * (_LOADED if kind == "encoder" else _LEARNING))


def known_models(file: Path = LIST) -> tuple[KnownModel, ...]:
    """Encoders, then language models, in the order of the list."""
    document: dict[str, Any] = tomllib.loads(file.read_text(encoding="utf-8"))
    kinds: tuple[Kind, ...] = ("encoder", "language_model")
    return tuple(KnownModel(kind, **row) for kind in kinds for row in document[kind])
