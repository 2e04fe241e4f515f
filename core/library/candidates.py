"""What jobs write: candidates and reasons of failure. Not undoable, in short transactions, never over human text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import islice
from typing import Any, Literal

from sqlalchemy import insert, select, update
from sqlalchemy.orm import Session

from core.library.columns import now
from core.library.ledger import mark_done
from core.library.library import Library
from core.library.queries import among
from core.library.tables import Caption, Image

Existing = Literal["skip", "add", "replace-model"]
_PHOTOS_A_TRANSACTION = 64


def add_candidates(
    library: Library,
    run_id: str | None,
    texts: Mapping[int, Sequence[str]],
    existing: Existing = "skip",
    *,
    job_id: int | None = None,
    likelihoods: Mapping[int, Mapping[str, float | None]] | None = None,
) -> dict[int, list[int]]:
    """Write what a model says about photos, best text first; returns the ids of the new captions of each photo: none
    where all is there already, or was rejected. A photo that was left alone is not among them.

    ``existing`` decides about photos that have captions already. ``skip``: such a photo is left alone. ``add``: texts
    that it does not have yet come beside them. ``replace-model``: they take the place of the model's candidates, which
    stay in the history. Human text, and model text that a person accepted or rejected, is never touched, and a text
    that the photo has or that was rejected for it is not written again. ``run_id`` is ``None`` for the starter model.
    ``likelihoods``: by photo and text, its mean log-probability in nats a token, where it is known.
    ``job_id``: the photos' items of this job are done with the same transaction, so a crash neither loses nor repeats.
    """
    if existing not in ("skip", "add", "replace-model"):
        raise ValueError(f"existing must be 'skip', 'add' or 'replace-model', not {existing!r}")
    written: dict[int, list[int]] = {}
    items = iter(texts.items())
    while batch := dict(islice(items, _PHOTOS_A_TRANSACTION)):
        with library.writing() as session:
            written |= _write_batch(session, run_id, batch, existing, likelihoods or {})
            if job_id is not None:
                mark_done(session, job_id, list(batch))
    return written


def _write_batch(
    session: Session,
    run_id: str | None,
    texts: Mapping[int, Sequence[str]],
    existing: Existing,
    likelihoods: Mapping[int, Mapping[str, float | None]],
) -> dict[int, list[int]]:
    query = select(Caption).where(Caption.image_id.in_(among(texts)), Caption.live).order_by(Caption.id)
    present: dict[int, list[Caption]] = {image_id: [] for image_id in texts}
    for caption in session.scalars(query):
        present[caption.image_id].append(caption)
    rows: list[dict[str, Any]] = []
    replaced_ids: list[int] = []
    written: dict[int, list[int]] = {}
    for image_id, lines in texts.items():
        have = present[image_id]
        if existing == "skip" and any(caption.state != "rejected" for caption in have):
            continue
        written[image_id] = []
        _learn_likelihoods(have, run_id, likelihoods.get(image_id, {}))
        replaced = _model_candidates(have) if existing == "replace-model" else []
        kept = {caption.text for caption in have if caption not in replaced}
        fresh = [line for line in dict.fromkeys(line.strip() for line in lines) if line and line not in kept]
        if fresh:
            replaced_ids += [caption.id for caption in replaced]
            likely, supersedes = likelihoods.get(image_id, {}), replaced[0].id if replaced else None
            rows += [_row(image_id, run_id, line, supersedes) | {"mean_log_prob": likely.get(line)} for line in fresh]
    if replaced_ids:
        session.execute(update(Caption).where(Caption.id.in_(among(replaced_ids))).values(live=False))
    if rows:
        statement = insert(Caption).returning(Caption.id, sort_by_parameter_order=True)
        for row, caption_id in zip(rows, session.scalars(statement, rows), strict=True):
            written[row["image_id"]].append(caption_id)
    return written


def _learn_likelihoods(captions: Sequence[Caption], run_id: str | None, likely: Mapping[str, float | None]) -> None:
    """The same model has said the same again: now it is known how likely it found that."""
    for caption in captions:
        if caption.author == "run" and caption.run_id == run_id and caption.mean_log_prob is None:
            caption.mean_log_prob = likely.get(caption.text)


def _model_candidates(captions: Sequence[Caption]) -> list[Caption]:
    return [caption for caption in captions if caption.author == "run" and caption.state == "candidate"]


def _row(image_id: int, run_id: str | None, text: str, supersedes: int | None) -> dict[str, Any]:
    return {
        "image_id": int(image_id), "text": text, "author": "run", "run_id": run_id, "state": "candidate",
        "is_seed": False, "live": True, "supersedes_id": supersedes, "created_at": now(),
    }  # fmt: skip


def set_error(library: Library, image_id: int, reason: str) -> None:
    """Record that a photo turned out unusable, and why; a later scan looks at it again."""
    with library.writing() as session:
        session.execute(update(Image).where(Image.id == int(image_id)).values(error=reason))
