"""A folder of rendered scenes as a person's photo folder would be, with what is true of each photo beside it.

``scene-0001.jpg`` …, ``captions.csv`` (``image,caption``, the same columns as any captions file), ``truth.json``, and
``fine_cap_eval.csv`` (what there is to say, in FineCapEval's columns).
"""

from __future__ import annotations

import csv
import io
import json
import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from core.disk import replacing
from core.errors import UserError
from core.exchange.fine_cap_eval_file import write_fine_cap_eval
from core.starter.scenes import (
    COLOURS,
    GROUNDS,
    LIGHTS,
    MATERIALS,
    RELATIONS,
    SHAPES,
    SIZES,
    Relation,
    Scene,
    Thing,
    sample_scene,
)
from core.starter.scenes_fine_cap_eval import fine_rows
from core.starter.scenes_render import render
from core.starter.scenes_words import STANDARD, Dialect, sentences

SCHEMA = 1
TRUTH_FILE, CAPTIONS_FILE, FINE_FILE = "truth.json", "captions.csv", "fine_cap_eval.csv"
SEEDS_APART = 1_000_000
"""Sample libraries of different seeds share no scene while they hold fewer than this many."""

_JPEG_QUALITY = 92


@dataclass(frozen=True)
class SampleScene:
    """A picture of a sample library: its file name, what it shows, and true sentences about it, best first."""

    file: str
    scene: Scene
    captions: tuple[str, ...]


def write_sample_library(
    folder: Path, n: int, dialect: Dialect = STANDARD, seed: int = 0, *, size: int = 256, captions: int = 5
) -> list[SampleScene]:
    """Renders ``n`` scenes of ``size`` pixels into ``folder``, with ``captions`` sentences each."""
    folder.mkdir(parents=True, exist_ok=True)
    scenes = [sample_scene(seed * SEEDS_APART + i) for i in range(n)]
    samples = [
        SampleScene(f"scene-{i:04d}.jpg", scene, tuple(sentences(scene, dialect, captions)))
        for i, scene in enumerate(scenes, 1)
    ]

    def draw(sample: SampleScene) -> None:
        picture = io.BytesIO()
        render(sample.scene, size).save(picture, "JPEG", quality=_JPEG_QUALITY, subsampling=0)
        _write(folder / sample.file, picture.getvalue())

    with ThreadPoolExecutor(os.cpu_count()) as painters:
        list(painters.map(draw, samples))
    table = io.StringIO()
    writer = csv.writer(table, lineterminator="\n")
    writer.writerow(("image", "caption"))
    writer.writerows((sample.file, caption) for sample in samples for caption in sample.captions)
    _write(folder / CAPTIONS_FILE, table.getvalue().encode())
    rows = [row for sample in samples for row in fine_rows(sample.file, sample.scene, sample.captions, dialect)]
    write_fine_cap_eval(folder / FINE_FILE, rows)
    told = {"schema": SCHEMA, "dialect": dialect.name, "samples": [asdict(sample) for sample in samples]}
    _write(folder / TRUTH_FILE, (json.dumps(told, indent=1) + "\n").encode())
    return samples


def read_truth(folder: Path) -> list[SampleScene]:
    """The samples of a folder that ``write_sample_library`` wrote; UserError when its truth is missing or damaged."""
    path = folder / TRUTH_FILE
    try:
        told = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UserError(
            f"{folder} holds no {TRUTH_FILE}.", "Choose a folder of sample scenes, or make one with the demo."
        ) from None
    except (OSError, ValueError) as error:
        raise UserError(f"{path} cannot be read ({error}).", "Make the sample library again.") from error
    if not isinstance(told, dict) or told.get("schema") != SCHEMA:
        raise UserError(f"{path} was written by another version.", "Make the sample library again with this one.")
    try:
        return [_sample(item) for item in told["samples"]]
    except (KeyError, TypeError, ValueError) as error:
        raise UserError(f"{path} is damaged ({error}).", "Make the sample library again.") from error


def _sample(item: dict[str, Any]) -> SampleScene:
    scene = item["scene"]
    things = tuple(_thing(**thing) for thing in scene["things"])
    relation = Relation(**scene["relation"]) if scene["relation"] else None
    if not things or scene["ground"] not in GROUNDS or scene["light"] not in LIGHTS:
        raise ValueError(f"{item['file']}: unknown ground or light")
    if relation is not None and relation.name not in RELATIONS:
        raise ValueError(f"{item['file']}: unknown relation")
    return SampleScene(
        str(item["file"]),
        Scene(things, relation, scene["ground"], scene["light"], int(scene["seed"])),
        tuple(map(str, item["captions"])),
    )


def _thing(shape: str, colour: str, material: str, size: str, position: list[float], turn: float) -> Thing:
    if shape not in SHAPES or colour not in COLOURS or material not in MATERIALS or size not in SIZES:
        raise ValueError(f"unknown thing: {size} {material} {colour} {shape}")
    x, y, z = (float(value) for value in position)
    return Thing(shape, colour, material, size, (x, y, z), float(turn))


def _write(path: Path, content: bytes) -> None:
    """Whole or not at all: a reader never sees half a file."""
    with replacing(path, durable=False) as file:
        file.write(content)
