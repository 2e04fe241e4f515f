"""What the library hands out: frozen dataclasses that any thread or process may keep."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Literal

Author = Literal["human", "run"]
State = Literal["candidate", "accepted", "rejected"]


@dataclass(frozen=True)
class ImageRow:
    """A photo: ``relative_path`` below the folder ``root``. ``width`` and ``height`` in pixels, orientation applied;
    ``error``: why it cannot be used, in words; ``removed``: a person took it out of the library."""

    id: int
    root: str
    relative_path: str
    content_hash: str
    width: int
    height: int
    missing: bool
    error: str | None
    removed: bool = False

    @property
    def path(self) -> Path:
        """Where the file is. Made when it is asked for: for a page of rows it took as long as reading them."""
        return Path(f"{self.root}/{self.relative_path}")


@dataclass(frozen=True)
class ScoreRow:
    """``fit`` = 2.5·cos, what captions are ordered by; :attr:`clip_s` is what of it is shown. ``rank``: the place of
    the own photo, from 1, among ``gallery_size`` photos; ``plain_rank``: the same for the
    plain caption it is compared with; ``distinctiveness`` against the neighbours."""

    fit: float
    rank: float
    gallery_size: int
    plain_rank: float | None
    distinctiveness: float | None

    @property
    def clip_s(self) -> float:
        """2.5·max(cos, 0)."""
        return max(self.fit, 0.0)


@dataclass(frozen=True)
class CaptionRow:
    """One text of one photo; ``run_id`` is ``None`` for human text and for the starter model's. ``mean_log_prob``: how
    likely the model found it, nats a token; ``None`` for human text and what was written before that was kept."""

    id: int
    image_id: int
    text: str
    author: Author
    run_id: str | None
    state: State
    is_seed: bool
    created_at: datetime
    score: ScoreRow | None
    mean_log_prob: float | None = None


@dataclass(frozen=True)
class Seed:
    """A photo with the captions that a person wrote for it to learn from."""

    image_id: int
    content_hash: str
    texts: tuple[str, ...]


@dataclass(frozen=True)
class Counts:
    """Numbers of photos. ``seeds`` to ``rejected``: with at least one such caption, so a photo may count in several.
    ``removed``: taken out of the library, and in no other of these numbers."""

    photos: int
    failed: int
    seeds: int
    candidates: int
    accepted: int
    rejected: int
    missing: int
    removed: int = 0


@dataclass(frozen=True)
class RunRow:
    """One training. ``status``: running, done, failed, cancelled or interrupted. ``folder``: its run folder."""

    id: str
    preset: str
    config: dict[str, Any]
    seed: int
    status: str
    folder: Path
    data_hash: str | None
    encoder_fingerprint: str | None
    metrics: dict[str, Any]
    gates: list[Any]
    checkpoint_hash: str | None
    message: str | None
    created_at: datetime
    finished_at: datetime | None
