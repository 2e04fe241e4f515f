"""What training learns from and is judged on, as arrays: seeds, held-out seeds, unlabelled photos, held-out photos."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from core.encoders.search import neighbours

FEWEST_SEEDS = 5
HELD_OUT_SHARE = 0.2
LARGEST_GALLERY = 300
"""Held-out photos above this number tell little more and cost time at every evaluation."""
SAMPLE_PHOTOS = 6


@dataclass(frozen=True)
class CaptionedVectors:
    """Photos as unit rows float32 ``[n, dim]``, what they are called, and their captions."""

    ids: np.ndarray
    images: np.ndarray
    captions: tuple[tuple[str, ...], ...]

    def __len__(self) -> int:
        return len(self.images)

    def pairs(self) -> tuple[np.ndarray, list[str]]:
        """One row per caption: the photo's position, the caption."""
        owner = np.repeat(np.arange(len(self)), [len(group) for group in self.captions])
        return owner.astype(np.int64), [caption for group in self.captions for caption in group]


@dataclass(frozen=True)
class TrainingData:
    """Four sets that share no photo, and sentences without photos.

    ``seeds`` and ``unlabelled`` are learned from; ``held_seeds`` and ``gallery`` only judged on.
    """

    seeds: CaptionedVectors
    held_seeds: CaptionedVectors
    unlabelled: np.ndarray  # [u, dim]
    unlabelled_ids: np.ndarray
    gallery: np.ndarray  # [g, dim]
    gallery_ids: np.ndarray
    texts: tuple[str, ...] = ()

    @property
    def judged_images(self) -> np.ndarray:
        """The photos that every model is judged on: the held-out seeds, then the gallery."""
        return np.concatenate([self.held_seeds.images, self.gallery])

    @property
    def practice_images(self) -> np.ndarray:
        """What stage 2 practises on: the unlabelled photos, and those of the seeds."""
        return np.concatenate([self.unlabelled, self.seeds.images])

    @property
    def nothing(self) -> np.ndarray:
        """A photo of nothing in particular: the unit mean ``[dim]`` of those practised on."""
        mean = self.practice_images.mean(axis=0)
        return mean / max(float(np.linalg.norm(mean)), 1e-8)

    def sample_photos(self) -> tuple[np.ndarray, np.ndarray]:
        """Ids and vectors of a few held-out photos, the same in every evaluation."""
        ids = np.concatenate([self.gallery_ids, self.held_seeds.ids, self.unlabelled_ids, self.seeds.ids])
        images = np.concatenate([self.gallery, self.held_seeds.images, self.unlabelled, self.seeds.images])
        return ids[:SAMPLE_PHOTOS], images[:SAMPLE_PHOTOS]

    def sha256(self) -> str:
        """Identifies the data: a training is only taken up again on the same."""
        digest = hashlib.sha256()
        for part in (self.seeds, self.held_seeds):
            digest.update(repr(part.captions).encode())
            digest.update(part.images.tobytes())
        for array in (self.unlabelled, self.gallery):
            digest.update(array.tobytes())
        digest.update(repr(self.texts).encode())
        return digest.hexdigest()


def make_training_data(
    seeds: CaptionedVectors,
    held_seeds: CaptionedVectors,
    unlabelled: tuple[np.ndarray, np.ndarray, Sequence[str]],
    texts: Sequence[str] = (),
) -> TrainingData:
    """Hold out a share of the unlabelled photos, chosen by their content so that the choice stays when more come.

    Args:
        seeds: labelled photos to learn from.
        held_seeds: labelled photos to judge on.
        unlabelled: ids ``[u]``, unit rows ``[u, dim]`` and a content hash (any string) of each.
        texts: sentences for text-only practice.
    """
    ids, images, hashes = unlabelled
    draws = [int.from_bytes(hashlib.sha256(one.encode()).digest()[:6]) / 2**48 for one in hashes]
    order = sorted(range(len(ids)), key=lambda i: draws[i])
    # By its own draw a photo stays on its side when others come; only a small library is helped to a gallery.
    count = max(sum(draw < HELD_OUT_SHARE for draw in draws), round(HELD_OUT_SHARE / 2 * len(order)))
    count = min(LARGEST_GALLERY, count)
    out, rest = np.array(sorted(order[:count]), np.int64), np.array(sorted(order[count:]), np.int64)
    images = np.asarray(images, np.float32).reshape(len(ids), seeds.images.shape[1])
    ids = np.asarray(ids, np.int64)
    return TrainingData(seeds, held_seeds, images[rest], ids[rest], images[out], ids[out], tuple(texts))


def hard_neighbours(images: np.ndarray, ranks: tuple[int, int]) -> np.ndarray:
    """For each photo its neighbours of ranks ``ranks[0]`` to ``ranks[1]`` (from 1), ``[n, r]``, -1 where there is none.

    The very nearest are left out: they often show the same thing, and no caption can tell them apart.
    """
    first, last = ranks
    return neighbours(images, last)[:, first - 1 :]
