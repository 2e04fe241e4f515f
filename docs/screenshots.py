"""Takes the pictures of the README and the guide: ``python docs/screenshots.py [--out docs/images]``.

The real window on the rendered sample scenes, offscreen, with the starter models: captions are written for some
scenes, both stages run, the library is captioned, and each place is grabbed on the way in light and dark. It takes as
long as the training does (some minutes). Nobody's photos are in these pictures.

``--states --out DIR`` takes each place empty, busy and failing instead, to be looked at; the guide does not show them.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

SEEDS = 24
SIZE = (1180, 740)
COLOURS = 256  # of the palette a picture is reduced to: a fifth of the bytes, and nobody sees it


class Photographer:
    """Drives the window and saves pictures of it."""

    def __init__(self, out: Path, scale: float) -> None:
        from gui.app import make_application, make_window, open_settings

        self.app = make_application()
        self.window = make_window(open_settings())
        self.window.resize(*SIZE)
        self.window.show()
        self._out = out
        self._suffix = "" if scale == 1 else f"@{scale:g}x"
        out.mkdir(parents=True, exist_ok=True)

    def wait(self, condition: Callable[[], object], seconds: float = 60.0) -> None:
        end = time.monotonic() + seconds
        while not condition():
            if time.monotonic() > end:
                raise TimeoutError(
                    f"waited {seconds:.0f} s; the window says: {self.window.messages.message or 'nothing'}"
                )
            self.rest(0.01)

    def rest(self, seconds: float = 0.6) -> None:
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            self.app.processEvents()
            time.sleep(0.002)

    def settle(self) -> None:
        session = self.window.session
        self.wait(lambda: session.overview is not None and not session.busy)
        self.rest()

    def take(self, name: str) -> None:
        """The window as it is, in light and in dark."""
        from PIL import Image

        for mode in ("dark", "light"):
            self.window.set_theme(mode)
            self.window.toast.hide()
            self.rest(0.3)
            path = self._out / f"{name}-{mode}{self._suffix}.png"
            self.window.grab().save(str(path))
            with Image.open(path) as picture:
                reduced = picture.convert("RGB").quantize(COLOURS, dither=Image.Dither.NONE)
            reduced.save(path, optimize=True)
            sys.stderr.write(f"{path.name}: {path.stat().st_size // 1024} KB\n")


def main() -> int:
    parser = argparse.ArgumentParser(description="Take the pictures of the README and the guide.")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "images")
    parser.add_argument("--scale", type=float, default=1.0, help="pixels for each pixel, e.g. 2 for a fine screen")
    parser.add_argument("--quick", action="store_true", help="a few training steps: to look at the layout alone")
    parser.add_argument("--states", action="store_true", help="each place empty, busy and failing, without a training")
    options = parser.parse_args()
    os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")
    os.environ["QT_SCALE_FACTOR"] = str(options.scale)
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
    with tempfile.TemporaryDirectory(prefix="seedcap-pictures-") as home:
        os.environ["HOME"] = home  # paths in the pictures begin with ~
        os.environ["SEEDCAP_HOME"] = str(Path(home) / "Seedcap")
        at = Photographer(options.out, options.scale)
        if options.states:
            states(at, Path(home))
        else:
            journey(at, quick=options.quick)
    return 0


def journey(at: Photographer, *, quick: bool) -> None:
    """From an empty window to delivered captions."""
    window = at.window
    at.rest()
    at.take("empty")
    window.open_sample(write_seeds=0)
    at.wait(lambda: window.messages.message, 120)
    at.settle()
    window.session.commands.write_sample_seeds(SEEDS)
    at.rest(1.0)
    window.messages.clear()
    at.settle()
    seeding(at)
    training(at, quick=quick)
    delivering(at)
    reviewing(at)
    window.go("library")
    at.rest(1.5)
    at.take("library")
    window.close()
    at.wait(lambda: window.session.service is None)


def seeding(at: Photographer) -> None:
    from core.starter.scenes_library import read_truth
    from gui.services import sample_folder

    at.window.go("seed")
    seed = at.window.view("seed")
    at.wait(lambda: seed.current_id is not None)
    seed.suggest()
    at.wait(lambda: seed.strip.photos.rowCount() > 0, 180)
    at.settle()
    at.rest(1.0)
    scenes = {scene.file: scene for scene in read_truth(sample_folder())}
    seed.editor.setPlainText(scenes[seed.name.full_text()].captions[0])
    at.rest(1.2)
    at.take("seed")
    at.window.undo()
    at.settle()


def training(at: Photographer, *, quick: bool) -> None:
    at.window.go("train")
    train = at.window.view("train")
    at.rest()
    at.take("train-ready")
    if quick:
        train.overrides = {"stage1.steps": 60, "stage1.minimum_steps": 40, "stage2.steps": 30}
    train.begin()
    at.wait(lambda: train.steps.current >= 2 and len(train.reward.points) >= (8 if quick else 40), 1_800)
    at.take("train")
    at.wait(lambda: at.window.session.heavy.current is None, 1_800)
    at.settle()
    at.take("train-done")


def delivering(at: Photographer) -> None:
    at.window.go("deliver")
    deliver = at.window.view("deliver")
    at.settle()
    deliver.begin()
    at.wait(lambda: at.window.session.heavy.current is None, 600)
    deliver.exporting.which.setCurrentIndex(1)
    at.settle()
    at.rest(1.0)
    at.take("deliver")


def reviewing(at: Photographer) -> None:
    at.window.go("review")
    review = at.window.view("review")
    at.wait(lambda: review.model.rowCount() > 0)
    for _ in range(3):
        review.step(1)
        at.rest(0.3)
    at.rest()
    at.take("review")


# -- empty, busy, failing ---------------------------------------------------------------------------------------------


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
    (photos / "damaged.jpg").write_bytes(b"\xff\xd8\xff\xe0 not a photo any more")
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
    train.overrides = {"stage1.steps": -1}
    train.begin()
    at.wait(lambda: window.session.heavy.current is None, 900)
    at.settle()
    at.take("train-failing")
    train.overrides = {}
    train.begin()
    at.wait(lambda: train.steps.current >= 1 or window.session.heavy.current is None, 900)
    at.take("train-begun")
    train.cancel()
    at.wait(lambda: window.session.heavy.current is None, 900)
    at.settle()
    at.take("train-stopped")


if __name__ == "__main__":
    sys.exit(main())
