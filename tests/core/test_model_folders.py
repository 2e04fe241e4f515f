"""Model folders from strangers: refused before anything that reads models opens them."""

from __future__ import annotations

import json
import shutil
import sys

import pytest

from core.errors import UserError
from core.model_folders import refuse_names_elsewhere, refuse_pickles, refuse_what_leads_out


@pytest.fixture
def folder(tmp_path):
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "config.json").write_text("{}")
    (folder / "model.safetensors").write_bytes(b"weights")
    return folder


def test_an_ordinary_folder_passes(folder):
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": {"a": "model.safetensors"}}))
    refuse_what_leads_out(folder)
    refuse_pickles(folder)


@pytest.mark.skipif(sys.platform == "win32", reason="links need rights there")
@pytest.mark.parametrize("directory", [False, True])
def test_links_are_not_followed(folder, tmp_path, directory):
    elsewhere = tmp_path / "elsewhere"
    if directory:
        elsewhere.mkdir()
    else:
        elsewhere.write_bytes(b"secret")
    (folder / "part").symlink_to(elsewhere, target_is_directory=directory)
    with pytest.raises(UserError, match="is a link"):
        refuse_what_leads_out(folder)


@pytest.mark.parametrize("name", ["../x.safetensors", "/etc/passwd", "a/b", "..", "", "a\\b", 7, None])
def test_a_list_of_weights_names_its_own_files_only(folder, name):
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": {"a": name}}))
    with pytest.raises(UserError, match="not in its folder"):
        refuse_what_leads_out(folder)


@pytest.mark.parametrize("text", ["{", "[]", '{"weight_map": 3}', "[" * 100_000, "{}"])
def test_a_list_of_weights_that_is_none(folder, text):
    (folder / "model.safetensors.index.json").write_text(text)
    with pytest.raises(UserError, match="cannot be read"):
        refuse_what_leads_out(folder)


def test_a_pickle_that_would_be_opened_first_is_refused(folder):
    pickle = folder / "open_clip_pytorch_model.bin"
    pickle.write_bytes(b"cos\nsystem\n")
    with pytest.raises(UserError, match="run code"):
        refuse_pickles(folder)
    shutil.copy(folder / "model.safetensors", folder / "open_clip_model.safetensors")
    refuse_pickles(folder)


@pytest.mark.parametrize(
    ("key", "name", "fine"),
    [
        ("timm_model_name", "vit_base_patch16", True),
        ("timm_model_name", "local-dir:/tmp/x", False),
        ("timm_model_name", "hf-hub:someone/model", False),
        ("timm_model_name", "../x", False),
        ("hf_model_name", "roberta-base", True),
        ("hf_model_name", "org/model", True),
        ("hf_model_name", "/tmp/model", False),
        ("hf_model_name", "../../model", False),
        ("hf_model_name", ["x"], False),
    ],
)
def test_parts_of_a_model_do_not_come_from_elsewhere(folder, key, name, fine):
    document = {"model_cfg": {"embed_dim": 8, "vision_cfg": {key: name}}}
    if fine:
        refuse_names_elsewhere(folder / "c.json", document)
    else:
        with pytest.raises(UserError, match="takes a part of the model from"):
            refuse_names_elsewhere(folder / "c.json", document)


@pytest.mark.parametrize("document", [None, [], {"model_cfg": []}, {"model_cfg": {"a": 1}}])
def test_a_configuration_that_is_none_is_for_others_to_refuse(folder, document):
    refuse_names_elsewhere(folder / "c.json", document)
