"""A bundle from the models and an outline is the export, byte for byte, or it is none."""

import shutil
from pathlib import Path

import numpy as np
import onnx
import pytest
from safetensors.numpy import load_file, save_file

from core.errors import UserError
from core.onnx.outline import WEIGHTS, Origin, _Search, _taken, fill, write_outline


@pytest.fixture(scope="module")
def outline(tiny_starter_folder, tiny_bundle, tmp_path_factory):
    folder = tmp_path_factory.mktemp("outline")
    write_outline(tiny_starter_folder, tiny_bundle, folder)
    return folder


def test_what_is_filled_is_the_export(tiny_starter_folder, tiny_bundle, outline, tmp_path):
    assert fill(tiny_starter_folder, outline, tmp_path)
    names = {path.name for path in tiny_bundle.iterdir()}
    assert {path.name for path in tmp_path.iterdir()} == names
    assert all((tmp_path / name).read_bytes() == (tiny_bundle / name).read_bytes() for name in names)


def test_the_bar_of_an_export_only_goes_forward(tiny_bundle, told_while_exporting):
    shares = [done / total for done, total, _ in told_while_exporting]
    assert shares == sorted(shares) and shares[0] == 0 and shares[-1] == 1
    assert len({words for _, _, words in told_while_exporting}) > 4


def test_an_outline_has_no_numbers_of_the_model(tiny_bundle, outline):
    for name in ("image_encoder.onnx", "text_encoder.onnx", "decoder.onnx"):
        kept = [tensor for tensor in onnx.load(outline / name).graph.initializer if tensor.raw_data]
        assert sum(len(tensor.raw_data) for tensor in kept) < 40_000
        assert (outline / name).stat().st_size < (tiny_bundle / name).stat().st_size


@pytest.mark.parametrize("damage", ["other numbers", "no numbers", "no outline", "torn graph", "torn list"])
def test_what_is_not_the_export_is_not_used(tiny_starter_folder, outline, tmp_path, damage):
    models = Path(shutil.copytree(tiny_starter_folder, tmp_path / "models"))
    here = Path(shutil.copytree(outline, tmp_path / "outline"))
    mapper = models / "captioner" / "mapper.safetensors"
    if damage == "other numbers":
        save_file({key: values + 1 for key, values in load_file(mapper).items()}, mapper)
    elif damage == "no numbers":
        mapper.write_bytes(b"")
    elif damage == "no outline":
        shutil.rmtree(here)
    else:
        torn = here / ("decoder.onnx" if damage == "torn graph" else WEIGHTS)
        torn.write_bytes(torn.read_bytes()[:-20])
    (tmp_path / "out").mkdir()
    assert not fill(models, here, tmp_path / "out")


def test_numbers_of_no_source_do_not_go_into_an_outline(tiny_starter_folder, tiny_bundle, tmp_path, monkeypatch):
    monkeypatch.setattr("core.onnx.outline._SMALL", 0)
    models = Path(shutil.copytree(tiny_starter_folder, tmp_path / "models"))
    mapper = models / "captioner" / "mapper.safetensors"
    save_file({key: values + 1 for key, values in load_file(mapper).items()}, mapper)
    with pytest.raises(UserError, match="are not those of"):
        write_outline(models, tiny_bundle, tmp_path / "outline")


def test_a_normalisation_that_was_folded_in_is_found():
    random = np.random.default_rng(4)
    numbers = {f"bn.{part}": random.random(3, dtype=np.float32) + 1 for part in ("weight", "bias", "running_mean")}
    numbers |= {"bn.running_var": random.random(3, dtype=np.float32), "conv": random.random((3, 2, 1, 1), np.float32)}
    scale = numbers["bn.weight"] / np.sqrt(numbers["bn.running_var"] + 1e-3)
    search = _Search(numbers)
    found = search.origin(numbers["conv"] * scale[:, None, None, None])
    assert found == Origin("conv", "scaled", "bn", 1e-3)
    bias = -numbers["bn.running_mean"] * scale + numbers["bn.bias"]
    shifted = search.origin(bias)
    assert shifted == Origin("bn.bias", "shifted", "bn", 1e-3) and np.array_equal(_taken(numbers, shifted), bias)
    assert search.origin(bias + 1) is None
