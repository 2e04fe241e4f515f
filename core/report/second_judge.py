"""A second encoder that judges what another one rewarded, chosen by itself where one is on this computer.

A model that practised for one encoder's praise gets that encoder's praise; what another one says is evidence. Where
there is no other, the same one judges photos as it had not seen them: mirrored, and closer.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from PIL import Image

from core.devices import CPU
from core.encoders.embed import embed_library, vectors_of
from core.encoders.encoder import Encoder
from core.encoders.load import load_encoder
from core.encoders.store import VectorStore
from core.errors import UserError
from core.hub.cache import find
from core.hub.pins import read_pins
from core.images.decode import ImageError
from core.images.preprocess import load_square, normalised
from core.jobs import JobContext, Titled
from core.library.library import Library
from core.library.queries import image_rows
from core.library.runs import encoder_name, runs
from core.library.unchanged import load_unchanged, stamps
from core.machine import memory
from core.metrics.clip_score import clip_s, row_cosines
from core.metrics.retrieval import ranks
from core.report.document import Judged, JudgedBy
from core.running_out import NoRoomError, Portion, where_it_fits
from core.training.messages import REPORTING
from core.training.texts import text_vectors

STARTER = "starter"
_BATCH = 32
_IN_MEMORY = 1.5
"""Of an encoder on the processor, bytes for each byte of its files; what is loaded beside others must leave room."""
_FOLDER = "open_clip:local-dir:"


@dataclass(frozen=True)
class SecondJudge:
    """``places`` ``[n]`` of the judged photos have a vector in ``images`` ``[n, dim]`` of this encoder. ``mirrored``:
    it is the one that rewarded, and these are of the photos mirrored and closer."""

    encoder: Encoder
    places: np.ndarray
    images: np.ndarray
    mirrored: bool = False

    def of(self, captions: Mapping[str, Sequence[str]]) -> JudgedBy:
        """How models did, by the keys of their rows: each by one caption of each judged photo, in their order."""
        return JudgedBy(self.encoder.id, {key: self._of(said) for key, said in captions.items()}, self.mirrored)

    def _of(self, captions: Sequence[str]) -> Judged:
        there = self.places < len(captions)  # a row may be of the first photos alone
        images = self.images[there]
        texts = text_vectors(self.encoder, [captions[int(place)] for place in self.places[there]], prompt=True)
        found = ranks(texts @ images.T, np.arange(len(images)))
        fit = float(clip_s(row_cosines(texts, images)).mean())
        return Judged(len(images), fit, found.recall(1), float(found.reciprocal().mean()))


def second_judge(library: Library, rewarding: Encoder, image_ids: np.ndarray, ctx: JobContext) -> SecondJudge | None:
    """The judge of captions of the photos ``image_ids`` ``[n]``, on the device of ``rewarding`` or, where its memory
    does not suffice, on the processor, if there is room; ``rewarding`` itself, of mirrored photos, where no other
    encoder is here or none can be loaded. ``None`` where there are not two photos that can be read.

    Photos without a vector of its are looked at now, those ``image_ids`` alone.
    """
    device = getattr(rewarding, "device", CPU)
    for name, size in _others(library, rewarding.id):

        def judge(device: str, name: str = name, size: int = size) -> SecondJudge | None:
            if device == CPU and not _has_room(size):
                return None
            encoder = _loaded(name, device)
            if encoder is None or encoder.fingerprint == rewarding.fingerprint:
                return None
            return _prepared(library, encoder, image_ids, ctx)

        with suppress(NoRoomError):
            if found := where_it_fits(judge, device):  # a card may be full of the models that trained
                return found
    return _mirrored(library, rewarding, image_ids, ctx)


def _mirrored(library: Library, encoder: Encoder, image_ids: np.ndarray, ctx: JobContext) -> SecondJudge | None:
    known, rows = stamps(library, image_ids), {row.id: row for row in image_rows(library, image_ids)}
    places, parts, portion = list[int](), list[np.ndarray](), Portion(_BATCH)
    for start in range(0, len(image_ids), _BATCH):
        ctx.progress(start, len(image_ids), REPORTING)
        ctx.check_cancelled()
        pixels = list[np.ndarray]()
        for place, image_id in enumerate(image_ids[start : start + _BATCH].tolist(), start):
            with suppress(ImageError):  # it was read when training began; gone or changed since
                if (row := rows.get(image_id)) is not None:
                    load = partial(load_square, row.path, encoder.preprocess)
                    pixels.append(normalised(closer(load_unchanged(row, known, load)), encoder.preprocess))
                    places.append(place)
        if pixels:
            parts.append(vectors_of(encoder, pixels, portion))
    return SecondJudge(encoder, np.array(places), np.concatenate(parts), mirrored=True) if len(places) > 1 else None


def closer(square: np.ndarray) -> np.ndarray:
    """The middle three quarters of a picture uint8 ``[size, size, 3]``, mirrored and as large as it was."""
    size, edge = len(square), len(square) // 8
    middle = Image.fromarray(square[edge : size - edge, edge : size - edge][:, ::-1].copy())
    return np.asarray(middle.resize((size, size), Image.Resampling.BICUBIC))


def _loaded(name: str, device: str) -> Encoder | None:
    try:
        return load_encoder(name, device)
    except NoRoomError:
        raise
    except UserError:  # damaged, or gone meanwhile
        return None


def _has_room(size: int) -> bool:
    """Whether main memory takes an encoder of so many bytes in files; it does where nobody says how much is free."""
    _, free = memory()
    return free is None or size * _IN_MEMORY <= free


def _others(library: Library, name: str) -> list[tuple[str, int]]:
    """Encoders on this computer besides ``name`` and the bytes of their files, the largest first: it sees most. Those
    that were downloaded, those that trainings of the library were told by another name (a folder; whether it can be
    loaded is seen then), and the starter last."""
    sizes = {pin.name: pin.size for pin in read_pins().values() if pin.is_encoder and find(pin.name) is not None}
    for run in runs(library):
        sizes.setdefault(told := encoder_name(run), _bytes_in_folder(told))
    largest = sorted(sizes.keys() - {STARTER}, key=lambda one: (-sizes[one], one))
    return [(one, sizes.get(one, 0)) for one in (*largest, STARTER) if one != name]


def _bytes_in_folder(name: str) -> int:
    size = 0
    for file in Path(name.removeprefix(_FOLDER)).expanduser().glob("*.safetensors") if name.startswith(_FOLDER) else ():
        with suppress(OSError):  # a link whose file is gone: whether the folder can be loaded is seen later
            size += file.stat().st_size
    return size


def _prepared(library: Library, encoder: Encoder, image_ids: np.ndarray, ctx: JobContext) -> SecondJudge | None:
    hashes = {row.id: row.content_hash for row in image_rows(library, image_ids)}
    embed_library(library, encoder, Titled(ctx, REPORTING), only=set(hashes.values()))
    store = VectorStore(library, encoder.fingerprint, encoder.dim)
    missing = set(store.missing(list(hashes.values())))
    places = [at for at, one in enumerate(image_ids.tolist()) if one in hashes and hashes[one] not in missing]
    if len(places) < 2:
        return None  # there is nothing to be told apart from
    images = store.get([hashes[int(image_ids[at])] for at in places])
    return SecondJudge(encoder, np.array(places), images)
