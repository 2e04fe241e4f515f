"""Where a second encoder is on this computer, it judges what the other one rewarded, and the report says so."""

from __future__ import annotations

import shutil
import sys
from typing import Any

import numpy as np
import pytest

from core.encoders.encoder import said_too_long, sharpness
from core.encoders.open_clip_encoder import load_encoder
from core.encoders.store import VectorStore, stored_encoders
from core.images.preprocess import load_pixels
from core.jobs import QuietContext
from core.library.library import Library
from core.library.queries import image_rows, images_of
from core.library.runs import create_run, runs
from core.report.document import NO_JUDGE, Judged, JudgedBy, PageData
from core.report.page import said_judge
from core.report.second_judge import closer, second_judge
from core.training.job import train_job
from core.training.messages import LOOKING, REPORTING
from core.training.runfolder import read_report
from tests.core.test_train_job import library, request
from tests.tiny import write_tiny_encoder

__all__ = ["library"]


def test_the_starter_judges_what_another_encoder_rewarded(library, tmp_path):
    other = f"open_clip:local-dir:{write_tiny_encoder(tmp_path / 'other', seed=1)}"
    ctx, said = QuietContext(), list[str]()
    ctx.progress = lambda _done, _total, message="": said.append(message)  # type: ignore[method-assign]
    report = train_job(ctx, request(library, encoder=other))
    assert LOOKING not in said[said.index(REPORTING) :], "the window would go back to the first step"
    data = PageData.from_dict(read_report(report.folder)["page"])
    assert data.judged is not None and data.judged.encoder == "starter"
    assert set(data.judged.rows) == {row.key for row in data.rows} - {"human"}
    assert data.judged.sentence() in report.notes
    assert "Judged by starter, which gave no reward" in (report.folder / "report.html").read_text()

    judge, ids = load_encoder("starter"), [photo.image_id for photo in data.photos]
    assert len(ids) == report.held_out, "the page shows all of so few"
    with Library.open(library) as opened:
        counts = {one.fingerprint: one.count for one in stored_encoders(opened)}
        rewarding = load_encoder(other)
        # Each encoder has vectors of its own; the judge has looked at the photos that it judges on, and at no other.
        assert set(counts) == {judge.fingerprint, rewarding.fingerprint}
        assert counts[judge.fingerprint] == len(ids) < counts[rewarding.fingerprint]
        hashes = {row.id: row.content_hash for row in image_rows(opened, ids)}
        images = VectorStore(opened, judge.fingerprint, judge.dim).get([hashes[one] for one in ids])
    cosines = judge.encode_texts([photo.captions["stage2"] for photo in data.photos]) @ images.T
    own = np.diag(cosines)
    assert data.judged.rows["stage2"].clip_s == pytest.approx(2.5 * np.clip(own, 0, None).mean(), abs=1e-4)
    if len(np.unique(cosines, axis=0)) == len(ids):  # without captions that are alike there are no ties to share
        place = (cosines > own[:, None]).sum(axis=1) + 1
        assert data.judged.rows["stage2"].mrr == pytest.approx((1 / place).mean(), abs=1e-4)


def test_an_encoder_of_an_earlier_training_judges_while_its_folder_is_there(library, tmp_path):
    folder = write_tiny_encoder(tmp_path / "other", seed=1)
    earlier, ids = f"open_clip:local-dir:{folder}", np.array([1, 2, 3])
    linked = tmp_path / "linked"
    linked.mkdir()
    (linked / "open_clip_model.safetensors").symlink_to(tmp_path / "moved")
    with Library.open(library) as opened:
        for name in (earlier, "starter", f"open_clip:local-dir:{linked}", "open_clip:ViT-B-32/never_downloaded"):
            config = {"request": {"encoder": name}}
            create_run(opened, "recommended", config, seed=0, data_hash="", encoder_fingerprint="")
        found = second_judge(opened, load_encoder("starter"), ids, QuietContext())
        assert found is not None and found.encoder.id == earlier
        shutil.rmtree(folder)
        again = second_judge(opened, load_encoder("starter"), ids, QuietContext())
        assert again is not None and again.mirrored


def test_where_there_is_no_second_encoder_the_first_judges_the_photos_mirrored_and_closer(library):
    starter = load_encoder("starter")
    with Library.open(library) as opened:
        rows = images_of(opened)[:5]
        rows[1].path.unlink()
        rows[3].path.write_bytes(rows[2].path.read_bytes())
        found = second_judge(opened, starter, np.array([row.id for row in rows]), QuietContext())
        assert found is not None and found.mirrored
        assert found.places.tolist() == [0, 2, 4], "the second is gone, the fourth is another photo than was captioned"
        assert second_judge(opened, starter, np.array([rows[0].id, rows[1].id]), QuietContext()) is None
    seen = starter.encode_images(np.stack([load_pixels(rows[at].path, starter.preprocess) for at in (0, 2, 4)]))
    assert not np.allclose(found.images, seen, atol=1e-3)
    assert np.allclose(np.linalg.norm(found.images, axis=1), 1.0, atol=1e-5)
    judged = found.of({"before": ["a"] * 5, "stage2": ["a"] * 5})
    assert judged.rows["stage2"].photos == 3
    assert "No second encoder is here" in judged.sentence() and "as it had not seen them" in judged.sentence()
    assert said_judge(PageData()) == NO_JUDGE


def test_an_encoder_that_main_memory_has_no_room_for_is_not_loaded(library, tmp_path, monkeypatch):
    folder, ids = write_tiny_encoder(tmp_path / "large", seed=1), np.array([1, 2, 3])
    smaller = write_tiny_encoder(tmp_path / "small", seed=2)
    size = (folder / "open_clip_model.safetensors").stat().st_size
    (folder / "more.safetensors").write_bytes(bytes(1000))  # is counted: what of a folder is loaded, nobody knows
    free: list[int | None] = [None]
    monkeypatch.setattr("core.report.second_judge.memory", lambda: (None, free[0]))
    with Library.open(library) as opened:
        for one in (folder, smaller):
            config = {"request": {"encoder": f"open_clip:local-dir:{one}"}}
            create_run(opened, "recommended", config, seed=0, data_hash="", encoder_fingerprint="")
        rewarding = load_encoder("starter")
        for now, judge in ((None, folder), (2 * size + 2000, folder), (int(1.5 * size) + 100, smaller), (size, None)):
            free[0] = now
            found = second_judge(opened, rewarding, ids, QuietContext())
            assert found is not None and found.mirrored == (judge is None)
            assert found.encoder.id == ("starter" if judge is None else f"open_clip:local-dir:{judge}")


def test_a_judge_that_breaks_costs_the_page_alone(library, monkeypatch):
    logged = list[object]()

    def broken(*_):
        raise KeyError("logit_scale")

    monkeypatch.setattr("core.report.second_judge.second_judge", broken)
    monkeypatch.setattr("core.training.job._log.exception", lambda *_: logged.append(sys.exc_info()[1]))
    report = train_job(QuietContext(), request(library))
    assert report.page is None and "There is no page about this training." in report.notes
    assert [repr(one) for one in logged] == ["KeyError('logit_scale')"]
    with Library.open(library) as opened:
        assert [run.status for run in runs(opened)] == ["done"]


def test_closer_is_the_middle_mirrored():
    picture = np.zeros((64, 64, 3), np.uint8)
    picture[:, 40:56] = 255  # right of the middle, and within the middle three quarters
    seen = closer(picture)
    assert seen.shape == picture.shape
    assert (seen[:, 2:20] == 255).all() and (seen[:, 24:] == 0).all(), "left of the middle now, and wider"


def test_a_training_with_one_encoder_says_who_judged(library):
    report = train_job(QuietContext(), request(library))
    data = PageData.from_dict(read_report(report.folder)["page"])
    assert data.judged is not None and data.judged.mirrored
    assert data.judged.sentence() in report.notes
    assert "photos mirrored and closer" in (report.folder / "report.html").read_text()


def test_a_judge_is_kept_with_the_page_and_older_pages_have_none():
    judged = JudgedBy("open_clip:a/b", {"before": Judged(9, 0.5, 11.1, 0.3), "stage2": Judged(9, 0.6, 44.4, 0.55)})
    document = PageData(judged=judged).to_dict()
    assert PageData.from_dict(document).judged == judged
    assert "first 44% of the time after stage 2 (11% before; mean reciprocal rank 0.30 to 0.55)" in judged.sentence()
    del document["judged"]
    assert PageData.from_dict(document).judged is None


def test_cosines_mean_as_much_as_the_encoder_learned_to_mean_by_them(tiny_starter):
    class OfColours:
        """An encoder that somebody added, which does not say."""

    colours: Any = OfColours()
    assert sharpness(colours) == 1.0
    assert sharpness(load_encoder("starter")) == round(1 / 0.07 / 22.146, 2)


def test_captions_longer_than_the_encoder_reads_are_said(tiny_starter):
    encoder = load_encoder("starter")
    assert said_too_long(encoder, ["A dog.", "Two dogs."]) == ""
    assert said_too_long(encoder, ["A dog.", "dog " * 60]).startswith("1 of your captions is longer than the encoder")
    assert "(32 word pieces)" in said_too_long(encoder, ["dog " * 60, "cat " * 60])
