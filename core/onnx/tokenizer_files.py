"""An encoder's tokenizer as a ``tokenizer.json``, whatever kind of tokenizer open_clip gave it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors

from core.errors import UserError

# CLIP's own words (openai/CLIP, simple_tokenizer.py): contractions, runs of letters, single digits, runs of the rest.
_CLIP_WORDS = r"""'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+"""

_PROBE = "A_b,  C!"
_LOWER = normalizers.Lowercase()
# What open_clip's ways of cleaning make of the probe, and what each does beyond ``core.onnx.text.clean_text``. SigLIP
# was trained on words alone: lower case, no punctuation.
_CLEANING: dict[str, tuple[normalizers.Normalizer, ...]] = {
    "A_b, C!": (),
    "a_b, c!": (_LOWER,),
    "a b c": (
        normalizers.Replace("_", " "),
        normalizers.Replace(Regex(r"[!-/:-@\[-`{-~]"), ""),
        _LOWER,
        normalizers.Replace(Regex(r"\s+"), " "),
        normalizers.Strip(),
    ),
}


@dataclass(frozen=True)
class EncoderTokenizerFile:
    """The content of a ``tokenizer.json`` and the id that pads."""

    content: str
    pad_token_id: int


def refuse_other_tokenizers(tokenizer: Any) -> None:
    """Raise ``UserError`` for a tokenizer of open_clip's that :func:`encoder_tokenizer_file` has no file for.

    They run in the app with torch, and cannot go into a bundle yet.
    """
    if _cleaning(tokenizer) is None and not _is_clips_own(tokenizer):
        raise UserError(
            f"This encoder's tokenizer ({type(tokenizer).__name__}) cannot be put into a bundle yet.",
            "Train with the starter encoder or with a CLIP model that has CLIP's own or a transformers tokenizer.",
        )


def encoder_tokenizer_file(tokenizer: Any) -> EncoderTokenizerFile:
    """The file for open_clip's ``tokenizer``: a wrapped transformers one, or CLIP's own byte-pair encoding.

    Raises ``UserError`` for other kinds.
    """
    refuse_other_tokenizers(tokenizer)
    steps = _cleaning(tokenizer)
    if steps is None:
        return EncoderTokenizerFile(tokenizer_content(_clip_tokenizer(tokenizer)), 0)
    inner = tokenizer.tokenizer
    return EncoderTokenizerFile(
        tokenizer_content(_with_cleaning(inner.backend_tokenizer, steps)), int(inner.pad_token_id or 0)
    )


def tokenizer_content(tokenizer: Tokenizer) -> str:
    """The file's content without padding and truncation, which whoever loads it sets for himself."""
    copy = Tokenizer.from_str(tokenizer.to_str())
    copy.no_padding()
    copy.no_truncation()
    return copy.to_str()


def _cleaning(tokenizer: Any) -> tuple[normalizers.Normalizer, ...] | None:
    """How a wrapped transformers tokenizer cleans texts first; ``None`` for others, and where that is not known."""
    backend = getattr(getattr(tokenizer, "tokenizer", None), "backend_tokenizer", None)
    special = getattr(tokenizer, "tokenizer_mode", "") or getattr(tokenizer, "strip_sep_token", False)
    if backend is None or special:
        return None
    clean = getattr(tokenizer, "clean_fn", None)
    return () if clean is None else _CLEANING.get(clean(_PROBE))


def _is_clips_own(tokenizer: Any) -> bool:
    return hasattr(tokenizer, "bpe_ranks") and hasattr(tokenizer, "encoder")


def _with_cleaning(backend: Tokenizer, steps: tuple[normalizers.Normalizer, ...]) -> Tokenizer:
    if not steps:
        return backend
    copy = Tokenizer.from_str(backend.to_str())
    own = [] if copy.normalizer is None else [copy.normalizer]
    copy.normalizer = normalizers.Sequence([*steps, *own])
    return copy


def _clip_tokenizer(simple: Any) -> Tokenizer:
    """CLIP's byte-pair encoding, lower case, with its start and end tokens around every text."""
    merges = [pair for pair, _ in sorted(simple.bpe_ranks.items(), key=lambda item: item[1])]
    built = Tokenizer(models.BPE(dict(simple.encoder), merges, end_of_word_suffix="</w>", fuse_unk=False))
    built.normalizer = normalizers.Lowercase()
    built.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(_CLIP_WORDS), behavior="removed", invert=True),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    built.decoder = decoders.ByteLevel()
    start, end = (next(t for t, i in simple.encoder.items() if i == wanted) for wanted in _clip_specials(simple))
    built.add_special_tokens([start, end])
    built.post_processor = processors.TemplateProcessing(
        single=f"{start} $A {end}",
        special_tokens=[(start, simple.encoder[start]), (end, simple.encoder[end])],
    )
    return built


def _clip_specials(simple: Any) -> tuple[int, int]:
    return int(simple.sot_token_id), int(simple.eot_token_id)
