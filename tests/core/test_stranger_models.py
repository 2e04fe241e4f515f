"""Model folders that somebody prepared: nothing of them runs, nothing outside is opened, each refusal names them."""

from __future__ import annotations

import json
import pickle
import shutil
import struct
import sys

import pytest

from core.captioner.checkpoint import load_captioner
from core.captioner.language_model import load_language_model
from core.encoders.open_clip_encoder import load_encoder
from core.errors import UserError

HEADER = {"w": {"dtype": "F32", "shape": [1 << 30], "data_offsets": [0, 1 << 32]}}
LYING = {
    "a header longer than the file": struct.pack("<Q", 10_000) + b"{}",
    "a header of 2**63 bytes": struct.pack("<Q", 1 << 63) + b"{}",
    "a header of 90 MB": struct.pack("<Q", 90_000_000) + b"{" + b" " * 1000,
    "numbers behind the end": struct.pack("<Q", len(json.dumps(HEADER))) + json.dumps(HEADER).encode() + b"\0" * 64,
    "a header that is no JSON": struct.pack("<Q", 4) + b"\x80\x04.." + b"\0" * 64,
    "seven bytes": b"\0" * 7,
    "a pickle by another name": pickle.dumps({"w": 1}),
}


@pytest.fixture
def marker(tmp_path, monkeypatch):
    """A file that code of the stranger would make."""
    monkeypatch.setenv("STRANGER", str(tmp_path / "ran"))
    yield tmp_path / "ran"
    assert not (tmp_path / "ran").exists(), "the stranger's code has run"


class Runs:
    def __reduce__(self):
        return exec, ("import os, pathlib; pathlib.Path(os.environ['STRANGER']).touch()",)


CODE = "import os, pathlib\npathlib.Path(os.environ['STRANGER']).touch()\nclass Evil:\n    pass\n"


def change(file, **values):
    file.write_text(json.dumps({**json.loads(file.read_text()), **values}))


@pytest.fixture
def lm(tiny_starter, tmp_path):
    return shutil.copytree(tiny_starter / "lm", tmp_path / "lm")


@pytest.fixture
def encoder(tiny_starter, tmp_path):
    return shutil.copytree(tiny_starter / "encoder", tmp_path / "encoder")


def refused(load, name, folder):
    with pytest.raises(UserError) as caught:
        load(name)
    assert str(folder) in caught.value.message and caught.value.next_step
    return caught.value.message


@pytest.mark.parametrize("content", LYING.values(), ids=LYING)
def test_weights_that_lie_about_their_length(lm, encoder, tiny_starter, tmp_path, content):
    checkpoint = shutil.copytree(tiny_starter / "captioner", tmp_path / "captioner")
    for folder in (lm, encoder, checkpoint):
        next(folder.glob("*.safetensors")).write_bytes(content)
    refused(load_language_model, f"dir:{lm}", lm)
    refused(load_encoder, f"open_clip:local-dir:{encoder}", encoder)
    assert "mapper.safetensors" in refused(load_captioner, checkpoint, checkpoint)


@pytest.mark.parametrize("kind", [None, "evil"])
def test_code_beside_a_language_model_does_not_run(lm, marker, kind):
    (lm / "evil.py").write_text(CODE)
    parts = dict.fromkeys(("AutoConfig", "AutoModelForCausalLM", "AutoModel"), "evil.Evil")
    change(lm / "config.json", auto_map=parts, **({"model_type": kind, "architectures": ["Evil"]} if kind else {}))
    change(lm / "tokenizer_config.json", auto_map={"AutoTokenizer": ["evil.Evil", "evil.Evil"]})
    if kind:
        refused(load_language_model, f"dir:{lm}", lm)
    else:  # a kind of model that transformers knows is read by transformers' own code
        load_language_model(f"dir:{lm}")


def test_code_in_the_name_of_a_tokenizer_does_not_run(lm, marker):
    (lm / "evil.py").write_text(CODE)
    change(lm / "tokenizer_config.json", tokenizer_class="Evil", auto_map={"AutoTokenizer": ["evil.Evil", "evil.Evil"]})
    (lm / "tokenizer.json").unlink()
    refused(load_language_model, f"dir:{lm}", lm)


def test_an_adapter_does_not_bring_another_model_in(lm):
    adapter = {"base_model_name_or_path": "someone/model", "peft_type": "LORA"}
    (lm / "adapter_config.json").write_text(json.dumps(adapter))
    assert "adapter_config.json" in refused(load_language_model, f"dir:{lm}", lm)


@pytest.mark.parametrize("name", ["someone/kernel", "kernels-community/flash-attn:evil"])
def test_a_configuration_that_wants_a_program_from_the_hub(lm, name):
    change(lm / "config.json", attn_implementation=name)
    assert "config.json" in refused(load_language_model, f"dir:{lm}", lm)


@pytest.mark.parametrize("suffix", [".bin", ".pt", ".gguf"])
def test_weights_in_other_formats_are_not_opened(lm, marker, suffix):
    next(lm.glob("*.safetensors")).unlink()
    (lm / f"pytorch_model{suffix}").write_bytes(pickle.dumps(Runs()))
    assert "safetensors" in refused(load_language_model, f"dir:{lm}", lm)


@pytest.mark.parametrize(
    "settings",
    [
        {"hf_tokenizer_name": "x", "tokenizer_kwargs": {"trust_remote_code": True}},
        {"tokenizer_kwargs": {"bpe_path": "/etc/passwd"}},
        {"tokenizer_kwargs": "trust_remote_code"},
        {"hf_model_name": "../../elsewhere"},
        {"hf_model_name": "hf-hub:someone/model"},
    ],
)
def test_an_encoder_gets_no_say_in_how_its_tokenizer_is_opened(encoder, marker, settings):
    (encoder / "evil.py").write_text(CODE)
    tokenizer = {"tokenizer_class": "Evil", "auto_map": {"AutoTokenizer": ["evil.Evil", "evil.Evil"]}}
    (encoder / "tokenizer_config.json").write_text(json.dumps(tokenizer))
    file = encoder / "open_clip_config.json"
    document = json.loads(file.read_text())
    document["model_cfg"]["text_cfg"] |= settings
    file.write_text(json.dumps(document))
    assert "open_clip_config.json" in refused(load_encoder, f"open_clip:local-dir:{encoder}", encoder)


def test_a_pickle_beside_an_encoders_weights_is_not_opened(encoder, marker):
    (encoder / "open_clip_model.safetensors").rename(encoder / "weights.safetensors")
    (encoder / "open_clip_pytorch_model.bin").write_bytes(pickle.dumps(Runs()))
    assert "open_clip_pytorch_model.bin" in refused(load_encoder, f"open_clip:local-dir:{encoder}", encoder)


@pytest.mark.skipif(sys.platform == "win32", reason="links need rights there")
def test_weights_that_are_a_link_out_of_the_folder(lm, encoder, tiny_starter, tmp_path):
    checkpoint = shutil.copytree(tiny_starter / "captioner", tmp_path / "captioner")
    for folder, load, name in (
        (lm, load_language_model, f"dir:{lm}"),
        (encoder, load_encoder, f"open_clip:local-dir:{encoder}"),
        (checkpoint, load_captioner, checkpoint),
    ):
        weights = next(folder.glob("*.safetensors"))
        weights.rename(tmp_path / f"elsewhere-{folder.name}")
        weights.symlink_to(tmp_path / f"elsewhere-{folder.name}")
        assert weights.name in refused(load, name, folder)
