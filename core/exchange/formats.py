"""Captions as the text of a file: a text file beside each photo, or all in one: JSON Lines, CSV and COCO."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from core.exchange.plan import OTHER_FORMATS
from core.library.records import CaptionRow, ImageRow

Captioned = Sequence[tuple[ImageRow, list[CaptionRow]]]
WholeText = Callable[[Captioned, bool], str]
_LINE_BREAKS = re.compile(r"\s*[\r\n]+\s*")
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


@dataclass(frozen=True)
class WholeFile:
    """A format that is one file for all photos: what it is called where nobody says otherwise, and its text."""

    file_name: str
    text: WholeText


WHOLE_FILES: dict[str, WholeFile] = {}
"""The formats of one file by name; :func:`whole_file` adds one."""


def whole_file(name: str, file_name: str) -> Callable[[WholeText], WholeText]:
    """Make a function the export format ``name``; ``docs/extending.md`` shows how, step by step.

    The function takes photos with their captions, best first, and whether the photos lie in several folders, which
    decides what :func:`file_name` calls them. Preview, writing and undo need nothing of their own.
    """
    if name in (*WHOLE_FILES, *OTHER_FORMATS):
        raise ValueError(f"there is a format '{name}' already")

    def added(text: WholeText) -> WholeText:
        WHOLE_FILES[name] = WholeFile(file_name, text)
        return text

    return added


def known_formats() -> tuple[str, ...]:
    """All that ``export`` writes."""
    return (*WHOLE_FILES, *OTHER_FORMATS)


def sidecar_text(captions: Sequence[CaptionRow]) -> str:
    """A caption a line. Such a file has no way to say a line break inside a caption: it becomes one space."""
    return "".join(_LINE_BREAKS.sub(" ", caption.text) + "\n" for caption in captions)


def with_line_breaks(captions: Sequence[CaptionRow]) -> int:
    return sum("\n" in caption.text or "\r" in caption.text for caption in captions)


def like_formulas(captions: Sequence[CaptionRow]) -> int:
    """Captions that a spreadsheet would take for a formula when it opens a CSV file."""
    return sum(caption.text.startswith(_FORMULA) for caption in captions)


def file_name(photo: ImageRow, several_folders: bool) -> str:
    return str(photo.path) if several_folders else photo.relative_path


@whole_file("jsonl", "metadata.jsonl")
def jsonl(captioned: Captioned, several_folders: bool) -> str:
    """A line a photo; ``file_name`` and ``text`` are what Hugging Face's image folders look for."""
    return "".join(
        _json_line(
            {
                "file_name": file_name(photo, several_folders),
                "text": captions[0].text,
                "captions": [
                    {
                        "text": caption.text,
                        "author": caption.author,
                        "state": caption.state,
                        "seed": caption.is_seed,
                        "run": caption.run_id,
                        "score": None if caption.score is None else round(caption.score.clip_s, 4),
                    }
                    for caption in captions
                ],
            }
        )
        for photo, captions in captioned
    )


def _json_line(value: dict[str, Any]) -> str:
    text = json.dumps(value, ensure_ascii=False)
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:  # a file name that is not valid Unicode keeps its bytes as escapes
        text = json.dumps(value)
    return text + "\n"


@whole_file("csv", "captions.csv")
def table(captioned: Captioned, several_folders: bool) -> str:
    """A row a caption. Texts stand there as they are, also those that begin like a spreadsheet's formula: a mark
    before them would be read as part of the caption by everything else (docs/decisions/0016)."""
    stream = io.StringIO()
    plain = csv.writer(stream, lineterminator="\n")
    quoting = csv.writer(stream, lineterminator="\n", quoting=csv.QUOTE_ALL)  # the other leaves a lone CR bare
    plain.writerow(["image", "caption", "author", "state", "run", "score"])
    for photo, captions in captioned:
        for caption in captions:
            score = "" if caption.score is None else f"{caption.score.clip_s:.4f}"
            name = file_name(photo, several_folders)
            writer = quoting if "\r" in caption.text + name else plain
            writer.writerow([name, caption.text, caption.author, caption.state, caption.run_id or "", score])
    return stream.getvalue()


@whole_file("coco", "captions_coco.json")
def coco(captioned: Captioned, several_folders: bool) -> str:
    images = [
        {"id": photo.id, "file_name": file_name(photo, several_folders), "width": photo.width, "height": photo.height}
        for photo, _ in captioned
    ]
    annotations = [
        {"id": caption.id, "image_id": photo.id, "caption": caption.text}
        for photo, captions in captioned
        for caption in captions
    ]
    return _json_line({"info": {"description": "Seedcap"}, "images": images, "annotations": annotations})
