"""Whether the encoder knows the library's photos: a person's own captions should find theirs."""

from __future__ import annotations

import numpy as np

from core.encoders.encoder import Encoder
from core.encoders.search import NEAR_DUPLICATE
from core.metrics.retrieval import ranks
from core.training.data import TrainingData
from core.training.messages import OwnCaptions
from core.training.texts import text_vectors

_FEWEST_CAPTIONS, _MOST_CAPTIONS = 10, 100
_FEWEST_PHOTOS, _MOST_PHOTOS = 50, 400


def own_captions(encoder: Encoder, data: TrainingData) -> OwnCaptions | None:
    """How many of a person's captions find their photo by ``encoder``; ``None`` where there are too few to tell."""
    labelled = [*zip(data.held_seeds.images, data.held_seeds.captions, strict=True)]
    labelled += [*zip(data.seeds.images, data.seeds.captions, strict=True)]
    labelled = labelled[:_MOST_CAPTIONS]
    if len(labelled) < _FEWEST_CAPTIONS:
        return None
    others = np.concatenate([data.unlabelled, data.gallery])[: _MOST_PHOTOS - len(labelled)]
    photos = np.concatenate([np.stack([image for image, _ in labelled]), others])
    if len(photos) < _FEWEST_PHOTOS:
        return None
    texts = text_vectors(encoder, [captions[0] for _, captions in labelled], prompt=True)
    if not texts.any():
        return None  # vectors that somebody brought, without an encoder that reads
    own = np.arange(len(labelled))
    alike = photos[own] @ photos.T > NEAR_DUPLICATE  # finding any of them is finding the photo
    alike[own, own] = False
    found = ranks(np.where(alike, -np.inf, texts @ photos.T), own).hits(5).sum()
    return OwnCaptions(len(labelled), round(float(found)), len(photos))
