"""Real loaders on tiny random models under names: open_clip's and transformers', from a hub on this machine; GGUF."""

from __future__ import annotations

import json
import pickle
import shutil
from typing import Any

import numpy as np
import pytest
import torch

from core.captioner.language_model import load_language_model
from core.cli_flags import with_flags
from core.encoders.open_clip_encoder import load_encoder
from core.errors import UserError
from core.hub.cache import require
from core.hub.get import get, pinned_or_asked
from core.jobs import QuietContext
from tests.hub_server import Repository
from tests.tiny import DIM, SENTENCES, random_pixels

ENCODER, LM, TAGGED = "open_clip:hf-hub:tiny/clip", "hf:tiny/lm", "open_clip:tiny-arch/tiny_tag"


@pytest.fixture
def architecture(hub, models_on_hub, monkeypatch):
    """open_clip knows the tiny encoder as an architecture with weights, its tokenizer in a repository apart."""
    import open_clip.factory
    import open_clip.pretrained

    files = hub.repositories["tiny/clip"].files
    config = json.loads(files["open_clip_config.json"])
    config["model_cfg"]["text_cfg"]["hf_tokenizer_name"] = "tiny/words"
    monkeypatch.setitem(open_clip.factory._MODEL_CONFIGS, "tiny-arch", config["model_cfg"])
    weights = {**config["preprocess_cfg"], "url": "", "hf_hub": "tiny/weights/", "quick_gelu": True}
    monkeypatch.setitem(open_clip.pretrained._PRETRAINED, "tiny-arch", {"tiny_tag": weights})
    tokenizer = {name: content for name, content in files.items() if name.startswith("tokenizer")}
    hub.repositories["tiny/words"] = Repository(tokenizer)
    hub.repositories["tiny/weights"] = Repository(
        {
            "open_clip_pytorch_model.bin": pickle.dumps({}),
            "open_clip_model.safetensors": files["open_clip_model.safetensors"],
        }
    )
    return hub.repositories


def fetch(name):
    get(QuietContext(), pinned_or_asked(name))


def refused(load, name):
    with pytest.raises(UserError) as caught:
        load(name)
    assert caught.value.next_step
    return str(caught.value)


def test_nothing_is_downloaded_but_by_asking_for_it(hub, models_on_hub):
    for load, name in ((load_encoder, ENCODER), (load_language_model, LM)):
        with pytest.raises(UserError, match=f"'{name}' is not on this computer") as caught:
            load(name)
        assert with_flags(caught.value).endswith("Here: seedcap models get NAME")
    assert hub.asked == []


def test_a_repository_loads_as_its_folder_does(models_on_hub):
    fetch(ENCODER)
    pixels = random_pixels(3)
    theirs = load_encoder(f"open_clip:local-dir:{models_on_hub[0]}")
    ours = load_encoder(ENCODER)
    assert ours.fingerprint == theirs.fingerprint and ours.id == ENCODER
    assert np.array_equal(ours.encode_images(pixels), theirs.encode_images(pixels))


def test_an_architecture_takes_safetensors_its_tokenizer_and_how_the_weights_were_trained(architecture, models_on_hub):
    fetch(TAGGED)
    assert {part.role for part in require(TAGGED).pin.parts} == {"weights", "text"}
    folder = load_encoder(f"open_clip:local-dir:{models_on_hub[0]}")
    encoder = load_encoder(TAGGED)
    assert encoder.preprocess == folder.preprocess and encoder.dim == DIM
    assert encoder.fingerprint == folder.fingerprint
    assert torch.equal(encoder.token_ids(SENTENCES), folder.token_ids(SENTENCES))
    gelu = [type(one).__name__ for one in encoder.model.modules() if "GELU" in type(one).__name__]
    assert gelu and set(gelu) == {"QuickGELU"}  # the tag says so, the architecture does not


def test_a_repository_takes_its_tokenizer_from_another_one(hub, models_on_hub):
    files = hub.repositories["tiny/clip"].files
    words = {name: files.pop(name) for name in list(files) if name.startswith("tokenizer")}
    hub.repositories["tiny/words"] = Repository(words)
    config = json.loads(files["open_clip_config.json"])
    config["model_cfg"]["text_cfg"]["hf_tokenizer_name"] = "tiny/words"
    files["open_clip_config.json"] = json.dumps(config).encode()
    fetch(ENCODER)
    asked = len(hub.asked)
    theirs, ours = load_encoder(f"open_clip:local-dir:{models_on_hub[0]}"), load_encoder(ENCODER)
    assert torch.equal(ours.token_ids(SENTENCES), theirs.token_ids(SENTENCES)) and len(hub.asked) == asked


def test_weights_that_are_published_as_a_pickle_alone_are_refused(architecture, monkeypatch):
    import open_clip.pretrained

    del architecture["tiny/weights"].files["open_clip_model.safetensors"]
    said = refused(pinned_or_asked, TAGGED)
    assert "tiny/weights has its weights as open_clip_pytorch_model.bin, a format that can run code" in said
    monkeypatch.setitem(
        open_clip.pretrained._PRETRAINED, "tiny-arch", {"tiny_tag": {"url": "https://a.invalid/w.pt", "hf_hub": ""}}
    )
    assert "published only in a format that can run code" in refused(pinned_or_asked, TAGGED)


def test_a_file_name_of_the_list_becomes_its_safetensors(architecture, monkeypatch):
    import open_clip.pretrained

    weights = {"url": "", "hf_hub": "tiny/weights/special.bin"}
    monkeypatch.setitem(open_clip.pretrained._PRETRAINED, "tiny-arch", {"tiny_tag": weights})
    files = architecture["tiny/weights"].files
    files |= {"special.bin": b"pickled", "special.safetensors": files["open_clip_model.safetensors"]}
    assert list(pinned_or_asked(TAGGED).parts[0].files) == ["special.safetensors"]


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("open_clip:tiny-ark/tiny_tag", "no architecture 'tiny-ark'. There is: tiny-arch"),
        ("open_clip:tiny-arch/other", "no weights 'other' of tiny-arch. There is: tiny_tag."),
    ],
)
def test_names_that_open_clip_does_not_know_come_with_near_ones(architecture, name, said):
    assert said in refused(pinned_or_asked, name)


def test_a_text_tower_of_transformers_is_downloaded_with_the_model(hub, models_on_hub):
    """open_clip takes such a tower's settings from the hub, unasked; here they are part of the model."""
    import open_clip
    from safetensors.torch import save
    from transformers import BertConfig

    files = hub.repositories["tiny/clip"].files
    settings = BertConfig(
        vocab_size=300, hidden_size=32, num_hidden_layers=1, num_attention_heads=2, intermediate_size=32
    ).to_dict()
    words = {name: content for name, content in files.items() if name.startswith("tokenizer")}
    hub.repositories["tiny/bert"] = Repository({**words, "config.json": json.dumps(settings).encode()})
    folder = models_on_hub[0]
    (folder.parent / "bert").mkdir()
    (folder.parent / "bert" / "config.json").write_text(json.dumps(settings))
    config = json.loads(files["open_clip_config.json"])
    text = {"hf_model_name": "tiny/bert", "hf_tokenizer_name": "tiny/bert", "hf_proj_type": "mlp",
            "hf_pooler_type": "cls_pooler", "context_length": 32}  # fmt: skip
    config["model_cfg"] |= {"text_cfg": text, "custom_text": True}
    here: Any = {**text, "hf_model_name": str(folder.parent / "bert"), "hf_model_pretrained": False}
    model = open_clip.model.CustomTextCLIP(32, config["model_cfg"]["vision_cfg"], here)
    files["open_clip_config.json"] = json.dumps(config).encode()
    files["open_clip_model.safetensors"] = save({k: v.contiguous() for k, v in model.state_dict().items()})
    fetch(ENCODER)
    asked = len(hub.asked)
    encoder = load_encoder(ENCODER)
    assert encoder.encode_texts(SENTENCES[:2]).shape == (2, 32) and len(hub.asked) == asked

    elsewhere = require(ENCODER).folder("encoder")
    assert "'tiny/bert' elsewhere" in refused(load_encoder, f"open_clip:local-dir:{elsewhere}")
    (elsewhere / "config.json").write_text(json.dumps(settings | {"attn_implementation": "someone/kernel"}))
    assert "run a program" in refused(load_encoder, f"open_clip:local-dir:{elsewhere}")
    (elsewhere / "config.json").write_text(json.dumps({"model_type": "x", "auto_map": {"AutoConfig": "evil.Evil"}}))
    assert "run code" in refused(load_encoder, f"open_clip:local-dir:{elsewhere}")
    (elsewhere / "config.json").write_text(json.dumps(settings))
    assert load_encoder(f"open_clip:local-dir:{elsewhere}").fingerprint == encoder.fingerprint

    hub.repositories["tiny/words"] = Repository({name: files.pop(name) for name in words})
    config["model_cfg"]["text_cfg"]["hf_tokenizer_name"] = "tiny/words"
    files["open_clip_config.json"] = json.dumps(config).encode()
    get(QuietContext(), pinned_or_asked(ENCODER, update=True))  # settings and tokenizer from two places
    apart = load_encoder(ENCODER)
    assert torch.equal(apart.token_ids(SENTENCES), encoder.token_ids(SENTENCES))


def test_gguf_is_read_by_name(models_on_hub, tmp_path):
    folder = as_long_as_gguf_has_it(models_on_hub[1], tmp_path / "long")
    file = write_gguf(tmp_path / "model.gguf", folder)
    theirs, ours = load_language_model(f"dir:{folder}"), load_language_model(f"gguf:{file}")
    ids = torch.tensor([ours.tokenizer.encode(SENTENCES[0])])
    assert ours.tokenizer.decode(ids[0], skip_special_tokens=True).strip() == SENTENCES[0]
    with torch.inference_mode():
        assert torch.allclose(ours.model(ids).logits, theirs.model(ids).logits, atol=1e-4)
    assert not ours.model.training and ours.id == f"gguf:{file}"
    whole = file.read_bytes()
    for length in (10, 30, 31, 2000, 2003, len(whole) // 2, len(whole) // 2 + 1, len(whole) - 100, len(whole) - 3):
        (tmp_path / "cut.gguf").write_bytes(whole[:length])
        said = refused(load_language_model, f"gguf:{tmp_path / 'cut.gguf'}")
        assert "is damaged, or ends too early" in said
    (tmp_path / "alone").mkdir()
    shutil.copy(file, tmp_path / "alone")
    assert load_language_model(f"gguf:{tmp_path / 'alone'}").tokenizer.eos_token_id is not None


def test_gguf_with_programs_from_the_hub_at_hand_is_refused(models_on_hub, tmp_path, monkeypatch):
    (tmp_path / "kernels.py").touch()
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "model.gguf").write_bytes(b"GGUF")
    assert "programs from the hub would run" in refused(load_language_model, f"gguf:{tmp_path / 'model.gguf'}")


def test_what_is_no_gguf_is_refused(models_on_hub, tmp_path):
    bad = tmp_path / "bad.gguf"
    bad.write_bytes(pickle.dumps({"w": 1}))
    assert "does not begin as a GGUF file does" in refused(load_language_model, f"gguf:{bad}")
    bad.write_bytes(b"GGUF" + b"\0" * 40)
    assert "is damaged, or ends too early" in refused(load_language_model, f"gguf:{bad}")
    assert "is no GGUF file" in refused(load_language_model, f"gguf:{tmp_path / 'nowhere.gguf'}")
    assert "It holds 0 of them" in refused(load_language_model, f"gguf:{models_on_hub[1]}")


def as_long_as_gguf_has_it(lm, folder):
    """The tiny GPT-2 with 1,024 positions: transformers takes no other number from a GGUF file of this kind."""
    from transformers import GPT2Config, GPT2LMHeadModel

    shutil.copytree(lm, folder)
    config = GPT2Config.from_pretrained(lm)
    config.n_positions = 1024
    GPT2LMHeadModel(config).save_pretrained(folder)
    return folder


def write_gguf(file, lm):
    """The tiny GPT-2 as GGUF, as llama.cpp's converter lays one out."""
    import gguf
    from safetensors.torch import load_file

    config = json.loads((lm / "config.json").read_text())
    tokenizer = json.loads((lm / "tokenizer.json").read_text())
    writer = gguf.GGUFWriter(file, "gpt2")
    writer.add_block_count(config["n_layer"])
    writer.add_context_length(config["n_positions"])
    writer.add_embedding_length(config["n_embd"])
    writer.add_feed_forward_length(4 * config["n_embd"])
    writer.add_head_count(config["n_head"])
    writer.add_layer_norm_eps(config["layer_norm_epsilon"])
    vocabulary = sorted(tokenizer["model"]["vocab"].items(), key=lambda one: one[1])
    words = [word for word, _ in vocabulary]
    words += [one["content"] for one in tokenizer["added_tokens"] if one["content"] not in words]
    writer.add_tokenizer_model("gpt2")
    writer.add_token_list(words)
    writer.add_token_types([1] * (len(words) - 1) + [3])
    merges = tokenizer["model"]["merges"]
    writer.add_token_merges([one if isinstance(one, str) else " ".join(one) for one in merges])
    writer.add_bos_token_id(config["bos_token_id"])
    writer.add_eos_token_id(config["eos_token_id"])
    names = {
        "wte": "token_embd", "wpe": "position_embd", "ln_f": "output_norm", "ln_1": "attn_norm", "ln_2": "ffn_norm",
        "attn.c_attn": "attn_qkv", "attn.c_proj": "attn_output", "mlp.c_fc": "ffn_up", "mlp.c_proj": "ffn_down",
    }  # fmt: skip
    for name, tensor in load_file(lm / "model.safetensors").items():
        parts = name.removeprefix("transformer.").split(".")
        kind = parts[-1]
        block, inner = (f"blk.{parts[1]}.", ".".join(parts[2:-1])) if parts[0] == "h" else ("", ".".join(parts[:-1]))
        if inner not in names:
            continue
        array = tensor.numpy()
        turned = array.T if inner.startswith(("attn.", "mlp.")) and kind == "weight" else array
        writer.add_tensor(f"{block}{names[inner]}.{kind}", np.ascontiguousarray(turned, np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return file
