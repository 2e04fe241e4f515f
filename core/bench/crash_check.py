"""What must hold after a kill: the library opens, is sound, has what was acknowledged, and nothing twice."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from sqlalchemy import select

from core.bench.crash_work import DIM, Place, state_of
from core.encoders.store import VectorStore
from core.errors import UserError
from core.exchange.files import digest
from core.library import db, integrity, queries
from core.library.library import DATABASE, Library
from core.library.steps import can_redo, can_undo
from core.library.tables import Caption, Image, JobItem
from core.training.runfolder import kept_checkpoint


@dataclass(frozen=True)
class Finding:
    """Something that should not be. ``kind``: lost, damaged or repeated."""

    kind: str
    sentence: str


@dataclass
class Expected:
    """What was acknowledged so far. ``files``: by exported file, the contents that it may have; ``written``: those that
    must be there."""

    states: dict[str, str] = field(default_factory=dict)
    steps: tuple[str | None, str | None] | None = None
    photos: set[str] = field(default_factory=set)
    said: dict[str, set[str]] = field(default_factory=dict)
    files: dict[str, set[str]] = field(default_factory=dict)
    written: set[str] = field(default_factory=set)
    runs: dict[str, str] = field(default_factory=dict)
    stages: set[int] = field(default_factory=set)
    odd: dict[tuple[int, int], tuple[int, int]] = field(default_factory=dict)
    found: list[Finding] = field(default_factory=list)

    def take_in(self, said: Iterable[dict[str, Any]]) -> dict[str, Any]:
        """Learn what was acknowledged; returns the step that was announced and not acknowledged, if any.

        What can be told from the words alone to be wrong goes to ``found``.
        """
        doing: dict[str, Any] = {}
        for line in said:
            if "doing" in line:
                doing = line
                for path, content in line.get("files", {}).items():
                    self.files.setdefault(path, set()).add(content)
                continue
            doing = {}
            self.states |= line.get("state", {})
            if "undo" in line:
                self.steps = line["undo"], line["redo"]
            self.photos |= set(line.get("photos", ()))
            if line["did"] == "caption":
                self._captioned(line["files"])
            if line["did"] == "ask":
                sentence = f"the model was asked again for photos {line['again']}, which job {line['job']} had done"
                self.found.append(Finding("repeated", sentence))
            if line["did"] == "export":
                for path, content in line["files"].items():
                    if path not in line["kept"]:
                        self.files[path] = {content}
                        self.written.add(path)
            if line["did"] in ("stage", "anew", "train"):
                self._trained(line)
        return doing

    def _captioned(self, files: Iterable[tuple[str, str]]) -> None:
        """Photos that were acknowledged as captioned: each once for each job."""
        for file, caption in files:
            known = self.said.setdefault(file, set())
            if job_of(caption) in {job_of(one) for one in known}:
                self.found.append(Finding("repeated", f"job {job_of(caption)} said twice that it captioned {file}"))
            known.add(caption)

    def _trained(self, line: dict[str, Any]) -> None:
        """A training goes on where it was: with the stages that it had finished, and at all once one had begun."""
        if line["did"] == "stage":
            if line["stage"] < max(self.stages, default=0):
                self.found.append(Finding("lost", f"stage {line['stage']} was finished, and was trained again"))
            self.stages.add(line["stage"])
            return
        if line["did"] == "anew" and (self.stages or "damaged" in line["why"]):
            self.found.append(Finding("damaged", f"a training that had begun could not go on: {line['why']}"))
        if line["did"] == "train":
            self.runs[line["run"]] = line["kept"]
        self.stages.clear()


def job_of(caption: str) -> int:
    """The job that a caption of the toy engine is of."""
    return int(caption.split()[1])


def check(place: Place, expected: Expected, said: Iterable[dict[str, Any]]) -> list[Finding]:
    """Everything that does not hold now, given what the process said before it ended."""
    doing = expected.take_in(said)
    found, expected.found = expected.found, []
    try:
        with Library.open(place.library, exclusive=True) as library:
            found += _database(library)
            found += _edits(library, expected, doing)
            found += _captioned(library, expected)
            found += _vectors(library)
            found += _runs(library, expected)
    except UserError as error:
        found.append(Finding("damaged", f"the library does not open: {error}"))
    found += _exports(expected)
    return found


def _database(library: Library) -> list[Finding]:
    problems = integrity.check_pages(library.path / DATABASE, thorough=True)
    with closing(db.connect(library.path / DATABASE)) as connection:
        if connection.execute("PRAGMA integrity_check").fetchone()[0] != "ok":
            problems.append("PRAGMA integrity_check finds fault")
    return [Finding("damaged", one) for one in problems]


def _edits(library: Library, expected: Expected, doing: dict[str, Any]) -> list[Finding]:
    """Acknowledged states stand; a step that was cut off has happened as a whole, or not at all."""
    found = []
    unsure = {str(one) for one in doing.get("images", ())}
    ids = {str(one) for one in queries.image_ids(library).tolist()}
    now = state_of(library, [int(one) for one in sorted(ids | set(expected.states))])
    for image, state in list(expected.states.items()):
        if image not in unsure and now.get(image) != state:
            found.append(Finding("lost", f"the captions of photo {image} are not those that were acknowledged"))
            expected.states[image] = now.get(image, "")
    if unsure:
        before = doing["before"]
        changed = {image for image in unsure if now.get(image) != before[image]}
        if doing["doing"] in ("many", "import") and changed and changed != unsure:
            found.append(Finding("damaged", f"a batch edit of {len(unsure)} photos changed only {len(changed)}"))
    if expected.steps and not doing and expected.steps != (can_undo(library), can_redo(library)):
        found.append(Finding("lost", f"undo and redo are not {expected.steps}"))
    expected.states |= {image: now[image] for image in unsure if image in now}
    expected.steps = can_undo(library), can_redo(library)
    with library.session() as session:
        names = set(session.scalars(select(Image.relative_path)))
    found += [Finding("lost", f"the photo {name} is not in the library") for name in expected.photos - names]
    expected.photos &= names
    return found


def _captioned(library: Library, expected: Expected) -> list[Finding]:
    """Of each job that has done it a photo has one caption, and was done once; and those that were acknowledged."""
    found = []
    with library.session() as session:
        model = (Caption.author == "run", Caption.text.like("Said %"))
        captions = list(session.execute(select(Caption.image_id, Caption.text).where(*model)))
        items = select(JobItem.job_id, JobItem.image_id, JobItem.attempts).where(JobItem.state == "done")
        done = {(row[0], row[1]): row[2] for row in session.execute(items)}
        names = {row[0]: row[1] for row in session.execute(select(Image.id, Image.relative_path))}
    written = Counter((job_of(text), image) for image, text in captions)
    for job, image in sorted(written.keys() | done.keys()):
        now = written[job, image], done.get((job, image), 0)
        if now == (1, 1) or now == expected.odd.get((job, image)):
            continue
        expected.odd[job, image] = now  # once is enough
        kind = "lost" if now[0] < min(now[1], 1) else "repeated"
        found.append(Finding(kind, f"photo {image} has {now[0]} captions of job {job}, which did it {now[1]} times"))
    texts: dict[str, set[str]] = {}
    for image, text in captions:
        texts.setdefault(names[image], set()).add(text)
    for name, said in expected.said.items():
        found += [Finding("lost", f"the caption {one!r} of {name} is gone") for one in said - texts.get(name, set())]
        said &= texts.get(name, set())
    return found


def _vectors(library: Library) -> list[Finding]:
    """Whatever the index says can be read, and is a vector."""
    hashes = sorted({content for _, content in queries.contents(library)})
    store = VectorStore(library, "c" * 64, DIM)
    missing = set(store.missing(hashes))
    present = [one for one in hashes if one not in missing]
    norms = np.linalg.norm(store.get(present), axis=1) if present else np.ones(0)
    return [Finding("damaged", "a vector in the store is none")] if np.any(np.abs(norms - 1) > 1e-2) else []


def _runs(library: Library, expected: Expected) -> list[Finding]:
    """Trainings that were said to be finished are, and their checkpoints are whole; so is the one in use."""
    found = []
    known = {run.id: run for run in queries.runs(library)}
    for run_id, kept in list(expected.runs.items()):
        run = known.get(run_id)
        wrong = (
            [Finding("lost", f"the finished training {run_id} is {run.status if run else 'gone'}")]
            if run is None or run.status != "done"
            else _checkpoint(run.folder) if kept != "before" else []
        )  # fmt: skip
        if wrong:
            del expected.runs[run_id]  # once is enough
        found += wrong
    newest = next(iter(queries.runs(library)), None)
    if newest is None or newest.status == "done":
        expected.stages.clear()  # it ended, even if that was not acknowledged any more
    current = queries.current_run(library)
    if current is not None and (wrong := _checkpoint(current.folder)):
        queries.set_current_run(library, None)
        found += wrong
    return found


def _checkpoint(run_folder: Path) -> list[Finding]:
    """The checkpoint that a run kept is there, and its files begin as they should."""
    try:
        folder = kept_checkpoint(run_folder)
    except UserError as error:
        return [Finding("damaged", f"a finished training keeps no checkpoint: {error.message}")]
    files = sorted(folder.rglob("*.safetensors"))
    if not files or not (folder / "checkpoint.json").is_file():
        return [Finding("damaged", f"the checkpoint {folder.name} is not whole")]
    for file in files:
        data = file.read_bytes()
        if len(data) < 8 or data[8 : 8 + int.from_bytes(data[:8], "little")][:1] != b"{":
            return [Finding("damaged", f"{file.name} of {folder.name} is torn")]
    return []


def _exports(expected: Expected) -> list[Finding]:
    """Every exported file says one of the things it was meant to say; those acknowledged are there."""
    found = []
    for path in list(expected.files):
        file, contents = Path(path), expected.files[path]
        content = digest(file.read_bytes()) if file.exists() else None
        if content in contents or (content is None and path not in expected.written):
            continue
        kind, what = ("lost", "is gone") if content is None else ("damaged", "says neither the old nor the new")
        found.append(Finding(kind, f"the exported file {file.name} {what}"))
        del expected.files[path]  # once is enough
        expected.written.discard(path)
    return found
