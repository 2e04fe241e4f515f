"""Exporting: parity with the model, other kinds of encoders, refusals, and never half a bundle."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from core.captioner.decoding import DecodingOptions
from core.cli import main
from core.encoders.encoder import sharpness
from core.errors import UserError
from core.jobs import Cancelled, QuietContext
from core.metrics.guards import BAD_ENDINGS
from core.onnx import export
from core.onnx.export import ExportRequest, bad_ending_tokens, export_job
from core.onnx.session import open_bundle
from core.onnx.source import find_checkpoint
from core.onnx.text import EncoderTokenizer, load_tokenizer
from core.onnx.tokenizer_files import encoder_tokenizer_file
from tests.tiny import DIM, IMAGE_SIZE, write_tiny_captioner, write_tiny_lm


def test_every_caption_is_the_models(exported):
    report, folder = exported
    parity = report.parity
    assert parity.photos == 24 and parity.identical == 24
    assert parity.greedy.identical == parity.beam.identical == 24
    assert parity.image_difference < 1e-5 and parity.text_difference < 1e-5 and parity.clip_s_difference == 0
    assert "24 of 24" in parity.sentence
    written = json.loads((folder / "manifest.json").read_text())["parity"]
    assert written == parity.to_dict()


def test_captions_of_a_bundle_may_not_end_in_mid_sentence(exported):
    _, folder = exported
    bundle = open_bundle(folder)
    words = {bundle.text([token]) for token in bundle.decoding().bad_endings}
    assert {"a", "in", "the"} <= words <= BAD_ENDINGS


class ByTheWord:
    """A tokenizer of whole words; those unknown to it fall into letters."""

    words = ("photo", "with", "a", "in")

    def __call__(self, text, add_special_tokens):
        assert not add_special_tokens
        ids = []
        for word in text.split():
            ids += [self.words.index(word)] if word in self.words else [100 + ord(letter) for letter in word]
        return {"input_ids": ids}


def test_only_words_of_one_token_are_refused_as_endings():
    assert bad_ending_tokens(ByTheWord()) == (1, 2, 3)


def test_a_trained_runs_length_of_captions_reaches_its_bundle(tmp_path, tiny_starter, quick_graphs):
    run = tmp_path / "stage1"
    shutil.copytree(tiny_starter / "captioner", run)
    document = json.loads((run / "checkpoint.json").read_text())
    (run / "checkpoint.json").write_text(json.dumps({**document, "caption_tokens": 51}))
    export_job(QuietContext(), ExportRequest(str(run), tmp_path / "bundle"))
    assert open_bundle(tmp_path / "bundle").decoding().max_tokens == 51


def test_the_bundle_tells_nothing_of_this_machine(exported):
    _, folder = exported
    here = str(Path(__file__).resolve().parents[2]).encode()
    for path in folder.iterdir():
        content = path.read_bytes()
        assert here not in content and b"site-packages" not in content and b"/tmp/" not in content, path.name


def test_parity_notices_a_difference(exported, tiny_starter):
    """A check that could not fail would prove nothing: the same bundle against a model that was changed."""
    from core.captioner.checkpoint import load_captioner
    from core.encoders.open_clip_encoder import load_encoder
    from core.onnx.parity import check_parity
    from core.onnx.samples import rendered_scenes

    _, folder = exported
    captioner = load_captioner(tiny_starter / "captioner")
    with torch.no_grad():
        captioner.mapper.layers[2].bias += torch.randn_like(captioner.mapper.layers[2].bias)
    report = check_parity(
        open_bundle(folder), load_encoder("starter"), captioner, rendered_scenes(6), "scenes", QuietContext()
    )
    assert report.identical < report.photos == 6
    assert 0 < report.unexplained <= 6 - report.identical


def test_a_difference_where_the_model_is_torn_is_a_tie(exported, tiny_starter):
    from core.captioner.checkpoint import load_captioner
    from core.onnx import parity

    captioner = load_captioner(tiny_starter / "captioner")
    image = np.eye(1, 32, dtype=np.float32)
    first = captioner.encode(["A red ball lies on a blue table."])[0][:-1]
    other = [*first[:2], first[2] + 1]
    sure = parity._greedy_gap(captioner, image, tuple(first), tuple(other))
    assert sure > parity.TIE
    with torch.no_grad():  # the same word under two ids: which of them is said is chance
        table = captioner.embed_tokens_table()
        table[first[2] + 1] = table[first[2]]
    assert parity._greedy_gap(captioner, image, tuple(first), tuple(other)) < parity.TIE


def clip_encoder(folder: Path) -> Path:
    """A tiny open_clip model with a ViT and CLIP's own tokenizer, whose texts need the whole context."""
    import open_clip

    config = {
        "model_cfg": {
            "embed_dim": DIM,
            "vision_cfg": {"image_size": IMAGE_SIZE, "patch_size": 16, "width": 32, "head_width": 16, "layers": 1},
            "text_cfg": {
                "context_length": 20, "vocab_size": 49408, "width": 32, "heads": 2, "layers": 1, "no_causal_mask": True,
            },
        },
        "preprocess_cfg": {"mean": [0.5] * 3, "std": [0.5] * 3, "interpolation": "bicubic", "resize_mode": "shortest"},
    }  # fmt: skip
    folder.mkdir(parents=True)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = open_clip.model.CustomTextCLIP(**json.loads(json.dumps(config["model_cfg"])))
        torch.nn.init.normal_(model.text.token_embedding.weight)
    config["model_cfg"]["custom_text"] = True
    save_file({k: v.contiguous() for k, v in model.state_dict().items()}, folder / "open_clip_model.safetensors")
    (folder / "open_clip_config.json").write_text(json.dumps(config))
    return folder


CLIP_TEXTS = (
    "A DOG's 2 balls, isn't it?!", "", "été 日本", "x" * 90, "a " * 50, "he'll've “gone” &amp; <b>", "don''t 12345",
    "tabs\tand\nlines", "ALL CAPS 🐈🐈", "under_score #tag @you 50%",
)  # fmt: skip


def test_a_run_with_clips_own_tokenizer(tmp_path):
    """Another image tower, a language model of the run's own, and an encoder with another tokenizer than it has."""
    from core.encoders.open_clip_encoder import load_encoder

    encoder = clip_encoder(tmp_path / "encoder")
    run = tmp_path / "run-7"
    write_tiny_captioner(run / "stage2", encoder=encoder, lm=write_tiny_lm(tmp_path / "lm"))
    options = DecodingOptions(method="beam", beams=3, max_tokens=6)
    report = export_job(QuietContext(), ExportRequest(str(run), tmp_path / "bundle", decoding=options))
    assert report.parity.identical == report.parity.photos
    bundle = open_bundle(tmp_path / "bundle")
    assert bundle.manifest.source == "run-7" and bundle.decoding() == options
    assert bundle.manifest.encoder.tokenizer == "text_tokenizer.json" and bundle.manifest.encoder.fixed_length
    theirs = load_encoder(f"open_clip:local-dir:{encoder}")
    assert sharpness(bundle.encoder) == sharpness(theirs) != 1
    np.testing.assert_allclose(bundle.encoder.encode_texts(CLIP_TEXTS), theirs.encode_texts(CLIP_TEXTS), atol=1e-5)


def test_clips_tokenizer_as_a_file(tmp_path):
    import open_clip

    simple = open_clip.get_tokenizer("ViT-B-32")
    file = encoder_tokenizer_file(simple)
    (tmp_path / "t.json").write_text(file.content, encoding="utf-8")
    ours = EncoderTokenizer(load_tokenizer(tmp_path / "t.json"), 77, file.pad_token_id, fixed_length=True)
    np.testing.assert_array_equal(ours(CLIP_TEXTS), simple(list(CLIP_TEXTS)).numpy())


def test_an_unknown_tokenizer_is_refused():
    with pytest.raises(UserError, match="SigLipTokenizer"):
        encoder_tokenizer_file(type("SigLipTokenizer", (), {})())


# -- what is exported, and where to --


def test_which_checkpoint_a_name_means(tmp_path, tiny_starter):
    assert find_checkpoint("starter") == tiny_starter / "captioner"
    assert find_checkpoint(str(tiny_starter / "captioner")) == tiny_starter / "captioner"
    run = tmp_path / "run"
    for stage in ("stage1", "stage2"):
        (run / stage).mkdir(parents=True)
        (run / stage / "checkpoint.json").write_text("{}")
    assert find_checkpoint(str(run)) == run / "stage2"
    (run / "report.json").write_text('{"kept": "stage1"}')
    assert find_checkpoint(str(run)) == run / "stage1"
    (run / "report.json").write_text('{"kept": "before"}')
    with pytest.raises(UserError, match="nothing it tried was better"):
        find_checkpoint(str(run))
    (run / "report.json").write_text("damaged")
    assert find_checkpoint(str(run)) == run / "stage2"


def test_a_folder_without_a_model(tmp_path):
    with pytest.raises(UserError, match="holds no trained captioner"):
        export_job(QuietContext(), ExportRequest(str(tmp_path), tmp_path / "out"))
    assert not (tmp_path / "out").exists()


def test_a_precision_that_is_not_offered(tmp_path):
    with pytest.raises(UserError, match="no precision"):
        export_job(QuietContext(), ExportRequest("starter", tmp_path / "out", "fp4"))
    assert list(tmp_path.iterdir()) == []


class Stopping(QuietContext):
    def __init__(self, after: int) -> None:
        self.left = after

    def check_cancelled(self) -> None:
        self.left -= 1
        if self.left < 0:
            raise Cancelled


def test_never_half_a_bundle(tmp_path, quick_graphs, exported):
    """Stopped on the way, the place holds what it held before; a finished export takes it over."""
    out = tmp_path / "bundle"
    with pytest.raises(Cancelled):
        export_job(Stopping(1), ExportRequest("starter", out))
    assert list(tmp_path.iterdir()) == []
    shutil.copytree(exported[1], out)
    (out / "manifest.json").write_text((out / "manifest.json").read_text().replace("starter", "earlier"))
    before = (out / "manifest.json").read_text()
    with pytest.raises(Cancelled):
        export_job(Stopping(2), ExportRequest("starter", out))
    assert [p.name for p in tmp_path.iterdir()] == ["bundle"]
    assert (out / "manifest.json").read_text() == before
    report = export_job(QuietContext(), ExportRequest("starter", out))
    assert open_bundle(out).manifest.model_hash == report.model_hash == exported[0].model_hash
    assert [p.name for p in tmp_path.iterdir()] == ["bundle"]


@pytest.mark.parametrize(("unexplained", "status"), [(0, 0), (2, 1)])
def test_a_difference_that_is_no_tie_is_told_in_words_and_status(
    tmp_path, quick_graphs, tiny_starter, monkeypatch, capsys, unexplained, status
):
    check = export.check_parity
    monkeypatch.setattr(
        export, "check_parity", lambda *a, **how: replace(check(*a, **how), identical=1, unexplained=unexplained)
    )
    assert main(["bundle", "starter", str(tmp_path / "out")]) == status
    assert ("report this as a fault" in capsys.readouterr().out) == bool(unexplained)


def test_a_bundle_among_other_files_is_not_replaced(own_bundle):
    (own_bundle / "thesis.txt").write_text("years of work")
    with pytest.raises(UserError, match="is not a bundle"):
        export_job(QuietContext(), ExportRequest("starter", own_bundle))
    assert (own_bundle / "thesis.txt").is_file()


def test_never_over_something_else(tmp_path, tiny_starter):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "thesis.txt").write_text("years of work")
    with pytest.raises(UserError, match="is not a bundle"):
        export_job(QuietContext(), ExportRequest("starter", tmp_path / "out"))
    assert (tmp_path / "out" / "thesis.txt").read_text() == "years of work"
    (tmp_path / "out" / "manifest.json").write_text('{"name": "an extension of a browser"}')
    with pytest.raises(UserError, match="is not a bundle"):
        export_job(QuietContext(), ExportRequest("starter", tmp_path / "out"))
    (tmp_path / "file").write_text("a file")
    with pytest.raises(UserError):
        export_job(QuietContext(), ExportRequest("starter", tmp_path / "file"))
