"""Models that no program here could read, or that are not whole: a sentence each, and early."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file, save_file

from core.captioner import language_model
from core.captioner.language_model import check_language_model, load_language_model
from core.encoders import open_clip_encoder
from core.encoders.open_clip_encoder import load_encoder
from core.errors import UserError
from core.hub.cache import bytes_here
from core.hub.get import get, pinned_or_asked
from core.jobs import QuietContext
from core.running_out import NoRoomError
from tests.core.test_models_by_name import as_long_as_gguf_has_it, write_gguf
from tests.core.test_stranger_models import change, lm, refused
from tests.hub_server import Repository
from tests.tiny import write_tiny_encoder

__all__ = ["lm"]

PACKED = {"quant_method": "bitsandbytes", "load_in_4bit": True}
WRONG_SETTINGS = {
    "of another type": {"n_head": "two"},
    "to be divided by": {"n_head": 0},
    "without such an attribute": {"dtype": "float17"},
    "that no family knows": {"activation_function": "nope"},
}
WRONG_TOKENIZERS = {
    "settings that are a list": ("tokenizer_config.json", "[]"),
    "words that are a number": ("tokenizer_config.json", '{"added_tokens_decoder": 3}'),
}
WRONG_ENCODERS = {
    "heads that do not divide the width": ("text_cfg", {"heads": 3}),
    "heads without width": ("vision_cfg", {"head_width": 0}),
    "a text tower that is a list": ("text_cfg", []),
    "an unknown way to clean": ("text_cfg", {"hf_tokenizer_name": "x", "tokenizer_kwargs": {"clean": "nope"}}),
    "a separator that is not there": (
        "text_cfg", {"hf_tokenizer_name": "x", "tokenizer_kwargs": {"strip_sep_token": True}},
    ),
}  # fmt: skip


@pytest.fixture
def encoder(tmp_path):
    return write_tiny_encoder(tmp_path / "encoder", image_tower="vit")


@pytest.mark.parametrize("settings", WRONG_SETTINGS.values(), ids=WRONG_SETTINGS)
def test_settings_of_a_language_model_that_make_no_sense(lm, settings):
    change(lm / "config.json", **settings)
    said = refused(load_language_model, f"dir:{lm}", lm)
    assert "could not be loaded: " in said and "\n" not in said


def test_a_format_that_wants_a_program_that_is_not_here(lm, monkeypatch):
    def wants(*_args, **_options):
        raise ImportError("pip install something")

    monkeypatch.setattr("transformers.AutoModelForCausalLM.from_pretrained", wants)
    assert "pip install something" in refused(load_language_model, f"dir:{lm}", lm)


def test_a_defect_of_ours_is_no_fault_of_the_files(lm, monkeypatch):
    class OursError(Exception):
        pass

    def fails(*_args, **_options):
        raise OursError

    monkeypatch.setattr("transformers.AutoModelForCausalLM.from_pretrained", fails)
    with pytest.raises(OursError):
        load_language_model(f"dir:{lm}")


@pytest.mark.parametrize(("file", "content"), WRONG_TOKENIZERS.values(), ids=WRONG_TOKENIZERS)
def test_tokenizers_that_make_no_sense(lm, file, content):
    (lm / file).write_text(content)
    assert "The tokenizer in" in refused(load_language_model, f"dir:{lm}", lm)
    assert "The tokenizer in" in refused(check_language_model, f"dir:{lm}", lm)


def test_a_tokenizer_of_a_kind_that_is_not_known(lm):
    change(lm / "tokenizer.json", model=3)  # tokenizers raises Exception itself
    assert "The tokenizer in" in refused(load_language_model, f"dir:{lm}", lm)


def test_a_folder_without_words_gets_no_empty_tokenizer(lm):
    for file in lm.glob("tokenizer*"):
        file.unlink()
    assert "has no end token, or no tokenizer.json" in refused(load_language_model, f"dir:{lm}", lm)


@pytest.mark.parametrize(("part", "settings"), WRONG_ENCODERS.values(), ids=WRONG_ENCODERS)
def test_settings_of_an_encoder_that_make_no_sense(encoder, part, settings):
    file = encoder / "open_clip_config.json"
    document = json.loads(file.read_text())
    wrong = settings if isinstance(settings, list) else {**document["model_cfg"][part], **settings}
    file.write_text(json.dumps({**document, "model_cfg": {**document["model_cfg"], part: wrong}}))
    assert "could not be loaded: " in refused(load_encoder, f"open_clip:local-dir:{encoder}", encoder)


@pytest.mark.parametrize("std", [[0, 0, 0], [1, 1], ["a", "b", "c"]])
def test_an_encoder_that_prepares_pictures_in_no_possible_way(encoder, std):
    file = encoder / "open_clip_config.json"
    document = json.loads(file.read_text())
    change(file, preprocess_cfg={**document["preprocess_cfg"], "std": std})
    assert "could not be loaded: " in refused(load_encoder, f"open_clip:local-dir:{encoder}", encoder)


@pytest.mark.parametrize("error", [NoRoomError("Too large.", "Take less."), UserError("Not so.", "But so.")])
def test_what_was_said_in_words_stays(tiny_starter, monkeypatch, error):
    def fails(*_):
        raise error

    monkeypatch.setattr(open_clip_encoder, "OpenClipEncoder", fails)
    with pytest.raises(UserError) as caught:
        load_encoder("starter")
    assert type(caught.value) is type(error) and "could not be loaded" not in str(caught.value)


@pytest.mark.parametrize("look", [load_language_model, check_language_model])
def test_packed_numbers_are_refused_in_plain_words(lm, look):
    change(lm / "config.json", quantization_config=None)
    look(f"dir:{lm}")
    change(lm / "config.json", quantization_config=PACKED)
    said = refused(look, f"dir:{lm}", lm)
    assert "packed for another program (bitsandbytes)" in said


@pytest.mark.parametrize("told", [True, False], ids=["by the hub", "by its settings alone"])
def test_packed_numbers_are_not_downloaded(hub, models_on_hub, told):
    change(models_on_hub[1] / "config.json", quantization_config=PACKED)
    packed = Repository.of(models_on_hub[1], config={"quantization_config": PACKED} if told else None)
    hub.repositories["tiny/lm"] = packed
    with pytest.raises(UserError, match=r"packed for another program \(bitsandbytes\)") as caught:
        get(QuietContext(), pinned_or_asked("hf:tiny/lm"))
    assert "unpacked" in caught.value.next_step
    files = [path.rpartition("/")[2] for path in hub.asked if "/resolve/" in path]
    assert files == ([] if told else ["config.json"])
    if not told:
        assert bytes_here(pinned_or_asked("hf:tiny/lm")) == len(packed.files["config.json"])


def without(lm: Path, *names: str) -> None:
    weights = load_file(lm / "model.safetensors")
    assert set(names) <= set(weights)
    save_file(
        {name: one for name, one in weights.items() if name not in names}, lm / "model.safetensors", {"format": "pt"}
    )


def test_weights_that_are_missing_are_not_drawn_at_random(lm):
    without(lm, "transformer.h.0.ln_1.weight", "transformer.wpe.weight")
    said = refused(load_language_model, f"dir:{lm}", lm)
    assert "2 of its weights are missing (transformer.h.0.ln_1.weight, transformer.wpe.weight)" in said


def test_one_layer_more_than_there_are_weights_for(lm):
    change(lm / "config.json", n_layer=3)
    assert "12 of its weights are missing" in refused(load_language_model, f"dir:{lm}", lm)


def test_a_head_that_is_the_table_of_words_is_not_missing(lm, tmp_path):
    from transformers import GPT2Config, GPT2LMHeadModel

    assert "lm_head.weight" not in load_file(lm / "model.safetensors")
    load_language_model(f"dir:{lm}")
    config = GPT2Config.from_pretrained(lm)
    config.tie_word_embeddings = False
    GPT2LMHeadModel(config).save_pretrained(lm)
    load_language_model(f"dir:{lm}")
    without(lm, "lm_head.weight")
    assert "(lm_head.weight)" in refused(load_language_model, f"dir:{lm}", lm)


@pytest.fixture
def gguf(lm, tmp_path):
    """A GGUF file beside settings, a tokenizer and an adapter of others."""
    whole = as_long_as_gguf_has_it(lm, tmp_path / "long")
    folder = tmp_path / "downloads"
    folder.mkdir()
    write_gguf(folder / "model.gguf", whole)
    (folder / "config.json").write_text('{"model_type": "llama", "hidden_size": 7}')
    shutil.copy(lm / "tokenizer.json", folder)
    (folder / "tokenizer_config.json").write_text('{"eos_token": "a"}')
    adapter = {"base_model_name_or_path": str(lm), "peft_type": "LORA"}
    (folder / "adapter_config.json").write_text(json.dumps(adapter))
    return folder / "model.gguf"


def no_link(*_):
    raise OSError("A required privilege is not held by the client")


@pytest.mark.parametrize("links", ["by name", "hard"])
def test_what_lies_beside_a_gguf_file_is_no_part_of_it(gguf, tmp_path, monkeypatch, links):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    if links == "hard":
        monkeypatch.setattr(Path, "symlink_to", no_link)
    loaded = load_language_model(f"gguf:{gguf}")
    alone = shutil.copy(gguf, tmp_path)
    theirs = language_model.tokenizer_sha256(load_language_model(f"gguf:{alone}").tokenizer)
    assert language_model.tokenizer_sha256(loaded.tokenizer) == theirs
    config: Any = loaded.model.config
    assert (config.model_type, config.eos_token_id) == ("gpt2", loaded.tokenizer.eos_token_id)
    assert not list(tmp_path.glob("seedcap-gguf-*"))


def test_where_no_link_can_be_made_a_gguf_file_must_be_alone(gguf, monkeypatch):
    monkeypatch.setattr(Path, "symlink_to", no_link)
    monkeypatch.setattr(Path, "hardlink_to", no_link)
    for name in ("adapter_config.json", "config.json", "tokenizer_config.json", "tokenizer.json"):
        with pytest.raises(UserError, match=rf"{name} would be taken for a part of .*a folder of its own"):
            load_language_model(f"gguf:{gguf}")
        (gguf.parent / name).unlink()
    load_language_model(f"gguf:{gguf}")


def test_a_gguf_file_is_looked_at_without_its_numbers(gguf):
    whole = gguf.read_bytes()
    check_language_model(f"gguf:{gguf}")
    for content, said in (
        (whole[:2000], "is damaged, or ends too early"),
        (b"GGUF" + b"\0" * 40, "is damaged, or ends too early"),
        (b"PK" + whole[2:], "does not begin as a GGUF file does"),
    ):
        gguf.write_bytes(content)
        assert said in refused(check_language_model, f"gguf:{gguf}", gguf)


def test_a_folder_is_looked_at_without_its_weights(lm):
    next(lm.glob("*.safetensors")).write_bytes(b"not read")
    check_language_model(f"dir:{lm}")
    change(lm / "config.json", n_head="two")
    assert "n_head" in refused(check_language_model, f"dir:{lm}", lm)
    (lm / "config.json").write_text('{"model_type": "clip"}')
    assert "of the kind 'clip'" in refused(check_language_model, f"dir:{lm}", lm)
