"""The version that is running: of the installed package, or of the checkout it was started from."""

from __future__ import annotations

from pathlib import Path


def version() -> str:
    import tomllib  # both read a good part of the standard library, and the app starts without needing them
    from importlib import metadata

    pyproject = Path(__file__).resolve().parent.parent / "pyproject.toml"
    if pyproject.is_file():  # a checkout: the installed metadata may be of another one
        project = tomllib.loads(pyproject.read_text(encoding="utf-8")).get("project", {})
        if project.get("name") == "seedcap":
            return str(project["version"])
    try:
        return metadata.version("seedcap")
    except metadata.PackageNotFoundError:
        return "unknown"
