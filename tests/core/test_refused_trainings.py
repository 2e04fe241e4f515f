"""Trainings that could not end well: refused before the photos are looked at, and no run is begun."""

from __future__ import annotations

import json
import shutil

import pytest

from core.captioner import language_model
from core.encoders.open_clip_encoder import load_encoder
from core.errors import UserError
from core.jobs import Cancelled, QuietContext
from core.library.library import Library
from core.library.runs import runs
from core.onnx.tokenizer_files import encoder_tokenizer_file
from core.training.job import train_job
from tests.core.test_train_job import StopAfter, library, request
from tests.tiny import write_tiny_encoder

__all__ = ["library"]


def refused(library, **asked):
    with pytest.raises(UserError) as caught:
        train_job(QuietContext(), request(library, **asked))
    with Library.open(library) as opened:
        assert runs(opened) == []
    assert not list((library / "vectors").rglob("*.npy")), "photos were looked at"
    assert caught.value.next_step
    return str(caught.value)


def no_folder(lm):
    shutil.rmtree(lm)
    return f"dir:{lm}"


def no_weights(lm):
    (lm / "model.safetensors").unlink()
    return f"dir:{lm}"


def no_tokenizer(lm):
    for file in lm.glob("tokenizer*"):
        file.unlink()
    return f"dir:{lm}"


def broken_header(lm):
    (lm / "model.gguf").write_bytes(b"GGUF" + b"\0" * 40)
    return f"gguf:{lm / 'model.gguf'}"


BAD = {
    no_folder: "holds no language model",
    no_weights: "holds no language model",
    no_tokenizer: "The tokenizer in",
    broken_header: "model.gguf is damaged, or ends too early",
}


@pytest.mark.parametrize("spoil", BAD, ids=lambda one: one.__name__)
def test_a_bad_language_model_is_found_before_photos_are_looked_at(library, tiny_starter, tmp_path, spoil):
    lm = shutil.copytree(tiny_starter / "lm", tmp_path / "lm")
    assert BAD[spoil] in refused(library, lm=spoil(lm))


def test_a_training_that_goes_on_looks_at_no_language_model_again(library, tiny_starter, tmp_path, monkeypatch):
    lm = f"dir:{shutil.copytree(tiny_starter / 'lm', tmp_path / 'lm')}"
    looked, look = [], language_model.check_language_model
    monkeypatch.setattr(language_model, "check_language_model", lambda name: looked.append(name) or look(name))
    for resume in (False, True):
        with pytest.raises(Cancelled):
            train_job(StopAfter("Stage 1", 2), request(library, lm=lm, resume=resume))
    assert looked == [lm]


def test_stage_2_of_the_librarys_model_needs_no_other_language_model(library):
    assert train_job(QuietContext(), request(library, stages="1")).kept == "stage1"
    with pytest.raises(Cancelled):
        train_job(StopAfter("Stage 2", 1), request(library, stages="2", lm="dir:/nowhere"))


def test_an_encoder_that_no_bundle_could_hold_is_refused_as_an_export_would(library, tmp_path):
    encoder = write_tiny_encoder(tmp_path / "encoder", image_tower="vit")
    file = encoder / "open_clip_config.json"
    document = json.loads(file.read_text())
    settings = {"hf_tokenizer_name": "x", "tokenizer_kwargs": {"strip_sep_token": True}}
    document["model_cfg"]["text_cfg"] |= settings
    file.write_text(json.dumps(document))
    words = encoder / "tokenizer_config.json"
    told = json.loads(words.read_text())
    words.write_text(json.dumps({**told, "sep_token": told["eos_token"]}))
    name = f"open_clip:local-dir:{encoder}"
    with pytest.raises(UserError) as caught:
        encoder_tokenizer_file(load_encoder(name).tokenizer)
    assert "cannot be put into a bundle yet" in str(caught.value)
    assert refused(library, encoder=name) == str(caught.value)
