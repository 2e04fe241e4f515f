"""How models are downloaded, as a person has set it: from a mirror, or not at all.

``huggingface_hub`` reads it from the environment when a job's process begins; the window's own hands it on.
"""

from __future__ import annotations

import os
from urllib.parse import urlsplit

from PySide6.QtCore import QObject, QSettings, Signal

MIRROR, OFFLINE = "HF_ENDPOINT", "HF_HUB_OFFLINE"
_YES = ("1", "true", "yes", "on")


class HubSettings(QObject):
    """One for the program: what stood in the environment at the start is in force where nothing is set."""

    changed = Signal()

    def __init__(self, settings: QSettings, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._settings = settings
        self._at_start = {name: os.environ.get(name) for name in (MIRROR, OFFLINE)}
        self._apply()

    @property
    def mirror(self) -> str:
        """The address that is asked instead of the hub; empty for the hub, or for what the environment says."""
        return str(self._settings.value("mirror", ""))

    @property
    def mirror_at_start(self) -> str:
        return self._at_start[MIRROR] or ""

    @property
    def offline(self) -> bool:
        return self.offline_at_start or bool(self._settings.value("offline", False, bool))

    @property
    def offline_at_start(self) -> bool:
        """The environment forbids downloads, whatever is set here."""
        return (self._at_start[OFFLINE] or "").lower() in _YES

    def set_mirror(self, address: str) -> bool:
        """Whether it can be one; what cannot is not kept."""
        address = address.strip().rstrip("/")
        if address and not _is_address(address):
            return False
        self._settings.setValue("mirror", address)
        self._apply()
        return True

    def set_offline(self, wanted: bool) -> None:
        self._settings.setValue("offline", wanted)
        self._apply()

    def _apply(self) -> None:
        _set(MIRROR, self.mirror or self._at_start[MIRROR])
        _set(OFFLINE, "1" if self.offline else self._at_start[OFFLINE])
        self.changed.emit()


def _is_address(text: str) -> bool:
    try:
        parts = urlsplit(text)
        return parts.scheme in ("http", "https") and bool(parts.hostname) and " " not in text
    except ValueError:
        return False


def _set(name: str, value: str | None) -> None:
    if value is None:
        os.environ.pop(name, None)
    else:
        os.environ[name] = value
