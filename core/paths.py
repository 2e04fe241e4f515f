"""Where Seedcap keeps things. ``SEEDCAP_HOME`` moves everything below one folder (tests, portable installs)."""

from __future__ import annotations

import os
from pathlib import Path

APP = "seedcap"


def _base(kind: str) -> Path:
    home = os.environ.get("SEEDCAP_HOME")
    if home:
        return Path(home) / kind
    import platformdirs  # here, since running a bundle on a folder needs no home and does without it

    return Path(getattr(platformdirs, f"user_{kind}_dir")(APP, appauthor=False))


def data_dir() -> Path:
    """Libraries made by ``open FOLDER`` live here."""
    return _base("data")


def cache_dir() -> Path:
    """Thumbnails, exported starter bundles, downloaded models: safe to delete."""
    return _base("cache")


def models_dir() -> Path:
    """Downloaded models. Where ``huggingface_hub`` was told to keep its own (``HF_HUB_CACHE``, ``HF_HOME``), there;
    not with ``SEEDCAP_HOME``, which holds everything."""
    if not os.environ.get("SEEDCAP_HOME"):
        for variable, below in (("HF_HUB_CACHE", ""), ("HUGGINGFACE_HUB_CACHE", ""), ("HF_HOME", "hub")):
            if told := os.environ.get(variable):
                return Path(os.path.expandvars(told)).expanduser() / below
    return cache_dir() / "models"


def config_dir() -> Path:
    return _base("config")


def log_dir() -> Path:
    return _base("log")


def log_file() -> Path:
    """What the app notes down; older parts lie beside it."""
    return log_dir() / "seedcap.log"


def resources_dir() -> Path:
    """The ``resources`` folder, beside the packages in a checkout and inside the wheel alike."""
    return Path(__file__).resolve().parent.parent / "resources"


def starter_dir() -> Path:
    """The embedded models: ``encoder/`` (open_clip folder), ``lm/`` (transformers folder), ``captioner/`` (checkpoint).

    ``SEEDCAP_STARTER`` names another folder laid out the same way (tests, a starter of one's own).
    """
    other = os.environ.get("SEEDCAP_STARTER")
    return Path(other) if other else resources_dir() / "starter"
