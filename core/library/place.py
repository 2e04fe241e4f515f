"""Whether a folder is a good place for a library."""

from __future__ import annotations

import sys
from pathlib import Path

_NETWORK = {"nfs", "nfs4", "cifs", "smb3", "smbfs", "afpfs", "webdav", "davfs", "afs", "ncpfs", "9p"}
_MOUNTS = Path("/proc/self/mounts")


def network_warning(folder: Path) -> str | None:
    """A sentence when ``folder`` lies on a network drive, where a database can be damaged; else ``None``.

    Photos may lie there; the library itself should not. Where the system does not tell (macOS), there is no warning.
    """
    if sys.platform == "win32":
        on_network = str(folder).startswith("\\\\")
    else:
        on_network = _file_system(folder) in _NETWORK or _file_system(folder).startswith("fuse.sshfs")
    if not on_network:
        return None
    return f"{folder} is on a network drive, where a library can be damaged. Keep it on this computer's own disk."


def _file_system(folder: Path) -> str:
    try:
        lines = _MOUNTS.read_text(encoding="utf-8", errors="surrogateescape").splitlines()
    except OSError:
        return ""
    mounts = [line.split(" ") for line in lines if line.count(" ") >= 3]
    holds = {Path(_unescaped(mount[1])): mount[2] for mount in mounts}
    return next((holds[place] for place in (folder, *folder.parents) if place in holds), "")


def _unescaped(text: str) -> str:
    for code, character in (("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")):
        text = text.replace(code, character)
    return text
