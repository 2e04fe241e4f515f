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
from core.captioner.decoding import DecodingOptions, decode
from core.captioner.mapper import SHARPNESS
from core.captioner.torch_decoder import TorchDecoder
from core.disk import replacing
from core.encoders.encoder import Encoder, sharpness
from core.metrics.clip_score import fit
from core.metrics.retrieval import ranks
from core.training.candidates import passes, went_bad
from core.training.compute import autocast, numpy_rng, torch_rng
from core.training.data import TrainingData
from core.training.drawing import SAMPLES, of_people, photos_to_draw
from core.training.messages import DRAWING, READING, TRYING
from core.training.rollout import Sampler
from core.training.stage1 import has_large_lm
from core.training.steps import Environment
from core.training.texts import text_vectors

_TEMPERATURE = 0.8
_PHOTOS_AT_ONCE = 64
_TRIED, _TRIED_BY_LARGE_LM = 256, 64
"""Photos captioned with and without sentences, to see whether these help."""
_SHARE_OF_TIME = 0.25
"""Of what a time limit leaves for stage 2."""


def give_sentences(data: TrainingData, encoder: Encoder, env: Environment, most: int) -> bool:
    """Give the captioner's mapper at most ``most`` sentences, if its captions fit their photos better with them;
    whether they do. A training that goes on does as it did.

    Raises:
        UserError: what it had is damaged.
        Cancelled: at any time; nothing has changed.
    """
    file, mapper = env.run.sentences, env.captioner.mapper
    # As a place among sentences: what a difference of cosines means to the encoder decides how near is near.
    near = round(SHARPNESS * sharpness(encoder), 1)
    if not (env.resume and file.is_file()):
        vectors = library_sentences(data, encoder, env, most)
        if len(vectors) and not _they_help(vectors, near, data, encoder, env):
            vectors = vectors[:0]
        with replacing(file) as stream:
            np.save(stream, vectors)
    vectors = _read(file, encoder.dim)
    if len(vectors):
        mapper.move_towards(torch.from_numpy(vectors).to(env.captioner.device), near)
    return len(vectors) > 0


def _they_help(vectors: np.ndarray, near: float, data: TrainingData, encoder: Encoder, env: Environment) -> bool:
    """Whether plain captions of photos to practise on are nearer to them, and find them better, with these sentences.

    Where the captioner knows photos of this kind well, its own sentences only blur what it sees.
    """
    mapper = env.captioner.mapper
    number = _TRIED_BY_LARGE_LM if _slowly(env) else _TRIED
    images = data.practice_images[numpy_rng(env.seed, "sentences", 2).permutation(len(data.practice_images))[:number]]
    had = mapper.towards
    without = _fit(images, encoder, env)
    try:
        mapper.move_towards(torch.from_numpy(vectors.astype(np.float32)).to(env.captioner.device), near)
        return _fit(images, encoder, env) > without
    finally:
        mapper.move_towards(*had)


def _fit(images: np.ndarray, encoder: Encoder, env: Environment) -> float:
    """Fit of greedy captions and how they find their photo among these, added up as practice picks its best step."""
    env.ctx.progress(0, None, TRYING)
    options = DecodingOptions(method="greedy", max_tokens=_limit(env.captioner), no_repeat_ngram=0)
    found = [best for best, *_ in decode(TorchDecoder(env.captioner), images, options, env.ctx)]
    texts = text_vectors(encoder, [env.captioner.decode(one.tokens) for one in found], prompt=True)
    similarities, own = texts @ images.T, np.arange(len(images))
    return sharpness(encoder) * float(fit(similarities[own, own]).mean()) + float(
        ranks(similarities, own).reciprocal().mean()
    )


def _slowly(env: Environment) -> bool:
    return has_large_lm(env.captioner) and env.captioner.device.type == "cpu"


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
    photos = photos_to_draw(most, len(people), len(data.practice_images), slowly=_slowly(env))
    sentences += _drawn(data.practice_images, env, photos)[: most - len(sentences)]
    env.ctx.progress(0, None, READING)
    with autocast(env.bf16, env.captioner.device):
        vectors = text_vectors(encoder, list(dict.fromkeys(sentences)), prompt=False)
    return vectors.reshape(-1, data.practice_images.shape[1]).astype(np.float16)


def _drawn(images: np.ndarray, env: Environment, photos: int) -> list[str]:
    """Captions of so many photos, drawn by lot, that end and say nothing twice; of fewer where the time is limited."""
    captioner, found = env.captioner, list[str]()
    began = time.monotonic()
    until = math.inf if env.deadline is None else began + _SHARE_OF_TIME * (env.deadline - began)
    order = numpy_rng(env.seed, "sentences", 1).permutation(len(images))[:photos]
    sampler = Sampler(captioner, env.bf16)
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
