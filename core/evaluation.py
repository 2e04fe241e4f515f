"""Every metric of captions against references of people and, where the photos are at hand, against the photos."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np

from core.encoders.encoder import Encoder
from core.encoders.load import load_encoder
from core.errors import UserError
from core.evaluation_photos import Rows, score_photos
from core.exchange.evaluation_files import pair, read_predictions, read_references
from core.exchange.fine_cap_eval_file import read_fine_cap_eval
from core.exchange.frequency_files import load_frequencies, write_frequencies
from core.jobs import JobContext
from core.metrics.bootstrap import Interval
from core.metrics.caption_scores import reference_scores
from core.metrics.cider import cider, cider_d
from core.metrics.diversity import (
    cider_kernels,
    div_n,
    global_vocabulary,
    mutual_bleu,
    mutual_cider,
    self_bleu,
    self_cider,
)
from core.metrics.document_frequencies import DocumentFrequencies, count_documents, label_of_scored
from core.metrics.fine_cap_eval import FineRow, fine_scores
from core.metrics.guards import guard_summary, length_ratio
from core.metrics.word_guards import Unsupported, noun_list_rate

FIXED_FREQUENCIES, CANDIDATES, FINE_CAP_EVAL, PHOTOS = "fixed frequencies", "candidates", "FineCapEval", "photos"
"""Keys of :attr:`EvaluateReport.left_out` for what a person did not give."""

_NOT_GIVEN = {
    FIXED_FREQUENCIES: "CIDEr with fixed document frequencies: none were named",
    CANDIDATES: "Div-n, gDiv-1, mBLEU-4, mCIDEr and Self-CIDEr: no photo of the predictions has two candidates",
    FINE_CAP_EVAL: "FineCapEval: its file, which is not ours to ship, was not given",
    PHOTOS: "CLIP-S, RefCLIP-S, retrieval, bags, contrastive scores, CIDErBtw, captions too long for the encoder, "
    "unsupported words: the photos were not given",
}
_NO_END = "captions without an end: a predictions file does not tell; the gates of a training measure them"


@dataclass(frozen=True)
class EvaluateRequest:
    """``images``: the folder of the photos, for CLIP-S and retrieval; ``split``: use these rows of a CSV only;
    ``fine_cap_eval``: FineCapEval's file; ``document_frequencies``: a file of them, or the name of shipped ones."""

    predictions: Path
    references: Path
    split: str | None = None
    images: Path | None = None
    encoder: str = "starter"
    fine_cap_eval: Path | None = None
    document_frequencies: str | None = None


@dataclass(frozen=True)
class EvaluateReport:
    """``metrics``: name to figure. Text metrics and R@k are percent (times 100), CLIP-S, RefCLIP-S and MRR as they are,
    shares of the guards 0..1. ``labels``: what a figure was made with, by its name. ``left_out``: what could not be
    measured and why, a sentence each. ``review``: words of captions to look at, by file. ``failed``: predictions with
    an error and photos that could not be read."""

    scored: int
    without_reference: int
    without_prediction: int
    references_per_photo: float
    encoder: str | None
    metrics: dict[str, float]
    intervals: dict[str, Interval]
    failed: dict[str, str] = field(default_factory=dict)
    labels: dict[str, str] = field(default_factory=dict)
    left_out: dict[str, str] = field(default_factory=dict)
    review: dict[str, list[Unsupported]] = field(default_factory=dict)


def evaluate_job(
    ctx: JobContext, request: EvaluateRequest, load: Callable[[str], Encoder] | None = None
) -> EvaluateReport:
    """Score a predictions file. ``load`` gives the encoder of a name (default: :func:`load_encoder`)."""
    predictions = read_predictions(request.predictions)
    references = read_references(request.references, request.split)
    frequencies = load_frequencies(request.document_frequencies) if request.document_frequencies else None
    fine = read_fine_cap_eval(request.fine_cap_eval) if request.fine_cap_eval else None
    pairs = pair(predictions.captions, references)
    if not pairs:
        raise UserError(
            f"No photo of {request.predictions} has a reference in {request.references}.",
            "Check that both name the photos alike.",
        )
    names = list(pairs)
    seeds = [text for group in references.values() for text in group]
    rows = Rows(names, [predictions.captions[n] for n in names], [references[pairs[n]] for n in names], seeds)
    encoder = (load or load_encoder)(request.encoder) if request.images else None
    ctx.progress(0, None, f"Comparing {len(names)} captions with their references")
    report = EvaluateReport(
        scored=len(names),
        without_reference=len(predictions.captions) - len(pairs),
        without_prediction=len(references) - len(pairs),
        references_per_photo=float(np.mean([len(group) for group in rows.references])),
        encoder=encoder.id if encoder else None,
        metrics={},
        intervals={},
        failed=dict(predictions.errors),
        left_out={"no-end": _NO_END},
    )
    _against_references(report, rows, frequencies)
    sets = [predictions.candidates[name] for name in names if name in predictions.candidates]
    _diversity(report, sets, frequencies or count_documents(rows.references))
    _guards(report, rows)
    _fine(report, predictions.captions, fine.rows if fine else None, fine.incomplete if fine else 0)
    ctx.check_cancelled()
    if request.images is None or encoder is None:
        report.left_out[PHOTOS] = _NOT_GIVEN[PHOTOS]
        return report
    found = score_photos(ctx, request.images, encoder, rows)
    report.metrics.update(found.metrics)
    report.intervals.update(found.intervals)
    report.review.update(found.review)
    report.left_out.update(found.left_out)
    report.failed.update(found.failed)
    report.labels["cider_between"] = label_of_scored(len(names) - len(found.failed))
    return report


@dataclass(frozen=True)
class SavedFrequencies:
    """What :func:`save_frequencies_job` wrote: n-grams of ``photos`` photos that are in two of them or more."""

    file: Path
    label: str
    photos: int
    ngrams: int


def save_frequencies_job(ctx: JobContext, references: Path, split: str | None, out: Path) -> SavedFrequencies:
    """Count the document frequencies of a captions file and write them."""
    read = read_references(references, split)
    ctx.progress(0, None, f"Counting the captions of {len(read):,} photos")
    label = f"{references.name}{f', split {split}' if split else ''}, {len(read):,} photos"
    frequencies = count_documents(list(read.values()), label[-200:])
    return SavedFrequencies(out, frequencies.label, frequencies.photos, write_frequencies(out, frequencies))


def _against_references(report: EvaluateReport, rows: Rows, frequencies: DocumentFrequencies | None) -> None:
    scores = reference_scores(rows.captions, rows.references)
    report.metrics.update({key: value for key, value in asdict(scores).items() if isinstance(value, float)})
    report.intervals.update(cider=scores.cider_interval, bleu4=scores.bleu4_interval)
    report.labels.update(dict.fromkeys(("cider", "cider_original"), label_of_scored(len(rows.names))))
    if frequencies is None:
        report.left_out[FIXED_FREQUENCIES] = _NOT_GIVEN[FIXED_FREQUENCIES]
        return
    for name, metric in (("cider_fixed", cider_d), ("cider_original_fixed", cider)):
        report.metrics[name] = float(100 * metric(rows.captions, rows.references, frequencies).mean())
        report.labels[name] = frequencies.label


def _diversity(report: EvaluateReport, sets: Sequence[Sequence[str]], frequencies: DocumentFrequencies) -> None:
    if not sets:
        report.left_out[CANDIDATES] = _NOT_GIVEN[CANDIDATES]
        return
    kernels = cider_kernels(sets, frequencies)
    report.metrics.update(
        candidate_photos=float(len(sets)),
        candidates_per_photo=float(np.mean([len(group) for group in sets])),
        div1=div_n(sets, 1),
        div2=div_n(sets, 2),
        gdiv1=float(global_vocabulary(sets)),
        mbleu4=100 * mutual_bleu(sets),
        mcider=100 * mutual_cider(kernels),
        self_cider=self_cider(kernels),
    )
    report.labels.update(dict.fromkeys(("mcider", "self_cider"), frequencies.label))


def _guards(report: EvaluateReport, rows: Rows) -> None:
    written = [text for group in rows.references for text in group]
    report.metrics.update(guard_summary(rows.captions))
    report.metrics["length_ratio"] = length_ratio(rows.captions, written)
    report.metrics["noun_list"] = noun_list_rate(rows.captions)
    report.metrics["noun_list_references"] = noun_list_rate(written)
    if len(rows.captions) > 1:
        report.metrics["self_bleu"] = 100 * self_bleu(rows.captions)
    else:
        report.left_out["SelfBLEU"] = "SelfBLEU: there is one caption"


def _fine(report: EvaluateReport, captions: Mapping[str, str], rows: Sequence[FineRow] | None, incomplete: int) -> None:
    """Criteria in three readings and, as "overall", the text metrics against the annotators' captions."""
    if rows is None:
        report.left_out[FINE_CAP_EVAL] = _NOT_GIVEN[FINE_CAP_EVAL]
        return
    written: dict[str, list[str]] = {}
    for row in rows:
        written.setdefault(row.image, []).append(row.caption)
    found = {image: captions[name] for name, image in pair(captions, written).items()}
    if not found:
        report.left_out[FINE_CAP_EVAL] = "FineCapEval: none of its photos has a prediction under the same name"
        return
    scores = fine_scores(found, rows)
    for matching, values in scores.recall.items():
        report.metrics.update({f"fine_{criterion}_{matching}": value for criterion, value in values.items()})
    overall = reference_scores(list(found.values()), [written[image] for image in found])
    for name in ("bleu1", "bleu4", "rouge_l", "cider"):
        report.metrics[f"fine_overall_{name}"] = getattr(overall, name)
    report.metrics.update(
        fine_photos=float(scores.photos),
        fine_rows=float(scores.rows),
        fine_precision=scores.precision,
        fine_length=scores.length,
        fine_annotated_length=scores.annotated_length,
    )
    report.labels["fine_overall_cider"] = label_of_scored(scores.photos)
    if incomplete:
        report.left_out["FineCapEval rows"] = f"FineCapEval: {incomplete:,} rows in which a field is empty"
