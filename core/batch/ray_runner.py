"""Captioning on a Ray cluster: decoding tasks on all machines, long-lived sessions with one open bundle each.

Ray moves photos about; this process alone writes, and only it knows what is done. What a machine that died had in its
hands comes back to no one: it is handed out again, photo by photo, so that each is in the output exactly once.
"""

from __future__ import annotations

import logging
import os
import pickle
import queue
import threading
import time
import warnings
from collections.abc import Generator, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from functools import partial
from importlib import import_module
from itertools import islice
from pathlib import Path
from types import ModuleType
from typing import Any

from core.batch.batch_size import START, BatchSize
from core.batch.listing import Item
from core.batch.local import Done, within_memory
from core.batch.pipeline import Prepared, prepare
from core.batch.requests import CaptionOptions
from core.devices import VARIABLE, card_asked_for
from core.errors import UserError
from core.images.preprocess import Preprocess
from core.jobs import JobContext, QuietContext
from core.onnx.session import Bundle, open_bundle

_HELD = 65536
"""Photos that Ray is given at a time."""
PASSES = 3
"""So often a photo is handed out before it counts as one that machines fail at."""
_RETRIES = 3
_LOST = "The machines that were given this photo failed at it {passes} times; Ray's logs say how."
_POLL_S = 0.2
_STALLED_S = 60.0
"""After a machine has died: so long without a result, and Ray waits for sessions that died with it."""


@dataclass(frozen=True)
class Sizes:
    """``sessions`` with ``session_cpus`` processors and ``gpus`` cards each, of which the bundle uses ``threads``;
    beside them ``decoders`` tasks with ``decoder_cpus`` each."""

    sessions: int
    decoders: int
    session_cpus: float
    decoder_cpus: float
    gpus: int
    threads: int


def sizes(machines: Sequence[tuple[float, float]], options: CaptionOptions) -> Sizes:
    """How to share machines with ``(processors, graphics cards)`` each.

    With graphics cards a session each, and decoding on the other processors. Without, a session takes three eighths of
    the smallest machine, and one a machine is opened; the rest decodes. Ray only counts these, so that a machine has
    room for the session of another that died, and for a decoder still. A session runs three quarters of a machine's
    threads, since decoding rarely takes the rest.
    """
    useful = [machine for machine in machines if machine[0] > 0] or [(1.0, 0.0)]
    processors, cards = sum(cpus for cpus, _ in useful), sum(int(gpus) for _, gpus in useful)
    smallest = min(cpus for cpus, _ in useful)
    decoder_cpus = min(1.0, smallest / 4)
    if cards and options.provider != "cpu":
        sessions, session_cpus = cards, decoder_cpus
    else:
        cards = 0
        sessions = sum(int(cpus // smallest) for cpus, _ in useful)
        session_cpus = smallest * 3 / 8
    sessions = options.sessions or sessions
    left = max(decoder_cpus, processors - sessions * session_cpus)
    threads = options.threads or max(1, int(smallest * 3 / 4))
    decoders = options.decoders or max(1, int(left / decoder_cpus))
    return Sizes(sessions, decoders, session_cpus, decoder_cpus, 1 if cards else 0, threads)


class RayRunner:
    """Captions on the cluster that ``RAY_ADDRESS`` names, or on one made of this machine; in no order."""

    def __init__(self, bundle: Bundle, options: CaptionOptions) -> None:
        self._ray = _import_ray()
        self._folder, self._model = bundle.folder.absolute(), bundle.manifest.model_hash
        self._spec, self._options = bundle.encoder.preprocess, options

    def run(self, items: Iterable[Item], ctx: JobContext) -> Generator[list[Done]]:
        source = iter(items)
        with _connected(self._ray, ctx):
            while page := list(islice(source, _HELD)):  # what Ray holds at a time stays the same
                yield from self._page(page, ctx)

    def _page(self, items: Sequence[Item], ctx: JobContext) -> Iterator[list[Done]]:
        left = dict(enumerate(items))
        for number in range(PASSES):
            if not left:
                return
            options = self._again if number else replace(self._options, batch=self._options.batch or START)
            # Other machines do not know where this one stands.
            given = {at: replace(item, path=item.path.absolute()) for at, item in left.items()}
            for group in self._results(given, options, ctx):
                done = [replace(one, item=left.pop(at)) for at, one in group if at in left]
                if done:
                    yield done
        if left:
            yield [Done(item, error=_LOST.format(passes=PASSES)) for item in left.values()]

    @property
    def _again(self) -> CaptionOptions:
        """For what comes back to no one. A photo that kills its session would take the others of its batch with it
        again, and for what is left one session is enough."""
        return replace(self._options, batch=1, sessions=1)

    def _results(
        self, items: dict[int, Item], options: CaptionOptions, ctx: JobContext
    ) -> Iterator[list[tuple[int, Done]]]:
        """What comes back of one pass; read in a thread, so that cancelling does not wait for a machine.

        Where sessions have died with their machine, Ray may wait for them for ever: then the pass ends here.
        """
        found: queue.Queue[Any] = queue.Queue(maxsize=4)
        stop = threading.Event()
        machines, heard = self._alive(), time.monotonic()
        dataset = self._dataset(items, options)
        reader = threading.Thread(target=_read, args=(dataset, found, stop), name="ray-results", daemon=True)
        reader.start()
        try:
            while True:
                ctx.check_cancelled()
                try:
                    group = found.get(timeout=_POLL_S)
                except queue.Empty:
                    if time.monotonic() - heard > _STALLED_S and machines - self._alive():
                        return
                    continue
                if group is None:
                    return
                if isinstance(group, BaseException):
                    raise _in_words(group)
                yield group
                heard = time.monotonic()
        finally:
            stop.set()

    def _alive(self) -> set[str]:
        """The machines of the cluster, as far as Ray knows of their death."""
        return {str(node["NodeID"]) for node in self._ray.nodes() if node["Alive"]}

    def _dataset(self, items: dict[int, Item], options: CaptionOptions) -> Any:
        data, size = self._ray.data, options.batch or START
        share = sizes(_machines(self._ray), options)
        entries = iter(items.items())
        tables: list[Any] = []
        while some := list(islice(entries, size)):
            tables.append(_table(some))
        warnings.filterwarnings("ignore", "`ray_remote_args` is deprecated")  # pyproject.toml keeps to what has them
        pictures = data.from_arrow(tables).map_batches(
            partial(_decode, spec=self._spec),
            batch_size=size,
            batch_format="pyarrow",
            compute=data.TaskPoolStrategy(size=share.decoders),
            num_cpus=share.decoder_cpus,
            max_retries=_RETRIES,
        )
        return pictures.map_batches(
            _Session,
            fn_constructor_args=(self._folder, self._model, replace(options, threads=share.threads)),
            batch_size=size,
            batch_format="pyarrow",
            compute=data.ActorPoolStrategy(size=share.sessions),
            num_cpus=share.session_cpus,
            **({"num_gpus": share.gpus} if share.gpus else {}),
            # A session that dies begins anew, where there is room; what it had is handed out again, photo by photo.
            max_restarts=-1,
            max_task_retries=0,
        )


class _Session:
    """Lives on a machine of the cluster; one bundle, opened once."""

    def __init__(self, folder: Path, model: str, options: CaptionOptions) -> None:
        from core.batch.runner import make_engine

        if card_asked_for() is not None:
            del os.environ[VARIABLE]  # Ray shows each session a card of its own, which is then the first one
        bundle = open_bundle(folder, options.threads, options.provider)
        if bundle.manifest.model_hash != model:
            raise UserError(f"{folder} is another bundle on one of the machines.", "Copy the same one to all of them.")
        self._engine, self._size = make_engine(bundle, options), BatchSize(options.batch)

    def __call__(self, table: Any) -> Any:
        entries: list[tuple[int, Prepared]] = [pickle.loads(one.as_py()) for one in table.column("work")]
        ats, batch = [at for at, _ in entries], [one for _, one in entries]
        done = [one for some in within_memory(self._engine, batch, self._size, QuietContext()) for one in some]
        return _table(zip(ats, done, strict=True))


def _decode(table: Any, spec: Preprocess) -> Any:
    entries: list[tuple[int, Item]] = [pickle.loads(one.as_py()) for one in table.column("work")]
    return _table((at, prepare(item, spec)) for at, item in entries)


def _table(entries: Iterable[tuple[int, Any]]) -> Any:
    pa = import_module("pyarrow")  # comes with Ray Data
    return pa.table({"work": pa.array(map(pickle.dumps, entries), pa.large_binary())})


def _read(dataset: Any, found: queue.Queue[Any], stop: threading.Event) -> None:
    """Hand over what the cluster gives back, until it has nothing more, fails, or ``stop`` is set."""
    last: Any = None
    try:
        for table in dataset.iter_batches(batch_size=None, batch_format="pyarrow", prefetch_batches=0):
            group = [pickle.loads(one.as_py()) for one in table.column("work")]
            if not _put(found, group, stop):
                return
    except BaseException as error:  # noqa: BLE001 - it is raised again where the results are read
        last = error
    _put(found, last, stop)


def _put(found: queue.Queue[Any], what: Any, stop: threading.Event) -> bool:
    while not stop.is_set():
        with suppress(queue.Full):
            found.put(what, timeout=_POLL_S)
            return True
    return False


def _in_words(error: BaseException) -> BaseException:
    """What a machine of the cluster complained of in words, or what Ray did."""
    seen: BaseException | None = error
    while seen is not None:
        cause = getattr(seen, "cause", None) or seen.__cause__
        for one in (seen, cause):
            if isinstance(one, UserError):
                return UserError(one.message, one.next_step)
        seen = cause
    if isinstance(error, import_module("ray.exceptions").RayError):
        first = next((line for line in reversed(str(error).splitlines()) if line.strip()), type(error).__name__)
        return UserError(f"The Ray cluster could not go on: {first.strip():.300}", "Go on with --resume.")
    return error


def _machines(ray: ModuleType) -> list[tuple[float, float]]:
    alive = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    return [(float(one.get("CPU", 0)), float(one.get("GPU", 0))) for one in alive]


def _import_ray() -> ModuleType:
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"  # nothing leaves the machine
    try:
        ray = import_module("ray")
        import_module("ray.data")
    except ImportError as error:
        raise UserError(
            f"The Ray engine is not installed here ({error}).",
            "Install it with: python -m pip install 'seedcap[ray]', or use --shard i/n on each machine.",
        ) from error
    return ray


@contextmanager
def _connected(ray: ModuleType, ctx: JobContext) -> Iterator[None]:
    """A connection to the cluster, which ends with the work; one that is there already stays."""
    if ray.is_initialized():
        _configure(ray)
        yield
        return
    address = os.environ.get("RAY_ADDRESS")
    ctx.progress(0, None, "Connecting to Ray" if address else "Starting Ray")
    # A cluster of this machine alone listens to this machine alone.
    here: dict[str, Any] = {} if address else {"include_dashboard": False, "_node_ip_address": "127.0.0.1"}
    try:
        ray.init(address or "local", log_to_driver=False, logging_level="error", **here)
    except (OSError, RuntimeError, ValueError) as error:
        first = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise UserError(
            f"There is no Ray cluster to work on: {first:.300}", "Check RAY_ADDRESS, or unset it."
        ) from error
    try:
        _configure(ray)
        yield
    finally:
        ray.shutdown()


def _configure(ray: ModuleType) -> None:
    logging.getLogger("ray.data").setLevel(logging.CRITICAL)  # what is lost is said here, once, in words
    context = ray.data.DataContext.get_current()
    context.enable_progress_bars = False
    context.print_on_execution_start = False
    context.max_errored_blocks = -1  # and counted, and handed out again
    context.max_consecutive_actor_init_deaths = _RETRIES
