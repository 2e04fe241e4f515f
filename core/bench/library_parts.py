"""The parts of ``bench library``, each run in a process of its own so that its memory and its first times are its own.

``python -m core.bench.library_parts PART LIBRARY [ARGUMENT …]`` writes one JSON object to stdout.
"""

from __future__ import annotations

import gc
import json
import random
import shutil
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from core.bench.memory import peak_mb
from core.jobs import QuietContext
from core.library import paging, queries
from core.library.columns import now
from core.library.library import Library
from core.library.records import ScoreRow
from core.library.scan import scan
from core.library.scores import gallery_version, write_scores
from core.library.tables import Caption

PAGE = 200
PHOTOS_A_FOLDER = 1_000
_WORDS = 3_000
_CAPTION_WORDS = 9
_ROWS = 2_000
_STATES = ("candidate",) * 6 + ("accepted", "accepted", "rejected")
_FILTERS = (
    "state:candidate",
    "state:accepted score:>{score:.2f}",
    "score:<{score:.2f}",
    "state:rejected OR score:<0.05",
    "NOT state:accepted folder:{folder}",
    "folder:{folder} (state:seed OR score:>{score:.2f})",
    "rank:>{rank} author:run",
)


def words() -> list[str]:
    """Made-up words, the most frequent first."""
    rng = random.Random(7)
    syllables = [first + vowel for first in "bdfgklmnprstvz" for vowel in "aeiou"]
    return list(dict.fromkeys("".join(rng.choices(syllables, k=rng.randint(2, 4))) for _ in range(2 * _WORDS)))[:_WORDS]


def scan_new(library: Path, photos: str, times: str) -> dict[str, Any]:
    """Scan the folder into a new library, ``times`` times (each new); then look for changes in the last one."""
    folder = Path(photos)
    _scan_once(library.with_name("warm-up.seedcap"), folder / "000")  # the decoders, the threads, the statements
    seconds = []
    for _ in range(int(times)):
        shutil.rmtree(library, ignore_errors=True)
        seconds.append(_scan_once(library, folder))
    with Library.open(library) as opened:
        found = queries.counts(opened).photos
        started = time.perf_counter()
        scan(opened, folder, QuietContext())
        again = time.perf_counter() - started
    return {"photos": found, "scan_s": statistics.median(seconds), "rescan_s": again}


def _scan_once(library: Path, folder: Path) -> float:
    with Library.create(library) as opened:
        started = time.perf_counter()
        scan(opened, folder, QuietContext())
        return time.perf_counter() - started


def fill(library: Path) -> dict[str, Any]:
    """A caption and a score for every photo; every hundredth is a seed. Not measured."""
    rng = random.Random(1)
    known = words()
    weights = [1 / (place + 1) for place in range(len(known))]
    with Library.open(library) as opened:
        ids = queries.image_ids(opened).tolist()
        for start in range(0, len(ids), _ROWS):
            rows = [_caption(one, rng, known, weights) for one in ids[start : start + _ROWS]]
            with opened.writing() as session:
                session.connection().execute(Caption.__table__.insert(), rows)  # pyright: ignore[reportAttributeAccessIssue]
        captions = queries.all_captions(opened, states=("accepted", "candidate", "rejected"))
        scores = {
            row.id: ScoreRow(rng.random() * 1.2, rng.randint(1, len(ids)), len(ids), None, rng.uniform(-0.1, 0.4))
            for rows in captions.values()
            for row in rows
        }
        write_scores(opened, "b" * 64, scores, gallery_version=gallery_version(opened))
    return {"captions": len(scores)}


def _caption(image_id: int, rng: random.Random, known: list[str], weights: list[float]) -> dict[str, Any]:
    is_seed = image_id % 100 == 0
    return {
        "image_id": image_id,
        "text": " ".join(rng.choices(known, weights, k=_CAPTION_WORDS)),
        "author": "human" if is_seed else "run",
        "state": "accepted" if is_seed else rng.choice(_STATES),
        "is_seed": is_seed,
        "live": True,
        "created_at": now(),
    }


def open_first_page(library: Path) -> dict[str, Any]:
    """From nothing to the rows and captions of the first page, as the window opens a library."""
    started = time.perf_counter()
    with Library.open(library, exclusive=True) as opened:
        shown = _rows_of(opened, paging.page(opened, limit=PAGE))
        seconds = time.perf_counter() - started
    return {"open_s": seconds, "rows": shown}


def ask(library: Path, count: str) -> dict[str, Any]:
    """``count`` filters and as many word searches, one after another, each to the rows of its first page: seconds."""
    with Library.open(library) as opened:
        folders = max(1, queries.counts(opened).photos // PHOTOS_A_FOLDER)
        gc.freeze()  # as the app does
        return {
            "filter_s": [_timed(opened, text) for text in filters(int(count), folders)],
            "fts_s": [_timed(opened, text) for text in searches(int(count))],
        }


def filters(count: int, folders: int = 1) -> list[str]:
    """About ``count`` filters of every kind, in a random order that is the same each time."""
    rng = random.Random(3)
    texts = [
        pattern.format(score=rng.random() * 1.2, folder=f"{rng.randrange(folders):03d}", rank=rng.randrange(1, 1000))
        for pattern in _FILTERS
        for _ in range(count // len(_FILTERS))
    ]
    rng.shuffle(texts)
    return texts


def searches(count: int) -> list[str]:
    """One word of any frequency, two words, and a phrase, in equal parts."""
    rng, known = random.Random(4), words()

    def texts() -> Iterator[str]:
        for number in range(count):
            first, second = rng.choice(known[: 10 ** rng.randint(1, 3)]), rng.choice(known[:300])
            yield (first, f"{first} {second}", f'"{known[number % 20]} {known[0]}"')[number % 3]

    return list(texts())


def _rows_of(library: Library, page: paging.Page) -> int:
    rows = queries.image_rows(library, page.ids)
    queries.captions_of(library, page.ids)
    return len(rows)


def _timed(library: Library, text: str) -> float:
    started = time.perf_counter()
    _rows_of(library, paging.page(library, text, limit=PAGE))
    return time.perf_counter() - started


PARTS: dict[str, Callable[..., dict[str, Any]]] = {
    "scan": scan_new,
    "fill": fill,
    "open": open_first_page,
    "ask": ask,
}


def main(argv: list[str]) -> None:
    part, library, *rest = argv
    result = PARTS[part](Path(library), *rest)
    sys.stdout.write(json.dumps({**result, "rss_mb": peak_mb()}))


if __name__ == "__main__":
    main(sys.argv[1:])
