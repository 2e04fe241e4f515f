"""Captioning on Ray: how a cluster is shared, what becomes of what it loses, and a real one of which half is killed."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from collections import Counter
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from core.batch import ray_runner
from core.batch.listing import Item
from core.batch.local import Done
from core.batch.ray_runner import PASSES, RayRunner, sizes
from core.batch.records import Candidate, read_records
from core.batch.requests import CaptionOptions, CaptionRequest
from core.batch.runner import caption_folder
from core.cli import main
from core.errors import UserError
from core.jobs import Cancelled, QuietContext
from tests.core.test_batch import ROOT, Watching, write_photos

OPTIONS = CaptionOptions()


@pytest.mark.parametrize(
    ("machines", "options", "expected"),
    [
        # sessions, decoders, processors of each; every machine has room for its sessions and for decoding
        ([(2, 0)], OPTIONS, (1, 2, 0.75, 0.5)),
        ([(1, 0), (1, 0), (0, 0)], OPTIONS, (2, 5, 0.375, 0.25)),  # a head that only directs
        ([(16, 0), (32, 0)], OPTIONS, (3, 30, 6, 1)),
        ([(16, 2), (8, 0)], OPTIONS, (2, 22, 1, 1)),
        ([(16, 2)], replace(OPTIONS, provider="cpu"), (1, 10, 6, 1)),
        ([(8, 0)], replace(OPTIONS, sessions=2, decoders=3), (2, 3, 3, 1)),
        ([], OPTIONS, (1, 2, 0.375, 0.25)),
    ],
)
def test_a_cluster_is_shared_between_sessions_and_decoding(machines, options, expected):
    share = sizes(machines, options)
    assert (share.sessions, share.decoders, share.session_cpus, share.decoder_cpus) == expected
    assert share.threads >= 1 and share.gpus == (options.provider != "cpu" and any(gpus for _, gpus in machines))


def test_without_ray_it_says_how_to_get_it(tmp_path, tiny_bundle, monkeypatch, capsys):
    def missing(name):
        raise ImportError(f"No module named {name!r}")

    monkeypatch.setattr(ray_runner, "import_module", missing)
    (tmp_path / "photos").mkdir()
    arguments = ["caption", str(tmp_path / "photos"), "--bundle", str(tiny_bundle), "--out", str(tmp_path / "o.jsonl")]
    assert main([*arguments, "--engine", "ray"]) == 2
    said = capsys.readouterr().err
    assert "Ray engine is not installed" in said and "seedcap[ray]" in said and "--shard" in said
    assert main([*arguments, "--sessions", "2"]) == 2 and "--engine ray" in capsys.readouterr().err


class Unreliable(RayRunner):
    """A cluster that loses, doubles and refuses; ``give(at, number, size)``: how often it gives a photo back.

    ``passes``: photos, batch and sessions of each."""

    def __init__(self, give) -> None:
        self._options, self._give = replace(OPTIONS, batch=4), give
        self.passes: list[tuple[int, int | None, int | None]] = []
        self.machines: list[set[str]] = []

    def _alive(self):
        return self.machines.pop() if len(self.machines) > 1 else set(*self.machines)

    def _results(self, items, options, ctx):
        number, size = len(self.passes), options.batch
        self.passes.append((len(items), size, options.sessions))
        assert all(item.path.is_absolute() for item in items.values())  # machines stand in other folders
        for at in list(items):
            done = Done(Item("", Path()), (Candidate(f"Pass {number}.", 0.5, -1.0),))
            for _ in range(self._give(at, number, size)):
                yield [(at, done)]


def handed_out(give, number: int = 10) -> tuple[Unreliable, list[Done]]:
    runner = Unreliable(give)
    items = [Item(f"{i}.jpg", Path(f"{i}.jpg")) for i in range(number)]
    return runner, [one for group in runner._page(items, QuietContext()) for one in group]


def test_what_a_dead_machine_had_is_handed_out_again_and_is_there_once():
    runner, done = handed_out(lambda at, number, size: 0 if number == 0 and at % 3 == 0 else 2)
    assert Counter(str(one.item.path) for one in done) == Counter(f"{i}.jpg" for i in range(10))
    assert all(one.candidates for one in done)
    assert runner.passes == [(10, 4, None), (4, 1, 1)]  # again photo by photo, where one machine is room enough


def test_a_photo_that_machines_fail_at_becomes_a_failure_and_takes_no_other_with_it():
    runner, done = handed_out(lambda at, number, size: 0 if at == 7 or (number == 0 and at > 4) else 1)
    failed = [one for one in done if one.error]
    assert [one.item.file for one in failed] == ["7.jpg"] and f"{PASSES} times" in str(failed[0].error)
    assert len(done) == 10 and runner.passes == [(10, 4, None), (5, 1, 1), (1, 1, 1)]


def test_what_a_machine_says_in_words_arrives_in_words(monkeypatch):
    class RayError(Exception):
        cause: Any = None

    monkeypatch.setattr(ray_runner, "import_module", lambda name: SimpleNamespace(RayError=RayError))
    error = RayError("RayTaskError\n  File ...\n\nboom")
    found = ray_runner._in_words(error)
    assert isinstance(found, UserError) and "could not go on: boom" in found.message and "--resume" in found.next_step
    error.cause = UserError("The file is missing.", "Copy the bundle.")
    assert str(ray_runner._in_words(error)) == "The file is missing. Copy the bundle."
    bug = ZeroDivisionError("x")
    assert ray_runner._in_words(bug) is bug


def test_cancelling_does_not_wait_for_a_machine(monkeypatch):
    """Nothing ever comes back, and the reader is told to stop."""
    stopped = []

    def read(dataset, found, stop):
        stop.wait()
        stopped.append(dataset)

    monkeypatch.setattr(ray_runner, "_read", read)
    runner = Unreliable(None)
    runner._dataset = lambda items, options: "the dataset"  # type: ignore[method-assign]
    ctx = Watching(lambda self: self.checks == 3)
    with pytest.raises(Cancelled):
        list(RayRunner._results(runner, {0: Item("a.jpg", Path("a.jpg"))}, OPTIONS, ctx))
    for thread in ray_runner.threading.enumerate():
        if thread.name == "ray-results":
            thread.join()
    assert stopped == ["the dataset"]


@pytest.mark.parametrize(("machines", "ends"), [([{"a"}, {"a", "b"}], True), ([{"a"}, {"a"}], False)])
def test_sessions_that_died_with_their_machine_are_not_waited_for(monkeypatch, machines, ends):
    monkeypatch.setattr(ray_runner, "_STALLED_S", 0.0)
    monkeypatch.setattr(ray_runner, "_read", lambda dataset, found, stop: stop.wait())
    runner = Unreliable(None)
    runner.machines = machines  # asked from the last to the first
    runner._dataset = lambda items, options: "the dataset"  # type: ignore[method-assign]
    results = RayRunner._results(
        runner, {0: Item("a.jpg", Path("a.jpg"))}, OPTIONS, Watching(lambda it: it.checks == 4)
    )
    if ends:
        assert list(results) == []
    else:
        with pytest.raises(Cancelled):
            list(results)


CLUSTER = """
import json, os, sys
from pathlib import Path
os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
from ray.cluster_utils import Cluster
from core.batch.progress import BatchProgress
from core.batch.requests import CaptionOptions, CaptionRequest
from core.batch.runner import caption_folder
from core.jobs import QuietContext

node = {"num_cpus": 1, "object_store_memory": 80 * 2**20, "include_dashboard": False}
cluster = Cluster(initialize_head=True, head_node_args=node)
workers = [cluster.head_node, cluster.add_node(**node)]
os.environ["RAY_ADDRESS"] = cluster.address

class Half(QuietContext):
    def partial(self, result):
        if isinstance(result, BatchProgress) and result.done >= 10 and len(workers) == 2:
            cluster.remove_node(workers.pop(), allow_graceful=False)

photos, out, bundle = map(Path, sys.argv[1:4])
options = CaptionOptions(batch=2, threads=1, method="sample", candidates=2, engine="ray")
report = caption_folder(Half(), CaptionRequest(photos, out, bundle, options=options))
cluster.shutdown()
print(json.dumps({"done": report.done, "failed": report.failed, "workers": len(workers)}))
"""


@pytest.mark.skipif(importlib.util.find_spec("ray") is None, reason="Ray is an extra: pip install 'seedcap[ray]'")
@pytest.mark.timeout(900)
def test_a_cluster_of_two_of_which_one_is_killed_says_what_one_process_says(tmp_path, tiny_bundle):
    photos = tmp_path / "photos"
    write_photos(photos, 24)
    (photos / "empty.jpg").touch()
    out = tmp_path / "ray.jsonl"
    done = subprocess.run(
        [sys.executable, "-c", CLUSTER, photos, out, tiny_bundle], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-3000:]
    said = json.loads(done.stdout.splitlines()[-1])
    assert said == {"done": 24, "failed": [["empty.jpg", "The file is empty."]], "workers": 1}
    options = CaptionOptions(batch=7, threads=1, method="sample", candidates=2)
    local = CaptionRequest(photos, tmp_path / "local.jsonl", tiny_bundle, options=options)
    caption_folder(QuietContext(), local)
    expected = {record.file: words(record) for record in read_records(local.out)}
    found = [record.file for record in read_records(out)]
    assert Counter(found) == Counter(expected.keys())  # nothing lost, nothing repeated
    assert {record.file: words(record) for record in read_records(out)} == expected
    # The output is the checkpoint: the job is complete, to this machine as well.
    assert caption_folder(QuietContext(), replace(local, out=out, resume=True)).already == 25


def words(record) -> tuple:
    return record.error, record.content, record.model, [one.caption for one in record.candidates]
