"""How many threads a machine is good for: quotas of containers count, and so do hyper-threads."""

from __future__ import annotations

import os

import pytest

from core.onnx import threads


def cgroup(root, own: str, files: dict[str, str]):
    """A machine's ``proc`` and ``sys`` with this process in the groups ``own``."""
    (root / "proc/self").mkdir(parents=True)
    (root / "proc/self/cgroup").write_text(own)
    for name, text in files.items():
        path = root / "sys/fs/cgroup" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


@pytest.mark.parametrize(
    ("own", "files", "quota"),
    [
        ("0::/\n", {"cpu.max": "150000 100000\n"}, 1.5),
        ("0::/\n", {"cpu.max": "max 100000\n"}, None),
        ("0::/\n", {"cpu.max": "nonsense\n"}, None),
        ("0::/\n", {}, None),
        # a service inside a slice with a narrower limit
        ("0::/a.slice/b\n", {"a.slice/b/cpu.max": "400000 100000", "a.slice/cpu.max": "200000 100000"}, 2.0),
        # a container that sees the machine's name of its group, but its own group at the mount
        ("0::/docker/0123\n", {"cpu.max": "50000 100000"}, 0.5),
        # version 1, on its own and beside a version 2 that has no limit
        ("4:cpu,io:/x\n", {"cpu,io/x/cpu.cfs_quota_us": "300000", "cpu,io/x/cpu.cfs_period_us": "100000"}, 3.0),
        ("4:cpu,io:/x\n", {"cpu/cpu.cfs_quota_us": "300000", "cpu/cpu.cfs_period_us": "100000"}, 3.0),
        ("1:cpu:/\n0::/\n", {"cpu/cpu.cfs_quota_us": "-1", "cpu/cpu.cfs_period_us": "100000"}, None),
        ("1:cpu:/\n0::/\n", {"cpu/cpu.cfs_quota_us": "250000", "cpu/cpu.cfs_period_us": "50000"}, 5.0),
        ("1:cpuset:/\n", {"cpu/cpu.cfs_quota_us": "250000", "cpu/cpu.cfs_period_us": "50000"}, None),
        ("garbage\n\n", {"cpu.max": "100000 100000"}, None),
    ],
)  # fmt: skip
def test_a_quota_is_found_where_it_is_written(tmp_path, own, files, quota):
    assert threads.cpu_quota(cgroup(tmp_path, own, files)) == quota


def test_a_machine_without_groups_has_no_quota(tmp_path):
    assert threads.cpu_quota(tmp_path) is None


@pytest.mark.skipif(not hasattr(os, "sched_getaffinity"), reason="cores are counted otherwise here")
@pytest.mark.parametrize(
    ("cores", "hyper_threads", "quota", "usable", "decoders"),
    [(1, 1, None, 1, 1), (1, 2, None, 1, 1), (64, 1, None, 64, 16), (64, 2, None, 64, 16),
     (64, 1, 1.5, 2, 2), (64, 1, 0.1, 1, 1), (2, 1, 8.0, 2, 2)],
)  # fmt: skip
def test_threads_fit_one_core_and_sixty_four(monkeypatch, cores, hyper_threads, quota, usable, decoders):
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(cores * hyper_threads)))
    monkeypatch.setattr(threads, "_siblings", lambda cpu: str(cpu % cores))
    monkeypatch.setattr(threads, "cpu_quota", lambda: quota)
    assert (threads.usable_cores(), threads.decode_threads()) == (usable, decoders)
