"""Takes the pictures of the README and the guide: ``python docs/screenshots.py [--out docs/images]``.

The real window on the rendered sample scenes, offscreen, with the starter models: captions are written for some
scenes, both stages run, the library is captioned, and each place is grabbed on the way in light and dark. It takes as
long as the training does (some minutes). Nobody's photos are in these pictures.

It keeps the pictures that the README and the guide name. To be looked at, with ``--out DIR``: ``--all`` keeps those of
every panel and dialog too, ``--states`` takes each place empty, busy, done and failing instead, ``--both-scales`` all
of that at 1 and 2 pixels a pixel. ``--size 1024x700`` is the smallest window that all must be usable in.
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from PySide6.QtWidgets import QWidget

SEEDS = 24
SIZE = (1180, 740)
IMAGES = Path(__file__).parent / "images"
SCALE = 2.0  # pixels for each pixel: pages are read on fine screens, and others make them smaller
QUALITY = 65  # of WebP: a quarter of the bytes of a palette, and letters stay sharp


class Photographer:
    """Drives the window and saves pictures of it."""

    def __init__(self, out: Path, size: tuple[int, int], wanted: frozenset[str] | None) -> None:
        """``wanted``: the pictures to keep; None for all."""
        from gui.app import make_application, make_window, open_settings

        self.app = make_application()
        self.window = make_window(open_settings())
        self.window.resize(*size)
        self.window.show()
        self._out, self._wanted = out, wanted
        out.mkdir(parents=True, exist_ok=True)

    def wait(self, condition: Callable[[], object], seconds: float = 600.0) -> None:
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

    def wants(self, *names: str) -> bool:
        return self._wanted is None or not self._wanted.isdisjoint(names)

    def take(self, name: str, of: QWidget | None = None) -> None:
        """The window as it is, or the dialog ``of``, in light and in dark."""
        from PIL import Image

        if not self.wants(name):
            return
        for mode in ("dark", "light"):
            self.window.set_theme(mode)
            self.window.toast.hide()
            self.rest(0.3)
            path = self._out / f"{name}-{mode}.webp"
            grabbed = path.with_suffix(".png")
            (of or self.window).grab().save(str(grabbed))
            with Image.open(grabbed) as picture:
                picture.convert("RGB").save(path, quality=QUALITY, method=6)
            grabbed.unlink()
            sys.stderr.write(f"{path.name}: {path.stat().st_size // 1024} KB\n")


def in_the_pages(docs: Path) -> frozenset[str]:
    """The pictures that the README and the guide name."""
    pages = (docs.parent / "README.md", *docs.glob("guide/*.md"))
    named = (re.findall(r"images/([a-z-]+)-(?:light|dark)\.webp", page.read_text("utf-8")) for page in pages)
    return frozenset(name for names in named for name in names)


def main() -> int:
    parser = argparse.ArgumentParser(description="Take the pictures of the README and the guide.")
    parser.add_argument("--out", type=Path, default=IMAGES)
    parser.add_argument("--scale", type=float, default=SCALE, help="pixels for each pixel; 2 as on a fine screen")
    parser.add_argument("--both-scales", action="store_true", help="at 1 and at 2, into OUT/1x and OUT/2x")
    parser.add_argument("--size", type=_size, default=SIZE, metavar="WxH", help="of the window")
    parser.add_argument("--all", action="store_true", help="also what no page shows")
    parser.add_argument("--quick", action="store_true", help="a few training steps: to look at the layout alone")
    parser.add_argument("--states", action="store_true", help="each place empty, busy, done and failing")
    options = parser.parse_args()
    if options.out.resolve() == IMAGES.resolve() and (options.quick or options.states or options.both_scales):
        parser.error("these are not the pictures of the pages: name another folder with --out")
    if not options.both_scales:
        return take_all(options)
    for scale in (1.0, 2.0):
        in_a_process(replaced(options, scale=scale, out=options.out / f"{scale:.0f}x", both_scales=False))
    return 0


def replaced(options: argparse.Namespace, **changes: object) -> argparse.Namespace:
    return argparse.Namespace(**{**vars(options), **changes})


def in_a_process(options: argparse.Namespace) -> None:
    """Qt knows one scale a process."""
    width, height = options.size
    given = ["--out", str(options.out), "--scale", str(options.scale), "--size", f"{width}x{height}"]
    given += [f"--{name}" for name in ("all", "quick", "states") if getattr(options, name)]
    subprocess.run([sys.executable, __file__, *given], check=True)


def take_all(options: argparse.Namespace) -> int:
    os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")
    os.environ["QT_SCALE_FACTOR"] = str(options.scale)
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
    with tempfile.TemporaryDirectory(prefix="seedcap-pictures-") as home:
        os.environ["HOME"] = home  # paths in the pictures begin with ~
        os.environ["SEEDCAP_HOME"] = str(Path(home) / "Seedcap")
        wanted = None if options.all or options.states else in_the_pages(IMAGES.parent)
        at = Photographer(options.out, options.size, wanted)
        if options.states:
            from screenshots_states import states

            states(at, Path(home))
        else:
            journey(at, quick=options.quick)
    return 0


def _size(text: str) -> tuple[int, int]:
    width, height = text.split("x")
    return int(width), int(height)


def journey(at: Photographer, *, quick: bool) -> None:
    """From an empty window to delivered captions."""
    from screenshots_views import views

    window = at.window
    at.rest()
    at.take("empty")
    window.open_sample(write_seeds=0)
    at.wait(lambda: window.messages.message)
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
    views(at)
    window.close()
    at.wait(lambda: window.session.service is None)


def seeding(at: Photographer) -> None:
    from core.starter.scenes_library import read_truth
    from gui.services import sample_folder

    at.window.go("seed")
    seed = at.window.view("seed")
    at.wait(lambda: seed.current_id is not None)
    seed.suggest()
    at.wait(lambda: seed.strip.photos.rowCount() > 0)
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
    train.options.more.set_open(True)
    at.take("train-more")
    train.options.more.set_open(False)
    if quick:
        train.overrides = {"stage1.steps": 60, "stage1.folds": 0, "stage1.minimum_steps": 40, "stage2.steps": 30}
    train.begin()
    at.wait(lambda: train.steps.current >= 2 and len(train.reward.points) >= (8 if quick else 40), 1_800)
    at.take("train")
    if at.wants("train-paused"):
        train.cancel()
        at.wait(lambda: at.window.session.heavy.current is None)
        at.settle()
        at.take("train-paused")
        train.begin(resume=True)
        at.rest(2.0)
    at.wait(lambda: at.window.session.heavy.current is None, 1_800)
    at.settle()
    at.take("train-done")


def delivering(at: Photographer) -> None:
    at.window.go("deliver")
    deliver = at.window.view("deliver")
    at.settle()
    deliver.begin()
    at.wait(lambda: at.window.session.heavy.current is None, 1_800)
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


if __name__ == "__main__":
    sys.exit(main())
