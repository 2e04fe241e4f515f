"""Every action and shortcut of the window in one table; menus, buttons, tips and the shortcut list come from it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

from PySide6.QtCore import QObject, QSettings, Qt, Signal
from PySide6.QtGui import QAction, QKeySequence

from core.marking import tr
from gui import words
from gui.icons import icon

WINDOW = tr("Anywhere")
PLACES = (tr("Library"), tr("Seed"), tr("Train"), tr("Review"), tr("Deliver"), tr("Blind round"))
"""What ``Spec.where`` may be besides."""
_STORED = "keys/"
_PORTABLE = QKeySequence.SequenceFormat.PortableText
_ARROWS = {"Up": "↑", "Down": "↓", "Left": "←", "Right": "→"}


@dataclass(frozen=True)
class Spec:
    """``where`` names the place in which the keys work; text with an ampersand names the menu key, and ``number`` is
    what ``{n}`` in it stands for. Texts are English here: :class:`Actions` says them in the person's language.

    ``on_shown``: it decides about the photo that its place shows, and is not offered from where that is not seen.
    """

    name: str
    text: str
    keys: tuple[str, ...] = ()
    icon: str = ""
    where: str = WINDOW
    tip: str = ""
    checkable: bool = False
    on_shown: bool = False
    number: int = 0


def _looking(prefix: str, where: str) -> tuple[Spec, ...]:
    """How a place's large photo is looked at."""
    return (
        Spec(f"{prefix}_closer", tr("Look closer at the photo"), ("Ctrl+=", "Ctrl++"), "", where),
        Spec(f"{prefix}_wider", tr("Look from further away"), ("Ctrl+-",), "", where),
        Spec(f"{prefix}_whole", tr("Show the whole photo"), ("Ctrl+0",), "", where),
    )


SPECS: tuple[Spec, ...] = (
    Spec("open", tr("&Open a folder or library…"), ("Ctrl+O",), "folder", tip=tr("Open a folder of photos")),
    Spec(
        "add_folder", tr("&Add folder…"), ("Ctrl+Shift+O",), "folder-add", tip=tr("Add another folder to this library")
    ),
    Spec("rescan", tr("&Look for changes"), ("F5",), "refresh", tip=tr("Look for new, changed and missing photos")),
    Spec("sample", tr("Open the &sample library"), (), "images", tip=tr("Rendered scenes to try everything on")),
    Spec("quit", tr("&Quit"), ("Ctrl+Q",)),
    Spec("undo", tr("&Undo"), ("Ctrl+Z",), "undo"),
    Spec("redo", tr("&Redo"), ("Ctrl+Shift+Z", "Ctrl+Y"), "redo"),
    Spec(
        "rewrite",
        tr("&Change many captions…"),
        ("Ctrl+H",),
        "edit",
        tip=tr("Find and replace, or put words before or after"),
    ),
    Spec("go_library", tr("&Library"), ("Ctrl+1",), "library", tip=tr("All photos and their captions")),
    Spec("go_seed", tr("&Seed"), ("Ctrl+2",), "seed", tip=tr("Write captions for a handful of photos")),
    Spec("go_train", tr("&Train"), ("Ctrl+3",), "train", tip=tr("Teach Seedcap your wording")),
    Spec("go_review", tr("&Review"), ("Ctrl+4",), "review", tip=tr("Accept, edit or reject what was suggested")),
    Spec("go_deliver", tr("&Deliver"), ("Ctrl+5",), "deliver", tip=tr("Caption everything and take it with you")),
    Spec("theme_system", tr("Follow the &system"), (), "system", checkable=True),
    Spec("theme_light", tr("&Light"), (), "sun", checkable=True),
    Spec("theme_dark", tr("&Dark"), (), "moon", checkable=True),
    Spec("next_theme", tr("Switch between system, light and dark"), ("Ctrl+Shift+L",), "system"),
    Spec("cancel_job", tr("&Cancel the running work"), ("Ctrl+.",), "stop"),
    Spec("free_memory", tr("&Free the models' memory")),
    Spec("settings", tr("&Settings"), ("Ctrl+,",), "settings", tip=tr("What the window looks like and does by itself")),
    Spec(
        "palette",
        tr("&Find an action…"),
        ("Ctrl+Shift+P",),
        "search",
        tip=tr("Everything that can be done, by its words"),
    ),
    Spec("shortcuts", tr("&Keyboard shortcuts"), ("F1",), "keyboard"),
    Spec("log", tr("&Log"), (), "info", tip=tr("What the program has noted down, for a report")),
    Spec("about", tr("&About Seedcap"), (), "app"),
    Spec("filter", tr("Filter"), ("Ctrl+F",), "filter", tip=tr("Words in captions, names, and more, in Library")),
    Spec("find", tr("Find by words"), ("Ctrl+K",), "search", tip=tr("Find photos by what they show, in Library")),
    Spec(
        "similar",
        tr("Similar photos"),
        ("Ctrl+Shift+K",),
        "images",
        "Library",
        tr("Show the photos most like this one"),
    ),
    Spec(
        "back",
        tr("Back to all photos"),
        ("Escape", "Alt+Left"),
        "previous",
        "Library",
        tr("Leave what was searched for"),
    ),
    Spec(
        "folders", tr("Folders"), ("Ctrl+Shift+F",), "folder", "Library", tr("Show or hide the folders"), checkable=True
    ),
    Spec("zoom_in", tr("Larger photos"), ("Ctrl+=", "Ctrl++"), "", "Library"),
    Spec("zoom_out", tr("Smaller photos"), ("Ctrl+-",), "", "Library"),
    Spec("open_photo", tr("Write a caption for this photo"), ("Return",), "seed", "Library"),
    Spec("accept_selected", tr("Accept the captions of the selected photos"), ("Ctrl+Return",), "check", "Library"),
    Spec("reject_selected", tr("Reject the suggestions for the selected photos"), ("Ctrl+Delete",), "close", "Library"),
    Spec(
        "remove_photos",
        tr("Remove from the library"),
        ("Delete",),
        "close",
        "Library",
        tr("Take the selected photos out; files stay"),
    ),
    Spec(
        "trash_photos",
        tr("Move to the trash"),
        ("Shift+Delete",),
        "trash",
        "Library",
        tr("Take the selected photos out and move their files to the trash; undo has them back"),
    ),
    Spec(
        "put_back", tr("Put back into the library"), (), "undo", "Library", tr("Have the selected removed photos again")
    ),
    Spec("reveal", tr("Show the file in its folder"), ("Ctrl+Shift+R",), "folder", "Library"),
    Spec(
        "save_next",
        tr("Save and go on"),
        ("Ctrl+Return",),
        "check",
        "Seed",
        tr("Save this caption and show the next photo"),
    ),
    Spec("another", tr("Another caption for this photo"), ("Ctrl+Shift+Return",), "plus", "Seed"),
    Spec("seed_previous", tr("Previous photo"), ("Ctrl+Up", "PgUp"), "previous", "Seed"),
    Spec("seed_next", tr("Next photo"), ("Ctrl+Down", "PgDown"), "next", "Seed"),
    Spec("next_uncaptioned", tr("Next photo without your caption"), ("Ctrl+J",), "seed", "Seed"),
    Spec(
        "suggest", tr("Choose photos for me"), ("Ctrl+L",), "suggest", "Seed", tr("Pick photos that cover the library")
    ),
    Spec("use_suggestion", tr("Start from the suggestion"), ("Ctrl+E",), "edit", "Seed"),
    *_looking("seed", "Seed"),
    Spec("seed_earlier", tr("Earlier captions of this photo"), ("Ctrl+R",), "clock", "Seed"),
    Spec("train", tr("Begin the training"), ("Ctrl+Return",), "train", "Train"),
    Spec("accept", tr("Accept and go on"), ("Ctrl+Return",), "check", "Review", on_shown=True),
    Spec(
        "accept_group", tr("Accept for all near-duplicates"), ("Ctrl+Shift+Return",), "check", "Review", on_shown=True
    ),
    Spec("edit", tr("Edit"), ("Return", "F2"), "edit", "Review"),
    Spec(
        "reject",
        tr("Reject"),
        ("Delete",),
        "trash",
        "Review",
        tr("Reject every suggestion for this photo"),
        on_shown=True,
    ),
    Spec("review_previous", tr("Previous photo"), ("Ctrl+Up", "Left"), "previous", "Review"),
    Spec("review_next", tr("Next photo"), ("Ctrl+Down", "Right"), "next", "Review"),
    *_looking("review", "Review"),
    Spec("review_earlier", tr("Earlier captions of this photo"), ("Ctrl+R",), "clock", "Review"),
    Spec("review_fits", tr("Photos that the suggestion fits"), ("Ctrl+I",), "images", "Review"),
    Spec(
        "use_order",
        tr("Use this order of suggestions for all photos"),
        (),
        "check",
        "Review",
        tr("No caption is changed by it"),
    ),
    Spec(
        "blind",
        tr("Compare two models blind"),
        ("Ctrl+B",),
        "blind",
        "Review",
        tr("Choose captions without knowing whose"),
    ),
    Spec("blind_left", tr("The left caption is better"), ("1", "Left"), "", "Blind round", on_shown=True),
    Spec("blind_right", tr("The right caption is better"), ("2", "Right"), "", "Blind round", on_shown=True),
    Spec("blind_same", tr("No difference"), ("0", "Space"), "", "Blind round", on_shown=True),
    Spec("blind_back", tr("Take the last answer back"), ("Backspace",), "undo", "Blind round", on_shown=True),
    Spec("blind_leave", tr("End the round"), ("Escape",), "", "Blind round", on_shown=True),
    Spec("caption", tr("Caption the photos"), ("Ctrl+Return",), "play", "Deliver"),
    Spec("export", tr("Write the captions to files"), ("Ctrl+S",), "deliver", "Deliver"),
    Spec(
        "undo_export",
        tr("Undo last export"),
        ("Ctrl+Alt+Z",),
        "undo",
        "Deliver",
        tr("Put back what the last export changed"),
    ),
    *(
        Spec(f"pick_{n}", tr("Choose suggestion {n}"), (str(n),), "", "Review", on_shown=True, number=n)
        for n in range(1, 10)
    ),
)


class Actions(QObject):
    """The table as QActions. A place's actions work while that place has the focus.

    ``settings`` keep the keys a person has chosen, by the name of the action; what is not there is as the table has it.
    """

    keys_changed = Signal()  # some action has other keys: whatever names keys has to be written anew

    def __init__(self, parent: QObject, settings: QSettings) -> None:
        super().__init__(parent)
        self._settings = settings
        self._specs = {spec.name: spec for spec in SPECS}
        self._actions = {spec.name: self._make(spec) for spec in SPECS}

    def __getitem__(self, name: str) -> QAction:
        return self._actions[name]

    def spec(self, name: str) -> Spec:
        return self._specs[name]

    def of(self, where: str) -> list[QAction]:
        return [self._actions[spec.name] for spec in SPECS if spec.where == where]

    def keys(self, name: str) -> str:
        """The action's keys as this system writes them."""
        return ", ".join(map(_as_on_keyboards, self._actions[name].shortcuts()))

    def key(self, name: str) -> str:
        """The first of the action's keys, arrows as arrows; empty where it has none."""
        first = next(iter(self._actions[name].shortcuts()), None)
        said = "" if first is None else _as_on_keyboards(first)
        return re.sub(r"\w+$", lambda end: _ARROWS.get(end[0], end[0]), said)

    def key_line(self, *parts: str | tuple[str, *tuple[str, ...]]) -> str:
        """A hint such as "1–9 choose · Enter edits". A part is a text with a place in braces for the key of each action
        named after it, and is left out where one of these has no key; or a text that stands as it is."""
        said = [part if isinstance(part, str) else self._filled(*part) for part in parts]
        return " · ".join(part for part in said if part)

    def _filled(self, text: str, *names: str) -> str:
        keys = [self.key(name) for name in names]
        return text.format(*keys) if all(keys) else ""

    def words(self, name: str) -> str:
        """What the action does, as its menu says it."""
        return _text(self._specs[name]).replace("&", "")

    def place(self, name: str) -> str:
        """Where its keys work, as the list of keys says it."""
        return words.tr(self._specs[name].where)

    def taken(self, name: str, keys: QKeySequence) -> Spec | None:
        """Another action that these keys would be in the way of where ``name`` works."""
        where = self._specs[name].where
        for spec in SPECS:
            meets = WINDOW in (where, spec.where) or where == spec.where
            if spec.name != name and meets and keys in self._actions[spec.name].shortcuts():
                return spec
        return None

    def rebind(self, name: str, keys: Sequence[QKeySequence]) -> None:
        """Let the action have these keys, now and after the next start."""
        self._actions[name].setShortcuts(list(keys))
        self._settings.setValue(_STORED + name, [one.toString(_PORTABLE) for one in keys])
        self.keys_changed.emit()

    def reset(self, name: str) -> None:
        """Let the action have the keys of the table again."""
        self._settings.remove(_STORED + name)
        self._actions[name].setShortcuts(_sequences(self._specs[name].keys))
        self.keys_changed.emit()

    def is_rebound(self, name: str) -> bool:
        return self._settings.contains(_STORED + name)

    def _chosen(self, spec: Spec) -> list[QKeySequence]:
        """The keys that were chosen for an action, or those of the table."""
        if not self.is_rebound(spec.name):
            return _sequences(spec.keys)
        stored = self._settings.value(_STORED + spec.name)  # a list of one text comes back as the text, of none as None
        return _sequences([stored] if isinstance(stored, str) else cast("list[str]", stored or []))

    def _make(self, spec: Spec) -> QAction:
        action = QAction(_text(spec), self)
        action.setObjectName(spec.name)
        action.setShortcuts(self._chosen(spec))
        action.setCheckable(spec.checkable)
        if spec.icon:
            action.setIcon(icon(spec.icon))
        if spec.tip:
            action.setToolTip(words.tr(spec.tip))
        if spec.where != WINDOW:
            action.setShortcutContext(Qt.ShortcutContext.WidgetWithChildrenShortcut)
        return action


def _text(spec: Spec) -> str:
    return words.tr(spec.text).format(n=spec.number)


def _as_on_keyboards(keys: QKeySequence) -> str:
    """Keys as this system writes them, and by the names that keyboards and our own hints have."""
    said = keys.toString(QKeySequence.SequenceFormat.NativeText)
    return re.sub(r"\bDel\b", "Delete", said.replace("Return", "Enter"))


def _sequences(keys: Sequence[str]) -> list[QKeySequence]:
    return [one for one in (QKeySequence(text) for text in keys) if not one.isEmpty()]
