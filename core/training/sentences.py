"""What the captioner itself says of the library's photos, as sentences that its view of a photo is moved towards.

A captioner that was warmed up on sentences knows where sentences lie; photos lie elsewhere. The captions nearest to a
photo, whichever photos they were drawn of, say where a sentence about this one would lie (DeCap, arXiv 2303.03032,
takes a corpus; here the library's photos without captions make their own).
"""

from __future__ import annotations

import math
import time
from pathlib import Path

import numpy as np
import torch

from core.captioner.captioner import Captioner
from core.captioner.mapper import SHARPNESS
from core.disk import replacing
from core.encoders.encoder import Encoder, sharpness
from core.training.candidates import passes, went_bad
from core.training.compute import numpy_rng, torch_rng
from core.training.data import TrainingData
from core.training.drawing import SAMPLES, of_people, photos_to_draw
from core.training.evaluate import Evaluation
from core.training.messages import DRAWING, READING, TRYING
from core.training.rollout import Sampler
from core.training.stage1 import has_large_lm
from core.training.steps import Environment
from core.training.texts import text_vectors

_TEMPERATURE = 0.8
_PHOTOS_AT_ONCE = 64
_SHARE_OF_TIME = 0.25
"""Of what a time limit leaves for stage 2."""


def give_sentences(data: TrainingData, encoder: Encoder, env: Environment, most: int, without: Evaluation) -> bool:
    """Give the captioner's mapper at most ``most`` sentences, if it is better with them by what picks the best step of
    practice; whether it is. ``without``: how it is now. A training that goes on does as it did.

    Where the captioner knows photos of this kind well, its own sentences only blur what it sees.

    Raises:
        UserError: what it had is damaged.
        Cancelled: at any time; nothing has changed.
    """
    file = env.run.sentences
    # As a place among sentences: what a difference of cosines means to the encoder decides how near is near.
    near = round(SHARPNESS * sharpness(encoder), 1)
    if not (env.resume and file.is_file()):
        _write(file, library_sentences(data, encoder, env, most))
    vectors = _read(file, encoder.dim)
    if not len(vectors):
        return False
    mapper = env.captioner.mapper
    had, better = mapper.towards, env.resume and env.run.state(2).exists()  # practice with them had begun
    mapper.move_towards(torch.from_numpy(vectors).to(env.captioner.device), near)
    if better:
        return True
    try:
        better = _is_better(env, without, sharpness(encoder))
    finally:
        if not better:
            mapper.move_towards(*had)
    if not better:
        _write(file, vectors[:0])
    return better


def _write(file: Path, vectors: np.ndarray) -> None:
    with replacing(file) as stream:
        np.save(stream, vectors.astype(np.float16))


def _is_better(env: Environment, without: Evaluation, sharpness: float) -> bool:
    env.ctx.progress(0, None, TRYING)
    return bool(env.judge(env.captioner).merit(sharpness).mean() > without.merit(sharpness).mean())


def _read(file: Path, dim: int) -> np.ndarray:
    try:
        vectors = np.load(file, allow_pickle=False).astype(np.float32)
    except (OSError, ValueError, EOFError) as error:
        raise went_bad(file) from error
    if vectors.ndim != 2 or vectors.shape[1] != dim or not np.isfinite(vectors).all():
        raise went_bad(file)
    return vectors


def library_sentences(data: TrainingData, encoder: Encoder, env: Environment, most: int) -> np.ndarray:
    """Vectors float16 ``[m, dim]``, m at most ``most``: of the seeds, the texts, and of sound captions that the
    captioner draws of photos without captions."""
    rng = numpy_rng(env.seed, "sentences", 0)
    people = [*data.seeds.pairs()[1], *data.texts]
    sentences = [people[i] for i in rng.permutation(len(people))[: of_people(most, len(people))]]
    slowly = has_large_lm(env.captioner) and env.captioner.device.type == "cpu"
    photos = photos_to_draw(most, len(people), len(data.practice_images), slowly=slowly)
    sentences += _drawn(data.practice_images, env, photos)[: most - len(sentences)]
    env.ctx.progress(0, None, READING)
    with env.precision.autocast():
        vectors = text_vectors(encoder, list(dict.fromkeys(sentences)), prompt=False)
    return vectors.reshape(-1, data.practice_images.shape[1]).astype(np.float16)


def _drawn(images: np.ndarray, env: Environment, photos: int) -> list[str]:
    """Captions of so many photos, drawn by lot, that end and say nothing twice; of fewer where the time is limited."""
    captioner, found = env.captioner, list[str]()
    began = time.monotonic()
    until = math.inf if env.deadline is None else began + _SHARE_OF_TIME * (env.deadline - began)
    order = numpy_rng(env.seed, "sentences", 1).permutation(len(images))[:photos]
    sampler = Sampler(captioner, env.precision.dtype)
    sampler.refresh()
    for start in range(0, len(order), _PHOTOS_AT_ONCE):
        if time.monotonic() > until:
            break
        env.ctx.progress(start, len(order), DRAWING)
        seen = torch.from_numpy(images[order[start : start + _PHOTOS_AT_ONCE]])
        draws = torch_rng(env.seed, "sentences", start)
        drawn = sampler.sample(seen, SAMPLES, _TEMPERATURE, _limit(captioner), draws, env.ctx)
        captions = [captioner.decode(tokens) for tokens in drawn.token_lists()]
        sound = passes(captions, drawn.finished.cpu().numpy())
        found += [caption for caption, good in zip(captions, sound, strict=True) if good]
    return found


def _limit(captioner: Captioner) -> int:
    return min(captioner.info.caption_tokens, captioner.max_tokens)
