"""The list of models worth naming: true to what can be loaded by name, and told in words."""

from __future__ import annotations

import ast
import importlib.util
import json
from pathlib import Path

import pytest

from core import cli
from core.encoders.load import LOADERS
from core.known_models import KnownModel, did_you_mean, known_models

MODELS = known_models()


def test_each_is_named_once_and_says_what_a_person_must_know():
    assert len({(model.kind, model.name) for model in MODELS}) == len(MODELS)
    for model in MODELS:
        assert model.licence and model.title
        assert model.sentence.endswith(".") and model.sentence[0].isupper()
        assert model.parameters_m > 1
        assert model.bytes in (2, 4)
        assert model.name.partition(":")[0] in (LOADERS if model.kind == "encoder" else ("starter", "hf"))
        assert model.download == (model.name != "starter")


def pretrained(package: Path) -> dict[str, set[str]]:
    """Which weights open_clip has for an architecture; read from its file, as to import it takes half a minute."""
    tree = ast.parse((package / "pretrained.py").read_text("utf-8"))
    named = {one.targets[0].id: one.value for one in tree.body if isinstance(one, ast.Assign)}
    table = named["_PRETRAINED"]
    calls = [named[value.id] if isinstance(value, ast.Name) else value for value in table.values]
    return {key.value: {word.arg for word in call.keywords} for key, call in zip(table.keys, calls, strict=True)}


def test_open_clip_knows_the_encoders():
    spec = importlib.util.find_spec("open_clip")
    assert spec and spec.origin
    package = Path(spec.origin).parent
    weights = pretrained(package)
    assert "no such weights" not in weights["ViT-B-32"]
    for model in MODELS:
        if model.name.startswith("open_clip:"):
            architecture, tag = model.name.removeprefix("open_clip:").split("/")
            assert (package / "model_configs" / f"{architecture}.json").is_file()
            assert tag in weights[architecture], model.name


def test_sizes_and_memory_follow_from_the_parameters():
    encoder = KnownModel("encoder", "open_clip:a/b", 150.0, 4, "MIT", "Good.")
    assert (encoder.size_mb, encoder.memory_mb) == (600, 600)
    lm = KnownModel("language_model", "hf:a/b", 135.0, 2, "MIT", "Good.")
    assert (lm.size_mb, lm.memory_mb) == (270, 1080)  # adapters learn: the weights, and what they were
    small = KnownModel("language_model", "hf:a/c", 10.0, 2, "MIT", "Good.")
    assert small.memory_mb == 200  # and gradients and two moments in float32, where all of it learns
    assert KnownModel("encoder", "starter", 19.5, 2, "MIT", "Good.", download=False).size_mb == 0


def test_the_command_tells_all_of_them_and_how_to_name_others(capsys, tmp_path):
    for arguments in (["models"], ["models", "list", "--json", str(tmp_path / "m.json")]):
        assert cli.main(arguments) == 0
        said = capsys.readouterr().out
        for model in MODELS:
            assert f"  {model.name}\n      {model.sentence}\n" in said
            assert model.licence in said
        assert "605 MB to download, about 605 MB of memory" in said
        assert "1.7 GB to download" in said
        assert "nothing to download" in said
        assert "open_clip:local-dir:PATH" in said and "hf:REPO[@REVISION]" in said
    written = json.loads((tmp_path / "m.json").read_text("utf-8"))["models"]
    assert [row["name"] for row in written] == [model.name for model in MODELS]
    assert all(row["size_mb"] >= 0 and row["memory_mb"] > 0 for row in written)


def test_what_the_command_cannot_do_is_refused_in_words(capsys):
    assert cli.main(["models", "burn"]) == 2
    assert "invalid choice: 'burn'" in capsys.readouterr().err


@pytest.mark.parametrize(("said", "kinds", "meant"), [
    ("SmolLM2", (), "SmolLM2-135M"),
    ("smollm2 135m", ("language_model",), "SmolLM2-135M"),
    ("vit-b-32", ("encoder",), "open_clip:ViT-B-32/"),
    ("ViT-B-32", ("language_model",), None),
    ("starter", (), None),
    ("qq", (), None),
    ("", (), None),
])  # fmt: skip
def test_part_of_a_name_is_enough_to_be_told_the_whole(said, kinds, meant):
    told = did_you_mean(said, *kinds)
    assert told.startswith("Did you mean ") and meant in told if meant else told == ""
