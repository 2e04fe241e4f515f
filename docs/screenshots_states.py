"""Each place with nothing in it, at work, done, and failing: part of ``python docs/screenshots.py``."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from screenshots import Photographer

    from gui.services import LibraryService

STATES = ("empty", "busy", "done", "failing")
"""Of every place there is a picture ``PLACE-STATE``; some have more."""
FEW_STEPS = {"stage1.steps": 60, "stage1.folds": 0, "stage1.minimum_steps": 40, "stage2.steps": 30}
LONG_S = 900


@dataclass(frozen=True)
class Scenes:
    """How many photos there are, and how large they are painted; ``steps``: settings of the training by name."""

    number: int = 60
    size: int = 256
    steps: dict[str, object] | None = None


def states(at: Photographer, home: Path, scenes: Scenes | None = None) -> None:
    """All of them, in a library of its own below ``home``, which is closed at the end."""
    from gui.widgets.nav import PLACES

    scenes = scenes or Scenes()
    window = at.window
    for place in PLACES:
        window.go(place)
        at.rest()
        at.take(f"{place}-empty")
    library_states(at, home / "holidays", scenes)
    for place in ("seed", "train", "review"):
        window.go(place)
        at.settle()
        at.take(f"{place}-new")
    seed_states(at)
    deliver_states(at)
    review_states(at)
    train_states(at, scenes.steps or FEW_STEPS)
    window.close()
    at.wait(lambda: window.session.service is None)


def library_states(at: Photographer, photos: Path, scenes: Scenes) -> None:
    """Photos that are looked through for the first time, one of them damaged."""
    from core.starter.scenes_library import write_sample_library

    window = at.window
    write_sample_library(photos, scenes.number, seed=3, size=scenes.size)
    (photos / "damaged.jpg").write_bytes(_pictures(photos)[0].read_bytes()[:300])
    window.open_folder(photos)
    at.wait(lambda: window.session.light.current is not None or _photos(at))
    at.take("library-busy")
    at.wait(lambda: _photos(at) == scenes.number)
    at.settle()
    at.rest(1.0)
    at.take("library-done")
    library = window.view("library")
    library.show_failed(True)
    at.rest()
    at.take("library-failing")
    library.show_failed(False)


def seed_states(at: Photographer) -> None:
    """Photos are chosen; captions are written; a photo's file is gone."""
    window = at.window
    window.go("seed")
    seed = window.view("seed")
    at.wait(lambda: seed.current_id is not None)
    seed.suggest()
    at.rest(1.5)
    at.take("seed-busy")
    at.wait(lambda: window.session.words.current is None, LONG_S)
    at.settle()
    for number in range(12):
        seed.editor.setPlainText(f"a scene with things in it, number {number}")
        seed.save_and_next()
        at.settle()
    at.take("seed-done")
    _take_without_file(at, "seed")


def deliver_states(at: Photographer) -> None:
    """A photo is lost on the way and comes back; and an export that cannot be written."""
    window = at.window
    window.go("deliver")
    deliver = window.view("deliver")
    at.settle()
    at.take("deliver-new")
    lost = _lost_photo(at)
    content = lost.read_bytes()
    lost.write_bytes(content[:200])
    deliver.begin()
    at.wait(lambda: deliver.rate.text() or window.session.heavy.current is None, LONG_S)
    at.take("deliver-busy")
    window.go("review")
    at.rest(4.0)  # suggestions come in while it captions
    at.take("review-busy")
    at.wait(lambda: window.session.heavy.current is None, LONG_S)
    window.go("deliver")
    at.settle()
    at.take("deliver-failing")
    lost.write_bytes(content)
    deliver.exporting.which.setCurrentIndex(1)
    deliver.exporting.set_target(lost)
    at.settle()
    at.take("export-failing")
    deliver.exporting.set_target(None)
    deliver.begin(only_failed=True)
    at.wait(lambda: window.session.heavy.current is None, LONG_S)
    at.settle()
    at.take("deliver-done")


def review_states(at: Photographer) -> None:
    """A photo's file is gone; every suggestion has been looked at."""
    window = at.window
    window.go("review")
    at.settle()
    _take_without_file(at, "review")
    ids = [int(one) for one in window.view("library").grid.photos.ids]

    def accept_all(service: LibraryService) -> int:
        best = [photo.suggestion for photo in service.photos(ids)]
        service.accept([one.id for one in best if one is not None])
        return len(best)

    window.session.write(accept_all, lambda _number: window.session.refresh())
    at.rest()
    at.settle()
    at.take("review-done")


def train_states(at: Photographer, steps: dict[str, object]) -> None:
    """A training that cannot begin, one at its beginning, stopped, and at its end."""
    window = at.window
    window.go("train")
    train = window.view("train")
    train.overrides = dict(steps)
    encoder = train.options.encoder
    encoder.box.setCurrentIndex(encoder.box.count() - 1)
    encoder.other.setText("open_clip:ViT-Z/nowhere")
    train.begin()
    at.wait(lambda: window.session.heavy.current is None, LONG_S)
    at.settle()
    at.take("train-failing")
    encoder.box.setCurrentIndex(0)
    train.begin()
    at.wait(lambda: train.steps.current >= 1 or window.session.heavy.current is None, LONG_S)
    at.take("train-busy")
    train.cancel()
    at.wait(lambda: window.session.heavy.current is None, LONG_S)
    at.settle()
    at.take("train-stopped")
    train.begin()
    at.wait(lambda: window.session.heavy.current is None, LONG_S)
    at.settle()
    at.take("train-done")


def _photos(at: Photographer) -> int:
    overview = at.window.session.overview
    return 0 if overview is None else overview.counts.photos


def _pictures(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.suffix in (".jpg", ".png") and path.stem != "damaged")


def _lost_photo(at: Photographer) -> Path:
    """The file that gets lost, which is not noticed before somebody looks at it."""
    at.window.session.watcher.stop()
    return _pictures(at.window.session.overview.folders[0])[-1]


def _take_without_file(at: Photographer, place: str) -> None:
    """The place with the last photo, while its file is gone."""
    missing = _lost_photo(at)
    content = missing.read_bytes()
    missing.unlink()
    at.window.view(place).show_id(int(at.window.view("library").grid.photos.ids[-1]))
    at.settle()
    at.rest()
    at.take(f"{place}-failing")
    missing.write_bytes(content)
