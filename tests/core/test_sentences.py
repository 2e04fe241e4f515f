"""The sentences that a captioner's view of a photo is moved towards: where they come from, and what becomes of them."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from core.captioner.blend import blend
from core.captioner.checkpoint import CheckpointError, load_captioner, save_captioner
from core.captioner.mapper import SHARPNESS, make_mapper
from core.captioner.mapper_settings import MapperSettings
from core.encoders.encoder import sharpness
from core.errors import UserError
from core.jobs import Cancelled, QuietContext
from core.onnx.source import checkpoint_sha256
from core.training import loop, sentences
from core.training.compute import Precision
from core.training.evaluate import Evaluation, Judge
from core.training.loop import train_stages
from core.training.messages import MetricRow
from core.training.runfolder import RunFolder
from core.training.steps import Environment
from core.training.verdict import Verdict
from tests.core.test_training import Recorder, captioner, config, data, encoder  # noqa: F401


@pytest.fixture(autouse=True)
def tried(monkeypatch):
    """Sentences always help: of models of nothing that would be a lottery. Says with how many they were tried."""
    numbers: list[int] = []

    def is_better(env, _without, _sharpness):
        numbers.append(len(env.captioner.mapper.sentences))
        return True

    monkeypatch.setattr(sentences, "_is_better", is_better)
    return numbers


def test_a_vector_goes_half_the_way_to_where_its_sentences_are():
    mapper = make_mapper(3, 8, MapperSettings("linear", prefix_length=1))
    photo = torch.tensor([[1.0, 0.0, 0.0]])
    assert torch.equal(mapper.moved(photo), photo)
    near, far = [0.8, 0.6, 0.0], [0.0, 0.0, 1.0]
    mapper.sentences = torch.tensor([near, far])
    moved = mapper.moved(photo)[0]
    expected = np.array([0.9, 0.3, 0.0])  # the far one weighs e^-40
    assert moved.numpy() == pytest.approx(expected / np.linalg.norm(expected), abs=1e-6)
    mapper.sentences = torch.tensor([near, [0.8, -0.6, 0.0]])
    assert mapper.moved(photo)[0].numpy() == pytest.approx(photo[0].numpy(), abs=1e-6)  # as near to both: between them
    assert torch.equal(mapper(photo), mapper.spread(mapper.moved(photo)))


def test_an_encoder_with_narrower_cosines_sees_the_same_sentences_as_near(tiny_starter):
    """Near and far differ by 0.2: a tenth of that tells them apart where cosines mean ten times as much."""
    mapper = make_mapper(3, 8, MapperSettings("linear", prefix_length=1))
    photo, near, far = [1.0, 0.0, 0.0], [0.8, 0.6, 0.0], [0.78, 0.0, 0.6258]
    mapper.move_towards(torch.tensor([near, far]), 500.0)
    expected = np.array([0.9, 0.3, 0.0])
    assert mapper.moved(torch.tensor([photo]))[0].numpy() == pytest.approx(
        expected / np.linalg.norm(expected), abs=1e-3
    )
    mapper.move_towards(torch.tensor([near, far]))
    assert mapper.moved(torch.tensor([photo]))[0, 2] > 0.05


def test_a_checkpoint_keeps_them_and_is_another(tiny_starter, tmp_path):
    one = load_captioner(tiny_starter / "captioner")
    save_captioner(one, tmp_path / "without")
    assert load_captioner(tmp_path / "without").mapper.sentences is None
    one.mapper.sentences = torch.nn.functional.normalize(torch.randn(5, one.info.dim), dim=1).half().float()
    save_captioner(one, tmp_path / "with")
    again = load_captioner(tmp_path / "with")
    assert again.mapper.sentences is not None and torch.equal(again.mapper.sentences, one.mapper.sentences)
    assert checkpoint_sha256(tmp_path / "with") != checkpoint_sha256(tmp_path / "without")
    file = tmp_path / "with" / "mapper.safetensors"
    before = file.read_bytes()
    assert again.mapper.sharpness == SHARPNESS and b"sharpness" not in before  # as it always was
    one.mapper.sharpness = 226.0
    save_captioner(one, tmp_path / "sharper")
    assert load_captioner(tmp_path / "sharper").mapper.sharpness == 226.0
    assert checkpoint_sha256(tmp_path / "sharper") != checkpoint_sha256(tmp_path / "with")
    for wrong, said in ((torch.ones(2), "does not fit"), (torch.tensor(torch.inf), "makes no sense")):
        save_file({**load_file(file), "sentences_sharpness": wrong}, file)
        with pytest.raises(CheckpointError, match=said):
            load_captioner(tmp_path / "with")
        file.write_bytes(before)
    for wrong in (
        again.mapper.sentences[:, 1:],
        again.mapper.sentences[:0],
        again.mapper.sentences[0],
        torch.tensor(1.0),
    ):
        save_file({**load_file(file), "sentences": wrong.contiguous()}, file)
        with pytest.raises(CheckpointError, match="does not fit"):
            load_captioner(tmp_path / "with")


def test_between_the_stages_they_belong_to_the_second(tiny_starter):
    one, two = (load_captioner(tiny_starter / "captioner") for _ in range(2))
    two.mapper.move_towards(torch.ones(2, two.info.dim), 226.0)
    assert blend(one, two, 0.0).mapper.sentences is None
    between = blend(one, two, 0.5).mapper
    assert torch.equal(between.sentences, two.mapper.sentences) and between.sharpness == 226.0
    ways = [blend(one, two, share).mapper.way for share in (0.1, 0.5, 1.0)]
    assert ways == pytest.approx([0.05, 0.25, 0.5]), "the slider does not jump to all of what the sentences change"
    assert blend(two, two, 0.1).mapper.way == 0.5


def test_stage_2_gives_them_and_says_so(data, captioner, encoder, tmp_path, monkeypatch):  # noqa: F811
    monkeypatch.setattr(loop, "judge_stage2", lambda *_, **__: Verdict(True, "kept"))
    report = train_stages(data, captioner, encoder, config(overrides={"stage2.sentences": 30}), tmp_path, Recorder())
    kept = load_captioner(tmp_path / "stage2").mapper.sentences
    assert kept is not None and 9 <= len(kept) <= 30
    assert torch.equal(captioner.mapper.sentences, kept)
    sharp = load_captioner(tmp_path / "stage2").mapper.sharpness
    assert captioner.mapper.sharpness == sharp == 50 * sharpness(encoder) != SHARPNESS
    own = encoder.encode_texts([one for group in data.seeds.captions for one in group], prompt=False)
    nearest = (own @ kept.numpy().T).max(axis=1)
    assert nearest == pytest.approx(np.ones(len(own)), abs=1e-3), "the seeds are among them"
    assert any(f"{len(kept)} sentences" in note for note in report.notes)
    assert load_captioner(tmp_path / "stage1").mapper.sentences is None
    assert not (tmp_path / "stage2-sentences.npy").exists()


def test_they_go_when_stage_2_is_not_kept(data, captioner, encoder, tmp_path, monkeypatch):  # noqa: F811
    monkeypatch.setattr(loop, "judge_stage2", lambda *_, **__: Verdict(False, "no better"))
    report = train_stages(data, captioner, encoder, config(), tmp_path, QuietContext())
    assert captioner.mapper.sentences is None and not any("sentences" in note for note in report.notes)


def test_they_are_left_out_where_it_is_no_better_with_them(data, captioner, encoder, tmp_path, monkeypatch):  # noqa: F811
    monkeypatch.setattr(sentences, "_is_better", lambda *_: False)
    report = train_stages(data, captioner, encoder, config(), tmp_path, QuietContext())
    assert load_captioner(tmp_path / "stage2").mapper.sentences is None and captioner.mapper.sentences is None
    assert any("left out" in note for note in report.notes)


def test_better_is_what_fits_and_finds_photos_better(monkeypatch):
    monkeypatch.undo()

    def judged(fit: float, mrr: float) -> Evaluation:
        return Evaluation(("a", "b"), np.full(2, fit), np.full(2, mrr), np.ones(2), np.zeros(0), {})

    def is_better(fit: float, mrr: float) -> bool:
        env = SimpleNamespace(judge=lambda _: judged(fit, mrr), captioner=None, ctx=QuietContext())
        return sentences._is_better(env, judged(1.0, 0.5), 2.0)

    assert is_better(1.1, 0.5) and is_better(1.0, 0.6) and is_better(0.95, 0.7)
    assert not is_better(1.0, 0.5) and not is_better(0.9, 0.6) and not is_better(1.05, 0.3)


def test_practice_that_was_stopped_goes_on_with_the_same(data, captioner, encoder, tmp_path, tiny_starter, tried):  # noqa: F811
    class InPractice(Recorder):
        def check_cancelled(self):
            if any(row.stage == 2 and row.step == 3 for row in self.of(MetricRow)):
                raise Cancelled

    again = load_captioner(tiny_starter / "captioner")
    with pytest.raises(Cancelled):
        train_stages(data, again, encoder, config(), tmp_path / "parts", InPractice())
    file = tmp_path / "parts" / "stage2-sentences.npy"
    drawn = np.load(file)
    np.save(file, drawn[:-1])  # to see that it is read, and nothing is drawn anew
    again = load_captioner(tiny_starter / "captioner")
    train_stages(data, again, encoder, replace(config(), resume=True), tmp_path / "parts", QuietContext())
    assert len(load_captioner(tmp_path / "parts" / "stage2").mapper.sentences) == len(drawn) - 1
    assert tried == [len(drawn)], "that they help was found out once"


@pytest.mark.parametrize("content", [b"", b"not an array", np.zeros((2, 3), np.float16), np.full((2, 32), np.nan)])
def test_a_damaged_file_of_them_is_a_sentence(data, captioner, encoder, tmp_path, content):  # noqa: F811
    file = RunFolder(tmp_path).sentences
    file.write_bytes(content) if isinstance(content, bytes) else np.save(file, content)
    with pytest.raises(UserError, match="is damaged"):
        train_stages(data, captioner, encoder, replace(config(), stages="2", resume=True), tmp_path, QuietContext())


def test_drawing_them_keeps_to_the_time(data, captioner, encoder, tmp_path, monkeypatch):  # noqa: F811
    monkeypatch.setattr(sentences, "_PHOTOS_AT_ONCE", 1)
    now = iter(range(10_000))
    monkeypatch.setattr(sentences.time, "monotonic", lambda: float(next(now)))
    judge = Judge(data, encoder, captioner, 24, QuietContext())
    env = Environment(captioner, judge, RunFolder(tmp_path), QuietContext(), 0, Precision(), deadline=20.0)
    drawn: list[int] = []
    sample = sentences.Sampler.sample
    monkeypatch.setattr(sentences.Sampler, "sample", lambda *given: drawn.append(1) or sample(*given))
    sentences.give_sentences(data, encoder, env, 6000, judge(captioner))
    assert len(drawn) == 5, "a quarter of the twenty seconds, at a second a photo"
