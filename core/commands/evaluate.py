"""``evaluate``: captions against references, and against the photos where they are at hand."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from core.commands.result import CommandResult
from core.errors import UserError
from core.jobs import JobContext

if TYPE_CHECKING:
    from core.evaluation import EvaluateReport

HELP = """Measure captions against references: BLEU, ROUGE-L, CIDEr-D, unique ratio, repetition, length; with several
candidates a photo their diversity; with --images CLIP-S, RefCLIP-S, retrieval, distinctiveness and words to review;
with --fine-cap-eval the details said. docs/metrics.md defines every figure."""

_SHOWN = 10
_SECTIONS: dict[str, tuple[tuple[str, str, int], ...]] = {
    "": (
        ("CIDEr-D", "cider", 1),
        ("CIDEr", "cider_original", 1),
        ("CIDEr-D, fixed frequencies", "cider_fixed", 1),
        ("CIDEr, fixed frequencies", "cider_original_fixed", 1),
        ("BLEU-1", "bleu1", 1),
        ("BLEU-2", "bleu2", 1),
        ("BLEU-3", "bleu3", 1),
        ("BLEU-4", "bleu4", 1),
        ("ROUGE-L", "rouge_l", 1),
    ),
    "Against the photos": (
        ("CLIP-S", "clip_s", 3),
        ("RefCLIP-S", "ref_clip_s", 3),
        ("too long for the encoder", "too_long", 3),
        ("R@1 caption to photo", "r1_t2i", 1),
        ("R@5 caption to photo", "r5_t2i", 1),
        ("R@10 caption to photo", "r10_t2i", 1),
        ("MRR caption to photo", "mrr_t2i", 3),
        ("mean rank of the photo", "mean_rank_t2i", 1),
        ("median rank of the photo", "median_rank_t2i", 1),
        ("R@1 photo to caption", "r1_i2t", 1),
        ("R@5 photo to caption", "r5_i2t", 1),
        ("R@10 photo to caption", "r10_i2t", 1),
        ("MRR photo to caption", "mrr_i2t", 3),
        ("mean rank of the caption", "mean_rank_i2t", 1),
        ("median rank of the caption", "median_rank_i2t", 1),
        ("own among look-alikes, %", "bag_accuracy", 1),
        ("  by chance, %", "bag_chance", 1),
        ("log p(photo | caption)", "contrastive", 2),
        ("contrast, both directions", "contrastive_both", 4),
        ("CIDErBtw (low is distinct)", "cider_between", 1),
        ("with words to review", "unsupported", 3),
    ),
    "Captions by themselves": (
        ("unique captions", "unique_ratio", 3),
        ("repeated words", "rep1", 3),
        ("repeated pairs", "rep2", 3),
        ("repeated triples", "rep3", 3),
        ("word after itself", "immediate_repeat", 3),
        ("cut endings", "bad_ending", 3),
        ("words a caption", "length", 1),
        ("  over the references'", "length_ratio", 2),
        ("lists of nouns", "noun_list", 3),
        ("  among the references", "noun_list_references", 3),
        ("vocabulary", "vocabulary", 0),
        ("SelfBLEU (low is varied)", "self_bleu", 1),
    ),
    "Candidates of a photo": (
        ("photos with several", "candidate_photos", 0),
        ("candidates each", "candidates_per_photo", 1),
        ("Div-1 (of words)", "div1", 3),
        ("Div-2 (of words)", "div2", 3),
        ("gDiv-1 (vocabulary)", "gdiv1", 0),
        ("mBLEU-4 (low is diverse)", "mbleu4", 1),
        ("mCIDEr (low is diverse)", "mcider", 1),
        ("Self-CIDEr", "self_cider", 3),
    ),
    "FineCapEval": (
        ("photos", "fine_photos", 0),
        *(
            (f"{criterion}, {matching}", f"fine_{criterion}_{matching}", 1)
            for matching in ("published", "substring", "token")
            for criterion in ("background", "object", "relation")
        ),
        ("overall, CIDEr-D", "fine_overall_cider", 1),
        ("overall, BLEU-1", "fine_overall_bleu1", 1),
        ("overall, BLEU-4", "fine_overall_bleu4", 1),
        ("overall, ROUGE-L", "fine_overall_rouge_l", 1),
        ("words also annotated, %", "fine_precision", 1),
        ("words a caption", "fine_length", 1),
        ("  of the annotators", "fine_annotated_length", 1),
    ),
}
_FLAGS = {
    "fixed frequencies": "--document-frequencies FILE",
    "candidates": "caption --candidates N",
    "FineCapEval": "--fine-cap-eval FILE",
    "photos": "--images DIR",
}
"""What would give the rows left out, by the keys of ``EvaluateReport.left_out``."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--predictions", type=Path, metavar="F", help="JSON lines as 'caption' writes")
    parser.add_argument(
        "--references", type=Path, required=True, metavar="F", help="captions.csv (image,caption) or COCO JSON"
    )
    parser.add_argument("--split", help="only the rows of the references CSV whose column 'split' says this")
    parser.add_argument("--images", type=Path, metavar="DIR", help="the photos, for CLIP-S and retrieval")
    parser.add_argument("--encoder", default="starter", help="the encoder for these (default: %(default)s)")
    parser.add_argument("--fine-cap-eval", type=Path, metavar="FILE", help="FineCapEval's CSV or JSON")
    parser.add_argument(
        "--document-frequencies", metavar="FILE", help="CIDEr also with these: a file, or 'flickr8k' (shipped)"
    )
    parser.add_argument(
        "--save-document-frequencies", type=Path, metavar="FILE", help="write those of the references to FILE"
    )


def run(args: argparse.Namespace, ctx: JobContext) -> CommandResult:
    from core.evaluation import EvaluateRequest, evaluate_job, save_frequencies_job

    lines: list[str] = []
    data: dict[str, object] = {}
    if args.save_document_frequencies:
        saved = save_frequencies_job(ctx, args.references, args.split, args.save_document_frequencies)
        data["saved_document_frequencies"] = saved
        lines.append(f"{saved.file}: {saved.ngrams:,} n-grams of {saved.label}.")
    if args.predictions is None:
        if not lines:
            raise UserError("There is nothing to do.", "Give --predictions, or --save-document-frequencies.")
        return CommandResult(data, "\n".join(lines))
    report = evaluate_job(
        ctx,
        EvaluateRequest(
            args.predictions,
            args.references,
            args.split,
            args.images,
            args.encoder,
            args.fine_cap_eval,
            args.document_frequencies,
        ),
    )
    data |= {
        "photos": report.scored,
        "without_reference": report.without_reference,
        "without_prediction": report.without_prediction,
        "references_per_photo": report.references_per_photo,
        "encoder": report.encoder,
        "metrics": report.metrics,
        "intervals": {name: [found.low, found.high] for name, found in report.intervals.items()},
        "document_frequencies": report.labels,
        "left_out": [{"rows": reason, "give": _FLAGS.get(key)} for key, reason in report.left_out.items()],
        "review": [{"file": name, "words": words} for name, words in report.review.items()],
        "failed": [{"file": name, "error": reason} for name, reason in report.failed.items()],
    }
    return CommandResult(data, "\n".join([*lines, *_text(report)]), len(report.failed))


def _text(report: EvaluateReport) -> list[str]:
    lines = [f"{report.scored:,} captions, {report.references_per_photo:.1f} references each."]
    if report.without_reference or report.without_prediction:
        lines.append(
            f"Left out: {report.without_reference:,} captions without a reference, "
            f"{report.without_prediction:,} references without a caption."
        )
    for title, rows in _SECTIONS.items():
        there = [row for row in rows if row[1] in report.metrics]
        if there:
            lines += ["", *([title] if title else []), *(_row(report, *row) for row in there)]
    lines += ["", "Text metrics and R@k are times 100. Document frequencies: " + _labels(report) + "."]
    if report.encoder:
        lines.append(
            f"CLIP-S, RefCLIP-S and retrieval with {report.encoder}, among these photos; retrieval unprompted. "
            "If it gave the reward in training, its figures are no judgement."
        )
    lines += _listed([f"Review {name}: {', '.join(w.word for w in words)}" for name, words in report.review.items()])
    if report.left_out:
        lines += ["", "Not measured:"]
        lines += [f"- {why}{f' ({_FLAGS[key]})' if key in _FLAGS else ''}." for key, why in report.left_out.items()]
    return lines + _listed([f"{name}: {reason}" for name, reason in report.failed.items()])


def _row(report: EvaluateReport, label: str, name: str, digits: int) -> str:
    interval = report.intervals.get(name)
    spread = f"   [{interval.low:.{digits}f}, {interval.high:.{digits}f}]" if interval else ""
    return f"{label:<27}{report.metrics[name]:9,.{digits}f}{spread}"


def _labels(report: EvaluateReport) -> str:
    """Which figures were made with which document frequencies."""
    by_label: dict[str, list[str]] = {}
    for name, label in report.labels.items():
        by_label.setdefault(label, []).append(name)
    return "; ".join(f"{', '.join(names)}: {label}" for label, names in by_label.items())


def _listed(lines: list[str]) -> list[str]:
    more = len(lines) - _SHOWN
    return ["", *lines[:_SHOWN], *([f"and {more:,} more"] if more > 0 else [])] if lines else []
