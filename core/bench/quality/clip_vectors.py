"""ClipCap on vectors that a real CLIP ViT-B/32 made of 985 Flickr8k photos: the published setting, small."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from core.bench.quality.halves import Half, half_b
from core.bench.quality.material import Material, Photos
from core.bench.quality.rows import Rows, labelled_data
from core.bench.result import Measure
from core.captioner.captioner import new_captioner
from core.captioner.checkpoint import load_captioner, save_captioner
from core.captioner.language_model import LanguageModel
from core.images.preprocess import Preprocess
from core.metrics.bleu import bleu_counts
from core.metrics.cider import cider_d
from core.starter.corpus import read_split
from core.training.presets import find_preset

FILES = ("clip_vitb32/clip_embeddings.npy", "clip_vitb32/row_to_file.tsv")
SCORED = 200
_PRESETS = ("clipcap-mlp", "clipcap-transformer")


class PhotoVectorsAlone:
    """An encoder of which only vectors of photos are at hand. Of a sentence it makes the zero vector: every similarity
    is 0, and a stage 1 is judged by its likelihood alone."""

    preprocess, prompt = Preprocess(224, (0.5, 0.5, 0.5), (0.5, 0.5, 0.5)), ""

    def __init__(self, name: str, vectors: np.ndarray) -> None:
        self.id, self.dim = name, vectors.shape[1]
        self.fingerprint = hashlib.sha256(vectors.tobytes()).hexdigest()

    def encode_images(self, pixels: np.ndarray) -> np.ndarray:
        raise NotImplementedError("there is no model, only what it once made of some photos")

    def encode_texts(self, texts: Sequence[str], prompt: bool = True) -> np.ndarray:
        return np.zeros((len(texts), self.dim), np.float32)


def clip_vector_measures(material: Material, half: Half, seeds: int) -> list[Measure]:
    """Figures of both ClipCap presets on 785 photos, scored on 200 of half B: their captions are news to the language
    model, which is that of half A."""
    learned, scored = _split(read_vectors(material.data), material.data)
    encoder = PhotoVectorsAlone("CLIP ViT-B/32", learned.vectors)
    rows, measures = Rows(Material(material.data, encoder, material.cells, material.ctx)), list[Measure]()
    for name in _PRESETS:
        cider, bleu = [], []
        for seed in range(seeds):
            start = _fresh(material, half, encoder, name, seed)
            data = labelled_data(learned, np.arange(len(learned)), seed)
            one = rows.train(
                f"clip-vectors-{name}-{seed}", data, find_preset(name), stages="1", start=start, seed=seed, fresh=True
            )
            captions = rows.captions(f"clip-vectors-{name}", one.checkpoint, scored)
            cider.append(100 * float(cider_d(captions, scored.references).mean()))
            bleu.append(100 * float(bleu_counts(captions, scored.references).bleu()[3]))
        measures += [
            Measure(f"clip_vitb32_{name}_cider", float(np.mean(cider)), "", seeds=seeds),
            Measure(f"clip_vitb32_{name}_bleu4", float(np.mean(bleu)), "", seeds=seeds),
        ]
    return measures


def read_vectors(data: Path) -> Photos:
    """The photos of ``clip_vitb32`` whose row has a single name, by name, with unit rows float32 ``[n, 512]``."""
    known = {photo.path.name: photo for photo in read_split(data, "flickr8k", "train")}
    lines = (data / FILES[1]).read_text(encoding="utf-8").splitlines()
    rows = {name: int(row) for row, name in (line.split("\t") for line in lines) if name in known}
    vectors = np.load(data / FILES[0])[[rows[name] for name in sorted(rows)]].astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return Photos(tuple(known[name] for name in sorted(rows)), vectors)


def _split(photos: Photos, data: Path) -> tuple[Photos, Photos]:
    """Those to learn from, and the scored ones."""
    of_b = {photo.path.name for photo in half_b(read_split(data, "flickr8k", "train"))}
    possible = [row for row, photo in enumerate(photos.photos) if photo.path.name in of_b]
    scored = np.sort(np.random.default_rng(0).permutation(possible)[:SCORED])
    return photos.pick(np.setdiff1d(np.arange(len(photos)), scored)), photos.pick(scored)


def _fresh(material: Material, half: Half, encoder: PhotoVectorsAlone, name: str, seed: int) -> Path:
    """A checkpoint with the language model of half A behind an untrained mapper of the preset's kind."""
    mapper = find_preset(name).mapper
    folder = material.cells.path("fresh-clip-vectors", {"mapper": str(mapper), "seed": seed, "encoder": encoder.id})
    if not folder.is_dir():
        of_a = load_captioner(half.captioner, material.encoder.fingerprint)
        lm = LanguageModel(of_a.info.lm_id, of_a.lm, of_a.tokenizer)
        save_captioner(new_captioner(encoder, lm, mapper, seed=seed), folder)
    return folder
