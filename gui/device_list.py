"""What training can run on, asked of a process of its own: torch knows, and is not loaded into the window's."""

from __future__ import annotations

import json
import logging

from PySide6.QtCore import QCoreApplication, QObject, QProcess, QProcessEnvironment, Signal

from core.children import child_environment, module_command
from core.devices import Device

_log = logging.getLogger(__name__)


class DeviceList(QObject):
    found = Signal(tuple)  # of Device, the processor last; not sent where it could not be found out

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._process: QProcess | None = None

    def ask(self) -> None:
        """Find out, once."""
        if self._process is not None:
            return
        self._process = process = QProcess(self)
        environment = QProcessEnvironment()
        for name, value in child_environment().items():
            environment.insert(name, value)
        process.setProcessEnvironment(environment)
        process.finished.connect(self._ended)
        app = QCoreApplication.instance()
        if app is not None:
            app.aboutToQuit.connect(self.stop)
        program, *arguments = module_command("core.devices")
        process.start(program, arguments)

    def stop(self) -> None:
        """End the question, if it is still open: nobody waits for the answer any more."""
        if self._process is not None and self._process.state() != QProcess.ProcessState.NotRunning:
            self._process.finished.disconnect()
            self._process.kill()
            self._process.waitForFinished()

    def _ended(self, status: int) -> None:
        assert self._process is not None
        said = bytes(self._process.readAllStandardOutput().data())
        try:
            devices = tuple(Device(**one) for one in json.loads(said))
        except (ValueError, TypeError):
            wrong = bytes(self._process.readAllStandardError().data()).decode(errors="replace")
            _log.warning("What training can run on could not be found out (%s): %s", status, wrong[-2000:])
            return
        self.found.emit(devices)
