"""The rows of a quality table: a model trained in one way, and what it says about the scored photos."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np

from core.bench.quality.material import Material, Photos
from core.captioner.captioner import Captioner
from core.captioner.checkpoint import load_captioner, save_captioner
from core.captioner.decoding import DecodingOptions, decode
from core.captioner.torch_decoder import TorchDecoder
from core.metrics.clip_score import clip_s
from core.onnx.source import checkpoint_sha256
from core.training.data import CaptionedVectors, TrainingData, make_training_data
from core.training.loop import TrainingConfig, train_stages
from core.training.presets import Preset
from core.training.runfolder import write_text

RERANK = DecodingOptions(method="sample", candidates=8, temperature=0.7)
BEAM = DecodingOptions(method="beam", beams=5)
"""ClipCap's."""
How = Literal["greedy", "beam", "rerank"]
RERANK_FLUENCY = 0.3
"""Weight of the mean log-probability beside CLIP-S when candidates are ranked (methods 5.3, decoding)."""
_HELD_SHARE, _FEWEST_HELD, _MOST_HELD = 0.2, 5, 300


@dataclass(frozen=True)
class Trained:
    """A trained model and what its report said. ``gates``: name and state of each guard of stage 2."""

    checkpoint: Path
    kept: str
    reason: str
    gates: Mapping[str, str]
    minutes: float
    values: Mapping[str, Mapping[str, float]]

    @property
    def red(self) -> list[str]:
        return [name for name, state in self.gates.items() if state == "red"]


def labelled_data(pool: Photos, labelled: np.ndarray, seed: int, texts: Sequence[str] = ()) -> TrainingData:
    """``labelled`` rows of ``pool`` with their captions, a fifth of them held out (at most 300); the rest without."""
    order = np.random.default_rng([seed, 1]).permutation(labelled)
    held = min(_MOST_HELD, max(_FEWEST_HELD, round(_HELD_SHARE * len(order))))
    others = np.setdiff1d(np.arange(len(pool)), labelled)
    names = [pool.photos[row].path.name for row in others]
    return make_training_data(
        _captioned(pool, order[held:]), _captioned(pool, order[:held]), (others, pool.vectors[others], names), texts
    )


def _captioned(pool: Photos, rows: np.ndarray) -> CaptionedVectors:
    rows = np.sort(rows)
    return CaptionedVectors(rows, pool.vectors[rows], tuple(pool.photos[row].captions for row in rows))


class Rows:
    """Trains and captions with one material."""

    def __init__(self, material: Material) -> None:
        self._material, self._cells, self._ctx = material, material.cells, material.ctx

    def train(
        self,
        name: str,
        data: TrainingData,
        preset: Preset,
        *,
        stages: str,
        start: Path,
        seed: int = 0,
        fresh: bool = False,
    ) -> Trained:
        """Train from the checkpoint ``start``, with an untrained mapper where it is ``fresh``.

        A training that was interrupted goes on, a finished one is read.
        """
        encoder = self._material.encoder
        preset = preset if "2" in stages else replace(preset, stage2=None)
        settings = {
            "data": data.sha256(), "preset": _told(asdict(preset)), "stages": stages, "seed": seed,
            "start": checkpoint_sha256(start), "encoder": encoder.fingerprint,
        }  # fmt: skip
        folder = self._cells.path(f"run-{name}", settings)
        done = folder / "cell.json"
        if not done.is_file():
            captioner = load_captioner(start, encoder.fingerprint)
            config = TrainingConfig(preset, stages, seed, resume=folder.is_dir(), fresh=fresh, start="given")
            report = train_stages(data, captioner, encoder, config, folder, self._ctx)
            save_captioner(captioner, folder / "kept")
            value: dict[str, Any] = {
                "kept": report.kept,
                "reason": report.reason,
                "gates": {gate.name: gate.state for gate in report.gates},
                "minutes": sum(one.seconds for one in report.results.values()) / 60,
                "values": {key: dict(one.values) for key, one in report.results.items()},
            }
            write_text(done, json.dumps(value, indent=1, ensure_ascii=False))
        return Trained(folder / "kept", **json.loads(done.read_text(encoding="utf-8")))

    def captions(self, name: str, checkpoint: Path, photos: Photos, how: How = "greedy") -> list[str]:
        """Captions of ``photos``: greedy, by beam search, or the best of eight samples by CLIP-S and fluency."""
        encoder = self._material.encoder
        settings = {
            "checkpoint": checkpoint_sha256(checkpoint), "encoder": encoder.fingerprint,
            "photos": [one.path.name for one in photos.photos],
            # Named when there was no other choice; another name would make all captions anew.
            "rerank": {"greedy": [], "beam": [asdict(BEAM)], "rerank": [asdict(RERANK), RERANK_FLUENCY]}[how],
        }  # fmt: skip

        def make() -> list[str]:
            captioner = load_captioner(checkpoint, encoder.fingerprint)
            return self._reranked(captioner, photos) if how == "rerank" else self._likeliest(captioner, photos, how)

        return self._cells.value(f"captions-{name}", settings, make)

    def _likeliest(self, captioner: Captioner, photos: Photos, how: How) -> list[str]:
        options = replace(BEAM if how == "beam" else DecodingOptions(), max_tokens=captioner.info.caption_tokens)
        found = decode(TorchDecoder(captioner), photos.vectors, options, self._ctx)
        return [captioner.decode(best.tokens) for best, *_ in found]

    def _reranked(self, captioner: Captioner, photos: Photos) -> list[str]:
        found = decode(TorchDecoder(captioner), photos.vectors, RERANK, self._ctx)
        chosen = []
        for vector, hypotheses in zip(photos.vectors, found, strict=True):
            texts = [captioner.decode(one.tokens) for one in hypotheses]
            fluency = np.array([one.average for one in hypotheses])
            fit = clip_s(self._material.encoder.encode_texts(texts) @ vector)
            chosen.append(texts[int(np.argmax(fit + RERANK_FLUENCY * fluency))])
        return chosen


def _told(settings: Any) -> Any:
    """``settings`` without those that are newer than some cells and change nothing as they are."""
    if not isinstance(settings, dict):
        return settings
    kept = {name: value for name, value in settings.items() if value != {} and (name, value) != ("sentences", 0)}
    # No bench labels as few photos as folds are for; cells know that as 0 of them.
    return {name: 0 if (name, value) == ("folds", None) else _told(value) for name, value in kept.items()}
