"""Language models of other families than the starter's, tiny and random: logits, adapters, bundles."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
import torch

from core.captioner import language_model
from core.captioner.captioner import Captioner, new_captioner, pad
from core.captioner.checkpoint import save_captioner
from core.captioner.language_model import load_language_model
from core.captioner.lora import add_adapters, merge
from core.encoders.open_clip_encoder import load_encoder
from core.errors import UserError
from core.jobs import QuietContext
from core.onnx.export import ExportRequest, export_job
from core.starter.vocabulary import save_tokenizer, train_tokenizer
from tests.onnx.test_mappers_export import encoder_graphs
from tests.tiny import SENTENCES, VOCABULARY_SIZE

__all__ = ["encoder_graphs"]
FAMILIES: dict[str, dict[str, Any]] = {
    "llama": {"num_attention_heads": 4, "num_key_value_heads": 2},
    "qwen2": {"num_attention_heads": 4, "num_key_value_heads": 1},
    "gpt_neox": {"num_attention_heads": 4},
    # What follows the last matrix is far from nothing here.
    "gemma2": {"num_attention_heads": 2, "num_key_value_heads": 1, "head_dim": 16, "final_logit_softcapping": 0.5},
    "granite": {"num_attention_heads": 2, "num_key_value_heads": 1, "logits_scaling": 8.0},
    "cohere": {"num_attention_heads": 2, "num_key_value_heads": 1, "logit_scale": 0.0625},
}


@pytest.fixture(scope="module")
def folders(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("lms")


def write_lm(folder: Path, family: str) -> Path:
    """Two layers of 32 as a transformers folder with the tests' tokenizer; written once."""
    from transformers import AutoConfig, AutoModelForCausalLM

    if not folder.is_dir():
        save_tokenizer(train_tokenizer(SENTENCES, size=VOCABULARY_SIZE), folder)
        end = VOCABULARY_SIZE - 1
        numbers: dict[str, Any] = {
            "vocab_size": VOCABULARY_SIZE, "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2,
            "max_position_embeddings": 64, "initializer_range": 0.2, "bos_token_id": end, "eos_token_id": end,
            "pad_token_id": 0,
        }  # fmt: skip
        with torch.random.fork_rng():
            torch.manual_seed(0)
            config = AutoConfig.for_model(family, **numbers, **FAMILIES[family])
            AutoModelForCausalLM.from_config(config).save_pretrained(folder)
    return folder


@pytest.fixture(params=FAMILIES)
def captioner(request, folders, tiny_starter) -> Captioner:
    lm = load_language_model(f"dir:{write_lm(folders / request.param, request.param)}")
    return new_captioner(load_encoder("starter"), lm, seed=0)


def said(captioner: Captioner) -> torch.Tensor:
    with torch.inference_mode():
        return captioner.head(captioner.run(captioner.embed_tokens(pad(captioner.encode(SENTENCES[:1])))))


def test_logits_and_adapters_are_those_of_the_family(captioner):
    lm: Any = captioner.lm
    ids = pad(captioner.encode(SENTENCES[:1]))
    with torch.inference_mode():
        own = lm(ids).logits
    assert own.std() > 0.01 and torch.allclose(said(captioner), own, atol=1e-5)
    captioner.lm = adapted = copy.deepcopy(lm)
    add_adapters(adapted, 4, 0)
    assert torch.allclose(said(captioner), own, atol=1e-5), "adapters that learned nothing change nothing"
    with torch.no_grad():
        for name, weights in adapted.named_parameters():
            if "lora_B" in name:
                weights.normal_(generator=torch.Generator().manual_seed(1))
    learned = said(captioner)
    assert not torch.allclose(learned, own, atol=1e-2)
    merge(adapted)
    assert not any("lora" in name for name, _ in adapted.named_parameters())
    assert torch.allclose(said(captioner), learned, atol=1e-4)


@pytest.mark.parametrize("captioner", ["llama", "qwen2", "gpt_neox"], indirect=True)
def test_its_bundle_says_what_it_says(captioner, encoder_graphs, tmp_path):
    save_captioner(captioner, tmp_path / "stage1", with_lm=False)
    report = export_job(QuietContext(), ExportRequest(str(tmp_path / "stage1"), tmp_path / "bundle"))
    assert report.parity.identical == report.parity.photos > 0


def test_a_family_that_does_something_else_with_its_logits_is_refused(folders, monkeypatch):
    folder = write_lm(folders / "granite", "granite")
    monkeypatch.setattr(language_model, "logits_of", lambda lm, hidden: lm.get_output_embeddings()(hidden))
    with pytest.raises(UserError, match=r"'granite'.*in a way that Seedcap does not know"):
        load_language_model(f"dir:{folder}")
