"""Telling what this person's Seedcap noted from what came with somebody else's library: by a key that stays here."""

from __future__ import annotations

import hashlib
import hmac
import secrets
from pathlib import Path

from core.exchange.files import make_folder, sync_folders, write_atomically
from core.paths import config_dir

_BYTES = 32


def sign(key: bytes, words: bytes) -> str:
    """HMAC-SHA256 of ``words`` as hexadecimal digits (RFC 2104)."""
    return hmac.new(key, words, hashlib.sha256).hexdigest()


def is_signed(key: bytes, words: bytes, signature: object) -> bool:
    """Whether :func:`sign` gave this signature."""
    return isinstance(signature, str) and hmac.compare_digest(sign(key, words).encode(), signature.encode())


def own_key() -> bytes | None:
    """The key in the configuration folder; ``None`` before anything was signed here. Raises ``OSError``."""
    try:
        key = _place().read_bytes()
    except FileNotFoundError:
        return None
    return key if len(key) == _BYTES else None


def own_or_new_key() -> bytes:
    """The key in the configuration folder, made when it is first needed. Raises ``OSError``."""
    path = _place()
    try:
        key = own_key()
        if key is None:
            key = secrets.token_bytes(_BYTES)
            folders = make_folder(path.parent)
            write_atomically(path, key, durable=True)
            path.chmod(0o600)
            sync_folders({*folders, path.parent})
    except OSError as error:
        reason = f"no undo without the key {path}, which cannot be had: {error.strerror or error}"
        raise OSError(error.errno, reason) from error
    return key


def _place() -> Path:
    return config_dir() / "undo.key"
