"""From the language model's words to the text tower's: what a gradient by the tower's input says about the words drawn.

The two may cut text differently, and have different vocabularies. What the tower reads is always the text that is
shown, prompt included, cut its own way; the bridge says which of its positions each word drawn stands at, and which
vector each word of the language model would have there.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import nn

from core.captioner.captioner import Captioner
from core.encoders.encoder import Encoder
from core.encoders.open_clip_encoder import OpenClipEncoder
from core.errors import UserError

_TEXTS_AT_ONCE = 4096


class Bridge:
    """Tables ``[V, width]`` of the language model's words as vectors of the text tower.

    ``first``: as the first word after the prompt; ``later``: anywhere else. Where both models have one vocabulary, a
    word's vector is the tower's own; else the mean of those that the tower cuts the word into.

    Raises:
        UserError: the encoder's text tower has no table of words that can be reached.
    """

    def __init__(self, encoder: Encoder, captioner: Captioner) -> None:
        table = encoder.token_embedding() if isinstance(encoder, OpenClipEncoder) else None
        if not isinstance(encoder, OpenClipEncoder) or table is None:
            raise UserError(
                f"The text tower of the encoder '{encoder.id}' cannot pass gradients on to words.",
                "Choose another encoder, or the method leave-one-out.",
            )
        self._encoder, self._captioner = encoder, captioner
        inner = getattr(encoder.tokenizer, "tokenizer", encoder.tokenizer)
        words = _spelled(captioner.tokenizer, len(captioner.embed_tokens_table()))
        own = _spelled(inner, table.num_embeddings)
        special = set(getattr(inner, "all_special_ids", ()))
        self._own_lengths = np.array([0 if i in special else _visible(one) for i, one in enumerate(own)])
        special = set(captioner.tokenizer.all_special_ids)
        self._lengths = np.array([0 if i in special else _visible(one) for i, one in enumerate(words)])
        spaced = self._vectors(table, words, prompt=True)
        if _vocabulary(inner) == _vocabulary(captioner.tokenizer):
            later = table.weight.detach().clone()
        else:
            leads = torch.tensor([one[:1].isspace() for one in words], device=spaced.device)
            later = torch.where(leads[:, None], spaced, self._vectors(table, words, prompt=False))
        for vectors in (spaced, later):  # the end and its like are no words: neither good nor bad in the place of one
            vectors[list(special)] = table.weight.detach().mean(dim=0)
        self.first, self.later = spaced, later
        self._prompt_length = _visible(encoder.prompt)

    def similarities(self, images: torch.Tensor, rows: Sequence[Sequence[int]], words: torch.Tensor) -> torch.Tensor:
        """Cosines ``[R]`` of ``images`` ``[R, dim]`` and the captions that ``rows`` of tokens spell, as they are shown.

        ``words`` ``[R, L, width]``: the vectors of the words at each position of the rows, soft where they carry a
        gradient; their values do not count, only what the cosine would be if they were a little different does.
        """
        captions = [self._captioner.decode(row) for row in rows]
        ids = self._encoder.caption_ids(captions).to(words.device)
        places = torch.from_numpy(self._places(ids.cpu().numpy(), rows, words.shape[1])).to(words)
        shift = places @ (words - words.detach())
        texts = self._encoder.shifted_text_embeddings(ids, shift)
        return (texts * images).sum(dim=-1)

    def _places(self, ids: np.ndarray, rows: Sequence[Sequence[int]], width: int) -> np.ndarray:
        """Which share of each position of the tower's ``ids`` ``[R, M]`` each of the words drawn makes up.

        ``[R, M, width]``, told by counting the characters that are seen: the rows of a position sum to 1 or 0.
        """
        places = np.zeros((len(rows), ids.shape[1], width), np.float32)
        for row, (own, tokens) in enumerate(zip(ids, rows, strict=True)):
            length = self._own_lengths[own]
            end = np.cumsum(length) - self._prompt_length
            drawn = self._lengths[np.asarray(tokens, np.int64)]
            stop = np.cumsum(drawn)
            overlap = np.minimum(end[:, None], stop) - np.maximum((end - length)[:, None], stop - drawn)
            places[row, :, : len(tokens)] = np.maximum(overlap, 0) / np.maximum(length, 1)[:, None]
        return places

    def _vectors(self, table: nn.Embedding, words: Sequence[str], *, prompt: bool) -> torch.Tensor:
        """For each word the mean vector of what the tower cuts it into; the table's mean where it is no text."""
        mean = table.weight.detach().mean(dim=0)
        rows = []
        for start in range(0, len(words), _TEXTS_AT_ONCE):
            ids = self._encoder.caption_ids(
                [one.strip() for one in words[start : start + _TEXTS_AT_ONCE]], prompt=prompt
            )
            lengths = torch.from_numpy(self._own_lengths)[ids.cpu()]
            use = lengths > 0
            if prompt:
                use &= lengths.cumsum(dim=1) > _visible(self._encoder.prompt)
            use = use.to(table.weight.device)
            vectors = torch.einsum("nm,nmd->nd", use.to(table.weight.dtype), table.weight.detach()[ids.to(use.device)])
            count = use.sum(dim=1, keepdim=True)
            rows.append(torch.where(count > 0, vectors / count.clamp(min=1), mean))
        return torch.cat(rows)


def _spelled(tokenizer: Any, count: int) -> list[str]:
    """The text of each token by itself; "" for ids that are no token."""
    known = min(count, len(tokenizer) if hasattr(tokenizer, "__len__") else tokenizer.vocab_size)
    fast = getattr(tokenizer, "backend_tokenizer", None)
    alone = [[i] for i in range(known)]
    found = fast.decode_batch(alone, skip_special_tokens=False) if fast else [tokenizer.decode(one) for one in alone]
    return found + [""] * (count - known)


def _visible(text: str) -> int:
    return sum(not character.isspace() for character in text)


def _vocabulary(tokenizer: Any) -> dict[str, int]:
    return tokenizer.get_vocab() if hasattr(tokenizer, "get_vocab") else tokenizer.encoder
