"""The process that reads broken files: it may die or hang without harm to the bench.

A file is in order when it is read, or refused with a ``UserError`` that names it. Anything else is a crash.
"""

from __future__ import annotations

import contextlib
import os
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Literal

import numpy as np

from core.bench.fuzz_seeds import KINDS, make_case
from core.bench.memory import peak_mb, reset_peak
from core.errors import UserError
from core.exchange.captions_file import read_captions
from core.exchange.evaluation_files import read_predictions
from core.exchange.exports import plan_export
from core.exchange.plan import MetadataOptions
from core.exchange.xmp import merge, read_captions_of
from core.images.decode import ImageError, load_image, probe
from core.jobs import QuietContext
from core.library import edits, queries
from core.library.library import Library


@dataclass(frozen=True)
class Outcome:
    """``crash``: the traceback, or what was wrong with the refusal. ``peak_mb``: the most memory of the process."""

    number: int
    kind: str
    verdict: Literal["read", "refused", "crash"]
    crash: str
    peak_mb: float


def serve(connection: Connection, seeds: Path, seed: int, scratch: Path) -> None:
    """Read case after case whose number comes over the connection, until it closes."""
    _warm_up(seeds)
    for stream in (1, 2):  # decoders written in C complain there
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream)
    connection.send("ready")
    while True:
        try:
            number = connection.recv()
        except EOFError:
            return
        kind, path = make_case(seeds, number, seed, scratch)
        connection.send(kind)  # from here on the time counts
        connection.send(judge(number, kind, path))


def judge(number: int, kind: str, path: Path) -> Outcome:
    reset_peak()
    verdict, crash = "read", ""
    try:
        _READERS[kind](path)
    except UserError as error:
        verdict = "refused"
        # What is wrong with a photo is listed beside its name, so the reason itself does not repeat it.
        if not isinstance(error, ImageError) and path.name.removesuffix(".seedcap") not in str(error):
            verdict, crash = "crash", f"the refusal does not name the file: {error}"
    except Exception:  # noqa: BLE001 - finding every other exception is what this bench is for
        verdict, crash = "crash", traceback.format_exc()
    return Outcome(number, kind, verdict, crash, peak_mb())  # pyright: ignore[reportArgumentType]


def _warm_up(seeds: Path) -> None:
    """Load every library before the clock runs, and show that the whole files can be read."""
    for kind in KINDS:
        if kind == "library":
            with Library.open(seeds / kind / "small"):
                continue
        for path in sorted((seeds / kind).iterdir()):
            if path.stem == "vast":  # only costs time here
                continue
            try:
                _READERS[kind](path)
            except UserError:
                if kind in ("image", "bundle"):  # of the others, some are no file for every reader
                    raise


def _image(path: Path) -> None:
    with contextlib.suppress(ImageError):  # decoding must refuse it by itself as well
        probe(path)
    load_image(path)
    load_image(path, max_side=32)


def _read_captions(path: Path) -> None:
    if path.suffix == ".txt":  # a file beside a photo: what cannot be read of its folder is listed
        read_captions(path.parent)
        return
    refusals = []
    for reader in (read_captions, read_predictions):
        try:
            reader(path)
        except UserError as error:
            refusals.append(error)
    for error in refusals:
        if path.name not in str(error):
            raise error
    if refusals:
        raise refusals[0]


def _xmp(path: Path) -> None:
    content = path.read_bytes()
    read_captions_of(content, path)
    merged = merge(content, ["a kite", "another"], path, MetadataOptions(), overwrite=True)
    back = read_captions_of(merged.text.encode(merged.encoding), path)
    if back != ["a kite", "another"]:
        raise AssertionError(f"merged captions came back as {back}")


def _library(path: Path) -> None:
    with Library.open(path) as library:
        rows = queries.images_of(library, usable=False)
        queries.captions_of(library, [row.id for row in rows])
        queries.counts(library)
        queries.image_ids(library, text="kite")
        if rows:
            edits.add_seed(library, rows[0].id, "a boat")
            edits.undo(library)
        try:
            plan_export(library, "csv", path / "out.csv")
        except UserError as error:
            if "No photo has an accepted caption" not in str(error):
                raise


def _bundle(path: Path) -> None:
    from core.captioner.decoding import decode
    from core.onnx.session import open_bundle

    bundle = open_bundle(path, threads=1, provider="cpu")
    size = bundle.manifest.encoder.preprocess.size
    vectors = bundle.encoder.encode_images(np.zeros((2, 3, size, size), np.float32))
    bundle.encoder.encode_texts(["a red kite"])
    for captions in decode(bundle.decoder, vectors, bundle.decoding(), QuietContext()):
        bundle.text(captions[0].tokens)


_READERS: dict[str, Callable[[Path], None]] = {
    "image": _image,
    "captions": _read_captions,
    "xmp": _xmp,
    "library": _library,
    "bundle": _bundle,
}
