"""The rows of a run's table: what each model says of the same held-out photos, and people's captions as the ceiling."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from core.captioner.captioner import Captioner
from core.captioner.checkpoint import load_captioner
from core.captioner.decoding import decode
from core.captioner.rerank import CONSIDERED, fluency_weight, rerank_scores
from core.captioner.torch_decoder import TorchDecoder
from core.encoders.encoder import Encoder, sharpness
from core.jobs import JobContext
from core.metrics.bootstrap import bootstrap_mean, paired_bootstrap
from core.metrics.clip_score import clip_s, fit
from core.metrics.guards import guard_summary
from core.metrics.retrieval import ranks
from core.report.document import TITLES, Figure, Gain, PageData, PhotoCaptions, Row, SeedEvidence
from core.report.second_judge import SecondJudge
from core.training.data import TrainingData
from core.training.evaluate import Evaluation, Judge
from core.training.texts import text_vectors

RERANKED = 120
"""Photos of the row with several captions a photo, which takes five times as long as the others."""
SHOWN = 10
_PLAIN = ("r5", "nll", "fluency_nll", "unique_ratio", "rep2", "length")


@dataclass(frozen=True)
class Models:
    """What was judged: ``evaluations`` by the key of their row; ``warm``: the checkpoint that stage 2 began with.

    ``notes``: a sentence for rows that need one; ``seeds``: what the seeds themselves tell; ``second``: who judges what
    was rewarded.
    """

    data: TrainingData
    encoder: Encoder
    judge: Judge
    evaluations: Mapping[str, Evaluation]
    warm: Path
    notes: Mapping[str, str] = field(default_factory=dict)
    seeds: SeedEvidence = field(default_factory=SeedEvidence)
    second: SecondJudge | None = None


def measure(models: Models, ctx: JobContext) -> PageData:
    """Everything that the page shows; captions several of a photo and reads those of people, and trains nothing."""
    evaluations = dict(models.evaluations)
    device = str(getattr(models.encoder, "device", "cpu"))
    captioner = load_captioner(models.warm, models.encoder.fingerprint, device)
    name = "stage1" if models.warm.name == "stage1" else "before"
    evaluations[f"{name}-rerank"] = best_of_several(captioner, models, ctx)
    rows = {key: row_of(key, one, models.notes.get(key, "")) for key, one in evaluations.items()}
    people = _human_row(models)
    if people is not None:
        rows["human"] = people
    ordered = tuple(rows[key] for key in TITLES if key in rows)
    on_practice = models.judge.on_practice
    judged = None
    if models.second is not None:
        name, mirrored = models.second.encoder.id, models.second.mirrored
        ctx.progress(0, None, "Judging photos mirrored and closer" if mirrored else f"Asking {name}, the second judge")
        judged = models.second.of({key: one.captions for key, one in evaluations.items()})
    return PageData(ordered, gains_of(evaluations), _photos(models, evaluations), models.seeds, on_practice, judged)


def judged_ids(data: TrainingData, judge: Judge) -> np.ndarray:
    """The ids ``[n]`` of the photos that models are judged on, in the order of ``judge.images``."""
    if judge.on_practice:
        return np.concatenate([data.unlabelled_ids, data.seeds.ids])
    return np.concatenate([data.held_seeds.ids, data.gallery_ids])


def best_of_several(captioner: Captioner, models: Models, ctx: JobContext) -> Evaluation:
    """The baseline without practice: of five beam captions of a photo the best by CLIP-S and mean log p."""
    judge = models.judge
    images = judge.images[:RERANKED]
    options = replace(judge.options, method="beam", beams=CONSIDERED, candidates=CONSIDERED)
    found = decode(TorchDecoder(captioner), images, options, ctx)
    texts = [[captioner.decode(one.tokens) for one in several] for several in found]
    vectors = text_vectors(models.encoder, [text for several in texts for text in several], prompt=True)
    owner = np.repeat(np.arange(len(found)), [len(several) for several in found])
    scores = fit(np.einsum("nd,nd->n", vectors, images[owner]))
    averages = np.array([one.average for several in found for one in several])
    wanted = rerank_scores(scores, averages, fluency_weight(0.5, sharpness(models.encoder)))
    best = [int(np.argmax(wanted[owner == photo])) for photo in range(len(found))]
    chosen = [texts[photo][place] for photo, place in enumerate(best)]
    return judge.of_captions(chosen, [found[photo][place].finished for photo, place in enumerate(best)])


def row_of(key: str, evaluation: Evaluation, note: str = "") -> Row:
    """A model's figures; means over photos with their bootstrap intervals."""
    figures = {name: _figure(values) for name, values in _by_photo(evaluation).items() if len(values)}
    figures |= {name: Figure(evaluation.values[name]) for name in _PLAIN if name in evaluation.values}
    return Row(key, len(evaluation.captions), figures, note)


def _by_photo(evaluation: Evaluation) -> dict[str, np.ndarray]:
    """The figures that each photo has one of, by their names in the table; none of ``cider`` where nobody captioned."""
    return {
        "clip_s": evaluation.clip_s,
        "r1": 100 * evaluation.hit,
        "mrr": evaluation.reciprocal_rank,
        "cider": evaluation.cider,
    }


def _figure(values: np.ndarray) -> Figure:
    found = bootstrap_mean(values)
    return Figure(found.value, found.low, found.high)


def _human_row(models: Models) -> Row | None:
    """People's first captions of the held-out seeds, ranked among the same photos."""
    held, judge = models.data.held_seeds, models.judge
    if judge.on_practice or not len(held):
        return None
    captions = [group[0] for group in held.captions]
    similarities = text_vectors(models.encoder, captions, prompt=True) @ judge.images.T
    own = np.arange(len(captions))
    place = ranks(similarities, own)
    figures = {
        "clip_s": _figure(clip_s(similarities[own, own])),
        "r1": _figure(100 * place.hits(1)),
        "mrr": _figure(place.reciprocal()),
        "r5": Figure(place.recall(5)),
    }
    guards = guard_summary(captions)
    figures |= {name: Figure(guards[name]) for name in ("unique_ratio", "rep2", "length")}
    return Row("human", len(captions), figures, "what people wrote for held-out photos")


def gains_of(evaluations: Mapping[str, Evaluation]) -> tuple[Gain, ...]:
    """Each later model against the one before it, photo by photo on those that both have."""
    pairs = [("stage1", "before"), ("stage1-rerank", "stage1"), ("before-rerank", "before"), ("stage2", "stage1")]
    pairs += [("stage2", "before"), ("stage2", "stage1-rerank"), ("stage2", "similarity"), ("stage1", "text-only")]
    gains = []
    for later, earlier in pairs:
        if later not in evaluations or earlier not in evaluations:
            continue
        a, b = evaluations[earlier], evaluations[later]
        for figure, one in _by_photo(a).items():
            other = _by_photo(b)[figure]
            both = min(len(one), len(other))
            if both > 1:
                found = paired_bootstrap(one[:both], other[:both])
                gains.append(Gain(later, earlier, figure, found.value, found.low, found.high, found.p))
    return tuple(gains)


def _photos(models: Models, evaluations: Mapping[str, Evaluation]) -> tuple[PhotoCaptions, ...]:
    """Ten photos: held-out seeds first, for half of them at most where there are others; spread over each."""
    data, judge = models.data, models.judge
    ids = judged_ids(data, judge)
    if judge.on_practice:
        human = [()] * len(data.unlabelled_ids) + list(data.seeds.captions)
        labelled = np.zeros(0, np.int64)
    else:
        human = [*data.held_seeds.captions, *([()] * len(data.gallery_ids))]
        labelled = np.arange(len(data.held_seeds))
    most = min([len(ids), *(len(one.captions) for one in evaluations.values())])
    labelled, others = labelled[labelled < most], np.arange(len(labelled), most)
    first = _spread(labelled, max(SHOWN // 2, SHOWN - len(others)))
    places = [*first, *_spread(others, SHOWN - len(first))]
    return tuple(
        PhotoCaptions(int(ids[at]), human[at], {key: one.captions[at] for key, one in evaluations.items()})
        for at in places
    )


def _spread(places: np.ndarray, count: int) -> list[int]:
    if len(places) <= count:
        return places.tolist()
    return places[np.linspace(0, len(places) - 1, count).astype(int)].tolist()
