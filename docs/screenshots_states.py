"""Each place with nothing in it, at work and when something goes wrong: part of ``python docs/screenshots.py``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from screenshots import Photographer


def states(at: Photographer, home: Path) -> None:
    """Each place with nothing in it, at work, and when something goes wrong."""
    from core.starter.scenes_library import write_sample_library
    from gui.widgets.nav import PLACES

    window = at.window
    for place in PLACES:
        window.go(place)
        at.rest()
        at.take(f"{place}-empty")
    photos = home / "holidays"
    write_sample_library(photos, 60, seed=3)
    (photos / "damaged.jpg").write_bytes(next(photos.glob("*.jpg")).read_bytes()[:300])
    window.open_folder(photos)
    at.wait(lambda: window.session.light.current is not None)
    at.take("library-busy")
    at.settle()
    at.rest(1.0)
    at.take("library-new")
    window.view("library").show_failed(True)
    at.rest()
    at.take("library-failing")
    for place in ("seed", "train", "review"):
        window.go(place)
        at.settle()
        at.take(f"{place}-new")
    captioning_states(at)
    training_states(at)
    window.close()
    at.wait(lambda: window.session.service is None)


def captioning_states(at: Photographer) -> None:
    """Deliver before, while and after, with a photo that is lost on the way; and an export that cannot be written."""
    window = at.window
    window.go("deliver")
    deliver = window.view("deliver")
    at.settle()
    at.take("deliver-new")
    window.session.watcher.stop()
    folder = window.session.overview.folders[0]
    lost = sorted(path for path in folder.rglob("*") if path.suffix in (".jpg", ".png") and path.stem != "damaged")[-1]
    content = lost.read_bytes()
    lost.write_bytes(content[:200])
    deliver.begin()
    at.wait(lambda: deliver.rate.text() or window.session.heavy.current is None, 900)
    at.take("deliver-busy")
    at.wait(lambda: window.session.heavy.current is None, 900)
    at.settle()
    at.take("deliver-failing")
    lost.write_bytes(content)
    deliver.exporting.which.setCurrentIndex(1)
    deliver.exporting.set_target(lost)
    at.settle()
    at.take("export-failing")
    deliver.exporting.set_target(None)
    at.settle()


def training_states(at: Photographer) -> None:
    """A training that cannot begin, and one at its beginning."""
    window = at.window
    for at_photo, row in enumerate(window.view("library").grid.photos.ids[:12]):
        words = f"a scene with things in it, number {at_photo}"
        window.session.write(lambda service, row=row, words=words: service.write_seed(int(row), None, words), bool)
    at.settle()
    window.go("train")
    train = window.view("train")
    encoder = train.options.encoder
    encoder.box.setCurrentIndex(encoder.box.count() - 1)
    encoder.other.setText("open_clip:ViT-Z/nowhere")
    train.begin()
    at.wait(lambda: window.session.heavy.current is None, 900)
    at.settle()
    at.take("train-failing")
    encoder.box.setCurrentIndex(0)
    train.begin()
    at.wait(lambda: train.steps.current >= 1 or window.session.heavy.current is None, 900)
    at.take("train-begun")
    train.cancel()
    at.wait(lambda: window.session.heavy.current is None, 900)
    at.settle()
    at.take("train-stopped")
