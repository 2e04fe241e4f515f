"""How much memory there is: a container's limit counts where it is narrower than the machine."""

from __future__ import annotations

import sys

import pytest

from core import machine
from core.cgroups import memory_limit
from tests.onnx.test_threads import cgroup

V1 = "memory.limit_in_bytes", "memory.usage_in_bytes"


@pytest.mark.parametrize(
    ("own", "files", "found"),
    [
        ("0::/\n", {"memory.max": "4000\n", "memory.current": "1000\n"}, (4000, 3000)),
        ("0::/\n", {"memory.max": "max\n", "memory.current": "1000\n"}, (None, None)),
        ("0::/\n", {"memory.max": "4000\n"}, (4000, None)),
        ("0::/\n", {"memory.max": "nonsense\n", "memory.current": "x"}, (None, None)),
        ("0::/\n", {"memory.max": "", "memory.current": ""}, (None, None)),
        ("0::/\n", {"memory.max": "4000", "memory.current": "4100"}, (4000, 0)),
        ("0::/\n", {}, (None, None)),
        # files that were read are given up at once
        ("0::/\n", {"memory.max": "4000", "memory.current": "3500", "memory.stat": "anon 500\ninactive_file 2000\nx"},
         (4000, 2500)),
        # a service inside a slice: either may be the narrower one
        ("0::/a.slice/b\n", {"a.slice/b/memory.max": "4000", "a.slice/b/memory.current": "100",
                             "a.slice/memory.max": "6000", "a.slice/memory.current": "5900"}, (4000, 100)),
        # a container that sees the machine's name of its group, but its own group at the mount
        ("0::/docker/0123\n", {"memory.max": "4000", "memory.current": "0"}, (4000, 4000)),
        # version 1, on its own and beside a version 2; its largest number stands for no limit
        ("4:memory:/x\n0::/\n", {f"memory/x/{V1[0]}": "4000", f"memory/x/{V1[1]}": "3000",
                                 "memory/x/memory.stat": "inactive_file 1\ntotal_inactive_file 500"}, (4000, 1500)),
        ("4:memory:/x\n", {f"memory/x/{V1[0]}": "9223372036854771712", f"memory/x/{V1[1]}": "3000"}, (None, None)),
        ("4:memory:/x\n", {f"memory/{V1[0]}": "4000", f"memory/{V1[1]}": "1000"}, (4000, 3000)),
        ("4:cpu:/x\n", {f"memory/{V1[0]}": "4000"}, (None, None)),
        ("garbage\n\n", {"memory.max": "4000"}, (None, None)),
    ],
)  # fmt: skip
def test_a_limit_is_found_where_it_is_written(tmp_path, own, files, found):
    assert memory_limit(cgroup(tmp_path, own, files)) == found


@pytest.mark.skipif(sys.platform in ("win32", "darwin"), reason="memory is asked for otherwise here")
@pytest.mark.parametrize(
    ("limit", "used", "found"),
    [
        ("3000000", "1000000", (3_000_000, 2_000_000)),
        ("3000000", "0", (3_000_000, 2_048_000)),  # others have the rest of the machine
        ("90000000", "1000000", (8_192_000, 2_048_000)),
        ("max", "1000000", (8_192_000, 2_048_000)),
    ],
)
def test_memory_is_what_a_container_leaves_of_the_machine(tmp_path, limit, used, found):
    root = cgroup(tmp_path, "0::/\n", {"memory.max": limit, "memory.current": used})
    (root / "proc/meminfo").write_text("MemTotal:  8000 kB\nMemFree:  1 kB\nMemAvailable:  2000 kB\n")
    assert machine.memory(root) == found


def test_without_anything_to_read_nothing_is_known(tmp_path):
    assert memory_limit(tmp_path) == (None, None)
