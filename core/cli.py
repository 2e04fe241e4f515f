"""The command line: finds the command, imports its module and nothing else, runs it, reports.

Exit status: 0 done, 1 some items failed (they are listed), 2 wrong usage or input, 130 stopped by Ctrl-C or a signal.
An exception that is not a :class:`UserError` is a bug and keeps its traceback.
"""

from __future__ import annotations

import argparse
import contextlib
import difflib
import importlib
import io
import os
import signal
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Protocol, cast

from core.cli_flags import with_flags
from core.commands.result import CommandResult, to_json
from core.disk import replacing
from core.errors import UserError
from core.jobs import Cancelled, ConsoleContext, JobContext
from core.running_out import MAY_SAY_SO, in_words, is_out_of_memory
from core.version import version

STOPPED = 130  # what a shell expects of a program that ended by Ctrl-C


@dataclass(frozen=True)
class Entry:
    """A command's module under ``core.commands`` and its line in the overview."""

    module: str
    summary: str


COMMANDS: dict[str, Entry] = {
    "open": Entry("open", "open the app, with the library that holds FOLDER"),
    "demo": Entry("demo", "the whole journey on sample scenes: seeds, training, ranking, bundle, captions"),
    "import": Entry("import_", "scan a folder of photos into a library, and take in captions"),
    "suggest": Entry("suggest", "say which photos to caption next"),
    "train": Entry("train", "learn from the seeds: both stages, with a report"),
    "report": Entry("report", "write the page about a training, as one HTML file"),
    "bundle": Entry("bundle", "export a trained model to ONNX, with a check of parity"),
    "caption": Entry("caption", "caption a folder or a library"),
    "merge": Entry("merge", "put together captions made on several machines"),
    "rank": Entry("rank", "score every caption of a library and sort"),
    "search": Entry("search", "find photos by words"),
    "blind": Entry("blind", "say which model a person preferred without knowing which was which"),
    "export": Entry("export", "write captions out for other programs"),
    "evaluate": Entry("evaluate", "measure captions against references"),
    "models": Entry("models", "list, get and remove encoders and language models"),
    "doctor": Entry("doctor", "say what this machine can do, with minutes for 500 photos"),
    "bench": Entry("bench", "run a benchmark"),
    "build-starter": Entry("build_starter", "make the starter models again"),
}


class CommandModule(Protocol):
    """What a module in ``core.commands`` offers."""

    HELP: str

    def add_arguments(self, parser: argparse.ArgumentParser) -> None: ...

    def run(self, args: argparse.Namespace, ctx: JobContext) -> CommandResult: ...


_STOPPING = ("SIGINT", "SIGTERM", "SIGHUP")


class TerminalContext(ConsoleContext):
    """Progress on stderr; the first Ctrl-C lets the job end at its next safe point, the second one ends it at once.

    So does, as often as it comes, what a shutdown, a scheduler or a closed terminal sends.
    """

    def __init__(self) -> None:
        super().__init__(sys.stderr)
        self._cancelled = False

    def check_cancelled(self) -> None:
        if self._cancelled:
            raise Cancelled

    def clear_line(self) -> None:
        """Remove a half-written progress line, so that what follows begins at the margin."""
        if self._live and self._message:
            self._message = ""
            with contextlib.suppress(OSError):
                self._stream.write("\r\x1b[K")
                self._stream.flush()

    @contextmanager
    def interruptible(self) -> Iterator[None]:
        numbers = [getattr(signal, name) for name in _STOPPING if hasattr(signal, name)]
        # What a closed terminal sends may be ignored on purpose: nohup.
        heard = [one for one in numbers if one == signal.SIGINT or signal.getsignal(one) == signal.SIG_DFL]
        previous = {number: signal.signal(number, self._interrupt) for number in heard}
        try:
            yield
        finally:
            for number, handler in previous.items():
                signal.signal(number, handler)

    def _interrupt(self, number: int, _frame: FrameType | None) -> None:
        if self._cancelled:  # a logout sends several signals, and more than once
            if number == signal.SIGINT:
                raise KeyboardInterrupt
            return
        self._cancelled = True
        with contextlib.suppress(OSError, RuntimeError):  # the terminal has gone; or was just being written to
            self.clear_line()
            self._stream.write("Stopping at the next safe point. Press Ctrl-C again to stop at once.\n")


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line and give back the exit status."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    _make_streams_forgiving()
    ctx = TerminalContext()
    try:
        with ctx.interruptible():
            return _dispatch(arguments, ctx)
    except SystemExit as exit_:  # argparse: --help, --version, wrong usage
        return exit_.code if isinstance(exit_.code, int) else int(exit_.code is not None) * 2
    except UserError as error:
        ctx.clear_line()
        print(f"seedcap: {with_flags(error)}", file=sys.stderr)
        return 2
    except BrokenPipeError:  # `seedcap search ... | head`: the reader has gone, there is nobody to tell
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except MAY_SAY_SO as error:
        if not is_out_of_memory(error):
            raise
        ctx.clear_line()
        print(f"seedcap: {in_words()}", file=sys.stderr)
        return 2
    except (KeyboardInterrupt, Cancelled) as stopped:
        with contextlib.suppress(OSError):  # the terminal may be what has gone
            ctx.clear_line()
            print(f"Stopped. What was finished is saved. {stopped}".strip(), file=sys.stderr)
        return STOPPED


def parse(argv: Sequence[str]) -> tuple[CommandModule, argparse.Namespace]:
    """The command's module and its parsed arguments; leaves through ``SystemExit`` as argparse does."""
    if not argv or argv[0].startswith("-"):
        parser = _overview()
        parser.parse_args(list(argv))
        parser.error("no command given")
    name = argv[0]
    if name not in COMMANDS:
        close = difflib.get_close_matches(name, COMMANDS, n=1)
        hint = f"did you mean '{close[0]}'?" if close else "'seedcap --help' lists the commands."
        _overview().error(f"there is no command '{name}'; {hint}")
    module = cast(CommandModule, importlib.import_module(f"core.commands.{COMMANDS[name].module}"))
    parser = argparse.ArgumentParser(prog=f"seedcap {name}", description=module.HELP)
    module.add_arguments(parser)
    parser.add_argument("--json", metavar="FILE", type=Path, help="also write the result to FILE as JSON")
    return module, parser.parse_args(list(argv[1:]))


def _dispatch(argv: list[str], ctx: TerminalContext) -> int:
    module, args = parse(argv)
    json_file: Path | None = args.json
    if json_file is not None:
        _check_writable(json_file)
    try:
        result = module.run(args, ctx)
    except ModuleNotFoundError as error:
        raise _not_installed(error, argv[0]) from error
    ctx.clear_line()
    if json_file is not None:
        _write_atomically(json_file, to_json(result.data))
    if result.text:
        print(result.text)
        sys.stdout.flush()
    return 1 if result.failed else 0


def _not_installed(error: ModuleNotFoundError, command: str) -> Exception:
    """In an environment made only to run bundles, most commands lack a library: that is no bug."""
    library = (error.name or "").partition(".")[0]
    if library in ("", "core", "gui", "main", "resources"):
        return error
    return UserError(
        f"'{command}' needs {library}, which is not installed here.", "Install all of Seedcap, as its README says."
    )


def _overview() -> argparse.ArgumentParser:
    width = max(len(name) for name in COMMANDS)
    lines = [f"  {name:<{width}}  {entry.summary}" for name, entry in COMMANDS.items()]
    parser = argparse.ArgumentParser(
        prog="seedcap",
        usage="seedcap [COMMAND] [arguments]\n       seedcap COMMAND --help",
        description="Caption a handful of photos, press one button, and every photo gets a caption in your words.",
        epilog="commands (none: open the app):\n" + "\n".join(lines),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"seedcap {version()}")
    return parser


def _check_writable(file: Path) -> None:
    """Hours of training must not end in a missing folder."""
    folder = file.absolute().parent
    if not folder.is_dir():
        raise UserError(f"The folder of --json {file} does not exist.", f"Make {folder} first, or name another file.")
    if file.is_dir() or not os.access(folder, os.W_OK):
        raise UserError(f"--json {file} cannot be written.", "Name a file in a folder that you may write to.")


def _write_atomically(file: Path, content: bytes) -> None:
    with replacing(file, durable=False) as stream:
        stream.write(content)


def _make_streams_forgiving() -> None:
    """A file name that the terminal cannot show must not end a command."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


if __name__ == "__main__":
    sys.exit(main())
