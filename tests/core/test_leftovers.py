"""The guard against leftovers must itself be able to fail."""

from __future__ import annotations

from pathlib import Path

import pytest

CONFTEST = "from tests.conftest import nothing_left_running\nfrom tests import leftovers\nleftovers.GRACE_S = 0.2\n"

LEAVES = {
    "thread": """
        import threading
        stop = threading.Event()
        def test_it():
            threading.Thread(target=stop.wait, args=(2,), name="forgotten").start()
        """,
    "qthread": """
        from PySide6.QtCore import QThread
        class Forgotten(QThread):
            def run(self):
                self.msleep(1500)
        kept = Forgotten()
        def test_it():
            kept.start()
        """,
    "process": """
        import subprocess, sys
        def test_it():
            global child
            child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(30)"])
        """,
}

TIDY = """
    import subprocess, sys, threading
    from PySide6.QtCore import QThread
    def test_it():
        thread = threading.Thread(target=lambda: None)
        thread.start()
        thread.join()
        worker = QThread()
        worker.start()
        worker.quit()
        assert worker.wait(2000)
        subprocess.run([sys.executable, "-c", ""], check=True)
    """


@pytest.fixture(autouse=True)
def find_this_repository(monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).resolve().parents[2]))


@pytest.mark.parametrize("kind", sorted(LEAVES))
def test_a_leftover_fails_the_test(pytester, kind):
    pytester.makeconftest(CONFTEST)
    pytester.makepyfile(LEAVES[kind])
    result = pytester.runpytest_subprocess("-p", "no:cacheprovider")
    result.assert_outcomes(passed=1, errors=1)
    result.stdout.fnmatch_lines(["*the test left this running*"])


def test_a_tidy_test_passes(pytester):
    pytester.makeconftest(CONFTEST)
    pytester.makepyfile(TIDY)
    pytester.runpytest_subprocess("-p", "no:cacheprovider").assert_outcomes(passed=1)
