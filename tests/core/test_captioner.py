"""The captioner: positions, end token, checkpoints that refuse, and the cached decoder against the whole sequence."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from torch.nn import functional as F

from core.captioner.captioner import IGNORE, pad
from core.captioner.checkpoint import CheckpointError, load_captioner, read_info, save_captioner
from core.captioner.decoding import DecodingOptions, decode
from core.captioner.language_model import load_language_model, load_tokenizer_folder, tokenizer_sha256
from core.captioner.torch_decoder import TorchDecoder
from core.errors import UserError
from tests.tiny import DIM, SENTENCES, VOCABULARY_SIZE

ROOT = Path(__file__).resolve().parents[2]
VECTORS = F.normalize(torch.randn(5, DIM, generator=torch.Generator().manual_seed(0)), dim=-1)


@pytest.fixture
def captioner(tiny_starter):
    return load_captioner(tiny_starter / "captioner")


@pytest.fixture
def copy_of_checkpoint(tiny_starter, tmp_path):
    return shutil.copytree(tiny_starter / "captioner", tmp_path / "captioner")


def edit(folder, **changes):
    file = folder / "checkpoint.json"
    document = json.loads(file.read_text())
    file.write_text(json.dumps({**document, **changes}))


def test_row_i_predicts_token_i(captioner):
    ids = pad(captioner.encode(SENTENCES[:5]))
    logits = captioner.logits(VECTORS, ids.clamp(min=0))
    assert logits.shape == (*ids.shape, VOCABULARY_SIZE)
    changed = ids.clone()
    changed[:, 3] = 17
    other = captioner.logits(VECTORS, changed.clamp(min=0))
    assert torch.allclose(logits[:, :4], other[:, :4], atol=1e-5)  # up to its own prediction nothing knows of token 3
    assert not torch.allclose(logits[:, 4], other[:, 4], atol=1e-3)


def test_a_shifted_target_costs_more(captioner):
    ids = pad(captioner.encode(SENTENCES[:5]))
    shifted = torch.cat([ids[:, 1:], torch.full_like(ids[:, :1], IGNORE)], dim=1)
    own = captioner.logits(VECTORS, ids.clamp(min=0))
    right = F.cross_entropy(own.flatten(0, 1), ids.flatten(), ignore_index=IGNORE)
    wrong = F.cross_entropy(own.flatten(0, 1), shifted.flatten(), ignore_index=IGNORE)
    assert captioner.loss(VECTORS, ids).item() == pytest.approx(right.item(), rel=1e-4)
    assert wrong > right + 1


def test_padding_counts_for_nothing_and_every_word_counts(captioner):
    ids = pad(captioner.encode(SENTENCES[:5]))
    wider = torch.cat([ids, torch.full((5, 4), IGNORE)], dim=1)
    assert captioner.loss(VECTORS, wider).item() == pytest.approx(captioner.loss(VECTORS, ids).item(), rel=1e-4)
    [exclamation] = captioner.tokenizer("!", add_special_tokens=False)["input_ids"]
    losses = captioner.token_losses(VECTORS[:1], torch.tensor([[exclamation, captioner.end_token_id]]))
    assert losses.shape == (2,)  # "!" is a token like others, whatever its id
    assert (losses > 0).all()


def test_captions_are_encoded_with_one_end_token(captioner):
    for caption, ids in zip(SENTENCES, captioner.encode(SENTENCES), strict=True):
        assert ids[-1] == captioner.end_token_id
        assert captioner.end_token_id not in ids[:-1]
        assert captioner.decode(ids) == caption
    [cut] = captioner.encode([SENTENCES[0]], max_tokens=5)
    assert len(cut) == 5
    assert cut[-1] == captioner.end_token_id
    assert captioner.encode([]) == []


def test_a_caption_in_lower_case_begins_with_the_words_that_the_model_knows(captioner):
    """With the starter's tokenizer: "several" alone is "se" and "veral", and such shreds were mixed up in captions."""
    captioner.tokenizer = load_tokenizer_folder(ROOT / "resources" / "starter" / "lm")
    several, capital, a = captioner.encode(["several planes", "Several planes", "a plane"])
    spell = captioner.tokenizer.convert_ids_to_tokens
    assert spell(several[:-1]) == ["Ġseveral", "Ġplanes"] and spell(capital[:-1])[-1] == "Ġplanes"
    assert spell(a[:-1]) == ["Ġa", "Ġplane"]
    assert captioner.decode(several[:-1]) == "several planes"


def test_end_token_is_learned_on_five_captions(captioner):
    ids = pad(captioner.encode([s.rstrip(".") for s in SENTENCES[:5]]))  # no full stop to hold on to
    optimiser = torch.optim.Adam(captioner.parameters(), lr=1e-2)
    for _ in range(60):
        optimiser.zero_grad()
        captioner.loss(VECTORS, ids).backward()
        optimiser.step()
    found = decode(TorchDecoder(captioner), VECTORS.numpy(), DecodingOptions(max_tokens=40))
    assert [captioner.decode(one.tokens) for [one] in found] == [s.rstrip(".") for s in SENTENCES[:5]]
    assert all(one.finished for [one] in found)


def test_cached_decoding_gives_the_probabilities_of_the_whole_sequence(captioner):
    options = DecodingOptions(method="sample", candidates=3, max_tokens=20, temperature=1.5, no_repeat_ngram=0)
    for vector, captions in zip(VECTORS, decode(TorchDecoder(captioner), VECTORS.numpy(), options), strict=True):
        for one in captions:
            tokens = [*one.tokens, captioner.end_token_id] if one.finished else list(one.tokens)
            losses = captioner.token_losses(vector[None], torch.tensor([tokens]))
            assert -losses.sum().item() == pytest.approx(one.log_prob, abs=1e-3)


def test_beam_search_uses_the_cache_rows_it_means(captioner):
    options = DecodingOptions(method="beam", beams=4, candidates=4, max_tokens=20, no_repeat_ngram=0)
    for vector, captions in zip(VECTORS, decode(TorchDecoder(captioner), VECTORS.numpy(), options), strict=True):
        for one in captions:
            tokens = [*one.tokens, captioner.end_token_id] if one.finished else list(one.tokens)
            losses = captioner.token_losses(vector[None], torch.tensor([tokens]))
            assert -losses.sum().item() == pytest.approx(one.log_prob, abs=1e-3)


@pytest.mark.parametrize("with_lm", [True, False])
def test_a_saved_captioner_comes_back(captioner, tmp_path, with_lm):
    folder = tmp_path / "runs" / "stage1"
    save_captioner(captioner, folder, with_lm=with_lm)
    save_captioner(captioner, folder, with_lm=with_lm)  # and may be replaced
    again = load_captioner(folder, captioner.info.encoder_fingerprint)
    ids = pad(captioner.encode(SENTENCES[:5]))
    assert torch.equal(again.logits(VECTORS, ids.clamp(min=0)), captioner.logits(VECTORS, ids.clamp(min=0)))
    assert again.info == captioner.info
    assert (folder / "lm").is_dir() == with_lm
    assert [one.name for one in folder.parent.iterdir()] == ["stage1"]


def test_a_tuned_language_model_travels_with_the_checkpoint(captioner, tmp_path):
    with torch.no_grad():
        captioner.lm.get_input_embeddings().weight.mul_(2.0)
    save_captioner(captioner, tmp_path / "tuned")
    again = load_captioner(tmp_path / "tuned")
    assert torch.equal(again.lm.get_input_embeddings().weight, captioner.lm.get_input_embeddings().weight)


def test_half_precision_weights_are_read_as_float32(copy_of_checkpoint):
    file = copy_of_checkpoint / "mapper.safetensors"
    save_file({name: tensor.half() for name, tensor in load_file(file).items()}, file)
    assert load_captioner(copy_of_checkpoint).mapper.dtype == torch.float32


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"dim": 64}, "dim"),
        ({"mapper_hidden": 32}, "mapper_hidden"),
        ({"prefix_length": 5}, "prefix_length"),
        ({"mapper_type": "transformer"}, "transformer"),
        ({"normalised": False}, "not normalised"),
        ({"tokenizer_sha256": "0" * 64}, "tokenizer"),
        ({"end_token_id": 5}, "token 5"),
        ({"lm_id": "elsewhere"}, "elsewhere"),
        ({"schema_version": 99}, "99"),
        ({"dim": "32"}, "dim"),
        ({"dim": -1}, "dim"),
        ({"normalised": 1}, "normalised"),
        ({"encoder_id": None}, "encoder_id"),
    ],
)
def test_a_checkpoint_for_something_else_is_refused_by_name(copy_of_checkpoint, changes, named):
    edit(copy_of_checkpoint, **changes)
    with pytest.raises(UserError, match=named) as refused:
        load_captioner(copy_of_checkpoint)
    assert refused.value.next_step


def test_a_checkpoint_of_before_captions_had_a_length(copy_of_checkpoint):
    file = copy_of_checkpoint / "checkpoint.json"
    document = json.loads(file.read_text())
    document.pop("caption_tokens", None)
    file.write_text(json.dumps(document))
    assert read_info(copy_of_checkpoint).caption_tokens == 32
    edit(copy_of_checkpoint, caption_tokens="many")
    with pytest.raises(UserError, match="caption_tokens"):
        read_info(copy_of_checkpoint)


def test_another_encoder_is_refused_by_name(tiny_starter):
    with pytest.raises(CheckpointError, match="encoder 'starter'"):
        load_captioner(tiny_starter / "captioner", "f" * 64)


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"\xff\xfe", b'{"schema_version": 1}'])
def test_a_damaged_checkpoint_file_is_refused(copy_of_checkpoint, content):
    (copy_of_checkpoint / "checkpoint.json").write_bytes(content)
    with pytest.raises(CheckpointError):
        read_info(copy_of_checkpoint)


def test_damaged_or_missing_weights_are_refused(copy_of_checkpoint):
    file = copy_of_checkpoint / "mapper.safetensors"
    file.write_bytes(file.read_bytes()[:200])
    with pytest.raises(CheckpointError, match=r"mapper\.safetensors"):
        load_captioner(copy_of_checkpoint)
    file.unlink()
    with pytest.raises(CheckpointError, match=r"mapper\.safetensors"):
        load_captioner(copy_of_checkpoint)
    with pytest.raises(CheckpointError, match="no captioner"):
        load_captioner(copy_of_checkpoint / "nowhere")


def test_a_failed_save_leaves_the_old_checkpoint(captioner, copy_of_checkpoint, monkeypatch):
    before = {file: file.read_bytes() for file in copy_of_checkpoint.rglob("*") if file.is_file()}
    monkeypatch.setattr(captioner.lm, "save_pretrained", lambda folder: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        save_captioner(captioner, copy_of_checkpoint)
    assert {file: file.read_bytes() for file in copy_of_checkpoint.rglob("*") if file.is_file()} == before
    assert [one.name for one in copy_of_checkpoint.parent.iterdir()] == ["captioner"]


@pytest.mark.parametrize("name", ["", "gpt2", "dir:", "dir:/nowhere/at/all", "hf:", "ftp:x"])
def test_language_models_that_are_not_there_are_refused_in_words(name):
    with pytest.raises(UserError) as refused:
        load_language_model(name)
    assert "starter" in refused.value.next_step


def test_a_language_model_as_pickle_is_not_opened(tiny_starter, tmp_path):
    folder = shutil.copytree(tiny_starter / "lm", tmp_path / "lm")
    weights = next(folder.glob("*.safetensors"))
    weights.rename(folder / "pytorch_model.bin")
    with pytest.raises(UserError, match="safetensors"):
        load_language_model(f"dir:{folder}")


def test_the_layout_of_tokenizer_json_does_not_count(tiny_starter, tmp_path):
    folder = shutil.copytree(tiny_starter / "lm", tmp_path / "lm")
    file = folder / "tokenizer.json"
    document = json.loads(file.read_text())
    file.write_text(json.dumps(document, indent=7))
    named = load_language_model("starter"), load_language_model(f"dir:{folder}")
    assert tokenizer_sha256(named[0].tokenizer) == tokenizer_sha256(named[1].tokenizer)
    merges = document["model"]["merges"]
    document["model"]["merges"] = [merges[1], merges[0], *merges[2:]]
    file.write_text(json.dumps(document))
    other = load_language_model(f"dir:{folder}")
    assert tokenizer_sha256(other.tokenizer) != tokenizer_sha256(named[0].tokenizer)


def test_pad_keeps_rows_apart():
    assert pad([[1, 2], [3]]).tolist() == [[1, 2], [3, IGNORE]]
    assert pad([]).shape == (0, 0)
    assert np.array_equal(pad([[1]], value=0).numpy(), [[1]])
