"""A bundle says to people what it is, made of its manifest and its training alone."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from core.errors import UserError
from core.hub.pins import ModelPin
from core.onnx import export, model_card
from core.onnx.bundle import CARD, load_manifest, write_manifest
from core.onnx.model_card import card, is_own_card, write_card


def test_a_bundle_comes_with_its_card_which_is_no_part_of_the_model(exported):
    report, folder = exported
    text = (folder / CARD).read_text(encoding="utf-8")
    manifest = load_manifest(folder)
    assert CARD not in manifest.files and is_own_card(folder / CARD)
    assert text.startswith("# Captioner the starter's\n") and f"`{report.model_hash}`" in text
    assert (
        "licence: for research; the terms are in resources/starter/LICENSE" in text
        and "seedcap caption PHOTOS --bundle" in text
    )
    assert f"the same caption for {report.parity.identical} of {report.parity.photos} (rendered scenes)" in text


def test_to_change_it_changes_no_captions_and_makes_it_somebodys(own_bundle):
    before = load_manifest(own_bundle)
    assert export._replaceable(own_bundle)
    with (own_bundle / CARD).open("a", encoding="utf-8") as file:
        file.write("Our captions of 2026.\n")
    assert load_manifest(own_bundle).model_hash == before.model_hash
    assert write_manifest(before, own_bundle).files == before.files
    assert not is_own_card(own_bundle / CARD) and not export._replaceable(own_bundle)
    with pytest.raises(UserError, match="is not a bundle"), export._new_folder(own_bundle):
        pass
    (own_bundle / CARD).unlink()
    assert export._replaceable(own_bundle), "bundles of earlier versions have none"


@pytest.fixture
def run(tmp_path):
    """The folder of a training, as far as the card reads it."""
    folder = tmp_path / "20261120-101112-abcd"
    folder.mkdir()
    gates = [{"name": "wording", "state": "amber", "sentence": "A | is said\nless often."}]
    report = {"kept": "stage2", "preset": "recommended", "gates": gates}
    (folder / "report.json").write_text(json.dumps(report), encoding="utf-8")
    data = "[data]\nseeds = 40\nheld_out_seeds = 10\nheld_out_photos = 64\nunlabelled = 400\n"
    (folder / "config.toml").write_text(data, encoding="utf-8")
    return folder


def test_it_tells_of_the_training_and_the_licences_of_its_models(own_bundle, run, monkeypatch):
    manifest = load_manifest(own_bundle)
    encoder = replace(manifest.encoder, id="open_clip:hf-hub:someone/clip")
    manifest = replace(manifest, encoder=encoder, decoder=replace(manifest.decoder, lm_id="dir:/home/me/secret/lm"))
    pin = ModelPin(encoder.id, "cc-by-nc-4.0", 9, ())
    monkeypatch.setattr("core.hub.pins.read_pins", lambda: {pin.name: pin})
    text = card(replace(manifest, source=run.name), run)
    assert "| made from | the training 20261120-101112-abcd, begun on 2026-11-20; kept was stage 2 |" in text
    assert "40 photos with captions by people and 400 without; judged on 10 and 64" in text
    assert "| method | recommended |" in text and "| check: wording | amber. A \\| is said less often. |" in text
    assert "`open_clip:hf-hub:someone/clip`; licence: cc-by-nc-4.0" in text
    assert "`dir:lm`; licence: not known" in text and "secret" not in text
    assert text == card(replace(manifest, source=run.name), run)
    report = json.loads((run / "report.json").read_text(encoding="utf-8"))
    (run / "report.json").write_text(json.dumps({**report, "kept": "stage1"}), encoding="utf-8")
    assert "check:" not in card(manifest, run), "checks are of practice, which was not kept"


def test_what_cannot_be_read_is_left_out(own_bundle, run, monkeypatch):
    def damaged():
        raise UserError("The lock file cannot be read.", "Remove it.")

    monkeypatch.setattr("core.hub.pins.read_pins", damaged)
    (run / "report.json").write_text("[]", encoding="utf-8")
    (run / "config.toml").write_text("= ", encoding="utf-8")
    write_card(own_bundle, load_manifest(own_bundle), run)
    text = (own_bundle / CARD).read_text(encoding="utf-8")
    assert "the training 20261120-101112-abcd" in text and "learned from |" not in text
    assert is_own_card(own_bundle / CARD) and not is_own_card(own_bundle / "none")
    assert model_card._licence("encoder", "starter").endswith("resources/starter/LICENSE")
