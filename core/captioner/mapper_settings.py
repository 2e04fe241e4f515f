"""What a mapper is like, as data; no torch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

from core.errors import UserError

MapperKind = Literal["mlp", "transformer", "linear"]
_MOST = {"prefix_length": 256, "hidden": 1 << 16, "layers": 64, "heads": 256, "clip_length": 256}
"""A checkpoint that asks for more is damaged, or means to fill the memory."""


@dataclass(frozen=True)
class MapperSettings:
    """The kind of mapper, the length of its prefix, and what else the kind has.

    ``hidden``: the width between an MLP's two layers, or inside a transformer's feed-forward parts; 0 takes the
    published one. ``layers``, ``heads`` and ``clip_length`` (positions that the image vector is spread over) are a
    transformer's.
    """

    kind: MapperKind = "mlp"
    prefix_length: int = 10
    hidden: int = 0
    layers: int = 8
    heads: int = 8
    clip_length: int = 10

    def resolved(self, width: int) -> MapperSettings:
        """With every number filled in for a language model of this width, and 0 where the kind does not have it.

        Raises:
            UserError: there is no such mapper, or it does not fit the width.
        """
        if self.kind == "mlp":
            found = MapperSettings("mlp", self.prefix_length, self.hidden or self.prefix_length * width // 2, 0, 0, 0)
        elif self.kind == "linear":
            found = MapperSettings("linear", self.prefix_length, 0, 0, 0, 0)
        elif self.kind == "transformer":
            hidden = self.hidden or 2 * width
            found = MapperSettings("transformer", self.prefix_length, hidden, self.layers, self.heads, self.clip_length)
        else:
            raise UserError(
                f"There is no mapper of the type '{self.kind}'.", f"Choose one of: {', '.join(get_args(MapperKind))}."
            )
        found._check(width)
        return found

    def _check(self, width: int) -> None:
        used = {
            "mlp": ("prefix_length", "hidden"),
            "linear": ("prefix_length",),
            "transformer": ("prefix_length", "hidden", "layers", "heads", "clip_length"),
        }
        for name in used[self.kind]:
            value = getattr(self, name)
            if not 1 <= value <= _MOST[name]:
                raise UserError(
                    f"A {self.kind} mapper cannot have {name} = {value}.", f"Choose 1 to {_MOST[name]} for {name}."
                )
        if self.kind == "transformer" and width % self.heads:
            raise UserError(
                f"A transformer mapper of {self.heads} heads does not fit a language model that is {width} wide.",
                f"Choose a number of heads that divides {width}.",
            )
