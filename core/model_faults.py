"""What the libraries that read models raise about the files of one, in a sentence."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from contextlib import contextmanager

from huggingface_hub.errors import StrictDataclassError
from safetensors import SafetensorError

from core.errors import UserError

FAULTS = (
    OSError, ValueError, RuntimeError, LookupError, TypeError, AttributeError, AssertionError, ArithmeticError,
    ImportError, struct.error, SafetensorError, StrictDataclassError,
)  # fmt: skip
"""Wrong numbers, types and names in a model's settings come out as any of these; ``ImportError``: its format wants a
program that is not here."""


@contextmanager
def faults_told(what: str, next_step: str) -> Iterator[None]:
    """While ``what`` ("The encoder 'starter'") is read. Memory that does not suffice is seen in the cause
    (:func:`core.running_out.room_for`).

    Raises:
        UserError: its files are at fault.
    """
    try:
        yield
    except Exception as error:
        if not isinstance(error, FAULTS) and type(error) is not Exception:  # tokenizers raises that very class
            raise
        said = " ".join(str(error).split()) or type(error).__name__
        raise UserError(f"{what} could not be loaded: {said}", next_step) from error
