"""Whether the encoder knows the library's photos: a person's own captions should find theirs."""

from __future__ import annotations

import numpy as np

from core.encoders.encoder import Encoder
from core.metrics.retrieval import ranks
from core.training.data import TrainingData
from core.training.texts import text_vectors

_FEWEST_CAPTIONS, _MOST_CAPTIONS = 10, 100
_FEWEST_PHOTOS, _MOST_PHOTOS = 50, 400
_WELL = 0.4
"""Of captions that find their photo among the first five of some hundred, what is to be expected. People's captions of
Flickr8k do by the starter's encoder to 0.7 (of 400) and 0.9 (of 100), those of aerial photos, which it has not learned,
to 0.3 (of either)."""


def said_unfamiliar(encoder: Encoder, data: TrainingData) -> str:
    """A sentence where few of a person's captions find their photo by ``encoder``; empty where enough do or where there
    are too few to tell."""
    labelled = [*zip(data.held_seeds.images, data.held_seeds.captions, strict=True)]
    labelled += [*zip(data.seeds.images, data.seeds.captions, strict=True)]
    labelled = labelled[:_MOST_CAPTIONS]
    if len(labelled) < _FEWEST_CAPTIONS:
        return ""
    others = np.concatenate([data.unlabelled, data.gallery])[: _MOST_PHOTOS - len(labelled)]
    photos = np.concatenate([np.stack([image for image, _ in labelled]), others])
    if len(photos) < _FEWEST_PHOTOS:
        return ""
    texts = text_vectors(encoder, [captions[0] for _, captions in labelled], prompt=True)
    found = int(ranks(texts @ photos.T, np.arange(len(labelled))).hits(5).sum())
    if found >= _WELL * len(labelled):
        return ""
    return (
        f"Of {len(labelled)} of your own captions {found} find their photo among the first five of {len(photos)}: this "
        "encoder knows little of what sets such photos apart. A larger one may know more: choose it in Train behind "
        "More; seedcap models lists some."
    )
