"""What every benchmark writes: named measures with their aims, the machine and the commit they were taken on."""

from __future__ import annotations

import os
import platform
import subprocess
from dataclasses import asdict, dataclass, field
from pathlib import Path

from core.errors import UserError


@dataclass(frozen=True)
class Measure:
    """One figure. ``aim`` is a bound it should reach (``beyond``: pass), ``higher_is_better`` on which side of it.

    ``surely``: the whole interval must lie on that side, not the figure alone.
    """

    name: str
    value: float
    unit: str
    aim: float | None = None
    higher_is_better: bool = True
    low: float | None = None
    high: float | None = None
    seeds: int = 1
    beyond: bool = False
    surely: bool = False

    @property
    def met(self) -> bool | None:
        if self.aim is None:
            return None
        edge = self.low if self.higher_is_better else self.high
        value = edge if self.surely and edge is not None else self.value
        if self.beyond and value == self.aim:
            return False
        return value >= self.aim if self.higher_is_better else value <= self.aim

    def to_dict(self) -> dict[str, object]:
        document: dict[str, object] = asdict(self)
        del document["higher_is_better"], document["beyond"], document["surely"]
        document["met"] = self.met
        return document


@dataclass(frozen=True)
class BenchResult:
    """A finished benchmark; ``notes`` are sentences printed below the table."""

    bench: str
    measures: tuple[Measure, ...]
    notes: tuple[str, ...] = field(default=())

    def to_dict(self) -> dict[str, object]:
        return {
            "bench": self.bench,
            "machine": machine(),
            "commit": commit(),
            "measures": [m.to_dict() for m in self.measures],
            "notes": list(self.notes),
        }

    def table(self) -> str:
        """The measures as aligned text."""
        rows = [("measure", "value", "aim", "")]
        for m in self.measures:
            sign = (">" if m.higher_is_better else "<") + ("" if m.beyond else "=")
            aim = "" if m.aim is None else f"{sign} {m.aim:g}" + (" surely" if m.surely else "")
            verdict = {None: "", True: "met", False: "missed"}[m.met]
            spread = "" if m.low is None or m.high is None else f" [{m.low:.2f}, {m.high:.2f}]"
            rows.append((m.name, f"{m.value:.2f} {m.unit}{spread}".strip(), aim, verdict))
        widths = [max(len(row[i]) for row in rows) for i in range(4)]
        lines = ["  ".join(cell.ljust(w) for cell, w in zip(row, widths, strict=True)).rstrip() for row in rows]
        return "\n".join([*lines, *self.notes])


def machine() -> str:
    """The processor, its cores and the system, in one line."""
    name = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    if info.is_file():
        models = [line.split(":", 1)[1].strip() for line in info.read_text().splitlines() if "model name" in line]
        name = models[0] if models else name
    return f"{name}, {os.cpu_count()} cores, {platform.system()}"


def commit() -> str:
    """The commit of this checkout, or the empty string outside one."""
    root = Path(__file__).resolve().parents[2]
    try:
        done = subprocess.run(
            ["git", "-C", str(root), "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False
        )
    except OSError:
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""


def need_data(data: Path | None, *wanted: str) -> Path:
    """The folder of real photos, or a sentence about what is missing."""
    if data is None:
        raise UserError("This benchmark runs on real photos.", "Pass --data DIR, a folder with " + ", ".join(wanted))
    for name in wanted:
        if not (data / name).exists():
            raise UserError(f"{data / name} is missing.", "Pass --data DIR, a folder that holds it.")
    return data
