"""The page about a run: rows and intervals, plots, photos, escaped words; made again, in full, and after a stop."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from html.parser import HTMLParser

import numpy as np
import pytest

from core import cli
from core.jobs import Cancelled, QuietContext
from core.library.library import Library
from core.library.queries import images_of
from core.library.runs import runs, set_current_run
from core.report import page as pages
from core.report.document import Figure, Gain, PageData, PhotoCaptions, Row, SeedEvidence
from core.report.job import ReportRequest, report_job
from core.report.measure import gains_of
from core.report.plots import Series, line_plot, nice_ticks
from core.training.evaluate import Evaluation
from core.training.job import train_job
from core.training.runfolder import read_report
from core.training.seed_trials import look_ahead
from tests.core.test_train_job import library, request

__all__ = ["library"]


class Page(HTMLParser):
    """Tags that are open at the end, what the page would load, its words."""

    VOID = ("meta", "br", "img", "circle", "line", "polyline")

    def __init__(self, text):
        super().__init__()
        self.open, self.loads, self.words, self.tags = [], [], [], []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.loads += [value for name, value in attrs if name in ("src", "href", "xlink:href")]
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append(tag)

    def handle_endtag(self, tag):
        if tag not in self.VOID:
            assert self.open.pop() == tag

    def handle_data(self, data):
        self.words.append(data)


def test_a_training_ends_with_its_page(library):
    report = train_job(QuietContext(), request(library))
    assert report.page == report.folder / "report.html"
    text = report.page.read_text(encoding="utf-8")
    page = Page(text)
    assert not page.open and "script" not in page.tags
    assert all(one.startswith("data:image/webp;base64,") for one in page.loads), "nothing is fetched"
    assert len(page.loads) == 6  # two held-out seeds, four photos of the gallery: all there are
    data = PageData.from_dict(read_report(report.folder)["page"])
    assert [row.key for row in data.rows] == ["human", "before", "stage1", "stage1-rerank", "stage2"]
    rows = {row.key: row for row in data.rows}
    for name, result in report.results.items():
        assert rows[name].photos == report.held_out
        for figure in ("clip_s", "r1", "mrr", "cider", "nll"):
            assert rows[name].figures[figure].value == pytest.approx(result.values[figure], rel=1e-5)
        low, high = rows[name].figures["mrr"].low, rows[name].figures["mrr"].high
        assert low is not None and high is not None and low <= rows[name].figures["mrr"].value <= high
    assert rows["stage1-rerank"].figures["clip_s"].value > rows["stage1"].figures["clip_s"].value - 0.02
    assert rows["human"].photos == 2
    gain = next(one for one in data.gains if (one.later, one.earlier, one.figure) == ("stage2", "stage1", "mrr"))
    assert gain.value == pytest.approx(rows["stage2"].figures["mrr"].value - rows["stage1"].figures["mrr"].value)
    said = " ".join(page.words)
    assert report.reason in said
    assert said.index("In short") < said.index("What came of it"), "first without a word of the trade"
    assert "photos it never learned from" in said and (
        "not better than what there was" in said or "Of 100 of its captions" in said
    )
    assert all(gate.sentence in said for gate in report.gates)
    assert "stage2.steps" in said or "[preset.stage2]" in said
    assert sum(tag == "svg" for tag in page.tags) >= 6
    assert len(data.photos) == 6 and data.photos[0].human and set(data.photos[0].captions) == set(rows) - {"human"}

    # made again: from what is kept, and measured once more to the same figures
    report.page.unlink()
    result = report_job(QuietContext(), ReportRequest(library))
    assert result.page.read_text(encoding="utf-8") == text
    again = PageData.from_dict(report_job(QuietContext(), ReportRequest(library, again=True)).data)
    assert again.photos == data.photos
    for old, new in zip(data.rows, again.rows, strict=True):
        assert (old.key, old.photos, old.figures.keys()) == (new.key, new.photos, new.figures.keys())
        for figure, value in old.figures.items():
            assert new.figures[figure].value == pytest.approx(value.value, abs=1e-4), (old.key, figure)


def test_in_full(library, capsys):
    """Rows that need trainings of their own; with eight seeds there are folds, and no curve."""
    report = train_job(QuietContext(), request(library))
    assert cli.main(["report", str(library), "--run", report.run_id, "--full"]) == 0
    said = capsys.readouterr().out
    assert "In 5 trainings, each without some of your 10 captioned photos" in said
    assert "cannot be told yet" in said
    data = PageData.from_dict(read_report(report.folder)["page"])
    assert [row.key for row in data.rows] == [
        "human", "before", "text-only", "stage1", "stage1-rerank", "similarity", "stage2"
    ]  # fmt: skip
    assert next(row for row in data.rows if row.key == "similarity").note
    kept = PageData.from_dict(report_job(QuietContext(), ReportRequest(library, again=True)).data)
    assert kept.seeds == data.seeds, "trainings are not thrown away by a look at the models"


class StopAt(QuietContext):
    def __init__(self, message):
        self.message, self.stop = message, False

    def progress(self, done, total, message=""):
        self.stop = self.stop or message == self.message

    def check_cancelled(self):
        if self.stop:
            raise Cancelled


def test_to_stop_while_the_page_is_made_costs_the_page_alone(library):
    report = train_job(StopAt("Writing the report"), request(library, stages="1"))
    assert report.page is None and report.notes[-1] == "There is no page about this training."
    with Library.open(library) as opened:
        assert [run.status for run in runs(opened)] == ["done"]
    assert report_job(QuietContext(), ReportRequest(library)).page.is_file()


def test_nothing_to_report(library, capsys):
    assert cli.main(["report", str(library)]) == 2
    assert "No training" in capsys.readouterr().err
    assert cli.main(["report", str(library), "--run", "nothing"]) == 2
    assert "no run 'nothing'" in capsys.readouterr().err
    with Library.open(library) as opened:
        set_current_run(opened, None)


FIGURES = {"clip_s": Figure(0.5, 0.4, 0.6), "length": Figure(9.0)}


def test_what_strangers_wrote_stays_words(library):
    evil = "<script>alert('x')</script> & \"quoted\""
    data = PageData(
        rows=(Row("stage1", 3, FIGURES, evil),),
        gains=(
            Gain("stage1", "before", "clip_s", 0.1, -0.1, 0.3, 0.4),
            Gain("stage2", "stage1", "mrr", 1, 0.5, 2, 0.0),
        ),
        photos=(PhotoCaptions(1, (evil,), {"stage1": evil}), PhotoCaptions(999, (), {"stage1": ""})),
        seeds=SeedEvidence(((4, 2.0), (8, 1.5)), (evil,)),
    )
    with Library.open(library) as opened:
        row = replace(images_of(opened)[0], relative_path=evil.replace("/", "") + "\udcff")
    report = {"kept": "stage1", "start": "starter", "reason": evil, "notes": [evil], "preset": evil, "seed": 0,
              "gates": [{"state": evil, "name": evil, "sentence": evil}]}  # fmt: skip
    metrics = [{"stage": 1, "step": 1, "loss": 1.0}, {"stage": 1, "step": 2, "loss": "odd"}, {"stage": 2}]
    text = pages.render(("run", evil), report, data, metrics, evil, {1: row}.get)
    page = Page(text)
    assert not page.open and "script" not in page.tags
    assert text.count("&lt;script&gt;") > 8
    text.encode("utf-8")
    assert "The photo cannot be read" in text and "not in the library any more" in text
    assert text.count("class='chance'") == 1 and text.count("class='sure'") == 1
    assert PageData.from_dict(json.loads(json.dumps(data.to_dict()))) == data


def test_in_short_there_is_no_word_of_the_trade_and_what_looks_the_same_is_the_same():
    def figures(cider):
        return {"r1": Figure(40.0), "cider": Figure(cider)}

    def told(cider, **more):
        data = PageData(rows=(Row("before", 9, figures(50.0)), Row("stage2", 9, figures(cider))))
        gates = [
            {"name": "fluency", "state": "amber", "sentence": "2.85 nats a word piece."},
            {"name": "length", "state": "amber", "sentence": "Captions have 9.0 words; yours have 11.9."},
        ]
        report = {"kept": "stage2", "reason": "", "gates": gates, **more}
        said = " ".join(Page(pages.render(("run", "lib"), report, data, (), "", lambda _id: None)).words)
        return said[said.index("In short") : said.index("What came of it")]

    assert "Its wording is becoming less natural. Captions have 9.0 words" in told(50.0) and "nats" not in told(50.0)
    assert "It speaks as much like you as before: 50.0 after 50.0" in told(50.04)
    assert "more like you than" in told(51.0) and "less like you than" in told(49.0)
    assert "The library keeps the model it has." in told(51.0, taken_over="The library keeps the model it has.")
    assert "kept" not in told(51.0), "whether it is in use, the library says"


def test_a_stage_1_that_tells_the_seeds_better_and_others_worse_is_explained():
    rows = tuple(Row(key, 9, {"cider": Figure(cider)}) for key, cider in (("before", 50.0), ("stage1", 40.0)))
    page = pages.render(("run", "lib"), {"kept": "stage1", "reason": ""}, PageData(rows=rows), (), "", lambda _id: None)
    assert "It finds what you wrote likelier all the same" in " ".join(Page(page).words)


@pytest.mark.parametrize(("found", "chance"), [([1.0] * 8 + [0.0] * 4, False), ([1.0, 0.0] * 6, True)])
def test_what_may_be_chance_is_said_of_finding_photos(found, chance):
    def evaluation(hits):
        same = np.full(12, 0.5)
        return Evaluation(("a",) * 12, same, same, np.array(hits), np.zeros(0), {})

    before, after = evaluation([0.0, 1.0] * 6 if chance else [0.0] * 12), evaluation(found)
    gains = gains_of({"before": before, "stage1": before, "stage2": after})
    assert [one.value for one in gains if (one.later, one.earlier, one.figure) == ("stage2", "before", "r1")]
    rows = (Row("before", 12, {"r1": Figure(0.0)}), Row("stage2", 12, {"r1": Figure(50.0)}))
    text = pages.render(("run", "lib"), {"kept": "stage2"}, PageData(rows=rows, gains=gains), (), "", lambda _id: None)
    assert ("The difference in finding them may be chance." in text) is chance


def test_a_report_that_holds_nothing_to_show_is_refused_in_words(library, tmp_path):
    (tmp_path / "report.json").write_text('{"kept": "stage1", "start": "starter", "page": {"rows": 3}}')
    with Library.open(library) as opened, pytest.raises(pages.UserError, match="holds nothing to show"):
        pages.write_page(opened, tmp_path)


@pytest.mark.parametrize("low,high", [(0, 1), (0.52, 0.69), (3, 3), (0, 0), (-7, 1234), (1e-9, 2e-9)])
def test_ticks_are_round_and_enclose(low, high):
    ticks = nice_ticks(low, high)
    assert 2 <= len(ticks) <= 8
    assert ticks[0] <= low + 1e-12 and ticks[-1] >= high - 1e-12
    steps = np.diff(ticks)
    assert np.allclose(steps, steps[0])


def test_a_plot_keeps_what_was_measured_inside_itself():
    points = [(float(x), float(np.sin(x / 50))) for x in range(3000)]
    drawn = line_plot("A & b", [Series("one", [*points, (3000, float("nan"))]), Series("two", [(5, 0.5)], dots=True)])
    assert "A &amp; b" in drawn and "nan" not in drawn
    numbers = [float(one) for one in re.findall(r'points="([^"]+)"', drawn)[0].replace(",", " ").split()]
    assert len(numbers) <= 2 * 400
    assert min(numbers) >= 0 and max(numbers[::2]) <= 340 and max(numbers[1::2]) <= 200
    assert "two, step 5: 0.5" in drawn
    assert line_plot("nothing", [Series("one", [(1, float("inf"))])]) == ""


def test_looking_ahead():
    sizes, photos = [10, 20, 30, 40], np.random.default_rng(0).normal(0, 0.3, 40)
    falling = np.array([[3 - 0.2 * np.log2(size)] * 40 for size in sizes]) + photos
    gain = look_ahead(sizes, falling)
    assert gain.value == pytest.approx(-0.2) and gain.high < 0
    flat = look_ahead(sizes, np.tile(photos, (4, 1)))
    assert flat.value == pytest.approx(0) and flat.low > -0.02
    rng = np.random.default_rng(1)
    noisy = look_ahead(sizes, 3 + rng.normal(0, 0.4, (4, 6)))
    assert noisy.low < 0 < noisy.high, "chance is not taken for a trend"
