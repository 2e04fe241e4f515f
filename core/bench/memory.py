"""How much memory and processor time a process has used, as Linux tells it; elsewhere nothing is known."""

from __future__ import annotations

import os
from pathlib import Path


def reset_peak(process: str = "self") -> None:
    """Begin to measure the peak anew."""
    try:
        Path(f"/proc/{process}/clear_refs").write_text("5", encoding="ascii")
    except OSError:
        return


def peak_mb(process: str = "self") -> float:
    """The most resident memory since :func:`reset_peak`, in MB; 0 where it is not known."""
    return _status_mb(process, "VmHWM:")


def resident_mb(process: str = "self") -> float:
    """The resident memory now, in MB; 0 where it is not known."""
    return _status_mb(process, "VmRSS:")


def _status_mb(process: str, line_of: str) -> float:
    try:
        lines = Path(f"/proc/{process}/status").read_text(encoding="ascii", errors="replace").splitlines()
    except OSError:
        return 0.0
    return next((int(line.split()[1]) / 1024 for line in lines if line.startswith(line_of)), 0.0)


def processor_seconds(process: int) -> float | None:
    """Processor time of a process, ``None`` where it is not known: waiting for a busy machine is no hanging."""
    try:
        fields = Path(f"/proc/{process}/stat").read_text(encoding="ascii", errors="replace").rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
    except (OSError, IndexError, ValueError):
        return None
