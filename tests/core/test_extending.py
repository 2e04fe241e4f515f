"""The page about adding things, followed step by step with its own lines: each in under 30, each used."""

from __future__ import annotations

import json
import re
import sys
import textwrap
import types
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from core import cli
from core.encoders.load import LOADERS, Loader, load_encoder
from core.errors import UserError
from core.exchange import formats
from core.exchange.formats import WHOLE_FILES, whole_file
from core.jobs import QuietContext
from core.library.edits import add_seed
from core.library.library import Library
from core.library.queries import images_of
from core.library.scan import scan
from core.training import rewards
from core.training.job import train_job
from core.training.presets import RewardWeights, find_preset, read_preset, with_overrides
from core.training.rewards import REWARDS, RewardContext, reward, total_reward
from core.training.runfolder import to_toml
from tests.core.test_train_job import library, request

__all__ = ["library"]

PAGE = Path(__file__).resolve().parents[2] / "docs" / "extending.md"
LINES = 30
ONE = RewardContext(np.ones((1, 1)), np.ones((1, 1)), np.ones(1, bool), samples=1, length_mean=1, length_spread=1)


@pytest.fixture(autouse=True)
def nothing_stays():
    """What a test adds is gone after it."""
    tables = [(table, dict(table)) for table in (REWARDS, WHOLE_FILES, LOADERS, vars(rewards), vars(formats))]
    yield
    for table, before in tables:
        table.clear()
        table.update(before)


def blocks(section: str, language: str = "python") -> list[str]:
    """The lines that a section of the page shows, block by block."""
    text = PAGE.read_text("utf-8").split(f"\n## {section}\n")[1].split("\n## ")[0]
    found = re.findall(rf"^ *```{language}\n(.*?)^ *```", text, re.DOTALL | re.MULTILINE)
    return [textwrap.dedent(lines) for lines in found]


def followed(section: str, module: types.ModuleType) -> dict[str, object]:
    """What there is after the section's Python lines were run, the first of them at the end of ``module``; there are
    fewer than 30."""
    shown = blocks(section)
    assert 0 < sum(bool(line.strip()) for block in shown for line in block.splitlines()) < LINES
    there: dict[str, object] = {}
    for at, block in enumerate(shown):
        assert at or "import" not in block  # what a file has already is not written a second time
        exec(compile(block, f"{PAGE.name}, {section}", "exec"), there if at else vars(module))
    return there


def command(section: str, number: int, **places) -> list[str]:
    """The arguments of a command line that the section shows, with a place of ours for each of the page's."""
    (lines,) = blocks(section, "sh")
    words = lines.splitlines()[number].split()
    assert words[0] == "seedcap"
    return [str(places.get(word.split(".")[0], word)) for word in words[1:]]


@pytest.fixture
def colours(tmp_path):
    """A closed library of three photos, each of one colour, each with a seed that says it."""
    for colour in ("red", "green", "blue"):
        Image.new("RGB", (16, 16), colour).save(tmp_path / f"{colour}.png")
    with Library.create(tmp_path / "colours.seedcap") as library:
        scan(library, tmp_path, QuietContext())
        for photo in images_of(library):
            add_seed(library, photo.id, f"a {photo.path.stem} wall,\nand *nothing* else")
    return tmp_path / "colours.seedcap"


# -- a reward ---------------------------------------------------------------------------------------------------------


def test_a_reward_is_added_as_the_page_says_and_passes_its_own_test():
    there = followed("A reward", rewards)
    there["test_a_caption_that_speaks_of_the_photo_scores_less"]()  # pyright: ignore[reportCallIssue]
    name, value = command("A reward", 0)[-1].split("=")
    preset = with_overrides(find_preset("recommended"), {name: value})
    assert preset.stage2.rewards.named() == find_preset("recommended").stage2.rewards.named() | {"names_photo": 0.3}
    assert "[stage2.rewards.added]\nnames_photo = 0.3\n" in to_toml(asdict(preset))
    assert read_preset(json.loads(json.dumps(asdict(preset)))) == preset  # a training that goes on weighs it the same


def test_a_reward_that_was_added_counts_in_a_step_of_stage_2(library):
    followed("A reward", rewards)
    told, known = [], REWARDS["names_photo"]

    def noted(captions, context):
        told.append(known.score(captions, context))
        return told[-1]

    REWARDS["names_photo"] = replace(known, score=noted)
    asked = request(library, stages="2", overrides={"stage2.rewards.names_photo": "0.3", "stage2.steps": 1})
    train_job(QuietContext(), asked)
    assert told and all(len(one) > 1 for one in told)


def test_a_reward_without_a_weight_is_not_computed():
    @reward("never")
    def never(captions, context):
        raise AssertionError

    assert "never" not in total_reward(["a"], ONE, RewardWeights(clip_s=0, contrastive=0, added={"never": 0}))[1]


def test_every_weight_with_a_field_is_one_of_a_reward_that_is_there():
    given = RewardWeights().with_weights(dict.fromkeys(REWARDS, 2.0))
    assert given.added == {}
    assert given.named() == dict.fromkeys(REWARDS, 2.0)


def test_weights_for_what_is_no_reward_are_refused_in_words():
    for name in ("stage2.rewards.brevity", "stage2.rewards.added", "stage2.rewards.clip_s.more"):
        with pytest.raises(UserError, match=re.escape(f"no setting '{name}'. Here are: clip_s, contrastive")):
            with_overrides(find_preset("recommended"), {name: 1})
    with pytest.raises(UserError, match=r"It is now 1\.0"):
        with_overrides(find_preset("two-stage"), {"stage2.rewards.clip_s": "much"})
    with pytest.raises(UserError, match="no reward 'brevity'"):  # a run of a Seedcap that had it
        total_reward(["a"], ONE, RewardWeights(added={"brevity": 1.0}))


@pytest.mark.parametrize("name", ["clip_s", "two words", ""])
def test_a_name_means_one_reward(name):
    with pytest.raises(ValueError, match="taken"):
        reward(name)


# -- an exporter ------------------------------------------------------------------------------------------------------


def test_an_exporter_is_added_as_the_page_says_and_writes(colours, tmp_path, capsys):
    followed("An exporter", formats)
    out = tmp_path / "page.md"
    steps = [command("An exporter", number, LIB=colours, captions=out) for number in range(3)]
    assert cli.main(steps[0]) == 0
    assert "Nothing was written" in capsys.readouterr().out
    assert not out.exists()
    assert cli.main(steps[1]) == 0
    said = out.read_text("utf-8")
    assert said.count("## ") == 3
    assert "## red.png\n\n- a red wall, and *nothing* else\n" in said
    assert cli.main(steps[1]) == 0
    assert "1 unchanged" in capsys.readouterr().out
    assert cli.main(steps[2]) == 0
    assert not out.exists()


def test_a_format_that_nobody_added_is_refused(colours, capsys):
    assert cli.main(["export", str(colours), "--format", "markdown"]) == 2
    assert "invalid choice: 'markdown'" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["csv", "txt"])
def test_a_name_means_one_format(name):
    with pytest.raises(ValueError, match="already"):
        whole_file(name, "other.txt")


# -- an encoder -------------------------------------------------------------------------------------------------------


def test_an_encoder_is_added_as_the_page_says_and_ranks(colours, monkeypatch, tmp_path):
    source, line = blocks("An encoder")
    assert sum(bool(one.strip()) for one in (source + line).splitlines()) < LINES
    LOADERS.update(eval("{" + line + "}", {"Loader": Loader}))
    module = types.ModuleType(LOADERS["colours"].module)
    exec(compile(source, PAGE.name, "exec"), module.__dict__)
    monkeypatch.setitem(sys.modules, module.__name__, module)
    ranked = tmp_path / "ranked.json"
    assert cli.main([*command("An encoder", 0, LIB=colours), "--json", str(ranked)]) == 0
    rows = json.loads(ranked.read_text("utf-8"))["captions"]
    assert [row["rank"] for row in rows] == [1, 1, 1]
    assert all(row["clip_s"] > 2.4 for row in rows)


def test_what_no_loader_takes_is_refused_with_the_names_there_are():
    with pytest.raises(UserError, match=r"'colours:x' does not name.*starter, open_clip:ARCH/PRETRAINED"):
        load_encoder("colours:x")
