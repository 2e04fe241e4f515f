"""What the command line adds to an error: the flag or command that takes the next step. The app has buttons."""

from __future__ import annotations

from core.errors import UserError

FLAGS = {
    "no library": "Here: seedcap import LIB FOLDER",
    "only accepted": "Here: --best",
    "no out": "Here: --out FILE",
    "no starter": "Or name a bundle with --bundle.",
    "begin anew": "Here: train without --resume",
    "go on": "Here: train --resume",
    "list models": "'seedcap models' lists some, and what is on this computer.",
    "get model": "Here: seedcap models get NAME",
    "update model": "Here: seedcap models get NAME --update",
    "connection": "A proxy is told by HTTPS_PROXY, a mirror of the hub by HF_ENDPOINT.",
    "offline": "Here: unset HF_HUB_OFFLINE",
    "too large": "Here: --set lm.train=lora or --set lm.train=none; 'seedcap models' says what each model takes.",
    "no room": "Here: --device cpu when training, SEEDCAP_DEVICE=cpu for the rest.",
    "export failed": "Run 'seedcap bundle' to see more.",
}
"""By :attr:`core.errors.UserError.topic`."""


def with_flags(error: UserError) -> str:
    return f"{error} {FLAGS[error.topic]}" if error.topic in FLAGS else str(error)
