"""The window in the person's language, where somebody has translated it: docs/translating.md."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from PySide6.QtCore import QCoreApplication, QLibraryInfo, QLocale, QTranslator

from core.paths import resources_dir


def install(languages: Sequence[str] | None = None, folder: Path | None = None) -> str:
    """Have the application look texts up in the first of ``languages`` that there is. The language; empty for English.

    ``languages``: as in ``de-AT``, the best first; by default those of the system. ``folder``: of ``seedcap_*.qm``, by
    default ``resources/translations``. Qt's own texts are translated only where ours are: a window that speaks two
    languages is worse than one in English.
    """
    wanted = QLocale.system().uiLanguages() if languages is None else languages
    ours, theirs = (
        folder or resources_dir() / "translations",
        QLibraryInfo.path(QLibraryInfo.LibraryPath.TranslationsPath),
    )
    for language in wanted:
        locale = QLocale(language)
        if locale.language() in (QLocale.Language.English, QLocale.Language.C):
            return ""  # what the texts are written in, and wanted more than what comes after it
        if _load(locale, "seedcap", str(ours)):
            _load(locale, "qtbase", theirs)
            return language
    return ""


def _load(locale: QLocale, name: str, folder: str) -> bool:
    translator = QTranslator(QCoreApplication.instance())
    found = translator.load(locale, name, "_", folder)
    if found:
        QCoreApplication.installTranslator(translator)
    else:
        translator.deleteLater()
    return found
