"""``bench fuzz``: broken images, captions files, XMP, libraries and bundles, each read by a process of its own.

Every case is made from a random seed and a number. It must be read, or refused by a ``UserError`` that names it, within
five seconds of processor time (thirty on the clock). Cases that fail are kept, with what happened, to be read again.
"""

from __future__ import annotations

import json
import multiprocessing
import shutil
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from multiprocessing.connection import wait
from pathlib import Path

from core import paths
from core.bench.fuzz_child import Outcome, judge, serve
from core.bench.fuzz_seeds import KINDS, make_case, write_seeds
from core.bench.memory import peak_mb, processor_seconds
from core.bench.result import BenchResult, Measure
from core.errors import UserError
from core.jobs import JobContext

HANG_S = 5.0
_ON_THE_CLOCK_S = 30.0
_START_S = 300.0
_MEMORY_LIMIT_MB = 3000.0
_RECYCLE = 1000
"""Cases a process reads before a fresh one takes over, so that it does not grow by what libraries keep."""


@dataclass(frozen=True)
class FuzzRequest:
    """``keep``: where failing cases go (default: the cache). ``replay``: read one of those again and nothing else."""

    cases: int = 10_000
    seed: int = 0
    workers: int = 2
    keep: Path | None = None
    replay: Path | None = None


@dataclass
class _Tally:
    cases: int = 0
    crashes: int = 0
    hangs: int = 0
    peak_mb: float = 0.0
    kinds: Counter[str] = field(default_factory=Counter)
    kept: list[Path] = field(default_factory=list)


class _Worker:
    """A process and the case it is reading."""

    def __init__(self, seeds: Path, seed: int, scratch: Path) -> None:
        context = multiprocessing.get_context("spawn")
        self.connection, theirs = context.Pipe()
        self.process = context.Process(target=serve, args=(theirs, seeds, seed, scratch), daemon=True)
        self.process.start()
        theirs.close()
        self.scratch = scratch
        self.number = -1
        self.kind: str | None = None
        self.read = 0
        self.started = time.monotonic()
        self.spent = 0.0
        if not self.connection.poll(_START_S) or self._receive() != "ready":
            self.end()
            raise UserError("The process that reads broken files did not start.", "Run the benchmark again.")

    def give(self, number: int) -> None:
        self.number, self.kind = number, None
        self.started = time.monotonic()
        self.connection.send(number)

    def answer(self) -> Outcome | str | None:
        """The outcome; the kind of the case, once it is made; ``None`` when the process has died."""
        said = self._receive()
        if isinstance(said, str):
            self.kind, self.started = said, time.monotonic()
            self.spent = processor_seconds(self.process.pid or 0) or 0.0
        return said

    def hangs(self) -> bool:
        if self.kind is None:
            return time.monotonic() - self.started > _START_S
        elapsed = time.monotonic() - self.started
        spent = processor_seconds(self.process.pid or 0)
        busy = elapsed if spent is None else spent - self.spent
        return busy > HANG_S or elapsed > _ON_THE_CLOCK_S

    def end(self) -> None:
        self.connection.close()
        self.process.kill()
        self.process.join()
        self.process.close()

    def _receive(self) -> Outcome | str | None:
        try:
            return self.connection.recv()
        except (EOFError, OSError):
            return None


def run(ctx: JobContext, request: FuzzRequest) -> BenchResult:
    if request.replay is not None:
        return _replay(request.replay)
    tally = _Tally()
    keep = request.keep or paths.cache_dir() / "fuzz"
    with tempfile.TemporaryDirectory(prefix="seedcap-fuzz-", ignore_cleanup_errors=True) as scratch:
        seeds = Path(scratch) / "seeds"
        write_seeds(seeds)
        _Bench(ctx, request, seeds, Path(scratch), keep, tally).run()
    kinds = ", ".join(f"{tally.kinds[kind]:,} {kind}" for kind in KINDS)
    notes = [f"{tally.cases:,} cases from random seed {request.seed}: {kinds}."]
    notes += [f"kept: {path}" for path in tally.kept[:20]]
    return BenchResult(
        "fuzz",
        (
            Measure("cases", tally.cases, ""),
            Measure("crashes", tally.crashes, "", 0, higher_is_better=False),
            Measure("hangs", tally.hangs, "", 0, higher_is_better=False),
            Measure("peak_mb", tally.peak_mb, "MB", 1000, higher_is_better=False),
        ),
        tuple(notes),
    )


class _Bench:
    def __init__(
        self, ctx: JobContext, request: FuzzRequest, seeds: Path, scratch: Path, keep: Path, tally: _Tally
    ) -> None:
        self._ctx, self._request, self._seeds = ctx, request, seeds
        self._scratch, self._keep, self._tally = scratch, keep, tally
        self._made = 0

    def run(self) -> None:
        numbers = iter(range(self._request.cases))
        with ExitStack() as stack:
            workers = [self._worker() for _ in range(min(self._request.workers, self._request.cases))]
            stack.callback(lambda: [worker.end() for worker in workers])
            busy = [worker for worker in workers if self._next(worker, numbers)]
            while busy:
                self._ctx.check_cancelled()
                ready = wait([worker.connection for worker in busy], timeout=0.25)
                for worker in list(busy):
                    free = self._look(worker, worker.connection in ready)
                    if free is None:
                        continue
                    workers[workers.index(worker)] = free
                    busy.remove(worker)
                    if self._next(free, numbers):
                        busy.append(free)

    def _worker(self) -> _Worker:
        self._made += 1
        return _Worker(self._seeds, self._request.seed, self._scratch / f"worker{self._made}")

    def _next(self, worker: _Worker, numbers: Iterator[int]) -> bool:
        number = next(numbers, None)
        if number is None:
            return False
        self._ctx.progress(self._tally.cases, self._request.cases, "Reading broken files")
        worker.give(number)
        return True

    def _look(self, worker: _Worker, has_answer: bool) -> _Worker | None:
        """The worker that takes the next case, itself or a new one; ``None`` while it is still reading."""
        memory = peak_mb(str(worker.process.pid))
        if has_answer:
            said = worker.answer()
            if isinstance(said, str):
                return None
            if isinstance(said, Outcome):
                self._count(worker, said)
                worker.read += 1
                if worker.read < _RECYCLE:
                    return worker
                worker.end()
                return self._worker()
            worker.process.join()
            self._fail(worker, f"the process died with status {worker.process.exitcode}", memory)
            self._tally.crashes += 1
        elif memory > _MEMORY_LIMIT_MB:
            self._fail(worker, f"{memory:,.0f} MB of memory", memory)
            self._tally.crashes += 1
        elif worker.hangs():
            self._fail(worker, f"more than {HANG_S:g} seconds", memory)
            self._tally.hangs += 1
        else:
            return None
        worker.end()
        return self._worker()

    def _count(self, worker: _Worker, outcome: Outcome) -> None:
        tally = self._tally
        tally.cases += 1
        tally.kinds[outcome.kind] += 1
        tally.peak_mb = max(tally.peak_mb, outcome.peak_mb)
        if outcome.verdict == "crash":
            tally.crashes += 1
            self._put_by(worker.number, outcome.crash)
        elif outcome.peak_mb > 1000:
            self._put_by(worker.number, f"{outcome.peak_mb:,.0f} MB of memory")
        shutil.rmtree(worker.scratch, ignore_errors=True)

    def _fail(self, worker: _Worker, what: str, memory: float) -> None:
        tally = self._tally
        tally.cases += 1
        tally.kinds[worker.kind or "unknown"] += 1
        tally.peak_mb = max(tally.peak_mb, memory)
        self._put_by(worker.number, what)

    def _put_by(self, number: int, what: str) -> None:
        """Keep the case and what happened, to be read again with ``bench fuzz --replay``."""
        place = self._keep / f"seed{self._request.seed}-case{number}"
        shutil.rmtree(place, ignore_errors=True)
        kind, path = make_case(self._seeds, number, self._request.seed, place)
        about = {"kind": kind, "file": path.name, "seed": self._request.seed, "number": number, "what": what}
        (place / "case.json").write_text(json.dumps(about, indent=2), encoding="utf-8")
        self._tally.kept.append(place)


def _replay(place: Path) -> BenchResult:
    """Read a kept case again, in this process."""
    try:
        about = json.loads((place / "case.json").read_text(encoding="utf-8"))
        kind, name = about["kind"], about["file"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(f"{place} holds no kept case: {error}.", "Name a folder that 'bench fuzz' listed.") from error
    if kind not in KINDS or Path(name).name != name:
        raise UserError(f"{place} holds no kept case.", "Name a folder that 'bench fuzz' listed.")
    outcome = judge(about.get("number", 0), kind, place / name)
    measures = (Measure("crashes", float(outcome.verdict == "crash"), "", 0, higher_is_better=False),)
    return BenchResult("fuzz", measures, (f"{name}: {outcome.verdict}", outcome.crash))
