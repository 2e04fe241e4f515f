"""What holds for every test: no display, no network, a home of its own, nothing left running."""

from __future__ import annotations

import gc
import os
import shutil
import socket
import sys
import threading

os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")
os.environ["HF_HUB_OFFLINE"] = "1"
for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(_name, "1")  # the models here are tiny; more threads would only get in each other's way

import psutil  # noqa: E402
import pytest  # noqa: E402

from core.telemetry import send_nothing  # noqa: E402
from tests import leftovers  # noqa: E402

send_nothing()

pytest_plugins = ["pytester", "tests.hub_server"]

_MUCH = 20_000
"""Objects that may have been made since garbage was last collected."""


@pytest.fixture(autouse=True)
def seedcap_home(tmp_path_factory, monkeypatch):
    """A data, cache, config and log folder for this test alone; worker processes inherit it."""
    home = tmp_path_factory.mktemp("seedcap-home")
    monkeypatch.setenv("SEEDCAP_HOME", str(home))
    return home


@pytest.fixture(scope="session")
def tiny_starter_folder(tmp_path_factory):
    """Tiny models laid out like ``resources/starter``, made once; never write into this folder."""
    from tests.tiny import write_tiny_starter

    return write_tiny_starter(tmp_path_factory.mktemp("models") / "starter")


@pytest.fixture
def tiny_starter(tiny_starter_folder, monkeypatch):
    """``starter`` names the tiny models in this test, in worker processes too."""
    monkeypatch.setenv("SEEDCAP_STARTER", str(tiny_starter_folder))
    return tiny_starter_folder


@pytest.fixture(scope="session")
def told_while_exporting():
    """What the export of the tiny starter reported: done, of how many, words."""
    return []


@pytest.fixture(scope="session")
def exported_tiny_starter(tiny_starter_folder, tmp_path_factory, told_while_exporting):
    """``(report, folder)`` of the tiny starter's fp32 bundle, exported once; never write into this folder."""
    from core.jobs import QuietContext
    from core.onnx.export import ExportRequest, export_job

    class Noting(QuietContext):
        def progress(self, done, total, message=""):
            told_while_exporting.append((done, total, message))

    folder = tmp_path_factory.mktemp("bundles") / "tiny"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SEEDCAP_STARTER", str(tiny_starter_folder))
        return export_job(Noting(), ExportRequest("starter", folder)), folder


@pytest.fixture(scope="session")
def tiny_bundle(exported_tiny_starter):
    """The folder of an ONNX bundle of the tiny models; captioning with it needs no torch."""
    return exported_tiny_starter[1]


@pytest.fixture(scope="session")
def outlined_starter_folder(tiny_starter_folder, tiny_bundle, tmp_path_factory):
    """The tiny starter with its outline beside it, as the starter is shipped; never write into this folder."""
    from core.onnx.outline import OUTLINE, write_outline

    folder = shutil.copytree(tiny_starter_folder, tmp_path_factory.mktemp("outlined") / "starter")
    write_outline(tiny_starter_folder, tiny_bundle, folder / OUTLINE)
    return folder


@pytest.fixture
def outlined_starter(outlined_starter_folder, monkeypatch):
    """``tiny_starter`` that need not be exported: its bundle is filled from its outline."""
    monkeypatch.setenv("SEEDCAP_STARTER", str(outlined_starter_folder))
    return outlined_starter_folder


@pytest.fixture(autouse=True)
def on_mains(monkeypatch):
    """Tests are the same on a laptop that runs on its battery."""
    monkeypatch.setattr(psutil, "sensors_battery", lambda: None, raising=False)


@pytest.fixture(autouse=True)
def no_network(monkeypatch):
    """A connection to another machine fails at once, here and not only where there is no network."""
    connect = socket.socket.connect

    def guarded(self, address):
        local = not isinstance(address, tuple) or str(address[0]) in ("127.0.0.1", "::1", "localhost")
        if not local:
            raise OSError(f"tests have no network; something wanted to reach {address}")
        return connect(self, address)

    monkeypatch.setattr(socket.socket, "connect", guarded)


@pytest.fixture(autouse=True)
def nothing_left_running():
    """Fail a test that leaves a thread, a QThread or a child process behind, and say where it is."""
    threads = {thread.ident for thread in threading.enumerate() if thread.ident is not None}
    processes = set(leftovers.children())
    qt = leftovers.QtThreads()
    with qt.watch():
        yield

    def look() -> list[str]:
        new = [f"child process {pid}: {what}" for pid, what in leftovers.children().items() if pid not in processes]
        return leftovers.new_threads(threads) + qt.running() + qt.pool_is_busy() + new

    left = leftovers.settle(look)
    for process_id in set(leftovers.children()) - processes:
        leftovers.end(process_id)
    if left:
        pytest.fail("the test left this running:\n" + "\n".join(left), pytrace=False)


@pytest.fixture(autouse=True)
def few_torch_threads():
    torch = sys.modules.get("torch")
    if torch is not None:
        torch.set_num_threads(1)


def pytest_runtest_teardown() -> None:
    """Where a window has been in this process, garbage is collected by its timer, which runs in windows alone."""
    if not gc.isenabled() and gc.get_count()[0] > _MUCH:
        gc.collect()
