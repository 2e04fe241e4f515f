"""A library's photos captioned on other machines: the list that goes out, the parts that come back."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

from core.batch.library_runner import likelihoods, photos_to_caption
from core.batch.parts import Listing, Parts, PartsReport
from core.batch.photo_list import ListedPhoto
from core.batch.records import PhotoRecord
from core.batch.requests import LibraryCaptionRequest
from core.batch.run_of_bundle import RunOfBundle
from core.disk import replacing
from core.errors import UserError
from core.jobs import JobContext
from core.library.candidates import Existing, add_candidates
from core.library.library import Library
from core.library.queries import captions_of, folders, ids_by_content, image_rows, texts_ever
from core.library.records import CaptionRow, ImageRow
from core.library.unchanged import stamps

_AT_ONCE = 512


@dataclass(frozen=True)
class ListReport:
    """``photos`` that are to be captioned, and the ``contents`` they come to without copies; ``folder``: what the paths
    of the list begin at; ``skipped``: photos left out because they have captions."""

    photos: int
    contents: int
    folder: Path
    skipped: int


@dataclass
class MergeReport:
    """``merged`` photos got ``captions`` candidates; ``present``: photos that had them already; ``kept``: photos that
    have other captions and were left alone; ``unmatched``: contents that are no photo of this library. The rest is in
    ``parts``. ``dry_run``: nothing was written, and ``merged`` is what would be."""

    parts: PartsReport
    dry_run: bool
    merged: int = 0
    captions: int = 0
    present: int = 0
    kept: int = 0
    unmatched: Listing = field(default_factory=Listing)


def write_list(ctx: JobContext, request: LibraryCaptionRequest, out: Path) -> ListReport:
    """Write the photos that ``request`` would caption as a list (:mod:`core.batch.photo_list`), in one move."""
    if out.exists():
        raise UserError(f"{out} is there already.", "Name another file.")
    if not out.absolute().parent.is_dir():
        raise UserError(f"The folder of {out} does not exist.", f"Make {out.absolute().parent} first.")
    with Library.open(request.library) as library:
        ids, skipped = photos_to_caption(library, request)
        base = _shared_folder(folders(library))
        contents: set[bytes] = set()
        with replacing(out) as file:
            for start in range(0, len(ids), _AT_ONCE):
                ctx.check_cancelled()
                ctx.progress(start, len(ids), "Listing photos")
                rows = image_rows(library, ids[start : start + _AT_ONCE])
                sizes = stamps(library, [row.id for row in rows])
                for row in rows:
                    key = bytes.fromhex(row.content_hash)
                    if key not in contents:
                        contents.add(key)
                        file.write(_listed(row, base, sizes[row.id][0]).to_line())
        ctx.progress(len(ids), len(ids), "Listing photos")
    return ListReport(len(ids), len(contents), base, skipped)


def merge_parts(
    ctx: JobContext, library: Library, paths: Sequence[Path], existing: Existing = "skip", *, dry_run: bool = False
) -> MergeReport:
    """Take the captions of ``paths`` in as candidates of all photos with their content.

    ``existing`` as for captioning: what a person wrote, accepted or rejected is never touched. Merging the same parts
    again, or going on after a stop, changes nothing that is there. Captions are scored when the library is ranked.
    """
    parts = Parts(paths, lambda record: record.content)
    merge = _Merge(library, existing, MergeReport(parts.report, dry_run))
    records = parts.captioned(ctx)
    while batch := list(islice(records, _AT_ONCE)):
        merge.add(batch)
    for _ in parts.failures():
        pass
    return merge.report


class _Merge:
    def __init__(self, library: Library, existing: Existing, report: MergeReport) -> None:
        self._library, self.report = library, report
        self._existing: Existing = existing
        self._run_of = RunOfBundle(library)

    def add(self, batch: Sequence[PhotoRecord]) -> None:
        """Records of different contents."""
        photos = ids_by_content(self._library, [record.content or "" for record in batch])
        ids = [one for some in photos.values() for one in some]
        known, ever = captions_of(self._library, ids), texts_ever(self._library, ids)
        texts: dict[str | None, dict[int, list[str]]] = {}
        likely: dict[int, dict[str, float | None]] = {}
        for record in batch:
            mine = photos.get(record.content or "", [])
            if not mine:
                self.report.unmatched.add(record.file)
            words = list(dict.fromkeys(one.caption for one in record.candidates)) or [record.caption or ""]
            run_id = self._run_of.find(record.source, record.model)
            for image_id in mine:
                if wanted := self._wanted(words, known.get(image_id, []), ever.get(image_id, set())):
                    texts.setdefault(run_id, {})[image_id] = wanted
                    likely[image_id] = likelihoods(record.candidates)
        for run_id, some in texts.items():
            self._write(run_id, some, likely)

    def _wanted(self, words: Sequence[str], have: Sequence[CaptionRow], ever: set[str]) -> list[str]:
        """What a photo with these captions now, and ``ever`` before, takes of the words; counted, if nothing."""
        models = {one.text for one in have if one.author == "run" and one.state == "candidate"}
        others = {one.text for one in have} - models
        replace = self._existing == "replace-model"
        there = others if replace else ever  # a text that a person edited or threw out is not brought back
        fresh = [word for word in map(str.strip, words) if word not in there]
        if not fresh or (replace and set(fresh) == models):
            self.report.present += 1
            return []
        if self._existing == "skip" and any(one.state != "rejected" for one in have):
            self.report.kept += 1
            return []
        return fresh

    def _write(
        self, run_id: str | None, texts: dict[int, list[str]], likely: dict[int, dict[str, float | None]]
    ) -> None:
        if self.report.dry_run:
            self.report.merged += len(texts)
            return
        written = add_candidates(self._library, run_id, texts, self._existing, likelihoods=likely)
        self.report.merged += sum(bool(ids) for ids in written.values())
        self.report.captions += sum(map(len, written.values()))


def _listed(row: ImageRow, base: Path, size: int) -> ListedPhoto:
    return ListedPhoto(row.content_hash, row.path.relative_to(base).as_posix(), size)


def _shared_folder(roots: Sequence[Path]) -> Path:
    """The folder that holds all folders of a library: other machines have a copy of what is below it."""
    try:
        return Path(os.path.commonpath(roots)) if roots else Path()
    except ValueError as error:  # on Windows
        raise UserError(
            "The folders of this library lie on several drives, so one list cannot name their photos.",
            "Make a library of the photos of each drive.",
        ) from error
