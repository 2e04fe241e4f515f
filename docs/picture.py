"""Draws docs/images/architecture.svg from the packages and import-linter's contracts: python docs/picture.py"""

from __future__ import annotations

import tomllib
from html import escape
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PICTURE = ROOT / "docs" / "images" / "architecture.svg"
DOES = {
    "batch": "captions for thousands",
    "bench": "what is measured",
    "captioner": "mapper, LM, decoding",
    "commands": "a module each",
    "encoders": "vectors, search",
    "exchange": "captions in and out",
    "hub": "models downloaded",
    "images": "decoding, thumbnails",
    "library": "photos, captions, edits",
    "metrics": "figures about captions",
    "onnx": "bundles: made, run",
    "report": "page about a run",
    "starter": "made here; scenes",
    "training": "stages, rewards, gates",
}
"""What each package of core is for, in few words; one that is missing here cannot be drawn."""

WIDTH, MARGIN, LINE, BETWEEN = 1008, 20, 19, 34
BOX_WIDTH, BOX_HEIGHT, GAP, COLUMNS = 150, 62, 8, 6
STYLE = """
  text { fill: #1d2733; font-family: system-ui, sans-serif } .name { font-weight: 600; font-size: 14px }
  .small { font-size: 11.5px }
  .band { fill: #eef2f6; stroke: #b9c4cf } .box { fill: #ffffff; stroke: #8fa0b0 }
  .arrow { stroke: #1d2733; fill: none } .head { fill: #1d2733 } .ground { fill: #ffffff }
  @media (prefers-color-scheme: dark) {
    text { fill: #dde5ec } .band { fill: #1b232c; stroke: #43505d } .box { fill: #27313c; stroke: #5d6c7b }
    .arrow { stroke: #dde5ec } .head { fill: #dde5ec } .ground { fill: #11171d }
  }
"""


def bands() -> dict[str, list[tuple[str, str]]]:
    """By what the packages of core may load, as the contracts have it: their names, and where torch is allowed."""
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["tool"]["importlinter"]["contracts"]
    found = sorted(file.parent.name for file in (ROOT / "core").glob("*/__init__.py"))
    kinds: dict[str, list[tuple[str, str]]] = {"never": [], "some": [], "torch": []}
    rules = [one for one in contracts if "torch" in one["forbidden_modules"] and one["source_modules"] != ["gui"]]
    for name in found:
        rule = next((one for one in rules if f"core.{name}.**" in one["source_modules"]), None)
        excepted = [one.split(" ")[0] for one in (rule or {}).get("ignore_imports", [])]
        own = [one.rpartition(".")[2] for one in excepted if one.startswith(f"core.{name}.")]
        kinds["torch" if rule is None else "some" if own else "never"].append((name, ", ".join(own)))
    return kinds


def draw() -> str:
    """The picture, as the text of an SVG file."""
    kinds, parts, y = bands(), [], MARGIN
    for title, rule, boxes, below in (
        ("main.py", "Opens the window, or hands over to core.cli.", [], "may import"),
        (
            "gui: the window",
            "Qt here and nowhere else. No torch, transformers, open_clip, onnxruntime.",
            [],
            "may import; jobs run in a spawned worker process, by gui/bridge.py alone. core never imports gui or Qt",
        ),
        ("core without torch", "Works where torch is not installed.", kinds["never"], ""),
        (
            "core, torch in the modules named",
            "A bundle runs without; making one takes torch.",
            kinds["some"],
            "",
        ),
        ("core with torch", "Imported when a job runs, in the worker process.", kinds["torch"], ""),
    ):
        bottom = y + 40 + LINE + -(-len(boxes) // COLUMNS) * (BOX_HEIGHT + GAP)
        parts.append(_rectangle("band", MARGIN, y, WIDTH - 2 * MARGIN, bottom - y))
        parts += [_text(MARGIN + 14, y + 24, title, "name"), _text(MARGIN + 14, y + 24 + LINE, rule, "small")]
        for place, (name, torch) in enumerate(boxes):
            across, down = place % COLUMNS, place // COLUMNS
            parts += _box(MARGIN + 14 + across * (BOX_WIDTH + GAP), y + 54 + down * (BOX_HEIGHT + GAP), name, torch)
        parts += _arrow(bottom, bottom + BETWEEN, below) if below else []
        y = bottom + BETWEEN
    note = (
        "Arrows: may import. Parts of core may import one another; one without torch reaches it inside a function only."
    )
    parts.append(_text(MARGIN, y - 8, note, "small"))
    size = f'viewBox="0 0 {WIDTH} {y + 8}" width="{WIDTH}" height="{y + 8}"'
    head = [f'<svg xmlns="http://www.w3.org/2000/svg" {size}>', f"<style>{STYLE}</style>"]
    return "\n".join([*head, _rectangle("ground", 0, 0, WIDTH, y + 8), *parts, "</svg>"]) + "\n"


def _box(x: int, y: int, name: str, torch: str) -> list[str]:
    lines = [_text(x + 10, y + 20, f"core.{name}", "name"), _text(x + 10, y + 38, DOES[name], "small")]
    if torch:
        lines.append(_text(x + 10, y + 54, torch, "small"))
    return [_rectangle("box", x, y, BOX_WIDTH, BOX_HEIGHT), *lines]


def _rectangle(kind: str, x: int, y: int, width: int, height: int) -> str:
    return f'<rect class="{kind}" x="{x}" y="{y}" width="{width}" height="{height}" rx="6"/>'


def _arrow(top: int, bottom: int, words: str) -> list[str]:
    x = MARGIN + 40
    return [
        f'<path class="arrow" d="M{x} {top}V{bottom - 8}"/>',
        f'<path class="head" d="M{x - 5} {bottom - 9}h10l-5 9z"/>',
        _text(x + 14, top + 22, words, "small"),
    ]


def _text(x: int, y: int, words: str, kind: str) -> str:
    return f'<text class="{kind}" x="{x}" y="{y}">{escape(words)}</text>'


if __name__ == "__main__":
    PICTURE.write_text(draw(), "utf-8")
