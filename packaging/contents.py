"""What is inside a build, file by file: whose it is, under which licence, and what is known of its version.

Used by ``seedcap.spec`` with the files that PyInstaller has collected, so that the lists hold what is shipped and not
what happens to be installed. Writes ``licences/`` (an index and the texts), ``sbom.cdx.json`` (CycloneDX 1.6) and
``requirements.txt`` (for pip-audit).

``python packaging/contents.py BILL LOCK`` says what a bill of materials holds and a lock file does not, and ends with 1
then.
"""

from __future__ import annotations

import json
import os
import platform
import re
import shutil
import subprocess
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any, Literal
from urllib.parse import quote

Kind = Literal["pypi", "deb", "generic"]
NEVER = frozenset({"pillow-heif", "libreadline8", "libreadline8t64"})
"""GPL code that no installer may hold."""
_TEXTS = re.compile(r"(licen[cs]es?|copying|notice|copyright|authors)\b", re.IGNORECASE)
_LONGEST_LICENCE = 100
_COMMON = Path(__file__).with_name("texts")  # of licences that packages name and do not bring: Qt's


@dataclass(frozen=True)
class Part:
    """One package of which files are inside; ``texts``: where its licence is written."""

    kind: Kind
    name: str
    version: str
    licence: str
    texts: tuple[Path, ...]

    @property
    def plain_name(self) -> str:
        """Its name as registries compare it: ``pillow-heif`` for ``pillow_heif``."""
        return _plain(self.name) if self.kind == "pypi" else self.name

    @property
    def purl(self) -> str:
        """Its name in https://github.com/package-url/purl-spec."""
        place = {"pypi": "pypi/", "deb": "deb/debian/", "generic": "generic/"}[self.kind]
        return f"pkg:{place}{self.plain_name}@{quote(self.version, safe='')}"


@dataclass(frozen=True)
class Contents:
    parts: tuple[Part, ...]
    unknown: tuple[Path, ...]


def _plain(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def contents_of(files: Iterable[Path], own: Path) -> Contents:
    """Whose ``files`` are; those below ``own`` and outside the environment are Seedcap's. Raises ``SystemExit`` where
    something is among them that must not be shipped."""
    owners = _owners()
    python = Path(sys.base_prefix).resolve()
    found, system, unknown = {_python()}, [], []
    for file in sorted({file.resolve() for file in files}):
        if file in owners:
            found.add(owners[file])
        elif any(part.endswith((".dist-info", ".egg-info")) for part in file.parts):
            continue  # says something about a package that may have no other file inside
        elif file.is_relative_to(python) and "site-packages" not in file.parts:
            continue  # of Python itself, which is in the list already
        elif not file.is_relative_to(own.resolve()):
            system.append(file)
    for file in system:
        part = _debian_part(file)
        if part is None:
            unknown.append(file)
        else:
            found.add(part)
    forbidden = sorted(part.name for part in found if part.plain_name in NEVER)
    if forbidden:
        raise SystemExit(f"Not to be shipped, but collected: {', '.join(forbidden)}. See docs/installers.md.")
    return Contents(tuple(sorted(found, key=lambda part: (part.kind, part.name.lower()))), tuple(unknown))


def _owners() -> dict[Path, Part]:
    """Each installed file but the metadata itself, and the distribution it came with.

    What a package brings along of others is its own, as the lock has it: setuptools adds the folder of its copies to
    the end of the search path when it is imported, so that whether they are seen depends on who imported it.
    """
    owners = {}
    for distribution in metadata.distributions():
        part = python_part(distribution)
        root = Path(str(distribution.locate_file(""))).resolve()  # once: there are a hundred thousand files
        for file in distribution.files or ():
            if not file.parts[0].endswith((".dist-info", ".egg-info")):
                owners.setdefault(Path(os.path.normpath(root / file)), part)
    return owners


def python_part(distribution: metadata.Distribution) -> Part:
    """A distribution as its own metadata describes it."""
    about = distribution.metadata
    texts = [
        Path(str(distribution.locate_file(file)))
        for file in distribution.files or ()
        if file.parts[0].endswith(".dist-info") and ("licenses" in file.parts or _TEXTS.match(file.name))
    ]
    return Part("pypi", about["Name"], distribution.version, _licence(about), tuple(sorted(texts)))


def _licence(about: Any) -> str:
    """In this order: the SPDX expression, a short sentence of its own, the classifiers."""
    if about.get("License-Expression"):
        return about["License-Expression"]
    words = (about.get("License") or "").strip()
    if words and "\n" not in words and len(words) <= _LONGEST_LICENCE and words != "UNKNOWN":
        return words
    classes = [one.split(" :: ")[-1] for one in about.get_all("Classifier") or () if one.startswith("License :: ")]
    return " and ".join(classes) or "see its text"


def _python() -> Part:
    place = Path(sys.base_prefix)
    folder = f"lib/python{sys.version_info[0]}.{sys.version_info[1]}"
    texts = [place / name for name in (f"{folder}/LICENSE.txt", "LICENSE.txt", f"{folder}/LICENSE")]
    found = tuple(text for text in texts if text.is_file())[:1]
    return Part("generic", "python", platform.python_version(), "PSF-2.0", found)


def _debian_part(file: Path) -> Part | None:
    """The Debian package of a system's library; ``None`` where none has it, or on another system."""
    if shutil.which("dpkg-query") is None:
        return None
    plain = Path(*file.parts[:1], *file.parts[2:]) if file.parts[1:2] == ("usr",) else file
    for name in (file, plain):  # /usr/lib/x is entered as /lib/x by packages from before these were one
        owner = _asked("dpkg-query", "-S", str(name)).partition(": ")[0].partition(",")[0]
        if owner:
            package = owner.partition(":")[0]
            text = Path("/usr/share/doc") / package / "copyright"
            version = _asked("dpkg-query", "-W", "-f", "${Version}\n", owner).splitlines()[0]
            return Part("deb", package, version, "see its text", (text,) if text.is_file() else ())
    return None


def _asked(*command: str) -> str:
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()


def write(contents: Contents, version: str, folder: Path) -> None:
    """Write the three lists about ``contents`` into ``folder``, the build of Seedcap ``version``."""
    write_licences(contents, folder / "licences")
    bill = json.dumps(bill_of_materials(contents.parts, version), indent=1, ensure_ascii=False)
    (folder / "sbom.cdx.json").write_text(bill + "\n", "utf-8")
    pins = [f"{part.name}=={part.version.partition('+')[0]}\n" for part in contents.parts if _on_pypi(part)]
    (folder / "requirements.txt").write_text("".join(pins), "utf-8")


def _on_pypi(part: Part) -> bool:
    return part.kind == "pypi" and part.name != "seedcap"


def write_licences(contents: Contents, folder: Path) -> None:
    """One line for each part in ``README.txt``, and its texts in a folder of its own."""
    lines = [
        "What is inside this build of Seedcap, by package, and under which licence. The texts lie beside,",
        "those that packages name and do not bring in texts/.",
        "",
    ]
    for part in contents.parts:
        lines.append(f"{part.name} {part.version}: {part.licence}{'' if part.texts else ' (it brings no text)'}")
        place = folder / part.name
        place.mkdir(parents=True, exist_ok=True)
        for number, text in enumerate(part.texts):
            name = text.name if [other.name for other in part.texts].count(text.name) == 1 else f"{number}-{text.name}"
            shutil.copyfile(text, place / name)
        if not part.texts:
            place.rmdir()
    if contents.unknown:
        lines += ["", "Of these files it is not known which package they belong to:"]
        lines += [f"  {file.name}" for file in contents.unknown]
    (folder / "README.txt").write_text("\n".join(lines) + "\n", "utf-8")
    shutil.copytree(_COMMON, folder / "texts", dirs_exist_ok=True)


def bill_of_materials(parts: Iterable[Part], version: str) -> dict[str, Any]:
    """The parts in the words of https://cyclonedx.org/docs/1.6/json/."""
    return {
        "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": {"component": {"type": "application", "bom-ref": "seedcap", "name": "seedcap", "version": version}},
        "components": [_component(part) for part in parts if part.name != "seedcap"],
    }


def _component(part: Part) -> dict[str, Any]:
    known: dict[str, Any] = {
        "type": "library", "bom-ref": part.purl, "name": part.name, "version": part.version, "purl": part.purl,
    }  # fmt: skip
    if part.licence != "see its text":
        known["licenses"] = [{"license": {"name": part.licence}}]
    return known


def unlocked(bill: dict[str, Any], lock: str) -> list[str]:
    """The Python packages in a bill of materials that the text of a lock file (``NAME==VERSION``, a line each) does not
    have in the same version, a sentence each. What a lock has beyond that was needed to build."""
    pins = re.findall(r"^([\w.-]+)==(\S+)$", lock, re.MULTILINE)
    locked = {_plain(name): pin for name, pin in pins}
    said = []
    for one in bill["components"]:
        if not one["purl"].startswith("pkg:pypi/"):
            continue
        version, pin = one["version"].partition("+")[0], locked.get(_plain(one["name"]))
        if pin != version:
            said.append(f"{one['name']} {version} is inside; {f'{pin} is' if pin else 'nothing of it is'} locked.")
    return said


if __name__ == "__main__":
    bill_file, lock_file = map(Path, sys.argv[1:])
    differing = unlocked(json.loads(bill_file.read_text("utf-8")), lock_file.read_text("utf-8"))
    sys.stdout.writelines(f"{sentence}\n" for sentence in differing)
    sys.exit(1 if differing else 0)
