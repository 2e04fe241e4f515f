"""Asking the hub, or the mirror that ``HF_ENDPOINT`` names, what a model consists of; and its refusals in sentences."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from core.errors import UserError
from core.hub.names import Wanted, choose_files, has_tokenizer, text_parts, wanted_by
from core.hub.pins import FilePin, ModelPin, PartPin
from core.model_folders import refuse_packed_by

_UNSTATED = "not stated"
_CONNECTION = "Check the connection, and try again. 'starter' needs no network."


def endpoint() -> str | None:
    """The mirror that is asked instead of the hub, if one is set; read now, as the app may live long.

    Raises:
        UserError: what is set is no address of a server.
    """
    mirror = os.environ.get("HF_ENDPOINT") or None
    if mirror is not None and not re.match(r"https?://[^/]", mirror):
        raise UserError(
            f"HF_ENDPOINT names the mirror '{mirror}', which is no address of a server.",
            "Write an address that begins with https:// or http://, or leave it empty to ask the hub itself.",
        )
    return mirror


def ask(name: str) -> ModelPin:
    """What the model of this name consists of today: nothing is downloaded but settings that name further parts.

    Raises:
        UserError: the name is not understood, the hub cannot be reached or does not have it, or it is not safe.
    """
    licence, parameters = _UNSTATED, 0
    waiting, parts = list(wanted_by(name)), []
    while waiting:
        wanted = waiting.pop(0)
        info, part = _part(wanted)
        parts.append(part)
        if wanted.role == "encoder":
            waiting += text_parts(_text_settings(part), own_tokenizer=has_tokenizer(part.files))
        if wanted.role == "language_model":  # not every mirror tells the settings; they come before the weights
            refuse_packed_by(info.config, part.repository)
        if wanted.role != "text":
            licence = _licence(info)
            parameters = int(getattr(getattr(info, "safetensors", None), "total", 0) or 0)
    return ModelPin(name, licence, parameters, tuple(parts))


@contextmanager
def in_words(repository: str, file: str = "") -> Iterator[None]:
    """Turns what ``huggingface_hub`` and its HTTP library raise about a repository, or a file of it, into words."""
    from huggingface_hub import errors
    from huggingface_hub.errors import HfHubHTTPError, OfflineModeIsEnabled

    try:
        yield
    except OfflineModeIsEnabled as error:
        raise UserError(
            f"{repository} would have to be downloaded, and downloads are switched off.",
            "Allow them for this one; afterwards everything works offline.",
            topic="offline",
        ) from error
    except errors.RevisionNotFoundError as error:
        raise UserError(
            f"{repository} has no such revision any more, or never had.",
            "Check what stands behind the @; without it the newest is taken.",
            topic="update model",
        ) from error
    except errors.RepositoryNotFoundError as error:  # also where a licence has to be accepted first
        raise UserError(
            f"There is no repository {repository}, or it is not open to everybody.",
            "Check the name. Where its page asks to accept a licence, do that and set HF_TOKEN to your token.",
        ) from error
    except errors.EntryNotFoundError as error:
        raise _missing(repository, file) from error
    except errors.HFValidationError as error:
        raise UserError(f"'{repository}' is no name of a repository ({error}).", "Write ORGANISATION/MODEL.") from error
    except HfHubHTTPError as error:
        status = getattr(getattr(error, "response", None), "status_code", "?")
        if status == 404:
            raise _missing(repository, file) from error
        message = f"The server refused {repository} (HTTP {status})."
        raise UserError(message, _CONNECTION, topic="connection") from error
    except http_errors() as error:
        message = f"{repository} could not be reached ({error!s:.200})."
        raise UserError(message, _CONNECTION, topic="connection") from error


def http_errors() -> tuple[type[Exception], ...]:
    """What the HTTP library of this ``huggingface_hub`` raises: httpx2 since its version 2, httpx before."""
    try:
        from httpx2 import HTTPError
    except ModuleNotFoundError:
        from httpx import HTTPError  # pyright: ignore[reportMissingImports]
    return (HTTPError,)


def _missing(repository: str, file: str) -> UserError:
    return UserError(
        f"{file or 'A file'} of {repository} is missing on the server.",
        "Where a mirror is set, it may not have all of the model: take another, or the hub itself.",
    )


def _part(wanted: Wanted) -> tuple[Any, PartPin]:
    from huggingface_hub import HfApi

    with in_words(wanted.repository):
        info = HfApi(endpoint=endpoint()).model_info(wanted.repository, revision=wanted.revision, files_metadata=True)
    siblings = {one.rfilename: one for one in info.siblings or ()}
    files = {name: _file_pin(wanted.repository, siblings[name]) for name in choose_files(wanted, siblings)}
    return info, PartPin(wanted.repository, str(info.sha), wanted.role, files)


def _file_pin(repository: str, sibling: Any) -> FilePin:
    lfs = sibling.lfs
    known = f"sha256:{lfs.sha256}" if lfs is not None else f"git:{sibling.blob_id}" if sibling.blob_id else None
    size = lfs.size if lfs is not None else sibling.size
    if known is None or size is None:
        raise UserError(
            f"The server does not say what {sibling.rfilename} of {repository} must be, so it could not be checked.",
            "Use the hub itself, or a mirror that tells the hashes of files as the hub does.",
        )
    return FilePin(int(size), known)


def _text_settings(part: PartPin) -> Any:
    """``text_cfg`` of an open_clip folder's configuration, which is small and downloaded for this."""
    from core.hub.cache import folder_of
    from core.hub.download import fetch_files
    from core.jobs import QuietContext

    fetch_files([(part, "open_clip_config.json")], QuietContext())
    file = folder_of(part) / "open_clip_config.json"
    try:
        model = json.loads(file.read_text(encoding="utf-8"))["model_cfg"]
        return model.get("text_cfg")
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise UserError(
            f"open_clip_config.json of {part.repository} is damaged ({error}).", "Choose another model."
        ) from error


def _licence(info: Any) -> str:
    card = info.card_data
    told = card.get("license_name") or card.get("license") if card is not None else None
    tagged = next((tag.partition(":")[2] for tag in info.tags or () if tag.startswith("license:")), None)
    return str(told or tagged or _UNSTATED)
