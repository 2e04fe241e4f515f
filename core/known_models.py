"""The list of models worth naming: encoders and language models with what a person must know before a download."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

Kind = Literal["encoder", "language_model"]
LIST = Path(__file__).with_name("models.toml")
LARGE_LM = 50_000_000
"""Parameters above which a language model is of a size that is published pre-trained."""
_ENCODER = 4
_LEARNING = {"none": 4, "lora": 8, "last": 10, "all": 20}


@dataclass(frozen=True)
class KnownModel:
    """A model by the name that settings, runs and bundles have for it.

    ``parameters_m``: millions of parameters; ``bytes``: of each in the file that is downloaded; ``download``: whether
    anything is; ``sentence``: what it is good for; ``title``: its name as people say it.
    """

    kind: Kind
    name: str
    parameters_m: float
    bytes: int
    licence: str
    sentence: str
    download: bool = True
    title: str = ""

    @property
    def size_mb(self) -> int:
        """What is downloaded, in megabytes (10⁶ bytes), about: the numbers alone; 0 for what is here already."""
        return round(self.parameters_m * self.bytes) if self.download else 0

    @property
    def memory_mb(self) -> int:
        """Memory in use while training, in megabytes (10⁶ bytes): :func:`memory_bytes` of it."""
        return round(memory_bytes(self.kind, self.parameters_m * 1e6) / 1e6)


def memory_bytes(kind: Kind, parameters: float, learns: str = "auto") -> int:
    """Memory in use while training, in bytes, about; photos, captions and the program come on top.

    For each parameter: 4 of an encoder, which is loaded in float32 and stays as it is. Of a language model itself in
    float32; where it changes, what it was, to compare with; where it learns as a whole, its gradient and the two
    moments of AdamW, too (estimated for ``last``).

    Args:
        learns: what of a language model, as ``lm.train`` has it; ``auto``: a small one as a whole, of a large one
            (:data:`LARGE_LM`) adapters, as up to some hundred captions have it.
    """
    if learns == "auto":
        learns = "lora" if parameters > LARGE_LM else "all"
    return round(parameters * (_ENCODER if kind == "encoder" else _LEARNING[learns]))


def known_models(file: Path = LIST) -> tuple[KnownModel, ...]:
    """Encoders, then language models, in the order of the list."""
    document: dict[str, Any] = tomllib.loads(file.read_text(encoding="utf-8"))
    kinds: tuple[Kind, ...] = ("encoder", "language_model")
    return tuple(KnownModel(kind, **row) for kind in kinds for row in document[kind])


def did_you_mean(name: str, *kinds: Kind) -> str:
    """A question naming the known models that somebody may mean by ``name``, with a space after it; "" if none."""
    wanted = _letters(name)
    among = [one for one in known_models() if one.download and (not kinds or one.kind in kinds)]
    meant = [one.name for one in among if len(wanted) > 2 and wanted in _letters(f"{one.name} {one.title}")]
    return f"Did you mean {' or '.join(meant)}? " if meant else ""


def _letters(text: str) -> str:
    return "".join(filter(str.isalnum, text.lower()))
