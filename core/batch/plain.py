"""What the starter model says about each photo: the plain caption that a library's own captions are compared with.

``LIB/plain/<starter>.jsonl``: an object a line, ``{"content": hash, "text": caption}``. These are no candidates, nobody
is asked to look at them, and the file can be deleted at any time: what is missing is said again.
"""

from __future__ import annotations

import json
from pathlib import Path

from core.batch import bundles
from core.captioner.decoding import decode
from core.encoders.embed import embed_library
from core.encoders.store import VectorStore
from core.errors import UserError
from core.jobs import JobContext
from core.library.library import Library
from core.library.queries import contents
from core.library.runs import current_run
from core.onnx.session import Bundle, open_bundle

_BATCH = 32


def plain_captions(library: Library) -> dict[int, str]:
    """The plain caption of each photo that has one."""
    said = _read(_file(library))
    return {image_id: said[one] for image_id, one in contents(library) if said.get(one)}


def write_plain_captions(ctx: JobContext, library: Library) -> int:
    """Let the starter say something about each content it has not spoken of; how many it was.

    Before the first training there is nothing to compare with and nothing is done; nor where no starter is installed.
    Captions are greedy. What was written when the job is cancelled is kept.
    """
    if current_run(library) is None:
        return 0
    file = _file(library)
    said = _read(file)
    todo = [one for one in dict.fromkeys(content for _, content in contents(library)) if one not in said]
    if not todo:
        return 0
    try:
        bundle = open_bundle(bundles.starter_bundle(ctx))
    except UserError:  # no starter here: captions are ranked all the same, only not beside a plain one
        return 0
    store = VectorStore(library, bundle.encoder.fingerprint, bundle.encoder.dim)
    if store.missing(todo):
        embed_library(library, bundle.encoder, ctx)
        missing = set(store.missing(todo))
        todo = [one for one in todo if one not in missing]
    _say(ctx, bundle, store, todo, file)
    return len(todo)


def _say(ctx: JobContext, bundle: Bundle, store: VectorStore, todo: list[str], file: Path) -> None:
    options = bundle.decoding(method="greedy", candidates=1)
    file.parent.mkdir(exist_ok=True)
    if file.is_symlink():  # of a library from elsewhere: it would be written to wherever that leads
        file.unlink()
    with file.open("a", encoding="utf-8", newline="\n") as out:
        if out.tell():
            out.write("\n")  # after a crash the last line may have no end
        for start in range(0, len(todo), _BATCH):
            ctx.check_cancelled()
            ctx.progress(start, len(todo), "Writing plain captions to compare with")
            batch = todo[start : start + _BATCH]
            for content, found in zip(batch, decode(bundle.decoder, store.get(batch), options, ctx), strict=True):
                text = bundle.text(found[0].tokens) if found else ""
                out.write(json.dumps({"content": content, "text": text}) + "\n")
            out.flush()
    ctx.progress(len(todo), len(todo), "Writing plain captions to compare with")


def _file(library: Library) -> Path:
    try:
        name = bundles.starter_folder().name
    except UserError:
        name = "starter"
    return library.path / "plain" / f"{name}.jsonl"


def _read(file: Path) -> dict[str, str]:
    """Text by content; lines that say nothing, as a crash leaves them, are passed over."""
    said: dict[str, str] = {}
    if file.is_symlink() or not file.is_file():
        return said
    for line in file.read_bytes().splitlines():
        try:
            row = json.loads(line)
        except (ValueError, RecursionError):
            continue
        if isinstance(row, dict) and isinstance(row.get("content"), str) and isinstance(row.get("text"), str):
            said[row["content"]] = row["text"]
    return said
