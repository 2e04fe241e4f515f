"""What the starter models are made from: captioned photos and sentences of the data folder, train splits only."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from core.errors import UserError


@dataclass(frozen=True)
class CaptionedPhoto:
    """One photo and what people wrote about it."""

    path: Path
    captions: tuple[str, ...]


def tidy(sentence: str) -> str:
    """A caption as a person would type it: single spaces, no space before punctuation, capital first, full stop."""
    text = " ".join(sentence.replace('"', " ").split())
    text = re.sub(r"\s+([.,;:!?])", r"\1", text).rstrip(" .,;:") + "."
    text = re.sub(r"\s+('s|n't)\b", r"\1", text)
    return text[:1].upper() + text[1:]


def read_split(data: Path, dataset: str, split: str) -> list[CaptionedPhoto]:
    """The photos of ``split`` of ``flickr8k`` or ``rsicd``, sorted by file name.

    Raises:
        UserError: the folder does not hold the data set.
    """
    table = data / dataset / "captions.csv"
    if not table.is_file():
        raise UserError(
            f"{table} is missing.", "Pass --data a folder laid out as flickr8k/captions.csv, rsicd/captions.csv, text/."
        )
    by_image: dict[str, list[str]] = {}
    with table.open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            if row["split"] == split:
                by_image.setdefault(row["image"], []).append(tidy(row["caption"]))
    return [
        CaptionedPhoto(data / dataset / "images" / name, tuple(captions)) for name, captions in sorted(by_image.items())
    ]


def read_sentences(data: Path, exclude_photos: Iterable[str] = ()) -> list[str]:
    """Sentences without photos from ``text/multi30k_en.tsv``, less those about a photo in ``exclude_photos``."""
    excluded = set(exclude_photos)
    with (data / "text" / "multi30k_en.tsv").open(encoding="utf-8") as file:
        next(file)
        rows = (line.rstrip("\n").split("\t", 1) for line in file)
        return [tidy(sentence) for photo, sentence in rows if photo not in excluded]
