"""The folder of a run: its settings, figures as they come, sample captions, checkpoints and the report."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field, is_dataclass
from pathlib import Path
from typing import Any

from core import paths
from core.disk import replacing
from core.errors import UserError

STARTER, BEFORE = "starter", "before"
CONFIG, METRICS, SAMPLES, REPORT = "config.toml", "metrics.jsonl", "samples.jsonl", "report.json"
OUTCOME, FOLDS, WORK, END = "outcome.json", "folds.json", "work.json", "end-here"


@dataclass(frozen=True)
class StageOutcome:
    """``best_step``: whose weights were kept; 0 means those it began with. ``stopped``: why it ended early, or ""."""

    steps: int = 0
    best_step: int = 0
    seconds: float = 0.0
    stopped: str = ""
    values: Mapping[str, float] = field(default_factory=dict)


class RunFolder:
    """``config.toml``, ``metrics.jsonl``, ``samples.jsonl``, ``stage1/``, ``stage2/``, ``report.json``."""

    def __init__(self, path: Path) -> None:
        self.path = path
        path.mkdir(parents=True, exist_ok=True)

    def stage(self, number: int) -> Path:
        """The checkpoint folder of a stage: the best model so far, or the one it ended with."""
        return self.path / f"stage{number}"

    def state(self, number: int) -> Path:
        """The file from which an unfinished stage goes on."""
        return self.path / f"stage{number}-state.safetensors"

    @property
    def candidates(self) -> Path:
        """The folder of captions that an unfinished stage 2 has drawn and goes on learning from."""
        return self.path / "stage2-candidates"

    @property
    def sentences(self) -> Path:
        """The file of vectors that an unfinished stage 2 has given the mapper."""
        return self.path / "stage2-sentences.npy"

    def forget_state(self, number: int) -> None:
        """Nothing goes on from here: the stage has ended, or begins anew."""
        self.state(number).unlink(missing_ok=True)
        if number == 2:
            shutil.rmtree(self.candidates, ignore_errors=True)

    @property
    def asked_to_end(self) -> bool:
        """Whether no step more is wanted: what was learned is judged, and kept if it is better."""
        return (self.path / END).exists()

    def ask_to_end(self, wanted: bool = True) -> None:
        """Have the training, whether it runs or is gone on with, learn no more and come to its end; or not."""
        file = self.path / END
        file.touch() if wanted else file.unlink(missing_ok=True)

    def outcome(self, number: int) -> StageOutcome | None:
        """How a stage ended; ``None`` while it has not."""
        file = self.stage(number) / OUTCOME
        return StageOutcome(**json.loads(file.read_text(encoding="utf-8"))) if file.is_file() else None

    def write_outcome(self, number: int, outcome: StageOutcome) -> None:
        write_text(self.stage(number) / OUTCOME, json.dumps(asdict(outcome), indent=2))

    def folds(self) -> dict[str, Any]:
        """``judgement`` of seeds left out in turn, or the ``losses`` of as many as were; empty where none were."""
        file = self.path / FOLDS
        return json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}

    def write_folds(self, found: Mapping[str, Any]) -> None:
        write_text(self.path / FOLDS, json.dumps(found, indent=2))

    def write_config(self, config: Mapping[str, Any]) -> None:
        write_text(self.path / CONFIG, to_toml(config))

    @contextmanager
    def counting_work(self, *, going_on: bool) -> Iterator[Callable[[], float]]:
        """While a training works; gives its seconds of work so far, those before its pauses included.

        They are kept when this ends, however it does but by a kill, for the training to go on counting from.
        """
        file, began, before = self.path / WORK, time.monotonic(), 0.0
        if going_on:
            with suppress(OSError, ValueError, KeyError, TypeError):  # none yet, or damaged: it is a figure, no more
                before = float(json.loads(file.read_text(encoding="utf-8"))["seconds"])

        def so_far() -> float:
            return before + time.monotonic() - began

        try:
            yield so_far
        finally:
            with suppress(OSError):  # a full disk costs no more than the figure
                write_text(file, json.dumps({"seconds": so_far()}))

    def write_report(self, report: Mapping[str, Any]) -> None:
        write_text(self.path / REPORT, json.dumps(report, indent=2, ensure_ascii=False))

    def add_to_report(self, **values: Any) -> None:
        """Write them beside what is in the report; raises as :func:`read_report`."""
        self.write_report({**read_report(self.path), **values})

    def add_row(self, name: str, row: Mapping[str, Any]) -> None:
        with (self.path / name).open("a", encoding="utf-8") as file:
            file.write(json.dumps(row, ensure_ascii=False) + "\n")

    def forget_rows_after(self, stage: int, step: int) -> None:
        """Drop rows that a stopped training wrote after the state it goes on from."""
        for name in (METRICS, SAMPLES):
            file = self.path / name
            kept = [row for row in read_rows(file) if (row["stage"], row["step"]) <= (stage, step)]
            text = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in kept)
            if file.is_file() and _text_of(file) != text:  # a line that was cut off goes too, or the next would join it
                write_text(file, text)


def read_rows(file: Path) -> list[dict[str, Any]]:
    """The rows of a JSON lines file; a line that was cut off, within a letter perhaps, is left out."""
    rows: list[dict[str, Any]] = []
    if file.is_file():
        for line in _text_of(file).split("\n"):
            try:
                rows.append(json.loads(line))
            except ValueError:
                continue
    return rows


def _text_of(file: Path) -> str:
    return file.read_text(encoding="utf-8", errors="replace")


def kept_checkpoint(run: Path) -> Path:
    """The checkpoint folder of the model that a finished run kept; where nothing was better, of what it began with.

    Raises:
        UserError: the run has no report, so nothing was kept.
    """
    report = read_report(run)
    return start_checkpoint(run) if report["kept"] == BEFORE else (run / str(report["kept"])).resolve()


def start_checkpoint(run: Path) -> Path:
    """The checkpoint folder of the model that a finished run began with; raises as :func:`kept_checkpoint`."""
    start = read_report(run)["start"]
    return paths.starter_dir() / "captioner" if start == STARTER else (run / str(start)).resolve()


def warm_checkpoint(run: Path) -> Path:
    """The checkpoint folder of the model with the seeds' wording, which stage 2 began with: stage 1, where it learned
    any; raises as :func:`kept_checkpoint`."""
    report = read_report(run)
    learned = "stage1" in report.get("results", {}) and report.get("learned_wording", True)
    return run / "stage1" if learned else start_checkpoint(run)


def read_report(run: Path) -> dict[str, Any]:
    """The report of a finished run: at least ``kept`` and ``start``.

    Raises:
        UserError: the run has no report, so nothing was kept.
    """
    try:
        report = json.loads((run / REPORT).read_text(encoding="utf-8"))
        return {**report, "kept": report["kept"], "start": report["start"]}
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise UserError(
            f"{run} is not the folder of a finished training.",
            "Train to the end, or go on with the training that was stopped.",
            topic="go on",
        ) from error


def write_text(file: Path, text: str) -> None:
    """Replace ``file`` at once: neither a reader nor a crash nor a power cut sees half of it."""
    with replacing(
        file
    ) as stream:  # durable: the library will say that the run has ended, and its report must be there
        stream.write(text.encode())


def to_toml(values: Mapping[str, Any]) -> str:
    """Nested mappings and dataclasses of plain values as TOML; ``None`` is left out, as TOML has no such value."""
    return "".join(_toml_lines(_plain(values), ()))


def _plain(value: Any) -> Any:
    if is_dataclass(value) and not isinstance(value, type):
        value = asdict(value)
    if isinstance(value, Mapping):
        return {str(key): _plain(one) for key, one in value.items() if one is not None}
    return str(value) if isinstance(value, Path) else value


def _toml_lines(table: Mapping[str, Any], path: Sequence[str]) -> list[str]:
    simple = {key: value for key, value in table.items() if not isinstance(value, Mapping)}
    lines = [f"\n[{'.'.join(_key(part) for part in path)}]\n"] if path and simple else []
    lines += [f"{_key(key)} = {_toml_value(value)}\n" for key, value in simple.items()]
    for key, value in table.items():
        if isinstance(value, Mapping):
            lines += _toml_lines(value, (*path, key))
    return lines


def _key(name: str) -> str:
    return name if name.replace("_", "").replace("-", "").isalnum() and name.isascii() else json.dumps(name)


def _toml_value(value: Any) -> str:
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(_toml_value(one) for one in value) + "]"
    if isinstance(value, float):
        return repr(value)  # TOML writes inf and nan as Python does
    return json.dumps(value)  # booleans, integers and strings are written alike
