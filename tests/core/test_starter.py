"""The embedded models: loaded by the ordinary loaders, small enough, and of some use on pictures they never saw."""

import json

import numpy as np
import pytest

from core import paths
from core.captioner.checkpoint import load_captioner
from core.captioner.decoding import DecodingOptions, decode
from core.captioner.torch_decoder import TorchDecoder
from core.encoders.open_clip_encoder import load_encoder
from core.images.preprocess import preprocess
from core.jobs import QuietContext
from core.metrics.guards import guard_summary
from core.metrics.retrieval import ranks
from core.onnx.outline import OUTLINE, fill
from core.onnx.parity import check_parity
from core.onnx.samples import rendered_scenes
from core.onnx.session import open_bundle
from core.onnx.source import STARTER, model_sha256
from core.starter.scenes import sample_scene
from core.starter.scenes_render import render
from core.starter.scenes_words import DEMO, STANDARD, sentences
from core.starter.truth import truth

SCENES = [sample_scene(seed) for seed in range(7_000_000, 7_000_048)]


@pytest.fixture(scope="module")
def encoder():
    return load_encoder("starter")


@pytest.fixture(scope="module")
def vectors(encoder):
    return encoder.encode_images(np.stack([preprocess(render(s, 256), encoder.preprocess) for s in SCENES]))


def test_the_weights_keep_to_their_budget():
    files = [f for f in paths.starter_dir().rglob("*") if f.is_file()]
    assert sum(f.stat().st_size for f in files) <= 64 * 2**20
    assert not [f.name for f in files if f.suffix in {".bin", ".pt", ".pkl"}]


def test_open_clip_loads_the_encoder_like_any_other(encoder):
    import open_clip

    name = f"local-dir:{paths.starter_dir() / 'encoder'}"
    model, _, transform = open_clip.create_model_and_transforms(name)
    picture = render(SCENES[0], 256)
    theirs = model.eval().encode_image(transform(picture)[None], normalize=True).detach().numpy()
    ours = encoder.encode_images(preprocess(picture, encoder.preprocess)[None])
    assert (theirs * ours).sum() == pytest.approx(1, abs=1e-3)
    text = open_clip.get_tokenizer(name)(["A dog runs on the beach."])
    theirs = model.encode_text(text, normalize=True).detach().numpy()
    assert (theirs * encoder.encode_texts(["A dog runs on the beach."], prompt=False)).sum() == pytest.approx(
        1, abs=1e-4
    )


@pytest.mark.parametrize("dialect", [STANDARD, DEMO], ids=["standard", "demo"])
def test_sentences_find_their_scenes_in_every_dialect(encoder, vectors, dialect):
    texts = encoder.encode_texts([sentences(s, dialect, n=1)[0] for s in SCENES])
    found = ranks(texts @ vectors.T, np.arange(len(SCENES)))
    assert found.recall(5) > 40  # chance: 5 of 48, 10.4%


def test_the_bundle_that_comes_with_it_is_the_models_own(encoder, tmp_path):
    """It is filled within seconds, is the one that the manifest tells of, and says what the model says."""
    models = paths.starter_dir()
    assert fill(models, models / OUTLINE, tmp_path)
    bundle = open_bundle(tmp_path, provider="cpu")
    assert bundle.manifest.decoder.checkpoint_sha256 == model_sha256(STARTER)
    assert bundle.manifest.encoder.fingerprint == encoder.fingerprint
    captioner = load_captioner(models / "captioner", encoder.fingerprint)
    report = check_parity(bundle, encoder, captioner, rendered_scenes(4), "", QuietContext())
    assert report.greedy.identical == report.beam.identical == report.photos == 4
    assert report.image_difference < 1e-4 and report.text_difference < 1e-4
    assert sum(file.stat().st_size for file in (models / OUTLINE).iterdir()) < 400_000


def test_the_captioner_speaks_of_what_it_sees_and_not_the_demo_dialect(encoder, vectors):
    captioner = load_captioner(paths.starter_dir() / "captioner", encoder.fingerprint)
    found = decode(TorchDecoder(captioner), vectors, DecodingOptions(), QuietContext())
    captions = [captioner.decode(hypotheses[0].tokens) for hypotheses in found]
    assert all(hypotheses[0].finished for hypotheses in found)
    assert guard_summary(captions)["unique_ratio"] >= 0.5
    precision, recall = truth(captions, SCENES)
    assert precision > 0.4
    assert recall > 0.2
    dialect_words = {"orb", "scarlet", "azure", "crystal", "gloss", "hoop"}
    assert not [c for c in captions if dialect_words & set(c.lower().strip(".").split())]


def test_the_manifest_of_the_text_side_agrees(encoder):
    config = json.loads((paths.starter_dir() / "encoder" / "open_clip_config.json").read_text(encoding="utf-8"))
    assert config["preprocess_cfg"]["resize_mode"] == encoder.preprocess.resize_mode == "squash"
    lm = (paths.starter_dir() / "lm" / "tokenizer.json").read_bytes()
    assert lm == (paths.starter_dir() / "encoder" / "tokenizer.json").read_bytes()
