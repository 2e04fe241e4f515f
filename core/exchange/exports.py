"""Writing captions out for other programs: first a plan that can be looked at, then the files."""

from __future__ import annotations

import csv
import io
import json
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, Literal

from core.errors import UserError
from core.exchange.files import existing_text, write_atomically
from core.jobs import JobContext
from core.library.library import Library
from core.library.queries import all_captions, folders, images_of
from core.library.records import CaptionRow, ImageRow

Format = Literal["txt", "jsonl", "csv", "coco"]
Which = Literal["accepted", "best"]
Action = Literal["create", "same", "replace", "keep"]
FORMATS: tuple[Format, ...] = ("txt", "jsonl", "csv", "coco")
_FILE_NAMES = {"jsonl": "metadata.jsonl", "csv": "captions.csv", "coco": "captions_coco.json"}


@dataclass(frozen=True)
class ExportItem:
    """A file and what will happen to it. ``create`` it; it is the ``same`` already; ``replace`` what it says;
    ``keep``: it says something else and is left as it is. ``captions``: how many it holds."""

    path: Path
    action: Action
    content: str
    captions: int = 1


@dataclass(frozen=True)
class ExportPlan:
    """Every file of an export. ``photos``: how many photos have a caption in it; ``without``: how many have none."""

    format: Format
    items: tuple[ExportItem, ...]
    photos: int
    without: int


@dataclass(frozen=True)
class ExportReport:
    """``written`` files; ``same``: files that said it already; ``kept``: files with other words, left as they are;
    ``failed``: files that could not be written, and why."""

    written: int
    same: int
    kept: tuple[Path, ...]
    failed: tuple[tuple[Path, str], ...]


def plan_export(
    library: Library,
    format: Format,
    out: Path | None = None,
    *,
    which: Which = "accepted",
    overwrite: bool = False,
) -> ExportPlan:
    """What an export would write, nothing being written yet.

    ``txt``: a file beside each photo, or the same tree below ``out``, a caption a line, best first. ``jsonl``, ``csv``,
    ``coco``: one file ``out`` (or in the folder ``out``; by default in the photo folder). ``which``: accepted captions
    only, or for photos without one the ``best`` candidate. Only with ``overwrite`` is a file with other words replaced.
    """
    if format not in FORMATS:
        raise UserError(f"There is no export format {format!r}.", f"Choose one of {', '.join(FORMATS)}.")
    photos = images_of(library)
    chosen = _choose(library, which)
    captioned = [(photo, chosen[photo.id]) for photo in photos if photo.id in chosen]
    if not captioned:
        hint = "Accept some in Review, or export the best candidates too (--best)."
        raise UserError(
            "No photo has an accepted caption yet." if which == "accepted" else "No photo has a caption yet.", hint
        )
    roots = folders(library)
    if format == "txt":
        contents = _sidecars(photos, captioned, out, roots)
    else:
        target = _single_file(format, out, roots)
        text = {"jsonl": _jsonl, "csv": _csv, "coco": _coco}[format](captioned, len(roots) > 1)
        contents = iter([(target, text, sum(len(captions) for _, captions in captioned))])
    items = tuple(ExportItem(path, _action(path, text, overwrite), text, number) for path, text, number in contents)
    return ExportPlan(format, items, len(captioned), len(photos) - len(captioned))


def write_export(plan: ExportPlan, ctx: JobContext) -> ExportReport:
    """Write the files of a plan, each one whole or not at all; one that cannot be written does not stop the others.

    A file that has got other words since the plan was made is kept.
    """
    written, same = 0, 0
    kept: list[Path] = []
    failed: list[tuple[Path, str]] = []
    for done, item in enumerate(plan.items):
        ctx.check_cancelled()
        ctx.progress(done, len(plan.items), "Writing captions")
        action = _action(item.path, item.content, item.action == "replace")
        if action == "same":
            same += 1
        elif action == "keep":
            kept.append(item.path)
        else:
            try:
                write_atomically(item.path, item.content, durable=plan.format != "txt")
                written += 1
            except OSError as error:
                failed.append((item.path, f"The file cannot be written: {error.strerror or error}."))
    ctx.progress(len(plan.items), len(plan.items), "Writing captions")
    return ExportReport(written, same, tuple(kept), tuple(failed))


def _choose(library: Library, which: Which) -> dict[int, list[CaptionRow]]:
    chosen = {}
    for image_id, captions in all_captions(library).items():
        accepted = [caption for caption in captions if caption.state == "accepted"]
        if accepted or which == "best":
            chosen[image_id] = accepted or captions[:1]
    return chosen


def _action(path: Path, text: str, overwrite: bool) -> Action:
    try:
        present = existing_text(path)
    except OSError:
        return "create"  # writing it meets the same trouble, and reports it
    if present is None:
        return "create"
    if present.strip() == text.strip():
        return "same"
    return "replace" if overwrite else "keep"


def _sidecars(
    photos: Sequence[ImageRow],
    captioned: Sequence[tuple[ImageRow, list[CaptionRow]]],
    out: Path | None,
    roots: Sequence[Path],
) -> Iterator[tuple[Path, str, int]]:
    """``photo.txt``; but ``photo.jpg.txt`` and ``photo.png.txt`` where both photos would claim ``photo.txt``."""
    claims = Counter(_claim(photo.path) for photo in photos)
    for photo, captions in captioned:
        name = photo.path.stem if claims[_claim(photo.path)] == 1 else photo.path.name
        folder = photo.path.parent if out is None else out / _below(photo, roots).parent
        text = "".join(" ".join(caption.text.split()) + "\n" for caption in captions)
        yield folder / f"{name}.txt", text, len(captions)


def _claim(path: Path) -> tuple[Path, str]:
    return path.parent, path.stem.casefold()  # "A.jpg" and "a.png" claim one file where case does not count


def _below(photo: ImageRow, roots: Sequence[Path]) -> PurePosixPath:
    relative = PurePosixPath(photo.relative_path)
    if len(roots) < 2:
        return relative
    root = next(root for root in roots if root in photo.path.parents)
    same_name = [one for one in roots if one.name == root.name]
    return PurePosixPath(root.name if len(same_name) == 1 else f"{root.name}-{roots.index(root) + 1}") / relative


def _single_file(format: Format, out: Path | None, roots: Sequence[Path]) -> Path:
    if out is not None and not out.is_dir():
        return out
    if out is None and len(roots) != 1:
        raise UserError("The library has photos in several folders.", "Say where to write the file (--out FILE).")
    return (out or roots[0]) / _FILE_NAMES[format]


def _file_name(photo: ImageRow, several_folders: bool) -> str:
    return str(photo.path) if several_folders else photo.relative_path


def _jsonl(captioned: Sequence[tuple[ImageRow, list[CaptionRow]]], several_folders: bool) -> str:
    """A line a photo; ``file_name`` and ``text`` are what Hugging Face's image folders look for."""
    return "".join(
        _json_line(
            {
                "file_name": _file_name(photo, several_folders),
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


def _csv(captioned: Sequence[tuple[ImageRow, list[CaptionRow]]], several_folders: bool) -> str:
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(["image", "caption", "author", "state", "run", "score"])
    for photo, captions in captioned:
        for caption in captions:
            score = "" if caption.score is None else f"{caption.score.clip_s:.4f}"
            name = _file_name(photo, several_folders)
            writer.writerow([name, caption.text, caption.author, caption.state, caption.run_id or "", score])
    return stream.getvalue()


def _coco(captioned: Sequence[tuple[ImageRow, list[CaptionRow]]], several_folders: bool) -> str:
    images = [
        {"id": photo.id, "file_name": _file_name(photo, several_folders), "width": photo.width, "height": photo.height}
        for photo, _ in captioned
    ]
    annotations = [
        {"id": caption.id, "image_id": photo.id, "caption": caption.text}
        for photo, captions in captioned
        for caption in captions
    ]
    return _json_line({"info": {"description": "Seedcap"}, "images": images, "annotations": annotations})
