"""What the process does that is killed again and again: it labels, imports, exports, captions, and trains.

Before each step it says what it is about to do, after the commit what has come of it, a JSON object a line on a pipe.
"""

from __future__ import annotations

import hashlib
import json
import os
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
from PIL import Image

from core.batch.engine import Timers
from core.batch.library_runner import KIND, caption_with
from core.batch.progress import BatchProgress
from core.batch.records import Candidate
from core.batch.requests import CaptionOptions, LibraryCaptionRequest
from core.errors import UserError
from core.exchange.exports import plan_export, write_export
from core.exchange.files import digest
from core.exchange.imports import import_captions
from core.images.preprocess import Preprocess
from core.jobs import QuietContext
from core.library import edits, ledger, queries
from core.library.library import Library
from core.library.scan import scan
from core.library.steps import can_redo, can_undo, redo, undo
from core.onnx.providers import CPU
from core.training.messages import StageStarted, TrainRequest

DIM = 16
PHOTOS_AT_FIRST = 24
EDITS_A_TURN, BATCH = 12, 4
TRAINING = {
    "stage1.steps": 4, "stage1.minimum_steps": 2, "stage1.evaluate_every": 2, "stage1.pairs": 4, "stage1.texts": 4,
    "stage1.fresh_steps": 2, "stage2.steps": 2, "stage2.evaluate_every": 1, "stage2.photos": 3, "stage2.samples": 2,
    "stage2.max_tokens": 8,
}  # fmt: skip


@dataclass(frozen=True)
class Place:
    """Where a bench keeps what the process works on."""

    root: Path

    @property
    def library(self) -> Path:
        return self.root / "crash.seedcap"

    @property
    def photos(self) -> Path:
        return self.root / "photos"

    @property
    def exports(self) -> Path:
        return self.root / "exports"

    @property
    def captions(self) -> Path:
        return self.root / "captions.csv"


Say = Callable[..., None]


def say_on(descriptor: int) -> Say:
    """A function that writes what it is given as one line; what was written is never lost by a kill.

    It begins a line of its own, since the one before may have been cut off.
    """

    def say(**values: Any) -> None:
        data = b"\n" + json.dumps(values).encode() + b"\n"
        while data:
            data = data[os.write(descriptor, data) :]

    return say


def state_of(library: Library, image_ids: Sequence[int]) -> dict[str, str]:
    """By the photo's number, a hash of its captions (texts, states, which are seeds) but for what a model proposes."""
    found = queries.captions_of(library, image_ids)
    states: dict[str, str] = {}
    for image in image_ids:
        rows = sorted(
            [one.text, one.state, one.is_seed]
            for one in found.get(image, ())
            if one.author == "human" or one.state != "candidate"
        )
        states[str(image)] = hashlib.sha256(json.dumps(rows).encode()).hexdigest()[:16]
    return states


def write_photo(path: Path, number: int) -> None:
    """A small picture that no other number gives."""
    cells = np.random.default_rng(number).integers(0, 256, (4, 4, 3), np.uint8)
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(cells).resize((24, 24), Image.Resampling.NEAREST).save(path)


def prepare(place: Place) -> None:
    """The library as it is before the first kill: photos, seeds for half of them."""
    for number in range(PHOTOS_AT_FIRST):
        write_photo(place.photos / f"{number:04d}.png", number)
    place.exports.mkdir()
    with Library.create(place.library, exclusive=True) as library:
        scan(library, place.photos, QuietContext())
        for image in queries.image_ids(library)[::2].tolist():
            edits.add_seed(library, image, f"A first caption of photo {image}.")


def work(name: str, place: Place, number: int, say: Say) -> None:
    """Do the work called ``name``; ``number`` makes one turn different from the next."""
    _WORKS[name](place, random.Random(number), say)


def _label(place: Place, rng: random.Random, say: Say) -> None:
    with Library.open(place.library, exclusive=True) as library:
        ids = queries.image_ids(library).tolist()
        for turn in range(EDITS_A_TURN):
            _one_edit(library, rng, ids, f"Words {rng.getrandbits(40):x} {turn}", say)


def _one_edit(library: Library, rng: random.Random, ids: list[int], words: str, say: Say) -> None:
    images = rng.sample(ids, 4)
    captions = [one for found in queries.captions_of(library, images).values() for one in found]
    kind = rng.choice(["add", "edit", "accept", "reject", "remove", "undo", "redo", "many"])
    touched = ids if kind in ("undo", "redo") else images
    say(doing=kind, images=touched, before=state_of(library, touched))
    if kind in ("undo", "redo"):
        (undo if kind == "undo" else redo)(library)
    elif kind == "many":
        edits.add_captions(library, {image: [f"{words} {image}"] for image in images}, is_seed=True)
    elif kind == "add" or not captions:
        edits.add_seed(library, images[0], words)
    elif kind == "edit":
        edits.edit_caption(library, rng.choice(captions).id, words)
    elif kind == "remove":
        edits.remove_caption(library, rng.choice(captions).id)
    else:
        (edits.accept if kind == "accept" else edits.reject)(library, [one.id for one in captions])
    say(did=kind, state=state_of(library, touched), undo=can_undo(library), redo=can_redo(library))


def _import(place: Place, rng: random.Random, say: Say) -> None:
    with Library.open(place.library, exclusive=True) as library:
        first = len(list(place.photos.iterdir()))
        fresh = [f"{first + n:04d}.png" for n in range(3)]
        for n, name in enumerate(fresh):
            write_photo(place.photos / name, first + n)
        scan(library, place.photos, QuietContext())
        say(did="scan", photos=fresh)
        rows = queries.image_rows(library, rng.sample(queries.image_ids(library).tolist(), 6))
        lines = [f"{row.relative_path},Imported {rng.getrandbits(40):x}" for row in rows]
        place.captions.write_text("image,caption\n" + "\n".join(lines) + "\n", encoding="utf-8")
        ids = [row.id for row in rows]
        say(doing="import", images=ids, before=state_of(library, ids))
        import_captions(library, place.captions)
        say(did="import", state=state_of(library, ids), undo=can_undo(library), redo=can_redo(library))


def _export(place: Place, rng: random.Random, say: Say) -> None:
    with Library.open(place.library) as library:
        for format in rng.sample(["txt", "xmp", "jsonl", "csv", "coco"], 2):
            kind: Any = format
            out = place.exports / (format if format in ("txt", "xmp") else f"all.{format}")
            plan = plan_export(library, kind, out, which="best", overwrite=True)
            files = {
                str(item.path): digest(item.content.encode(item.encoding, "surrogateescape")) for item in plan.items
            }
            say(doing="export", format=format, files=files)
            report = write_export(plan, QuietContext())
            kept = [str(path) for path, _ in report.failed] + [str(path) for path in report.kept]
            say(did="export", format=format, files=files, kept=kept)


class _ToyEncoder:
    """Photos and words as random directions: what a model says does not matter here, only what becomes of it."""

    id, fingerprint, dim, prompt = "toy", "c" * 64, DIM, ""
    preprocess = Preprocess(16, (0.5, 0.5, 0.5), (0.5, 0.5, 0.5))

    def encode_images(self, pixels: np.ndarray) -> np.ndarray:
        cells = pixels.reshape(len(pixels), 3, 4, 4, 4, 4).mean(axis=(3, 5)).reshape(len(pixels), -1)[:, :DIM]
        return self._unit(cells + 1e-3)

    def encode_texts(self, texts: Sequence[str], prompt: bool = True) -> np.ndarray:
        rows = [np.random.default_rng(list(text.encode())).normal(size=DIM) for text in texts]
        return self._unit(np.stack(rows)) if rows else np.zeros((0, DIM), np.float32)

    @staticmethod
    def _unit(rows: np.ndarray) -> np.ndarray:
        return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


class ToyEngine:
    """Captions that no other call gives, with the job they are of: a photo that is captioned twice has two of them.

    It says which photos it is asked for again: in the same call or an earlier one, or that the ledger has as done.
    """

    def __init__(self, library: Library, mark: str, say: Say) -> None:
        self._library, self._say = library, say
        self._images = {int(content[:14], 16): image for image, content in queries.contents(library)}
        self._asked: set[tuple[int, int]] = set()
        encoder = _ToyEncoder()
        manifest = SimpleNamespace(source="toy", model_hash="toy", encoder=encoder)
        self.bundle: Any = SimpleNamespace(
            encoder=encoder, manifest=manifest, folder=None, provider=SimpleNamespace(name=CPU, reason="toy")
        )
        self.timers, self._mark, self._count = Timers(), mark, 0

    def embed(self, pixels: Sequence[np.ndarray]) -> np.ndarray:
        return self.bundle.encoder.encode_images(np.stack(pixels)) if pixels else np.zeros((0, DIM), np.float32)

    def caption(self, vectors: np.ndarray, seeds: Sequence[int], ctx: Any) -> tuple[list[Any], np.ndarray]:
        job = ledger.last_job(self._library, KIND)
        number = job.id if job else 0
        asked = [(number, self._images[one]) for one in seeds]
        again = {image for row, (_, image) in enumerate(asked) if asked[row] in {*self._asked, *asked[:row]}}
        again |= ledger.done_among(self._library, number, [image for _, image in asked])
        if again:
            self._say(did="ask", again=sorted(again), job=number)
        self._asked |= {*asked}
        found = []
        for _ in seeds:
            self._count += 1
            found.append((Candidate(f"Said {number} {self._mark} {self._count}", 0.5, -1.0),))
        return found, vectors


class _Telling(QuietContext):
    """Says which photos are captioned, after the batch is in the database; and which stage of a training begins."""

    def __init__(self, say: Say) -> None:
        self._say = say

    def partial(self, result: object) -> None:
        if isinstance(result, BatchProgress):
            self._say(did="caption", files=[list(one) for one in result.latest])
        elif isinstance(result, StageStarted):
            self._say(did="stage", stage=result.stage)


def _caption(place: Place, rng: random.Random, say: Say) -> None:
    options = CaptionOptions(batch=1)
    request = LibraryCaptionRequest(place.library, existing="add", resume=True, options=options)
    with Library.open(place.library, exclusive=True) as library:
        engine: Any = ToyEngine(library, f"{rng.getrandbits(60):x}", say)
        report = caption_with(_Telling(say), library, request, cast(Any, engine))
        say(did="job", done=report.done, already=report.already)


def _train(place: Place, rng: random.Random, say: Say) -> None:
    """Go on with the training that was stopped; if that is refused, say so, and begin another."""
    with Library.open(place.library, exclusive=True):
        try:
            _train_on(place, say, resume=True)
        except UserError as error:
            if error.topic != "begin anew":
                raise
            say(did="anew", why=error.message)
            _train_on(place, say, resume=False)


def _train_anew(place: Place, rng: random.Random, say: Say) -> None:
    with Library.open(place.library, exclusive=True):
        _train_on(place, say, resume=False)


def _train_on(place: Place, say: Say, *, resume: bool) -> None:
    from core.training import steps
    from core.training.job import train_job

    steps.SAVE_EVERY_S = 0.0  # the state is saved after every step, so that kills meet that, too
    request = TrainRequest(place.library, stages="12", resume=resume, overrides=TRAINING)
    report = train_job(_Telling(say), request)
    say(did="train", run=report.run_id, kept=report.kept)


_WORKS: dict[str, Callable[[Place, random.Random, Say], None]] = {
    "label": _label, "import": _import, "export": _export, "caption": _caption, "train": _train,
    "train anew": _train_anew,
}  # fmt: skip
