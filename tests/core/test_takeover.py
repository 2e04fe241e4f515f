"""A training's model has to win against the one that captions the library, whatever models both are made of."""

from __future__ import annotations

from dataclasses import replace

import pytest

from core import paths
from core.captioner.captioner import Captioner
from core.captioner.checkpoint import load_captioner
from core.captioner.decoding import DecodingOptions, decode
from core.captioner.torch_decoder import TorchDecoder
from core.encoders.open_clip_encoder import load_encoder
from core.encoders.store import VectorStore
from core.jobs import QuietContext
from core.library.library import Library
from core.library.queries import image_rows
from core.library.runs import current_run, encoder_name, runs
from core.running_out import no_room
from core.training import takeover
from core.training.job import data_of_run, train_job
from core.training.takeover import Learned, take_over
from core.training.verdict import Verdict
from tests.core.test_train_job import library, request
from tests.tiny import write_tiny_encoder

__all__ = ["library"]


@pytest.fixture
def compared(monkeypatch):
    """The old and the new model's evaluation, and how the old one is called, of each comparison; all are lost."""
    seen = []

    def judge(old, new, whose):
        seen.append((old, new, whose))
        return Verdict(False, f"The {whose} stays.")

    monkeypatch.setattr(takeover, "judge_against_current", judge)
    return seen


def said_by(captioner: Captioner, opened: Library, ids: list[int]) -> tuple[str, ...]:
    """What the starter's captioner says of photos that it sees with its own encoder."""
    encoder = load_encoder("starter")
    hashes = {row.id: row.content_hash for row in image_rows(opened, ids)}
    images = VectorStore(opened, encoder.fingerprint, encoder.dim).get([hashes[one] for one in ids])
    options = DecodingOptions(method="greedy", max_tokens=32, no_repeat_ngram=0)
    return tuple(captioner.decode(best.tokens) for best, *_ in decode(TorchDecoder(captioner), images, options))


@pytest.mark.parametrize("models", ["lm", "encoder"])
def test_other_models_than_the_starters_have_to_win_against_the_starter(
    library, tiny_starter, tmp_path, compared, models
):
    """Their training began with a mapper of its own: that it beats what it began with says little."""
    own = {
        "lm": lambda: {"lm": f"dir:{tiny_starter / 'lm'}"},
        "encoder": lambda: {"encoder": f"open_clip:local-dir:{write_tiny_encoder(tmp_path / 'other', seed=1)}"},
    }
    asked = request(library, stages="1", overrides={"stage1.minimum_steps": 24}, **own[models]())
    report = train_job(QuietContext(), asked)
    assert report.kept == "stage1" and "The starter model stays." in report.notes
    assert "after learning your wording. The starter model stays.<" in (report.folder / "report.html").read_text()
    [(old, new, _)] = compared
    starter = load_captioner(paths.starter_dir() / "captioner")
    with Library.open(library) as opened:
        assert current_run(opened) is None
        [run] = runs(opened)
        data = data_of_run(opened, run, load_encoder(encoder_name(run)), QuietContext())
        ids = [*data.held_seeds.ids.tolist(), *data.gallery_ids.tolist()]
        assert old.captions == said_by(starter, opened, ids)
    assert len(new.captions) == len(ids) and {"word_nll", "clip_s"} <= set(old.values)


def test_the_starter_has_been_compared_with_what_was_made_from_it(library, compared, monkeypatch):
    report = train_job(QuietContext(), request(library, stages="1"))
    assert report.kept == "stage1" and compared == []
    with Library.open(library) as opened:
        current = current_run(opened)
        assert current is not None and current.id == report.run_id
        # Against a model that is in use it has to win, also with the starter's parts.
        encoder = load_encoder("starter")
        learned = Learned(load_captioner(report.folder / "stage1"), encoder,
                          data_of_run(opened, current, encoder, QuietContext()), True)  # fmt: skip
        assert take_over(opened, replace(current, id="another"), learned, QuietContext()) == "The model it has stays."
        assert [whose for *_, whose in compared] == ["model it has"]
        [(old, new, _)] = compared
        assert old.captions == new.captions, "it is the same model"
        # It has been learned by now: memory that runs out while the two are compared does not fail the training.
        for error in (MemoryError(), RuntimeError("CUDA out of memory."), no_room("It", "cuda:0")):
            monkeypatch.setattr(takeover.Judge, "__call__", _raising(error))
            assert take_over(opened, replace(current, id="another"), learned, QuietContext()) == takeover.NO_ROOM
        monkeypatch.setattr(takeover.Judge, "__call__", _raising(RuntimeError("a bug")))
        with pytest.raises(RuntimeError, match="a bug"):
            take_over(opened, replace(current, id="another"), learned, QuietContext())
        assert current_run(opened) == current


def _raising(error: Exception):
    def judge(*_args):
        raise error

    return judge
