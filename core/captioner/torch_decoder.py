"""The captioner as a decoder session: prefix and words through one key/value cache."""

from __future__ import annotations

from typing import Any, cast

import numpy as np
import torch

from core.captioner.captioner import Captioner


class TorchDecoder:
    """Implements :class:`core.captioner.decoding.DecoderSession` on the captioner's device."""

    def __init__(self, captioner: Captioner) -> None:
        self._captioner = captioner.eval()
        self.end_token_id = captioner.end_token_id

    @torch.inference_mode()
    def prefill(self, embeddings: np.ndarray) -> tuple[np.ndarray, Any]:
        """Run the prefix of ``[B, dim]`` once; logits ``[B, V]`` of the first word."""
        model = self._captioner
        vectors = torch.from_numpy(np.ascontiguousarray(embeddings, np.float32)).to(model.device)
        cache = new_cache(model)
        hidden = model.run(model.prefix(vectors), cache)
        return _numpy(model.head(hidden[:, -1])), cache

    @torch.inference_mode()
    def step(self, cache: Any, tokens: np.ndarray) -> tuple[np.ndarray, Any]:
        """Append ``tokens`` ``[B]``; logits ``[B, V]`` of the next word. The cache passed in is used up."""
        model = self._captioner
        ids = torch.from_numpy(np.asarray(tokens, np.int64)).to(model.device)[:, None]
        hidden = model.run(model.embed_tokens(ids), cache)
        return _numpy(model.head(hidden[:, -1])), cache

    @torch.inference_mode()
    def select(self, cache: Any, rows: np.ndarray) -> Any:
        """Keep, repeat or reorder rows. The cache passed in is used up."""
        cache.batch_select_indices(torch.from_numpy(np.asarray(rows, np.int64)).to(self._captioner.device))
        return cache


def new_cache(captioner: Captioner) -> Any:
    """An empty key/value cache for the captioner's language model."""
    from transformers import DynamicCache

    return DynamicCache(config=cast(Any, captioner.lm).config)


def _numpy(logits: torch.Tensor) -> np.ndarray:
    return logits.float().cpu().numpy()
