"""Panels and dialogs, after a training and a captioning: part of ``python docs/screenshots.py``."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from screenshots import Photographer

BLIND = ("blind-begin", "blind", "blind-end")
NEAR = 5  # photos that are put beside one as its near-duplicates


def views(at: Photographer) -> None:
    for part in (in_library, over_the_window, in_train, in_deliver, in_review, blind, share):
        try:
            part(at)
        except TimeoutError as error:  # the others can be looked at all the same
            sys.stderr.write(f"{part.__name__}: {error}\n")


def in_library(at: Photographer) -> None:
    window = at.window
    window.go("library")
    library = window.view("library")
    library.show_folders(True)
    at.settle()
    at.take("folders")
    library.show_folders(False)
    library.filter_box.setText("score:<0.7 state:")
    library.filter_box.setFocus()
    at.settle()
    at.take("filter-wrong")
    library.filter_box.setText("red ball")
    at.settle()
    at.take("filter")
    library.show_all()
    at.settle()
    if at.wants("search"):
        library.search_box.setText("a ball on a beach")
        library.search()
        at.wait(lambda: window.session.words.current is None)
        at.settle()
        library.search_box.clearFocus()  # or a cursor stands in what was found
        at.take("search")
        library.back()
    library.grid.setCurrentIndex(library.grid.model().index(2, 0))
    library.similar()
    at.wait(lambda: window.session.words.current is None and not library._like_bar.isHidden())
    at.settle()
    at.rest(1.0)
    at.take("similar")
    library.back()
    at.settle()


def over_the_window(at: Photographer) -> None:
    from gui.rewrite_dialog import RewriteDialog

    window = at.window
    window.palette_of_actions.open("Library")
    at.rest()
    at.take("palette")
    window.palette_of_actions.box.setText("accept")
    at.rest()
    at.take("palette-typed")
    window.palette_of_actions.dismiss()
    for name in ("settings", "shortcuts", "log", "about"):
        window.actions_table[name].trigger()
        dialog(at, name)
    crash(at)
    window.go("library")
    window.rewrite()
    at.rest()
    rewrite = next(one for one in window.findChildren(RewriteDialog) if one.isVisible())
    rewrite.text.setText("ball")
    rewrite.by.setText("sphere")
    at.settle()
    dialog(at, "rewrite")


def dialog(at: Photographer, name: str) -> None:
    """The dialog that is open, which is closed then."""
    from PySide6.QtWidgets import QDialog

    at.rest()
    shown = next(one for one in at.window.findChildren(QDialog) if one.isVisible())
    at.take(name, shown)
    shown.close()
    at.rest(0.2)


def crash(at: Photographer) -> None:
    """What a person sees of a bug: the bar, and the details behind it."""
    from gui.worker import Failure

    details = 'Traceback (most recent call last):\n  File "gui/views/seed_view.py", line 12, in save\nKeyError: 7'
    failure = Failure("Something unexpected went wrong: KeyError: 7", "", details)
    at.window.messages.show_failure(failure)
    at.rest()
    at.take("failure")
    at.window.messages.details_wanted.emit(failure)
    dialog(at, "crash")
    at.window.messages.clear()


def in_train(at: Photographer) -> None:
    at.window.go("train")
    train = at.window.view("train")
    train._show_state("idle")
    at.settle()
    at.take("history")


def in_deliver(at: Photographer) -> None:
    at.window.go("deliver")
    deliver = at.window.view("deliver")
    deliver.more.set_open(True)
    deliver.wording.chosen.setChecked(True)
    at.settle()
    at.take("deliver-more")
    deliver.wording.chosen.setChecked(False)
    deliver.more.set_open(False)
    for at_format in range(deliver.exporting.format.count()):
        deliver.exporting.format.setCurrentIndex(at_format)
        at.settle()
        at.take(f"export-{deliver.exporting.format.currentData()}")
    deliver.exporting.format.setCurrentIndex(0)


def in_review(at: Photographer) -> None:
    window = at.window
    window.go("review")
    review = window.view("review")
    at.settle()
    if at.wants("fits"):
        window.actions_table["review_fits"].trigger()
        at.wait(lambda: review.fits.strip.isVisible())
        at.rest(1.5)
        at.take("fits")
        window.actions_table["review_fits"].trigger()
    review.edit()
    words = review.editor.text.split()
    review.editor.setPlainText(" ".join(["one", *words[1:-1], "in the evening"]))
    at.rest()
    at.take("review-edit")
    review._finish_edit()
    at.settle()
    review.step(-1)
    at.settle()
    window.actions_table["review_earlier"].trigger()
    at.settle()
    at.take("review-earlier")
    window.actions_table["review_earlier"].trigger()


def blind(at: Photographer) -> None:
    if not at.wants(*BLIND):
        return
    window = at.window
    review = window.view("review")
    review.compare()
    at.settle()
    at.take("blind-begin")
    review.blind.begin()
    at.wait(lambda: review.blind.going_on is not None or review.blind.pages.currentIndex() == 3, 900)
    at.settle()
    at.rest(1.0)
    at.take("blind")
    for side in ("left", "right", "same", "left", "left"):
        if review.blind.going_on is not None:
            review.blind.answer(side)
            at.rest(0.2)
    at.settle()
    review.blind.leave()
    at.settle()
    at.take("blind-end")
    review._leave_blind()


def share(at: Photographer) -> None:
    """A photo with near-duplicates, made of one by saving it again."""
    from PIL import Image

    if not at.wants("share"):
        return
    window = at.window
    folder = window.session.overview.folders[0]
    photo = sorted(folder.glob("*.jpg"))[-1]
    with Image.open(photo) as picture:
        for number in range(NEAR):
            picture.convert("RGB").save(folder / f"{photo.stem}-{number + 2}.jpg", quality=94 - number)
    before = window.session.overview.counts.photos
    window.view("library").scan((folder,))
    at.wait(lambda: window.session.overview.counts.photos >= before + NEAR)
    at.settle()
    window.go("deliver")
    window.view("deliver").begin()
    at.wait(lambda: window.session.heavy.current is None, 900)
    at.settle()
    library, review = window.view("library"), window.view("review")
    window.review(int(library.grid.photos.ids[-1]))
    at.settle()
    at.rest(1.0)
    at.take("near")
    review.accept_group()
    at.rest(1.0)
    at.take("share")
    review._leave_preview()
