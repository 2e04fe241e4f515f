"""Between fluent and distinctive: weights of two stages mixed, and which of several captions is chosen."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace

import numpy as np
import pytest
import torch

from core import cli
from core.batch import bundles, library_runner
from core.batch.engine import CaptionEngine
from core.batch.requests import CaptionOptions, CaptionRequest
from core.batch.runner import caption_folder, make_engine
from core.captioner.blend import blend, load_blend
from core.captioner.captioner import Captioner, CheckpointInfo
from core.captioner.checkpoint import load_captioner, save_captioner
from core.captioner.mapper import make_mapper
from core.captioner.rerank import CONSIDERED, fluency_weight, rerank_scores
from core.errors import UserError
from core.jobs import QuietContext
from core.library.library import Library
from core.library.queries import set_current_run
from core.library.runs import create_run
from core.onnx.export import ExportRequest, export_job
from core.onnx.session import open_bundle
from core.onnx.source import blend_ends, model_sha256
from core.training.runfolder import kept_checkpoint
from tests.core.test_batch import write_photos
from tests.tiny import random_pixels


@pytest.fixture
def run(tiny_starter, tmp_path):
    """A run whose stage 2 moved every weight of stage 1 by one hundredth."""
    folder = tmp_path / "run"
    captioner = load_captioner(tiny_starter / "captioner")
    captioner.info = replace(captioner.info, caption_tokens=20)
    save_captioner(captioner, folder / "stage1")
    with torch.no_grad():
        for weight in captioner.parameters():
            weight.add_(0.01)
    captioner.info = replace(captioner.info, caption_tokens=24)
    save_captioner(captioner, folder / "stage2")
    write_report(folder)
    return folder


def write_report(folder, **changes):
    report = {"kept": "stage2", "start": "starter", "results": {"stage1": {}, "stage2": {}}, "learned_wording": True}
    (folder / "report.json").write_text(json.dumps({**report, **changes}))


@pytest.mark.parametrize("share", [0.0, 0.3, 1.0])
def test_weights_lie_between_the_stages(run, share):
    one, two = (load_captioner(run / name) for name in ("stage1", "stage2"))
    before = {name: tensor.clone() for name, tensor in one.named_parameters()}
    mixed = blend(one, two, share)
    for (name, tensor), (_, first), (_, second) in zip(
        mixed.named_parameters(), one.named_parameters(), two.named_parameters(), strict=True
    ):
        assert torch.allclose(tensor, (1 - share) * first + share * second, atol=1e-7), name
        if share in (0.0, 1.0):
            assert torch.equal(tensor, first if share == 0 else second), "the ends are the stages to the last bit"
        assert torch.equal(first, before[name])
    assert mixed.info.caption_tokens == 24
    vector = torch.ones(1, one.info.dim) / one.info.dim**0.5
    assert torch.isfinite(mixed.logits(vector, torch.tensor([[5, 6]]))).all()


@pytest.mark.parametrize("share", [-0.1, 1.1, float("nan")])
def test_a_share_that_is_none_is_refused(run, share):
    with pytest.raises(UserError, match="from 0 to 1"):
        load_blend(blend_ends(str(run)), share)


def test_what_is_no_stage_of_the_same_model_is_refused_by_name(run):
    one = load_captioner(run / "stage1")
    other = load_captioner(run / "stage2")
    other.info = replace(other.info, encoder_fingerprint="another")
    with pytest.raises(UserError, match="encoder_fingerprint"):
        blend(one, other, 0.5)
    info: CheckpointInfo = one.info
    wider = make_mapper(info.dim, 32, replace(one.mapper.settings, hidden=info.mapper_hidden + 1))
    odd = Captioner(wider, one.lm, one.tokenizer, info)
    with pytest.raises(UserError, match=r"mapper\.layers\.0\.weight is \(48, 32\) in one and \(49, 32\)"):
        blend(one, odd, 0.5)


def test_the_ends_are_what_stage_2_began_with_and_what_it_became(run, tiny_starter, tmp_path):
    assert blend_ends(str(run)) == (run / "stage1", run / "stage2")
    write_report(run, kept="stage1")
    assert blend_ends(str(run)) == (run / "stage1", run / "stage2"), "also where stage 2 was not kept"
    write_report(run, learned_wording=False)
    assert blend_ends(str(run)) == (tiny_starter / "captioner", run / "stage2")
    write_report(run, results={"before": {}, "stage2": {}}, start="../other/stage2")
    assert blend_ends(str(run)) == ((run / "../other/stage2").resolve(), run / "stage2")
    for nothing in ("starter", str(tmp_path / "nowhere"), str(run / "stage1")):
        with pytest.raises(UserError, match="no stage 2"):
            blend_ends(nothing)
    shutil.rmtree(run / "stage2")
    with pytest.raises(UserError, match="no stage 2"):
        blend_ends(str(run))
    write_report(run, kept="before")
    assert kept_checkpoint(run) == tiny_starter / "captioner"


def test_a_mix_becomes_a_bundle(run, tmp_path):
    out = tmp_path / "bundle"
    report = export_job(QuietContext(), ExportRequest(str(run), out, distinctive=0.25))
    assert report.parity.identical == report.parity.photos
    manifest = open_bundle(out, provider="cpu").manifest
    assert manifest.source == "run"
    assert manifest.decoder.checkpoint_sha256 == model_sha256(str(run), 0.25)
    hashes = {model_sha256(str(run), share) for share in (None, 0.0, 0.25, 1.0)}
    assert len(hashes) == 4


def test_wrong_numbers_on_the_command_line(run, tmp_path, capsys):
    assert cli.main(["bundle", str(run), str(tmp_path / "out"), "--distinctive", "2"]) == 2
    assert "from 0 to 1" in capsys.readouterr().err
    assert cli.main(["caption", str(tmp_path), "--distinctive", "-1"]) == 2
    assert "from 0 to 1" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_a_library_captions_with_a_mix_of_its_models_stages(run, tmp_path, monkeypatch):
    made = []
    monkeypatch.setattr(bundles, "export_in_process", lambda ctx, *rest: made.append(rest))
    with Library.create(tmp_path / "mine") as library:
        row = create_run(library, "recommended", {})
        set_current_run(library, row.id)
        shutil.copytree(run, row.folder, dirs_exist_ok=True)
        folder = library_runner.library_bundle(QuietContext(), library, 0.4)
        assert made == [(str(row.folder), folder, ["--distinctive", "0.4"])]
        assert folder != library_runner.library_bundle(QuietContext(), library)
        shutil.rmtree(row.folder / "stage2")
        write_report(row.folder, kept="stage1", results={"stage1": {}})
        assert library_runner.library_bundle(QuietContext(), library, 0.4).name == row.id, "nothing to mix with"


def test_the_weight_of_the_wording_falls_to_nothing():
    weights = [fluency_weight(share, 1) for share in (0, 0.25, 0.5, 1)]
    assert weights == sorted(weights, reverse=True) and weights[-1] == 0
    assert fluency_weight(0.5, 1) == 0.3
    assert fluency_weight(0.5, 4.5) == 0.3 / 4.5, "of CLIP, whose cosines differ by less"
    assert rerank_scores(np.array([0.8, 0.7]), np.array([-1.0, -0.5]), 0.3).argmax() == 1


def test_what_is_chosen_follows_the_wish(tiny_bundle):
    bundle = open_bundle(tiny_bundle, provider="cpu")
    vectors = bundle.encoder.encode_images(random_pixels(24, seed=9))

    def captions(wish):
        engine = make_engine(bundle, CaptionOptions(distinctive=wish))
        assert isinstance(engine, CaptionEngine) and engine.options.candidates == CONSIDERED
        found, firsts = engine.caption(vectors, list(range(24)), QuietContext())
        assert all(len(one) == 1 for one in found) and firsts.any(axis=1).all()
        return [one[0] for one in found]

    fluent, distinctive = captions(0.0), captions(1.0)
    assert all(a.score <= b.score for a, b in zip(fluent, distinctive, strict=True))
    assert sum(a.score < b.score for a, b in zip(fluent, distinctive, strict=True))
    with pytest.raises(UserError, match="Greedy"):
        make_engine(bundle, CaptionOptions(distinctive=0.5, method="greedy"))


def test_a_folder_is_not_gone_on_with_another_wish(tiny_bundle, tmp_path):
    write_photos(tmp_path / "photos", 3)
    request = CaptionRequest(
        tmp_path / "photos", tmp_path / "out.jsonl", tiny_bundle, options=CaptionOptions(distinctive=0.5)
    )
    assert caption_folder(QuietContext(), request).done == 3
    other = replace(request, resume=True, options=CaptionOptions(distinctive=0.6))
    with pytest.raises(UserError, match="another choice of --distinctive"):
        caption_folder(QuietContext(), other)
