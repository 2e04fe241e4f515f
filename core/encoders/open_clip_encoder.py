"""open_clip models as encoders: the embedded starter, a folder, a published checkpoint, or a model repository."""

from __future__ import annotations

import copy
import hashlib
from collections.abc import Sequence
from typing import Any, cast

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from core.encoders.open_clip_source import NAMES, open_source
from core.errors import UserError
from core.images.preprocess import Preprocess
from core.model_faults import faults_told
from core.running_out import Portion, in_portions, no_room, room_for

PROMPT = "A photo depicts "
_TRIMMED_POOLS = ("argmax", "eos")
_TEXT_BATCH = 256
_CPU_IMAGES = 8
"""Photos run at once on a processor: what the layers write then stays in its cache, and 32 take four times as long."""


class OpenClipEncoder:
    """A frozen open_clip model in float32; implements :class:`core.encoders.encoder.Encoder`.

    ``id`` is the name it was asked for by; ``fingerprint`` identifies weights and preprocessing, whatever the name.
    """

    def __init__(self, name: str, model: nn.Module, tokenizer: Any, device: str | torch.device = "cpu") -> None:
        self.id = name
        self.device = torch.device(device)
        self._layout = torch.channels_last  # convolutions are faster so, on a processor above all
        model = model.to(self.device, torch.float32).to(memory_format=self._layout)  # pyright: ignore[reportCallIssue]
        self.model = model.eval().requires_grad_(False)
        self.tokenizer = tokenizer
        self.prompt = PROMPT
        self.preprocess = _preprocess_of(model)
        self.fingerprint = _fingerprint(model, self.preprocess)
        self.context_length = int(getattr(tokenizer, "context_length", 77) or 77)
        self._text = _text_tower(model)
        self._texts_at_once = Portion(_TEXT_BATCH)
        self.trims_texts = _can_trim(self._text)
        with torch.inference_mode():
            self.dim = int(self.text_embeddings(self.token_ids(["a"])).shape[1])

    def encode_images(self, pixels: np.ndarray) -> np.ndarray:
        """Unit rows float32 ``[B, dim]`` of preprocessed pictures float32 ``[B, 3, H, W]``."""
        if len(pixels) == 0:
            return np.zeros((0, self.dim), np.float32)
        photos = torch.from_numpy(np.ascontiguousarray(pixels, np.float32)).contiguous(memory_format=self._layout)
        groups = photos.split(_CPU_IMAGES if self.device.type == "cpu" else len(photos))
        with torch.inference_mode():
            return torch.cat([self.image_embeddings(group) for group in groups]).cpu().numpy()

    def encode_texts(self, texts: Sequence[str], prompt: bool = True) -> np.ndarray:
        """Unit rows float32 ``[n, dim]``; ``prompt`` puts the encoder's prompt before each text, as scores do.

        Texts are batched by length and cut at the longest of their batch, so short captions cost little. What is
        longer than the context is cut by the tokenizer; :meth:`count_too_long` counts it.
        """
        result = np.zeros((len(texts), self.dim), np.float32)
        full = [self.prompt + text if prompt else text for text in texts]
        order = sorted(range(len(full)), key=lambda i: len(full[i]))

        def embedded(rows: Sequence[int]) -> tuple[list[int], np.ndarray]:
            return list(rows), self.text_embeddings(self.token_ids([full[i] for i in rows])).cpu().numpy()

        with torch.inference_mode():
            none_fits = no_room("Even one caption at a time", self.device)
            for rows, vectors in in_portions(order, self._texts_at_once, embedded, none_fits):
                result[rows] = vectors
        return result

    def count_too_long(self, texts: Sequence[str], prompt: bool = True) -> int:
        """How many of ``texts`` have more tokens than the text tower reads; their ends do not count in any score."""
        full = [self.prompt + text if prompt else text for text in texts]
        inner = getattr(self.tokenizer, "tokenizer", None)
        if inner is not None:
            cleaned = [self.tokenizer.clean_fn(text) for text in full]
            lengths = [len(ids) for ids in inner(cleaned, truncation=False, verbose=False).input_ids] if full else []
        else:  # open_clip's own BPE leaves out the start and the end token here
            lengths = [len(self.tokenizer.encode(text)) + 2 for text in full]
        return sum(length > self.context_length for length in lengths)

    def image_embeddings(self, pixels: torch.Tensor) -> torch.Tensor:
        """Unit rows ``[B, dim]`` of ``[B, 3, H, W]``, differentiable and traceable."""
        encode = cast(Any, self.model).encode_image
        return F.normalize(encode(pixels.to(self.device)).float(), dim=-1)

    def caption_ids(self, captions: Sequence[str], *, prompt: bool = True) -> torch.Tensor:
        """The ids ``[n, L]`` that the text tower reads for captions, the encoder's prompt before them as in scores."""
        return self.token_ids([self.prompt + caption if prompt else caption for caption in captions])

    def token_embedding(self) -> nn.Embedding | None:
        """The table of the text tower's words ``[V, width]``, where it has one of the usual kind."""
        text: Any = self._text
        table = getattr(text, "token_embedding", None)
        if table is None and hasattr(getattr(text, "transformer", None), "get_input_embeddings"):
            table = text.transformer.get_input_embeddings()
        return table if isinstance(table, nn.Embedding) else None

    def shifted_text_embeddings(self, token_ids: torch.Tensor, shift: torch.Tensor) -> torch.Tensor:
        """:meth:`text_embeddings` with ``shift`` ``[B, L, width]`` added to the words' vectors, for gradients by them.

        Only where :meth:`token_embedding` is not ``None``.
        """
        table = cast(nn.Embedding, self.token_embedding())

        def shifted(_module: nn.Module, _inputs: object, words: torch.Tensor) -> torch.Tensor:
            return words + shift.to(words.dtype)

        handle = table.register_forward_hook(shifted)
        try:
            return self.text_embeddings(token_ids)
        finally:
            handle.remove()

    def text_embeddings(self, token_ids: torch.Tensor) -> torch.Tensor:
        """Unit rows ``[B, dim]`` of token ids ``[B, L]``, L at most the context length; differentiable and traceable.

        open_clip's towers want the whole context; those that pool at the end token under a causal mask give the same
        vector without the padding behind it, so only L positions are run.
        """
        if not self.trims_texts:
            encode = cast(Any, self.model).encode_text
            return F.normalize(encode(token_ids.to(self.device)).float(), dim=-1)
        pooled = self.text_states(token_ids)
        projection = cast(Any, self._text).text_projection
        if projection is not None:
            pooled = projection(pooled) if isinstance(projection, nn.Linear) else pooled @ projection
        return F.normalize(pooled.float(), dim=-1)

    def text_states(self, token_ids: torch.Tensor) -> torch.Tensor:
        """The text tower's pooled states ``[B, width]`` before their projection; only where ``trims_texts``."""
        ids, text, length = token_ids.to(self.device), cast(Any, self._text), token_ids.shape[1]
        hidden = text.token_embedding(ids) + text.positional_embedding[:length]
        hidden = text.ln_final(text.transformer(hidden, attn_mask=text.attn_mask[:length, :length]))
        return hidden[torch.arange(ids.shape[0], device=ids.device), self._end_positions(ids)]

    @property
    def logit_scale(self) -> torch.Tensor:
        """What the model multiplied cosines with when it learned to tell pairs apart."""
        return cast(Any, self.model).logit_scale.exp()

    def with_own_text_tower(self) -> OpenClipEncoder:
        """The same encoder with a copy of the text tower, to be tuned apart; the image tower is shared."""
        visual = cast(Any, self.model).visual
        other = copy.copy(self)
        other.model = copy.deepcopy(self.model, {id(visual): visual})
        other._text = _text_tower(other.model)
        return other

    def text_parameters(self) -> list[nn.Parameter]:
        """The weights of the text tower, its projection among them."""
        model, left_out = self.model, {"logit_scale", "logit_bias"}
        return [p for name, p in model.named_parameters() if not name.startswith("visual.") and name not in left_out]

    def token_ids(self, texts: Sequence[str]) -> torch.Tensor:
        """Token ids ``[n, L]``, cut at the longest text where the tower allows that."""
        ids = self.tokenizer(list(texts))
        return ids[:, : int(self._end_positions(ids).max()) + 1] if self.trims_texts else ids

    def _end_positions(self, ids: torch.Tensor) -> torch.Tensor:
        if _pool_type(self._text) == "argmax":
            return ids.argmax(dim=-1)
        eos = getattr(self._text, "text_eos_id", getattr(self._text, "eos_id", None))
        return (ids == eos).int().argmax(dim=-1)


def load_encoder(name: str, device: str | torch.device = "cpu") -> OpenClipEncoder:
    """Load ``starter``, ``open_clip:ARCH/PRETRAINED``, ``open_clip:hf-hub:REPO[@REV]`` or ``open_clip:local-dir:PATH``.

    No network is asked: what has a name on the hub was downloaded before (:mod:`core.hub`).

    Raises:
        UserError: the name is not understood, or the model is missing or damaged; weights must be safetensors, since a
            pickle can run code.
        NoRoomError: it does not go into the memory of ``device``.
    """
    what, next_step = f"The encoder '{name}'", f"Use one of: {NAMES}."
    with room_for(what, "cpu"), faults_told(what, next_step):
        source = open_source(name)
        model = source.create_model()
        tokenizer = source.tokenizer()
    with room_for(what, device), faults_told(what, next_step):
        return OpenClipEncoder(name, model, tokenizer, device)


def _preprocess_of(model: nn.Module) -> Preprocess:
    """The model's own preprocessing settings; anything that Seedcap's one path does not do is refused."""
    config = cast(dict[str, Any], cast(Any, model).visual.preprocess_cfg)
    size = config["size"]
    sides = (size, size) if isinstance(size, int) else tuple(size)
    mode, interpolation = config.get("resize_mode", "shortest"), config.get("interpolation", "bicubic")
    if sides[0] != sides[-1] or mode not in ("squash", "shortest") or interpolation not in ("bicubic", "bilinear"):
        raise UserError(
            f"This encoder prepares pictures in a way Seedcap does not know: {size}, {mode}, {interpolation}.",
            "Choose an encoder that takes square pictures, squashed or cropped at the centre.",
        )
    return Preprocess(sides[0], tuple(config["mean"]), tuple(config["std"]), mode, interpolation)


def _fingerprint(model: nn.Module, preprocess: Preprocess) -> str:
    """sha256 over every tensor (name, shape, bytes as float32) and the preprocessing.

    Hashing tensors rather than the file gives one answer for one model wherever its weights came from.
    """
    digest = hashlib.sha256(preprocess.key().encode())
    for name, tensor in sorted(model.state_dict().items()):
        array = tensor.detach().cpu().contiguous().numpy()
        digest.update(f"{name}{array.shape}{array.dtype}".encode())
        digest.update(array.tobytes())
    return digest.hexdigest()


def _text_tower(model: nn.Module) -> nn.Module:
    """Where token embedding, transformer and projection live: in ``CLIP`` itself, or in a custom model's ``text``."""
    return cast(nn.Module, getattr(model, "text", model))


def _pool_type(text: nn.Module) -> str | None:
    return cast(str | None, getattr(text, "text_pool_type", getattr(text, "pool_type", None)))


def _can_trim(text: nn.Module) -> bool:
    causal = getattr(text, "attn_mask", None) is not None
    plain = getattr(text, "cls_emb", None) is None and hasattr(text, "token_embedding")
    return causal and plain and _pool_type(text) in _TRIMMED_POOLS
