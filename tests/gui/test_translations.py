"""Every text of the window can be translated: marked so that ``pyside6-lupdate`` finds it, looked up when shown."""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import pytest
from lxml import etree
from PySide6.QtCore import QCoreApplication, QTranslator
from PySide6.QtGui import QAction
from PySide6.QtWidgets import (
    QAbstractButton,
    QComboBox,
    QDialog,
    QHeaderView,
    QLabel,
    QLineEdit,
    QMenu,
    QTabBar,
    QTableWidget,
    QWidget,
)

import core
import gui
from core.known_models import known_models
from core.paths import data_dir, log_file, models_dir
from core.training.presets import PRESETS
from gui import translations, words
from gui.actions import PLACES, SPECS, WINDOW
from gui.dialogs import system_details
from gui.widgets.basics import Disclosure, ElidedLabel
from gui.words import counted, tr
from gui.worker import Failure
from tests.gui.conftest import settle, suggest_captions, type_caption

SOURCES = [Path(part.__file__).parent for part in (core, gui)]
LUPDATE, LRELEASE = (Path(sys.executable).with_name(f"pyside6-{name}") for name in ("lupdate", "lrelease"))
NAMES = (
    "Seedcap",
    "https://huggingface.co",
    *(text for one in known_models() for text in (one.title, one.sentence, one.licence)),
)
"""Not the window's to translate: names, and what the list of models says, which is the command line's too."""
KEYS = re.compile(
    r"\b(?:(?:Ctrl|Shift|Alt)\+)*"
    r"(?:Ctrl|Shift|Alt|Enter|Return|Esc|Del|Delete|Backspace|Space|PgUp|PgDown|Left|Right|Up|Down|F\d+|[A-Z])\b"
)
tools = pytest.mark.skipif(not LUPDATE.exists(), reason="PySide6 was installed without its tools")


@pytest.fixture(scope="session")
def marked(tmp_path_factory) -> dict[str, set[str]]:
    """The texts that lupdate finds, by context."""
    file = tmp_path_factory.mktemp("ts") / "seedcap_xx.ts"
    subprocess.run([LUPDATE, "-extensions", "py", *SOURCES, "-ts", file], check=True, capture_output=True)
    found = defaultdict(set)
    for context in etree.parse(str(file)).iter("context"):
        found[context.findtext("name") or ""] |= {message.findtext("source") for message in context.iter("message")}
    return found


def _calls(node: ast.AST, context: str) -> Iterator[tuple[str, ast.Call]]:
    """Every call of a ``tr`` below, with the context its text is looked up in."""
    for child in ast.iter_child_nodes(node):
        inner = child.name if isinstance(child, ast.ClassDef) else context
        if isinstance(child, ast.Call):
            called = child.func
            if isinstance(called, ast.Attribute) and called.attr == "tr":
                owner = called.value.id if isinstance(called.value, ast.Name) else "?"
                yield {"self": inner, "words": ""}.get(owner, "?"), child
            elif isinstance(called, ast.Name) and called.id == "tr":
                yield "", child
        yield from _calls(child, inner)


@tools
def test_lupdate_finds_every_marked_text_where_it_is_looked_up(marked):
    """Not in an f-string, say, and not under the name of a module."""
    lost, seen = [], 0
    for file in (file for part in SOURCES for file in part.rglob("*.py")):
        for context, call in _calls(ast.parse(file.read_text("utf-8")), ""):
            text = call.args[0]
            if isinstance(text, ast.Constant):
                seen += 1
                if text.value not in marked[context]:
                    lost.append(f"{file.name}:{call.lineno}: {text.value}")
            elif isinstance(text, ast.JoinedStr):
                lost.append(f"{file.name}:{call.lineno}: an f-string")
    assert lost == []
    assert seen > 800


@tools
def test_lupdate_finds_the_tables(marked):
    for spec in SPECS:
        assert spec.text in marked[""] and spec.where in marked[""], spec
        assert not spec.tip or spec.tip in marked[""], spec
    assert {spec.where for spec in SPECS} <= {WINDOW, *PLACES}
    from gui.methods import encoder, language_model, method, sentences

    told = [part for name, one in PRESETS.items() for part in (one.title, method(name).sentence, method(name).cost)]
    told += [encoder(), language_model(), sentences(), "Before", "After stage 1", "After stage 2"]
    told += ["The disk is full.", "The worker that did this stopped unexpectedly. The app and your captions are safe."]
    assert [one for one in told if one not in marked[""]] == []


class Bracketing(QTranslator):
    """Translates what lupdate has found, where it was found, and what is Qt's own: every text in brackets."""

    def __init__(self, marked: dict[str, set[str]]) -> None:
        super().__init__()
        self._marked = marked

    def translate(self, context, text, disambiguation=None, n=-1):
        known = text in self._marked.get(context, ()) or context in ("QLineEdit", "QPlatformTheme", "QKeySequenceEdit")
        return f"⟦{text}⟧" if known else None

    def isEmpty(self):
        return False


@pytest.fixture
def bracketed(qapp, marked) -> Iterator[None]:
    translator = Bracketing(marked)
    QCoreApplication.installTranslator(translator)
    yield
    QCoreApplication.removeTranslator(translator)


def _texts(root: QWidget) -> Iterator[tuple[str, str]]:
    """What can be read of a widget and of all below it that are shown, and for each what says it."""
    for widget in (root, *root.findChildren(QWidget)):
        if not widget.isVisible():
            continue
        kind = type(widget).__name__
        if isinstance(widget, (QLabel, QAbstractButton)):
            whole = widget.full_text() if isinstance(widget, ElidedLabel) else widget.text()
            yield f"{kind} in {type(widget.parent()).__name__}", whole
        if isinstance(widget, QLineEdit):
            yield f"{kind}, placeholder", widget.placeholderText()
        if isinstance(widget, QComboBox):
            yield from ((f"{kind} {widget.accessibleName()}", widget.itemText(at)) for at in range(widget.count()))
        if isinstance(widget, QTabBar):
            yield from ((kind, widget.tabText(at)) for at in range(widget.count()))
        if isinstance(widget, QHeaderView) and widget.model() is not None:
            yield from (
                (kind, str(widget.model().headerData(at, widget.orientation()) or "")) for at in range(widget.count())
            )
        if isinstance(widget, QTableWidget):
            cells = ((row, at) for row in range(widget.rowCount()) for at in range(widget.columnCount()))
            yield from ((kind, item.text()) for cell in cells if (item := widget.item(*cell)) is not None)
        if widget.isWindow():
            yield f"{kind}, title", widget.windowTitle()
        yield f"{kind}, name", widget.accessibleName()
        yield f"{kind}, description", widget.accessibleDescription()
        yield f"{kind}, tip", widget.toolTip()


def _untranslated(told: Iterator[tuple[str, str]], own: tuple[str, ...] = ()) -> list[str]:
    """What has letters outside brackets. ``own``: the person's data."""
    found = []
    for where, text in told:
        rest = re.sub(r"<[^<>]*>", "", text)
        while (less := re.sub(r"⟦[^⟦⟧]*⟧", "", rest)) != rest:
            rest = less
        for name in sorted((*NAMES, *own), key=len, reverse=True):
            rest = rest.replace(name, "")
        if re.search(r"[^\W\d_]", KEYS.sub("", rest)):
            found.append(f"{where}: {text}")
    return found


def test_nothing_that_is_shown_is_left_untranslated(open_window, bracketed):
    window = open_window(starter=True)
    left = []
    for menu in window.menuBar().findChildren(QMenu):
        left += _untranslated((f"menu {menu.title()}", one.text()) for one in (menu.menuAction(), *menu.actions()))
    for action in window.findChildren(QAction):
        left += _untranslated((f"action {action.objectName()}", one) for one in (action.text(), action.toolTip()))
    for place in ("library", "seed", "train", "review", "deliver"):
        window.go(place)
        left += _untranslated(_texts(window))
    assert left == [], "\n".join(sorted(set(left)))
    where = (str(data_dir()), str(models_dir()), str(log_file()))
    for action in ("settings", "shortcuts", "log", "about", "palette"):
        window.actions_table[action].trigger()
        left += _untranslated(_texts(window), where)
    kinds = [type(one).__name__ for one in window.findChildren(QDialog)]
    assert (
        kinds == ["SettingsDialog", "ShortcutsDialog", "LogDialog", "AboutDialog"]
        and window.palette_of_actions.isVisible()
    )
    window.messages.show_failure(Failure("⟦Something⟧", "", "details"))
    window._show_details(Failure("⟦Something⟧", "", "details"))
    left += _untranslated(_texts(window), (*where, system_details(), "details"))
    assert left == [], "\n".join(sorted(set(left)))


def test_nor_where_a_library_is_open(qtbot, open_window, photos, bracketed):
    window = open_window(photos)
    window.go("seed")
    type_caption(qtbot, window, "typed")
    texts = {image_id: ["said", "told"] for image_id in (2, 3)}
    suggest_captions(window.session.service.path, texts, {"said": (0.7, 1), "told": (0.6, 3)})
    window.session.refresh()
    settle(qtbot, window)
    own = (
        *(name for file in photos.iterdir() for name in (file.name, f"{file.stem}.txt")),
        words.place(photos),
        photos.name,
        "typed",
        "said",
        "told",
    )
    left = []
    for place in ("library", "seed", "train", "review", "deliver"):
        window.go(place)
        settle(qtbot, window)
        for more in window.view(place).findChildren(Disclosure):
            more.set_open(True)
        left += _untranslated(_texts(window), own)
    assert left == [], "\n".join(sorted(set(left)))


GERMAN = """<?xml version="1.0" encoding="utf-8"?>
<!DOCTYPE TS>
<TS version="2.1" language="de">
<context><name></name>
  <message><source>&amp;Library</source><translation>&amp;Bibliothek</translation></message>
  <message><source>photo</source><translation>Foto</translation></message>
  <message numerus="yes"><source>photos</source>
    <translation><numerusform>Foto</numerusform><numerusform>Fotos</numerusform></translation></message>
</context>
<context><name>MainWindow</name>
  <message><source>&amp;Help</source><translation>&amp;Hilfe</translation></message>
</context>
</TS>
"""


@pytest.fixture
def german(qapp, tmp_path) -> Iterator[Path]:
    """A folder with a translation; whatever was installed is gone afterwards."""
    (tmp_path / "seedcap_de.ts").write_text(GERMAN, "utf-8")
    subprocess.run([LRELEASE, tmp_path / "seedcap_de.ts"], check=True, capture_output=True)
    yield tmp_path
    for translator in qapp.findChildren(QTranslator):
        QCoreApplication.removeTranslator(translator)
        translator.deleteLater()


@tools
def test_a_translation_is_installed_with_qts_own(german, open_window):
    assert translations.install(["nds-DE", "de-AT", "en-US"], german) == "de-AT"
    window = open_window()
    assert [one.text() for one in window.menuBar().actions()][-1] == "&Hilfe"
    assert window.actions_table["go_library"].text() == "&Bibliothek"
    assert window.actions_table["go_seed"].text() == "&Seed", "English where nothing was written"
    said = [counted(n, tr("photo"), tr("photos", "", n)) for n in (0, 1, 4812)]
    assert said == ["0 Fotos", "1 Foto", "4,812 Fotos"]
    assert QCoreApplication.translate("QPlatformTheme", "Cancel") == "Abbrechen"


@tools
@pytest.mark.parametrize("languages", [["en-GB", "de-DE"], ["C"], ["fr-FR"], []])
def test_english_stays_where_it_is_wanted_more_or_there_is_nothing_else(german, languages):
    assert translations.install(languages, german) == ""
    assert tr("photo") == "photo"
    assert QCoreApplication.translate("QPlatformTheme", "Cancel") == "Cancel"


@tools
def test_the_app_begins_with_the_language_of_the_system(german, tmp_path):
    """In a process of its own, as nothing there is undone."""
    code = (
        "from pathlib import Path; from gui import app, translations; from core import paths;"
        f"translations.resources_dir = lambda: Path({str(tmp_path)!r}).parent;"
        "window = app.begin([])[1]; print(window.menuBar().actions()[-1].text()); window.close()"
    )
    (tmp_path.parent / "translations").symlink_to(tmp_path)
    language = {"LANGUAGE": "de", "LC_ALL": "C.UTF-8", "LANG": "de_DE.UTF-8"}
    done = subprocess.run([sys.executable, "-c", code], env=os.environ | language, capture_output=True, text=True)
    assert done.stdout.strip() == "&Hilfe", done.stderr
