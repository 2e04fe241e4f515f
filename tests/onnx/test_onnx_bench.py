"""``bench onnx``: every way of captioning says the same, so only their speed differs."""

from __future__ import annotations

import json
import shutil

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from core.bench import onnx_arms, onnx_speed
from core.bench.onnx_arms import ArmRequest, run_arm
from core.bench.onnx_speed import Size
from core.bench.tiny_models import write_tiny_encoder, write_tiny_lm
from core.captioner.captioner import new_captioner
from core.captioner.checkpoint import save_captioner
from core.captioner.language_model import load_language_model
from core.encoders.open_clip_encoder import load_encoder
from core.jobs import QuietContext
from core.onnx.export import rendered_scenes


@pytest.fixture
def photos(tmp_path):
    for at, picture in enumerate(rendered_scenes(5)):
        picture.convert("RGB").save(tmp_path / f"{at}.jpg")
    return tuple(str(path) for path in sorted(tmp_path.glob("*.jpg")))


@pytest.fixture
def arm(tiny_starter, tiny_bundle, photos, monkeypatch):
    monkeypatch.setattr(onnx_arms, "BATCH", 4)
    monkeypatch.setattr(onnx_arms, "_PASSES", 1)

    def run(kind, **how):
        model = tiny_bundle if kind == "bundle" else tiny_starter / "captioner"
        return run_arm(ArmRequest(kind, str(model), photos, **how))

    return run


@pytest.mark.parametrize("exactly", [False, True])
def test_all_ways_say_the_same(arm, exactly):
    greedy = {kind: arm(kind, exactly=exactly) for kind in ("generate", "torch", "bundle")}
    beam = {kind: arm(kind, exactly=exactly, beams=3) for kind in ("clipcap", "bundle")}
    assert greedy["generate"].captions == greedy["torch"].captions == greedy["bundle"].captions
    assert beam["clipcap"].captions == beam["bundle"].captions
    assert len(set(greedy["bundle"].captions)) > 1
    for one in (*greedy.values(), *beam.values()):
        assert one.rate > 0 and one.prefill_s > 0 and sum(one.shares.values()) == pytest.approx(1)


def test_exactly_so_many_tokens(tiny_starter, photos):
    request = ArmRequest("torch", str(tiny_starter / "captioner"), photos, tokens=9, exactly=True)
    model = onnx_arms.TorchModel(request)
    said = []
    generate = model.generate
    model.generate = lambda vectors: said.extend(generate(vectors)) or said[-len(vectors) :]
    onnx_arms._caption(model, photos, 2, onnx_arms.Timers())
    assert [len(tokens) for tokens in said] == [9] * 5


def test_an_arm_is_a_process_that_speaks_json(tiny_bundle, photos, monkeypatch, capsys):
    request = ArmRequest("bundle", str(tiny_bundle), photos)
    monkeypatch.setattr("sys.stdin", _Text(json.dumps(onnx_speed.asdict(request))))
    onnx_arms.main()
    said = json.loads(capsys.readouterr().out)
    assert said["captions"] == list(run_arm(request).captions) and said["rate"] > 0


class _Text(str):
    def read(self):
        return str(self)


def test_the_table_of_a_size(tiny_starter, tiny_bundle, photos, monkeypatch, tmp_path):
    monkeypatch.setattr(onnx_speed, "_in_process", run_arm)
    size = Size("tiny", tiny_starter / "captioner", (6, 5, 1.5, 1.5, 0.15), 8, False, (5, 4))
    bundles = {"fp32": tiny_bundle, "int8": tmp_path / "int8"}
    shutil.copytree(tiny_bundle, bundles["int8"])
    found = onnx_speed._run_size(QuietContext(), size, photos, bundles)
    measures = {one.name: one for one in onnx_speed._measures(size, found, gflops=100.0)}
    assert measures["vs_generate_tiny"].value == pytest.approx(found["fp32"].rate / found["generate"].rate)
    assert measures["vs_clipcap_tiny"].value == pytest.approx(found["fp32_beam"].rate / found["clipcap"].rate)
    assert measures["gemm_share_tiny"].value > 0 and measures["int8_vs_fp32_tiny"].aim == 1.5
    assert onnx_speed._notes(size, found)[-1] == "tiny: 4 of 4 captions are those of generate."
    assert onnx_speed._int8_note(size, bundles) == "tiny: int8 is the decoder alone."


def test_the_work_of_a_photo_is_counted_with_its_attention(tmp_path):
    """As much as is counted where gradients are wanted: there the tower's attention is made of matrix products."""
    encoder = load_encoder(f"open_clip:local-dir:{write_tiny_encoder(tmp_path / 'vit', image_tower='vit')}")
    captioner = new_captioner(encoder, load_language_model(f"dir:{write_tiny_lm(tmp_path / 'lm')}"), seed=0)
    save_captioner(captioner, tmp_path / "captioner")
    side = encoder.preprocess.size
    with FlopCounterMode(display=False) as counter:
        vectors = encoder.image_embeddings(torch.zeros(1, 3, side, side, requires_grad=True))
        captioner.head(captioner.run(captioner.prefix(vectors))[:, -1])
    assert onnx_speed.prefill_gflop(tmp_path / "captioner") == pytest.approx(counter.get_total_flops() / 1e9)
