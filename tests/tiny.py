"""Tiny random models for tests; see :mod:`core.bench.tiny_models`."""

from core.bench.tiny_models import (
    CONTEXT_LENGTH,
    DIM,
    IMAGE_SIZE,
    MAPPER_HIDDEN,
    PREFIX_LENGTH,
    SENTENCES,
    VOCABULARY_SIZE,
    random_pixels,
    write_tiny_captioner,
    write_tiny_encoder,
    write_tiny_lm,
    write_tiny_starter,
)

__all__ = [
    "CONTEXT_LENGTH",
    "DIM",
    "IMAGE_SIZE",
    "MAPPER_HIDDEN",
    "PREFIX_LENGTH",
    "SENTENCES",
    "VOCABULARY_SIZE",
    "random_pixels",
    "write_tiny_captioner",
    "write_tiny_encoder",
    "write_tiny_lm",
    "write_tiny_starter",
]
