"""The one vocabulary of the starter: a byte-level BPE shared by the text tower and the language model."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from transformers import PreTrainedTokenizerFast

VOCABULARY_SIZE = 8192
PAD, END = "<pad>", "<|endoftext|>"
CONTEXT_LENGTH = 64


def train_tokenizer(sentences: Iterable[str], size: int = VOCABULARY_SIZE) -> Tokenizer:
    """A byte-level BPE of exactly ``size`` entries: ``<pad>`` is 0, ``<|endoftext|>`` is the highest id.

    The highest id marks the end so that open_clip's text tower, which pools at the largest id, pools there. Every
    encoding ends with the end token; the language model asks for encodings without special tokens.
    """
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    trainer = trainers.BpeTrainer(
        vocab_size=size - 1, special_tokens=[PAD], initial_alphabet=alphabet, show_progress=False
    )
    tokenizer.train_from_iterator(sentences, trainer)
    tokenizer.add_special_tokens([END])
    end_id = tokenizer.token_to_id(END)
    if end_id != size - 1:
        raise RuntimeError(f"The corpus is too small for {size} entries: the end token got id {end_id}.")
    tokenizer.post_processor = processors.TemplateProcessing(single=f"$A {END}", special_tokens=[(END, end_id)])
    return tokenizer


def save_tokenizer(tokenizer: Tokenizer, folder: Path) -> None:
    """Write ``tokenizer.json`` and the settings through which transformers and open_clip load it."""
    folder.mkdir(parents=True, exist_ok=True)
    wrap_tokenizer(tokenizer).save_pretrained(folder)


def wrap_tokenizer(tokenizer: Tokenizer) -> PreTrainedTokenizerFast:
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, eos_token=END, pad_token=PAD, model_max_length=CONTEXT_LENGTH
    )
