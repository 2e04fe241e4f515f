"""What libraries would tell their makers about this computer: nothing."""

from __future__ import annotations

import os

SWITCHES = ("HF_HUB_DISABLE_TELEMETRY", "ORT_DISABLE_TELEMETRY", "DO_NOT_TRACK")


def send_nothing() -> None:
    """Switch it off in this process and those it starts. The libraries ask when they are imported, so this
    comes before.

    onnxruntime would write an identifier of the computer into the cache folder then, and send what it was used for.
    """
    for name in SWITCHES:
        os.environ.setdefault(name, "1")
