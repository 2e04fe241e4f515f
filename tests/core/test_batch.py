"""Captioning a folder: every photo one line, whatever happens on the way; no torch and no database in the process."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import threading
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from PIL import Image

from core.batch import runner
from core.batch.engine import CaptionEngine
from core.batch.listing import list_folder
from core.batch.pipeline import in_batches, in_threads, prepare
from core.batch.progress import BatchProgress, RateMeter, duration
from core.batch.records import PhotoRecord, read_records
from core.batch.runner import caption_folder
from core.captioner.decoding import DecodingOptions, Hypothesis
from core.images.content import hash_of
from core.images.preprocess import Preprocess
from core.jobs import Cancelled, QuietContext
from tests.tiny import random_pixels

ROOT = Path(__file__).resolve().parents[2]


def write_photos(folder: Path, number: int, seed: int = 0) -> list[str]:
    """Pictures that the tiny encoder tells apart, some in folders below. Returns the names that captions give them."""
    names = []
    for i, pixels in enumerate(random_pixels(number, seed)):
        name = f"trip {i % 3}/photo {i:03d}.png" if i % 4 == 3 else f"photo {i:03d}.png"
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        picture = np.clip((pixels.transpose(1, 2, 0) * 0.5 + 0.5) * 255, 0, 255).astype(np.uint8)
        Image.fromarray(picture).save(path)
        names.append(name)
    return sorted(names)


@pytest.fixture
def photos(tmp_path):
    folder = tmp_path / "photos"
    write_photos(folder, 30)
    return folder


def lines(path: Path) -> list[dict]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


class Watching(QuietContext):
    """Notes what it is told, and stops the job when ``stop`` says so."""

    def __init__(self, stop=lambda self: False) -> None:
        self.stop, self.checks = stop, 0
        self.progresses: list[BatchProgress] = []
        self.messages: list[str] = []

    def progress(self, done, total, message=""):
        self.messages.append(message)

    def partial(self, result):
        if isinstance(result, BatchProgress):
            self.progresses.append(result)

    def check_cancelled(self):
        self.checks += 1
        if self.stop(self):
            raise Cancelled


# -- a folder from end to end --


def test_every_photo_gets_a_line(request_for, photos):
    ctx = Watching()
    request = request_for()
    report = caption_folder(ctx, request)
    found = lines(request.out)
    names = sorted(p.relative_to(photos).as_posix() for p in photos.rglob("*.png"))
    assert sorted(line["file"] for line in found) == names and len(names) == 30
    for line in found:
        assert set(line) == {"file", "caption", "score", "candidates", "error", "content", "model", "source"}
        assert line["content"] == hash_of(photos / line["file"]) and line["model"] == report.model_hash
        assert line["caption"] and line["error"] is None and line["score"] >= 0
        first = line["candidates"][0]
        assert set(first) == {"caption", "score", "log_prob", "mean_log_prob"}
        assert first["caption"] == line["caption"] and first["score"] == line["score"]
        assert first["log_prob"] <= first["mean_log_prob"] < 0, "of all tokens, and for each of them"
    assert len({line["caption"] for line in found}) > 3
    assert report.done == 30 and report.failed == () and report.already == 0
    assert report.bundle == request.bundle and len(report.model_hash) == 64
    assert sum(report.shares.values()) == pytest.approx(1)
    assert [p.done for p in ctx.progresses] == [4, 8, 12, 16, 20, 24, 28, 30]
    assert {p.total for p in ctx.progresses} == {30} and ctx.progresses[-1].eta_s == 0
    assert ctx.progresses[0].latest[0][0] in names


def test_the_order_is_that_of_the_names(request_for):
    request = request_for()
    caption_folder(QuietContext(), request)
    assert [line["file"] for line in lines(request.out)] == [item.file for item in list_folder(request.source)]


def test_captions_and_scores_are_those_of_the_bundle(request_for, photos):
    from core.captioner.decoding import decode
    from core.images.preprocess import load_pixels
    from core.onnx.session import open_bundle

    request = request_for()
    caption_folder(QuietContext(), request)
    bundle = open_bundle(request.bundle, threads=1)
    for line in lines(request.out)[:6]:
        vector = bundle.encoder.encode_images(load_pixels(photos / line["file"], bundle.encoder.preprocess)[None])
        best = decode(bundle.decoder, vector, bundle.decoding())[0][0]
        assert line["caption"] == bundle.text(best.tokens)
        cosine = float((vector @ bundle.encoder.encode_texts([line["caption"]]).T)[0, 0])
        assert line["score"] == pytest.approx(2.5 * max(cosine, 0), abs=1e-4)
        assert line["candidates"][0]["log_prob"] == pytest.approx(best.log_prob, abs=1e-3)


def test_what_cannot_be_used_is_listed_and_stops_nothing(request_for, photos):
    (photos / "empty.jpg").touch()
    (photos / "text.jpg").write_text("not a picture at all, only words")
    (photos / "folder.jpg").mkdir()
    Image.new("RGB", (1, 1)).save(photos / "dot.gif")
    whole = (photos / "photo 000.png").read_bytes()
    (photos / "half.png").write_bytes(whole[: len(whole) // 2])
    (photos / "notes.txt").write_text("no photo, and not meant to be one")
    request = request_for()
    report = caption_folder(QuietContext(), request)
    failed = {line["file"]: line["error"] for line in lines(request.out) if line["error"]}
    assert set(failed) == {"empty.jpg", "text.jpg", "folder.jpg", "dot.gif", "half.png"}
    assert all(reason.endswith((".", "!")) for reason in failed.values())
    assert "empty" in failed["empty.jpg"] and "text" in failed["text.jpg"] and "small" in failed["dot.gif"]
    for line in lines(request.out):
        assert (line["caption"] is None) == (line["error"] is not None)
        assert line["error"] is None or (line["score"] is None and line["candidates"] == [])
    assert report.done == 30 and report.failed_count == 5 and dict(report.failed) == failed


def test_an_unforeseen_fault_in_one_photo_stops_nothing(request_for, monkeypatch):
    from core.batch import pipeline

    real = pipeline.load_square

    def faulty(path, spec):
        if path.name == "photo 010.png":
            raise ZeroDivisionError("a bug")
        return real(path, spec)

    monkeypatch.setattr(pipeline, "load_square", faulty)
    request = request_for()
    report = caption_folder(QuietContext(), request)
    assert report.done == 29
    assert report.failed == (("photo 010.png", "The photo could not be prepared (ZeroDivisionError: a bug)."),)


def test_names_of_every_kind(request_for, photos):
    strange = ["größe 日本 🐈.png", 'quote" and \\ backslash.png', "line\nbreak.png"]
    if sys.platform == "linux":
        strange.append(os.fsdecode(b"latin1 \xe9.png"))
    for name in strange:
        shutil.copy(photos / "photo 000.png", photos / name)
    request = request_for()
    caption_folder(QuietContext(), request)
    found = {record.file for record in read_records(request.out)}
    assert set(strange) <= found and len(found) == 30 + len(strange)
    assert (photos / strange[-1]).exists()
    assert caption_folder(QuietContext(), replace(request, resume=True)).done == 0


def test_an_empty_folder(request_for, tmp_path):
    (tmp_path / "nothing").mkdir()
    request = replace(request_for(), source=tmp_path / "nothing")
    report = caption_folder(QuietContext(), request)
    assert report.done == 0 and request.out.read_bytes() == b""


# -- candidates and ranks --


def test_candidates_by_probability_or_by_score(request_for):
    plain, ranked = request_for("plain.jsonl", options={"candidates": 3}), request_for("r.jsonl", options={
        "candidates": 3, "by_score": True,
    })  # fmt: skip
    caption_folder(QuietContext(), plain)
    caption_folder(QuietContext(), ranked)
    changed = 0
    for one, other in zip(lines(plain.out), lines(ranked.out), strict=True):
        texts = [c["caption"] for c in one["candidates"]]
        assert 1 <= len(texts) <= 3 and len(set(texts)) == len(texts)
        assert sorted(texts) == sorted(c["caption"] for c in other["candidates"])
        scores = [c["score"] for c in other["candidates"]]
        assert scores == sorted(scores, reverse=True) and other["caption"] == other["candidates"][0]["caption"]
        assert one["caption"] == texts[0]
        changed += one["caption"] != other["caption"]
    assert changed, "ranking never chose another candidate: the two orders were not told apart"


def test_candidates_with_negative_cosines_are_told_apart():
    """As SigLIP has them of most true pairs; what is shown of them is 0."""
    cosines = {"a dog": -0.3, "a wet dog": -0.1, "dogs": -0.2}
    vectors = {text: [cosine, np.sqrt(1 - cosine**2)] for text, cosine in cosines.items()}
    encoder = SimpleNamespace(dim=2, encode_texts=lambda texts: np.array([vectors[one] for one in texts], np.float32))
    said = {text: Hypothesis((number,), -2.0, True) for number, text in enumerate(cosines)}
    bundle: Any = SimpleNamespace(encoder=encoder)
    engine = CaptionEngine(bundle, DecodingOptions(), by_score=True)
    [[first, *others]], _ = engine._scored([said], np.array([[1.0, 0.0]], np.float32))
    assert (first.caption, [one.caption for one in others]) == ("a wet dog", ["dogs", "a dog"])
    assert first.score == 0


def test_sampling_depends_on_the_photo_alone(request_for):
    options = {"method": "sample", "candidates": 2, "seed": 5}
    one, other = request_for("a.jsonl", options=options), request_for("b.jsonl", options=options)
    caption_folder(QuietContext(), one)
    caption_folder(QuietContext(), replace(other, options=replace(other.options, batch=7)))
    assert [line["candidates"] for line in lines(one.out)] == [
        [{**c, "score": pytest.approx(c["score"], abs=1e-4), "log_prob": pytest.approx(c["log_prob"], abs=1e-3)}
         for c in line["candidates"]]
        for line in lines(other.out)
    ]  # fmt: skip


def test_the_rank_in_the_folder(request_for, photos):
    from core.encoders.search import duplicate_groups
    from core.images.preprocess import load_pixels
    from core.onnx.session import open_bundle
    from core.ranking import rank_of

    request = request_for(rank=True)
    report = caption_folder(QuietContext(), request)
    found = lines(request.out)
    bundle = open_bundle(request.bundle, threads=1)
    images = bundle.encoder.encode_images(
        np.stack([load_pixels(photos / line["file"], bundle.encoder.preprocess) for line in found])
    )
    texts = bundle.encoder.encode_texts([line["caption"] for line in found])
    groups = duplicate_groups(images)
    expected = rank_of(texts @ images.T, np.arange(len(found)), groups)
    assert [line["rank"] for line in found] == expected.tolist()
    assert {line["gallery"] for line in found} == {len(np.unique(groups))} == {report.gallery}
    assert sorted(p.name for p in request.out.parent.iterdir() if "out.jsonl" in p.name) == [
        ".out.jsonl.job", ".out.jsonl.lock", "out.jsonl"
    ]  # fmt: skip


def test_ranks_of_photos_captioned_before_the_ranking_was_asked_for(request_for, photos):
    """The vectors of an earlier job are gone; the photos are looked at again, their captions stay."""
    request = request_for(options={"by_score": True})
    caption_folder(QuietContext(), request)
    before = {line["file"]: line["caption"] for line in lines(request.out)}
    write_photos(photos / "new", 3, seed=9)
    report = caption_folder(QuietContext(), replace(request, rank=True, resume=True))
    found = lines(request.out)
    assert report.done == 3 and report.already == 30 and report.gallery > 3
    assert all(line["rank"] >= 1 for line in found) and len(found) == 33
    assert {line["file"]: line["caption"] for line in found}.items() >= before.items()


# -- decoding ahead --


SPEC = Preprocess(8, (0.5, 0.5, 0.5), (0.5, 0.5, 0.5))


def test_no_more_is_decoded_than_asked_for(photos):
    """Back-pressure: a slow reader holds the whole pipeline, listing included."""
    taken = []

    def items():
        for item in list_folder(photos):
            taken.append(item.file)
            yield item

    prepared = in_threads(items(), partial(prepare, spec=SPEC), workers=2, ahead=lambda: 5)
    for number in range(1, 4):
        one = next(prepared)
        assert one.pixels.shape == (8, 8, 3) and one.item.file == taken[number - 1]
        assert len(taken) == number + 4
    prepared.close()
    assert len(taken) == 7
    assert not [t for t in threading.enumerate() if t.name.startswith("decode")]


def test_groups_are_full_of_photos(photos):
    class One:
        def __init__(self, good):
            self.error = None if good else "broken"

    pattern = [True, False, True, True, False, False, True, False, True]
    groups = [[one.error is None for one in group] for group in in_batches(iter(map(One, pattern)), lambda: 2)]
    assert groups == [[True, False, True], [True, False, False, True], [False, True]]
    assert len(list(in_batches(iter(map(One, [False] * 20)), lambda: 2))) == 3  # failures alone do not pile up


# -- rate and time left --


def test_the_rate_is_of_the_last_minute_of_work():
    now = [0.0]
    meter = RateMeter(clock=lambda: now[0], window_s=10)
    assert meter.rate is None and meter.eta_s(5) is None and meter.words("Captioning", 9) == "Captioning"
    for _ in range(20):  # 4 photos a second at first,
        now[0] += 1
        meter.add(4)
    assert meter.rate == pytest.approx(4)
    for _ in range(20):  # then the large ones come
        now[0] += 1
        meter.add(1)
    assert meter.rate == pytest.approx(1) and meter.eta_s(30) == pytest.approx(30)
    assert meter.seconds == 40
    said = meter.words("Captioning", 30)
    assert said == "Captioning, 1.0 photos/s, 30 s left,"
    now[0] += 1
    meter.add(50)
    assert meter.words("Captioning", 29) == said  # readable: it does not change with every batch


def test_a_slow_start_and_slow_batches_do_not_spoil_the_time_left():
    now = [0.0]
    meter = RateMeter(clock=lambda: now[0], window_s=60)
    now[0] = 280.0  # a cluster starts
    meter.add(4)
    assert meter.rate == pytest.approx(4 / 280)
    for _ in range(2):
        now[0] += 4
        meter.add(4)
    assert meter.rate == pytest.approx(1) and meter.eta_s(50) == pytest.approx(50)
    for _ in range(3):
        now[0] += 100
        meter.add(10)
        assert meter.rate == pytest.approx(0.1)


@pytest.mark.parametrize(
    ("seconds", "words"), [(0, "0 s"), (89, "89 s"), (120, "2 min"), (5300, "88 min"), (12_000, "3 h 20 min")]
)
def test_durations_as_a_person_says_them(seconds, words):
    assert duration(seconds) == words


# -- the process --


def test_captioning_needs_four_packages(request_for, tmp_path):
    """The command as a person runs it, in a fresh process; then which installed packages were loaded there."""
    request = request_for()
    code = (
        "import sys\nfrom core.cli import main\nstatus = main(sys.argv[1:])\n"
        "files = {n.split('.')[0]: getattr(m, '__file__', None) or '' for n, m in list(sys.modules.items())}\n"
        "print(status, sorted(n for n, file in files.items() if 'site-packages' in file and n[0] != '_'))\n"
        "print([n for n in sys.modules if n in ('torch', 'sqlalchemy', 'pydantic', 'core.library.library')])"
    )
    arguments = ["caption", request.source, "--bundle", request.bundle, "--out", request.out, "--rank",
                 "--candidates", "2", "--json", tmp_path / "r.json"]  # fmt: skip
    done = subprocess.run(
        [sys.executable, "-c", code, *map(str, arguments)], cwd=ROOT, capture_output=True, text=True, check=False
    )
    said = done.stdout.splitlines()
    assert said[-2:] == ["0 ['PIL', 'numpy', 'onnxruntime', 'tokenizers']", "[]"], done.stdout + done.stderr
    assert json.loads((tmp_path / "r.json").read_text())["done"] == 30 == len(lines(request.out))
    assert "30 photos captioned" in done.stdout and "Traceback" not in done.stderr


def test_the_first_captions_of_all(tiny_starter, photos, tmp_path):
    """No bundle is named, none is there: the starter is exported by another process, and this one loads no torch."""
    code = (
        "import sys\nfrom core.cli import main\n"
        "print('status', main(sys.argv[1:]), [n for n in ('torch', 'transformers', 'sqlalchemy') if n in sys.modules])"
    )
    (photos / "empty.jpg").touch()
    out = tmp_path / "first.jsonl"
    done = subprocess.run(
        [sys.executable, "-c", code, "caption", str(photos), "--out", str(out)],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.stdout.splitlines()[-1] == "status 1 []", done.stdout + done.stderr  # 1: a photo failed, and is listed
    assert "empty.jpg: The file is empty." in done.stdout
    assert len(lines(out)) == 31 and "Exporting the model, once" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["caption", "nowhere"], "is not a folder"),
        (["caption", ".", "--candidates", "0"], "--candidates"),
        (["caption", ".", "--candidates", "3", "--method", "greedy"], "one caption"),
        (["caption", ".", "--retry-failed"], "--resume"),
        (["caption", ".", "--shard", "7"], "which part"),
        (["caption", ".", "--bundle", "nowhere", "--out", "o.jsonl"], "not a bundle"),
        (["caption", ".", "--out", "nowhere/o.jsonl"], "does not exist"),
        (["bundle", "nowhere", "out"], "no trained captioner"),
        (["bundle", "starter", "out", "--precision", "fp8"], "invalid choice"),
    ],
)
def test_wrong_usage_in_words(arguments, words, tmp_path, monkeypatch, capsys):
    from core.cli import main

    monkeypatch.chdir(tmp_path)
    assert main(arguments) == 2
    assert words in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_captions_that_the_encoder_does_not_read_to_their_end_are_counted():
    class Short:
        context_length = 5

        def count_too_long(self, texts):
            return sum(len(text.split()) > 5 for text in texts)

    tally = runner.Tally(QuietContext(), 4, Short())  # pyright: ignore[reportArgumentType]
    tally.add([PhotoRecord("1.jpg", "A dog."), PhotoRecord("2.jpg", error="The file is empty.")])
    engine = SimpleNamespace(
        bundle=SimpleNamespace(
            folder=None, manifest=SimpleNamespace(model_hash=""), provider=SimpleNamespace(reason="")
        ),
        timers=SimpleNamespace(shares=dict),
    )
    assert tally.report(engine).too_long.sentence() == ""  # pyright: ignore[reportArgumentType]
    tally.add([PhotoRecord("3.jpg", "A dog that is on a bench."), PhotoRecord("4.jpg", "Two dogs.")])
    tally.add([PhotoRecord("5.jpg", "A cat that is on a bench.")])
    tally.add([PhotoRecord("6.jpg", "A cat.")])
    said = tally.report(engine).too_long.sentence()  # pyright: ignore[reportArgumentType]
    assert said.startswith("2 captions are longer than the encoder reads (5 word pieces);")


def test_memory_does_not_hold_captions_or_pixels():
    """Nothing that a job keeps grows with the folder; the failures it lists are the first ones."""
    tally = runner.Tally(QuietContext(), 10**6)
    records = [PhotoRecord(f"{i}.jpg", error="The file is empty.") for i in range(64)]
    for _ in range(50):
        tally.add(records)
    assert tally.failed_count == 3200 and len(tally.failed) == runner.LISTED_FAILURES
