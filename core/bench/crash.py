"""``bench crash``: a process that labels, imports, exports, captions and trains is killed, again and again.

Half of the kills are at random moments, half at numbered points between two writes; after every other one the power
fails as well: what was not synced is gone, or torn. After each the library must open, be sound, hold every change that
was acknowledged before, and have captioned no photo twice.
"""

from __future__ import annotations

import os
import random
import tempfile
import time
from collections import Counter
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

from core.bench import crash_work
from core.bench.crash_check import Expected, Finding, check
from core.bench.crash_child_process import ChildMaker, Turn
from core.bench.crash_work import Place
from core.bench.power_cut import Snapshot, read_journal
from core.bench.result import BenchResult, Measure
from core.errors import UserError
from core.jobs import JobContext

WORKS = ("label", "caption", "import", "export", "label", "caption")
TRAIN_EVERY = 10
"""One kill in so many is of a training, which costs seconds where the others cost tenths of one."""
_LONGEST_S = 900.0
_FAILING = 3
"""So many turns in a row that fail by themselves end the benchmark: what they need is broken."""


@dataclass(frozen=True)
class CrashRequest:
    """``kills`` in all; ``train``: some of them while it trains (needs torch, and tiny models are made first)."""

    kills: int = 200
    seed: int = 0
    train: bool = True


@dataclass
class _Tally:
    kills: int = 0
    cuts: int = 0
    points: int = 0
    works: Counter[str] = field(default_factory=Counter)
    found: list[Finding] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)

    def number(self, kind: str) -> int:
        return sum(1 for one in self.found if one.kind == kind)


def run(ctx: JobContext, request: CrashRequest) -> BenchResult:
    """Kill the process ``request.kills`` times and count what was lost, damaged or done twice."""
    if not hasattr(os, "fork"):
        raise UserError("This benchmark kills processes the POSIX way.", "Run it on Linux or macOS.")
    tally = _Tally()
    with tempfile.TemporaryDirectory(prefix="seedcap-crash-") as scratch:
        root = Path(scratch)
        bench = _Bench(ctx, request, Place(root / "work"), root, tally)
        bench.prepare()
        bench.kill_all()
    seconds = sorted(tally.seconds)
    return BenchResult(
        "crash",
        (
            Measure("kills", tally.kills, "", request.kills),
            Measure("lost", tally.number("lost"), "", 0, higher_is_better=False),
            Measure("damaged", tally.number("damaged"), "", 0, higher_is_better=False),
            Measure("repeated", tally.number("repeated"), "", 0, higher_is_better=False),
            Measure("fault_points", tally.points, "in one turn of each work"),
            Measure("power_cuts", tally.cuts, "kills after which unsynced data was dropped"),
            Measure("kill_s", seconds[len(seconds) // 2] if seconds else 0.0, "seconds a kill, median"),
        ),
        (
            "Killed while at: " + ", ".join(f"{name} {number}" for name, number in sorted(tally.works.items())) + ".",
            *(f"{one.kind}: {one.sentence}" for one in tally.found[:20]),
        ),
    )


class _Bench:
    def __init__(self, ctx: JobContext, request: CrashRequest, place: Place, root: Path, tally: _Tally) -> None:
        self._ctx, self._request, self._place, self._root, self._tally = ctx, request, place, root, tally
        self._rng = random.Random(request.seed)
        self._expected = Expected()
        self._points: dict[str, int] = {}
        self._typical: dict[str, float] = {}
        self._turn = self._failing = 0
        self._anew = False

    def prepare(self) -> None:
        self._ctx.progress(0, None, "Making a library")
        self._place.root.mkdir(parents=True)
        crash_work.prepare(self._place)
        if self._request.train:
            from core.bench.tiny_models import write_tiny_starter

            self._ctx.progress(0, None, "Making tiny models")
            write_tiny_starter(self._root / "starter", steps=0)

    def kill_all(self) -> None:
        trains = self._request.train
        with closing(ChildMaker("train" if trains else "", starter=self._root / "starter")) as maker:
            names: list[str] = [*WORKS, *(["train"] if trains else [])]
            for name in [*dict.fromkeys(names)] * 2:  # the second time is what a turn is like from then on
                self._whole_turn(maker, name)
            while self._tally.kills < self._request.kills and self._failing < _FAILING:
                self._ctx.check_cancelled()
                self._ctx.progress(self._tally.kills, self._request.kills, "Killing")
                number = self._tally.kills
                train = trains and number % TRAIN_EVERY == TRAIN_EVERY - 1
                self._kill(maker, "train" if train else WORKS[number % len(WORKS)])
        self._tally.points = sum(self._points.values())
        self._ctx.progress(self._tally.kills, self._request.kills, "Killing")

    def _whole_turn(self, maker: ChildMaker, name: str) -> None:
        """One turn that is not killed: how many points it has, how long it takes."""
        start = time.monotonic()
        turn = self._run(maker, name)
        self._points[name], self._typical[name] = turn.points, time.monotonic() - start
        self._look(name, turn)

    def _kill(self, maker: ChildMaker, name: str) -> None:
        start = time.monotonic()
        at_point, cut = self._rng.random() < 0.5, self._tally.kills % 2 == 1
        stop_at = self._rng.randint(1, self._points[name]) if at_point else None
        deadline = None if at_point else self._rng.uniform(0, self._typical[name])
        journal = self._root / "journal" if cut else None
        folders = [self._place.library, self._place.exports]
        snapshot = Snapshot(folders, self._root / "shadow") if cut else None
        if journal is not None:
            journal.unlink(missing_ok=True)
        turn = self._run(maker, name, stop_at=stop_at, deadline=deadline, journal=journal)
        if not turn.killed:
            self._points[name] = turn.points or self._points[name]
        else:
            self._tally.kills += 1
            self._tally.works[name] += 1
            if snapshot is not None and journal is not None and journal.exists():
                snapshot.cut_power(read_journal(journal), self._rng)
                self._tally.cuts += 1
        self._look(name, turn, cut=cut and turn.killed)
        if snapshot is not None:
            snapshot.forget()
        self._tally.seconds.append(time.monotonic() - start)
        if name == "train" and turn.killed and self._rng.random() < 0.5:  # the others go on when it is their turn
            self._look(name, self._run(maker, name))

    def _run(
        self,
        maker: ChildMaker,
        name: str,
        *,
        stop_at: int | None = None,
        deadline: float | None = None,
        journal: Path | None = None,
    ) -> Turn:
        self._turn += 1
        work = "train anew" if name == "train" and self._anew else name
        order = {
            "work": work, "root": str(self._place.root), "number": self._request.seed * 100_000 + self._turn,
            "stop_at": stop_at, "journal": None if journal is None else str(journal),
        }  # fmt: skip
        turn = maker.turn(order, kill_after=deadline, longest=_LONGEST_S)
        if turn.error and not self._tally.kills:
            raise RuntimeError(f"the process that was to be killed while at {name!r} failed by itself:\n{turn.error}")
        self._failing = self._failing + 1 if turn.error else 0
        if name == "train":
            self._anew = bool(turn.error)  # what cannot go on is told once
        return turn

    def _look(self, name: str, turn: Turn, *, cut: bool = False) -> None:
        findings = check(self._place, self._expected, turn.said)
        if turn.error:
            findings.append(Finding("damaged", f"a turn could not be done: {in_a_sentence(turn.error)}"))
            if name == "train":
                self._expected.stages.clear()
        how = "after a power cut" if cut else "after a kill" if turn.killed else "after a whole turn"
        self._tally.found += [Finding(one.kind, f"{one.sentence} ({name}, {how})") for one in findings]


def in_a_sentence(traceback: str) -> str:
    """What went wrong, and where."""
    lines = traceback.strip().splitlines()
    places = [line.strip() for line in lines if line.lstrip().startswith("File ")]
    return f"{lines[-1]} [{places[-1]}]" if places else lines[-1]
