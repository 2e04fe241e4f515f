"""A second encoder that judges what another one rewarded, chosen by itself where one is on this computer.

A model that practised for one encoder's praise gets that encoder's praise; what another one says is evidence.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from core.encoders.embed import embed_library
from core.encoders.encoder import Encoder
from core.encoders.load import load_encoder
from core.encoders.store import VectorStore
from core.errors import UserError
from core.hub.cache import find
from core.hub.pins import read_pins
from core.jobs import JobContext, Titled
from core.library.library import Library
from core.library.queries import image_rows
from core.metrics.clip_score import clip_s, row_cosines
from core.metrics.retrieval import ranks
from core.report.document import Judged, JudgedBy
from core.training.messages import REPORTING
from core.training.texts import text_vectors

STARTER = "starter"


@dataclass(frozen=True)
class SecondJudge:
    """``places`` ``[n]`` of the judged photos have a vector in ``images`` ``[n, dim]`` of this encoder."""

    encoder: Encoder
    places: np.ndarray
    images: np.ndarray

    def of(self, captions: Mapping[str, Sequence[str]]) -> JudgedBy:
        """How models did, by the keys of their rows: each by one caption of each judged photo, in their order."""
        return JudgedBy(self.encoder.id, {key: self._of(said) for key, said in captions.items()})

    def _of(self, captions: Sequence[str]) -> Judged:
        there = self.places < len(captions)  # a row may be of the first photos alone
        images = self.images[there]
        texts = text_vectors(self.encoder, [captions[int(place)] for place in self.places[there]], prompt=True)
        found = ranks(texts @ images.T, np.arange(len(images)))
        fit = float(clip_s(row_cosines(texts, images)).mean())
        return Judged(len(images), fit, found.recall(1), float(found.reciprocal().mean()))


def second_judge(library: Library, rewarding: Encoder, image_ids: np.ndarray, ctx: JobContext) -> SecondJudge | None:
    """The judge of captions of the photos ``image_ids`` ``[n]``, on the device of ``rewarding``; ``None`` where no
    other encoder is here, or none can be loaded.

    Photos without a vector of its are looked at now, those ``image_ids`` alone.
    """
    for name in _others(rewarding.id):
        try:
            encoder = load_encoder(name, getattr(rewarding, "device", "cpu"))
        except UserError:  # damaged, or gone meanwhile: the next one
            continue
        if encoder.fingerprint != rewarding.fingerprint:
            return _prepared(library, encoder, image_ids, ctx)
    return None


def _others(name: str) -> list[str]:
    """Encoders on this computer besides ``name``, the largest first: it sees most."""
    pins = sorted(read_pins().values(), key=lambda pin: -pin.size)
    downloaded = [pin.name for pin in pins if pin.is_encoder and find(pin.name) is not None]
    return [one for one in (*downloaded, STARTER) if one != name]


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
