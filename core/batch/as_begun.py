"""What a captioning of a library was begun with: kept with its job, so that what goes on makes captions of one kind."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from core.batch.requests import LibraryCaptionRequest
from core.errors import UserError

_HOW = ("candidates", "method", "beams", "max_tokens", "seed", "by_score", "distinctive")
"""Of the options those that decide what is said; the others are about the machine."""


def job_params(request: LibraryCaptionRequest, model_hash: str) -> dict[str, Any]:
    """Plain JSON values: what to go on with."""
    how = {name: getattr(request.options, name) for name in _HOW}
    how |= {"candidates": how["candidates"] or 1, "seed": how["seed"] or 0}
    bundle = None if request.bundle is None else str(request.bundle.absolute())
    which = {"model": model_hash, "chosen": request.model, "faster": request.faster, "bundle": bundle}
    return {"existing": request.existing, **which, **how}


def as_begun(request: LibraryCaptionRequest, begun: Mapping[str, Any]) -> LibraryCaptionRequest:
    """The request with what decides about model and words, unless it is said again, as in ``begun``.

    A job of an older version lacks some of it: that is then as the request has it.
    """
    options = request.options
    how = {name: begun[name] for name in _HOW if name in begun and not _is_said(getattr(options, name))}
    bundle, faster, model = request.bundle, request.faster, request.model
    if bundle is None and not faster and model is None:
        bundle = Path(begun["bundle"]) if begun.get("bundle") else None
        model = begun.get("chosen")
        faster = bool(begun.get("faster")) and options.distinctive is None
    return replace(request, options=replace(options, **how), bundle=bundle, faster=faster, model=model)


def require_as_begun(request: LibraryCaptionRequest, begun: Mapping[str, Any]) -> None:
    """``UserError`` if the request says something else than ``begun`` about how captions are made."""
    for name in _HOW:
        said = getattr(request.options, name)
        if name in begun and _is_said(said) and said != begun[name]:
            option = "--rank" if name == "by_score" else f"--{name.replace('_', '-')}"
            raise UserError(
                f"This captioning was begun with another choice of {option}.",
                f"Go on with it without {option}, or begin a new one.",
            )


def _is_said(value: object) -> bool:
    return value is not None and value is not False  # 0 is said
