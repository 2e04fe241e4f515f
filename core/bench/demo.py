"""``bench demo``: the demo on its rendered scenes, held against what it promises: time, stage 2's gain, parity."""

from __future__ import annotations

from core.bench.result import BenchResult, Measure
from core.demo import DemoReport, DemoRequest, demo_job
from core.jobs import JobContext

AIM_MINUTES, AIM_RECALL_GAIN = 5.0, 3.0


def run(ctx: JobContext) -> BenchResult:
    """Run the demo once. Truth recall is the share, in percent, of what is true of a scene that its caption says."""
    return measured(demo_job(ctx, DemoRequest()))


def measured(report: DemoReport) -> BenchResult:
    """The measures of a demo that was run."""
    one, two = report.stage1.summary(), report.stage2.summary()
    parity = report.export.parity
    both = [
        Measure(f"{stage}_{name}", value, "")
        for stage, values in (("stage1", one), ("stage2", two))
        for name, value in values.items()
        if value is not None
    ]
    first, second = one["truth_recall"], two["truth_recall"]
    gain = [] if first is None or second is None else [Measure("recall_gain", second - first, "%", AIM_RECALL_GAIN)]
    measures = (
        Measure("minutes", report.seconds / 60, "min", AIM_MINUTES, higher_is_better=False),
        *gain,
        Measure("parity_share", parity.identical / max(1, parity.photos), "", 1.0),
        *both,
    )
    return BenchResult("demo", measures, (f"Kept: {report.training.kept}. {report.training.reason}",))
