"""Text to token ids and back with the ``tokenizers`` library alone, as open_clip and transformers do it."""

from __future__ import annotations

import html
import unicodedata
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from tokenizers import Encoding, Tokenizer

from core.onnx.bundle import BundleError

_UNCURLED = str.maketrans(
    {
        "\u2018": "'", "\u2019": "'", "\u201a": "'", "\u201b": "'", "\u02bc": "'",
        "\u201c": '"', "\u201d": '"', "\u201e": '"', "\u201f": '"',
        "\ufb00": "ff", "\ufb01": "fi", "\ufb02": "fl", "\ufb03": "ffi", "\ufb04": "ffl",
    }
)  # fmt: skip


def clean_text(text: str) -> str:
    """The cleaning that open_clip does before it tokenizes: entities, typographic quotes, ligatures, white space.

    open_clip leaves part of it to ftfy, whose repair of text decoded with the wrong character set is not done here.
    """
    plain = html.unescape(html.unescape(text)).translate(_UNCURLED)
    return " ".join(unicodedata.normalize("NFC", plain).split())


def load_tokenizer(path: Path) -> Tokenizer:
    """A ``tokenizer.json`` without the padding and truncation it may carry. Raises :class:`BundleError`."""
    try:
        tokenizer = Tokenizer.from_file(str(path))
    except Exception as error:
        raise BundleError(f"{path} is not a tokenizer that can be read: {error}.") from error
    tokenizer.no_padding()
    tokenizer.no_truncation()
    return tokenizer


class EncoderTokenizer:
    """Texts as the encoder's text tower takes them; the end token is added by the tokenizer's own post-processor."""

    def __init__(self, tokenizer: Tokenizer, context_length: int, pad_token_id: int, fixed_length: bool) -> None:
        self._tokenizer = tokenizer
        self._context_length = context_length
        self._pad = pad_token_id
        self._fixed = fixed_length
        tokenizer.enable_truncation(max_length=context_length)

    def __call__(self, texts: Sequence[str]) -> np.ndarray:
        """int64 ``[n, L]``, padded at the end to the context length, or to the longest text where that will do."""
        rows = [encoding.ids for encoding in self._encoded(texts)]
        length = self._context_length if self._fixed else max((len(row) for row in rows), default=1)
        ids = np.full((len(rows), length), self._pad, dtype=np.int64)
        for at, row in enumerate(rows):
            ids[at, : len(row)] = row
        return ids

    def count_too_long(self, texts: Sequence[str]) -> int:
        """How many of ``texts`` have more tokens than the context holds; :meth:`__call__` cuts them."""
        return sum(bool(encoding.overflowing) for encoding in self._encoded(texts))

    def _encoded(self, texts: Sequence[str]) -> list[Encoding]:
        return self._tokenizer.encode_batch([clean_text(text) for text in texts])
