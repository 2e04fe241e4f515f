"""The captioner: a mapper that turns an image vector into a prefix, and the language model that goes on from there."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import nn
from torch.nn import functional as F

from core.captioner.language_model import LanguageModel, logits_of, tokenizer_sha256
from core.captioner.mapper import Mapper, make_mapper
from core.captioner.mapper_settings import MapperSettings
from core.encoders.encoder import Encoder
from core.errors import UserError
from core.running_out import room_for

IGNORE = -100
"""Marks padding in targets. Never a token id: 0 is a word in GPT-2's and CLIP's vocabularies."""
_SHORTEST_ROOM = 8
"""Word pieces that must fit after the prefix."""


@dataclass(frozen=True)
class CheckpointInfo:
    """What a captioner was made for; loading it with anything else is refused by name.

    ``mapper_…``, ``clip_length`` and ``prefix_length`` are those of :class:`MapperSettings`, 0 where the type of mapper
    does not have them. ``caption_tokens``: how long its captions may become, the end token counted; the seeds it
    learned from decide.
    """

    encoder_id: str
    encoder_fingerprint: str
    dim: int
    normalised: bool
    mapper_type: str
    mapper_hidden: int
    prefix_length: int
    lm_id: str
    tokenizer_sha256: str
    end_token_id: int
    caption_tokens: int = 32
    mapper_layers: int = 0
    mapper_heads: int = 0
    clip_length: int = 0

    @property
    def mapper(self) -> MapperSettings:
        return MapperSettings(
            cast(Any, self.mapper_type),
            self.prefix_length,
            self.mapper_hidden,
            self.mapper_layers,
            self.mapper_heads,
            self.clip_length,
        )


class Captioner(nn.Module):
    """``prefix_length`` vectors from the mapper, then the caption's tokens, then an explicit end token.

    There is no begin token: the first word is predicted at the last prefix position (ClipCap's arrangement).
    """

    def __init__(self, mapper: Mapper, lm: nn.Module, tokenizer: Any, info: CheckpointInfo) -> None:
        super().__init__()
        self.mapper, self.lm, self.tokenizer, self.info = mapper, lm, tokenizer, info

    @property
    def device(self) -> torch.device:
        return next(self.parameters()).device

    @property
    def end_token_id(self) -> int:
        return self.info.end_token_id

    def prefix(self, embeddings: torch.Tensor) -> torch.Tensor:
        """Unit rows ``[B, dim]`` to prefix vectors ``[B, k, d]``."""
        return self.mapper(embeddings.to(self.mapper.dtype))

    def run(self, inputs: torch.Tensor, cache: Any = None) -> torch.Tensor:
        """The language model's last hidden states ``[B, L, d]`` for input vectors ``[B, L, d]`` after ``cache``."""
        base = cast(Any, self.lm).base_model
        return base(inputs_embeds=inputs, past_key_values=cache, use_cache=cache is not None).last_hidden_state

    def embed_tokens(self, ids: torch.Tensor) -> torch.Tensor:
        return cast(Any, self.lm).get_input_embeddings()(ids)

    def embed_tokens_table(self) -> torch.Tensor:
        """The language model's table of word vectors, ``[V, d]``."""
        return cast(Any, self.lm).get_input_embeddings().weight

    def head(self, hidden: torch.Tensor) -> torch.Tensor:
        """Logits over the vocabulary of hidden states."""
        return logits_of(self.lm, hidden)

    def hidden(self, embeddings: torch.Tensor, ids: torch.Tensor) -> torch.Tensor:
        """Hidden states ``[B, L, d]``: row i predicts ``ids[:, i]`` (``[B, L]``, padding of any id on the right)."""
        words = self.embed_tokens(ids[:, :-1].clamp(min=0))
        prefix = self.prefix(embeddings)
        return self.run(torch.cat([prefix, words.to(prefix.dtype)], dim=1))[:, prefix.shape[1] - 1 :]

    def logits(self, embeddings: torch.Tensor, ids: torch.Tensor) -> torch.Tensor:
        """Logits ``[B, L, V]`` that predict each of the L tokens of ``ids``."""
        return self.head(self.hidden(embeddings, ids))

    def forward(self, embeddings: torch.Tensor, ids: torch.Tensor) -> torch.Tensor:
        return self.logits(embeddings, ids)

    def token_losses(self, embeddings: torch.Tensor, ids: torch.Tensor, label_smoothing: float = 0.0) -> torch.Tensor:
        """Cross-entropy in nats of every token of ``ids`` ``[B, L]`` that is not :data:`IGNORE`, row by row, ``[n]``.

        Logits are computed for caption positions only: they are the largest tensor of training.
        """
        counted = ids != IGNORE
        logits = self.head(self.hidden(embeddings, ids)[counted]).float()
        return F.cross_entropy(logits, ids[counted], reduction="none", label_smoothing=label_smoothing)

    def loss(self, embeddings: torch.Tensor, ids: torch.Tensor, label_smoothing: float = 0.0) -> torch.Tensor:
        """Mean cross-entropy in nats per token, the end token included."""
        return self.token_losses(embeddings, ids, label_smoothing).mean()

    def encode(self, captions: Sequence[str], max_tokens: int = 64) -> list[list[int]]:
        """Token ids of each caption with the end token; longer ones are cut to ``max_tokens`` and still end.

        A caption that begins in lower case is spelled as its words are inside a sentence, with a space before the
        first, unless that takes more tokens: a language model knows " several" well, and at a beginning hardly
        anything but capitals, so that it would learn, and mix up, shreds like "se" and "veral".
        """
        plain = [caption.strip() for caption in captions]
        rows = self._token_ids(plain)
        lower = [at for at, text in enumerate(plain) if text[:1].islower()]
        for at, ids in zip(lower, self._token_ids([f" {plain[at]}" for at in lower]), strict=True):
            if len(ids) <= len(rows[at]):
                rows[at] = ids
        return [[*ids[: max_tokens - 1], self.end_token_id] for ids in rows]

    def _token_ids(self, texts: list[str]) -> list[list[int]]:
        if not texts:
            return []
        return self.tokenizer(texts, add_special_tokens=False, verbose=False)["input_ids"]

    def decode(self, tokens: Sequence[int]) -> str:
        """The caption that the tokens spell, special tokens left out."""
        text = self.tokenizer.decode(list(tokens), skip_special_tokens=True, clean_up_tokenization_spaces=False)
        return " ".join(text.split())

    @property
    def max_tokens(self) -> int:
        """How many caption tokens fit after the prefix."""
        positions = getattr(cast(Any, self.lm).config, "max_position_embeddings", None) or 1024
        return int(positions) - self.info.prefix_length


def put_onto(captioner: Captioner, device: str | torch.device) -> Captioner:
    """The captioner, moved to ``device``.

    Raises:
        NoRoomError: it does not go into the memory there.
    """
    with room_for(f"The language model '{captioner.info.lm_id}'", device):
        return captioner.to(device)


def new_captioner(
    encoder: Encoder, lm: LanguageModel, mapper: MapperSettings | None = None, *, seed: int | None = None
) -> Captioner:
    """A captioner with an untrained mapper, for this encoder and language model.

    Args:
        encoder: whose vectors it will see.
        lm: what it speaks with.
        mapper: by default ClipCap's MLP.
        seed: decides the mapper's first weights; ``None`` goes on with torch's own random numbers.

    Raises:
        UserError: the mapper does not fit the language model.
    """
    width = int(cast(Any, lm.model).get_input_embeddings().weight.shape[1])
    with torch.random.fork_rng(enabled=seed is not None):
        if seed is not None:
            torch.manual_seed(seed)
        made = make_mapper(encoder.dim, width, mapper or MapperSettings())
    info = CheckpointInfo(
        encoder_id=encoder.id,
        encoder_fingerprint=encoder.fingerprint,
        dim=encoder.dim,
        normalised=True,
        mapper_type=made.settings.kind,
        mapper_hidden=made.settings.hidden,
        prefix_length=made.settings.prefix_length,
        lm_id=lm.id,
        tokenizer_sha256=tokenizer_sha256(lm.tokenizer),
        end_token_id=int(lm.tokenizer.eos_token_id),
        mapper_layers=made.settings.layers,
        mapper_heads=made.settings.heads,
        clip_length=made.settings.clip_length,
    )
    captioner = Captioner(made, lm.model, lm.tokenizer, info).eval()
    if captioner.max_tokens < _SHORTEST_ROOM:
        raise UserError(
            f"A prefix of {made.settings.prefix_length} leaves no room for captions in '{lm.id}'.",
            "Choose a shorter prefix, or another language model.",
        )
    return captioner


def pad(rows: Sequence[Sequence[int]], value: int = IGNORE) -> torch.Tensor:
    """Token rows of different lengths as one tensor ``[n, longest]``, filled with ``value`` on the right."""
    padded = torch.full((len(rows), max((len(row) for row in rows), default=0)), value, dtype=torch.long)
    for target, row in zip(padded, rows, strict=True):
        target[: len(row)] = torch.tensor(row, dtype=torch.long)
    return padded
