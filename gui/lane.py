"""Short calls to the library, off the GUI thread and in order."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

from PySide6.QtCore import QObject, QThread, Signal

from core.errors import UserError
from gui.worker import Failure, bug

_log = logging.getLogger(__name__)


class Lane(QThread):
    """Short calls, one after another, off the GUI thread: every read and write of the library.

    ``submit(call, then)`` runs ``call()`` in the lane and ``then(result)`` in the GUI thread. Calls with the same
    ``key`` replace one another while they wait, and only the newest one's result is delivered: what nobody waits for
    any more is not answered.
    """

    failed = Signal(object)  # Failure
    _done = Signal(object)

    def __init__(self, name: str, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self.setObjectName(name)
        self._calls: list[_Call] = []
        self._wake = threading.Condition()
        self._busy = False
        self._closing = False
        self._newest: dict[str, int] = {}
        self._count = 0
        self._done.connect(self._deliver)

    def submit(
        self, call: Callable[[], object], then: Callable[..., None] | None = None, *, key: str | None = None
    ) -> None:
        with self._wake:
            if self._closing:
                return  # whoever asks now is about to go
            self._count += 1
            if key is not None:
                self._calls = [waiting for waiting in self._calls if waiting.key != key]
                self._newest[key] = self._count
            self._calls.append(_Call(self._count, key, call, then))
            self._wake.notify_all()
        if not self.isRunning():
            self.start()

    def drain(self, timeout_s: float = 10.0) -> bool:
        """Wait until every call so far has run; False if that took too long. Results are delivered later as usual."""
        with self._wake:
            return self._wake.wait_for(lambda: not self._calls and not self._busy, timeout_s)

    def stop(self) -> None:
        """Run what waits, then end the thread for good."""
        with self._wake:
            self._closing = True
            self._wake.notify_all()
        self.wait()

    def run(self) -> None:
        while True:
            with self._wake:
                self._busy = False
                self._wake.notify_all()
                self._wake.wait_for(lambda: bool(self._calls) or self._closing)
                if not self._calls:
                    return
                call = self._calls.pop(0)
                self._busy = True
            call.perform()
            self._done.emit(call)

    def _deliver(self, call: _Call) -> None:
        if call.key is not None and self._newest.get(call.key) != call.number:
            return
        if call.failure is not None:
            self.failed.emit(call.failure)
        elif call.then is not None:
            call.then(call.result)


class _Call:
    def __init__(
        self, number: int, key: str | None, call: Callable[[], object], then: Callable[..., None] | None
    ) -> None:
        self.number = number
        self.key = key
        self.then = then
        self.result: object = None
        self.failure: Failure | None = None
        self._call = call

    def perform(self) -> None:
        try:
            self.result = self._call()
        except UserError as error:
            self.failure = Failure(error.message, error.next_step)
        except Exception as error:  # noqa: BLE001 - the bridge: shown with its details, and the lane goes on
            _log.exception("a call to the library failed")
            self.failure = bug(error)
