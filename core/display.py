"""Whether a window can be shown here, without loading Qt's Python side."""

from __future__ import annotations

import ctypes
import importlib.util
import os
import sys
from pathlib import Path

_X11_PLUGIN = "Qt/plugins/platforms/libqxcb.so"


def has_display() -> bool:
    """Whether a person can see a window. Linux says so in the environment; Windows and macOS always can."""
    if sys.platform.startswith("linux"):
        return bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))
    return True


def lacking_library() -> str | None:
    """A system library that Qt needs for windows under X11 and that is not installed.

    ``None`` where all are, and where windows are shown another way. Qt itself would end the process over it.
    """
    platform = os.environ.get("QT_QPA_PLATFORM", "xcb")
    if not os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY") or platform.split(":")[0] != "xcb":
        return None
    found = importlib.util.find_spec("PySide6")
    plugin = Path(found.origin).parent / _X11_PLUGIN if found and found.origin else None
    if plugin is None or not plugin.is_file():
        return None
    try:
        ctypes.CDLL(str(plugin))
    except OSError as error:
        return str(error).split(":", 1)[0]
    return None
