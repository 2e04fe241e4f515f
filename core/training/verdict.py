"""Which model is kept, and why, in words. A model wins on photos it never learned from, or not at all."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from core.metrics.bootstrap import paired_bootstrap
from core.training.evaluate import Evaluation
from core.training.messages import GateRow
from core.training.seed_trials import FoldJudgement

IN_USE = "The library uses the new model from now on."

_WORD_TOLERANCE = 0.03
"""Nats a word that a handful of held-out captions cannot tell apart."""
_ROUNDING = 1e-4
"""What the same model can differ by from itself, in fit and in nats a word."""

_FEWEST_FOR_CIDER = 20
"""Of fewer captions the bootstrap's interval of CIDEr-D is far too narrow: two or three lucky ones are most of it."""


@dataclass(frozen=True)
class Verdict:
    """Whether the later model is kept instead of the earlier one, and the evidence in a sentence or two."""

    better: bool
    reason: str


def judge_stage1(before: Evaluation, after: Evaluation, held_out: int) -> Verdict:
    """Stage 1 is about wording: the held-out seeds decide, by how likely the models find them.

    One that has few seeds by heart finds others likelier too, for their spelling say, and recites them of every photo:
    it is not kept where its captions fit photos worse beyond doubt and are no nearer to the person's own.
    """
    if held_out == 0:
        return Verdict(True, "Stage 1 is kept; there were too few captions to hold some out and check it.")
    was, now = before.values["nll"], after.values["nll"]
    told = f"({now:.2f} nats a word piece, it was {was:.2f})"
    if now >= was:
        return Verdict(
            False, f"Stage 1 does not tell your {_count(held_out, 'held-out photo')} better than before {told}."
        )
    said = f"Stage 1 tells your {_count(held_out, 'held-out photo')} more in your words than before {told}."
    return _unless_recited(said, before, after)


def judge_folds(folds: FoldJudgement, before: Evaluation, after: Evaluation) -> Verdict:
    """The same of seeds left out in turn, where only few could be held out for good."""
    if folds.change.value >= 0:
        return Verdict(False, f"{folds.sentence} So it is not kept.")
    return _unless_recited(folds.sentence, before, after)


def _unless_recited(said: str, before: Evaluation, after: Evaluation) -> Verdict:
    """Kept, as ``said``, unless its captions fit photos worse beyond doubt and are no nearer to the person's own."""
    nearer = len(after.cider) == 0 or after.cider.mean() > before.cider.mean()
    if nearer or paired_bootstrap(before.fit, after.fit).high >= 0:
        return Verdict(True, said)
    return Verdict(
        False,
        f"{said} It is not kept all the same: its captions fit photos worse ({before.fit.mean():.3f} to "
        f"{after.fit.mean():.3f}) and are no more like yours (CIDEr-D {before.cider.mean():.0f} to "
        f"{after.cider.mean():.0f}). More captions help.",
    )


def judge_stage2(
    before: Evaluation, after: Evaluation, gates: Sequence[GateRow], *, changed: bool, sharpness: float
) -> Verdict:
    """Stage 2 must have more merit beyond doubt (:meth:`Evaluation.merit`, by which its best step was picked), neither
    fit photos worse nor find them worse, and turn no guard red.

    Where enough captions are held out, it must not agree less with them beyond doubt either; of fewer, the guards of
    wording, length and drift alone speak for the seeds. ``changed``: whether it is another model at all.
    """
    if not changed:
        return Verdict(False, "Stage 2 found nothing better than stage 1 whose guards were not red.")
    red = [gate for gate in gates if gate.state == "red"]
    if red:
        return Verdict(False, f"Stage 2 is not kept, a guard is red: {' '.join(gate.sentence for gate in red)}")
    merit = paired_bootstrap(before.merit(sharpness), after.merit(sharpness))
    worse = any(
        now.mean() < was.mean()
        for was, now in ((before.fit, after.fit), (before.reciprocal_rank, after.reciprocal_rank))
    )
    evidence = (
        f"on {_count(len(before.captions), 'photo')} it never learned from, the fit of caption and photo went from "
        f"{before.fit.mean():.3f} to {after.fit.mean():.3f}, and a caption finds its photo first "
        f"{after.values['r1']:.0f}% of the time ({before.values['r1']:.0f}% before; mean reciprocal rank "
        f"{before.values['mrr']:.2f} to {after.values['mrr']:.2f})."
    )
    if merit.low <= 0 or worse:
        return Verdict(False, f"Stage 2 is not clearly better, so it is not kept: {evidence}")
    if len(before.cider) >= _FEWEST_FOR_CIDER and paired_bootstrap(before.cider, after.cider).high < 0:
        return Verdict(
            False,
            f"Stage 2 is not kept, its captions are less like yours (CIDEr-D {before.values['cider']:.0f} to "
            f"{after.values['cider']:.0f}), although {evidence}",
        )
    return Verdict(True, f"Stage 2 is kept: {evidence}")


def judge_against_current(current: Evaluation, new: Evaluation, whose: str = "model it has") -> Verdict:
    """The new model has to win: better in fit or in the wording of held-out captions, and clearly worse in neither.

    Of a tie the present model, ``whose``, stays. Wording counts in nats a word: the two may have different tokens.
    """
    fit = paired_bootstrap(current.fit, new.fit)
    told = new.values["word_nll"] - current.values["word_nll"] if "word_nll" in new.values else 0.0
    fits = f"({current.fit.mean():.3f} to {new.fit.mean():.3f})"
    keeps = f"The library keeps the {whose}:"
    if fit.high < 0:
        return Verdict(False, f"{keeps} it fits photos better than the new one {fits}.")
    if told > _WORD_TOLERANCE:
        return Verdict(False, f"{keeps} it tells your held-out photos more in your words than the new one.")
    better = ["fits photos better"] * (fit.value > _ROUNDING)
    better += ["tells your held-out photos more in your words"] * (told < -_ROUNDING)
    if not better:
        return Verdict(False, f"{keeps} the new one neither fits photos better {fits} nor is nearer to your words.")
    return Verdict(True, f"{IN_USE} It {' and '.join(better)} than the {whose.replace('it has', 'it had')}.")


def _count(number: int, what: str) -> str:
    return f"{number:,} {what}{'' if number == 1 else 's'}"
