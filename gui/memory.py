"""The memory of models that stay loaded between jobs: how much it is, and giving it back."""

from __future__ import annotations

from PySide6.QtCore import QObject, QTimer
from PySide6.QtGui import QAction

from gui import words
from gui.bridge import Held
from gui.session import Session

LOOK_MS = 50


class ModelMemory(QObject):
    """Keeps the action that frees the memory able only when there is something to free, and its tip saying why not."""

    def __init__(self, session: Session, action: QAction) -> None:
        super().__init__(session)
        self._session = session
        self._action = action
        self._given_back: Held | None = None  # by processes that have not quite ended yet
        self._ending = QTimer(self, interval=LOOK_MS)
        self._ending.timeout.connect(self._look)
        action.triggered.connect(lambda _checked=False: self.free())
        for runner in session.runners:
            runner.started.connect(self._show)
            runner.idle.connect(self._show)
            runner.released.connect(self._show)
        self._show()

    def free(self) -> None:
        """End the processes that keep models; says what that has given back when they have ended."""
        held = self._session.held
        if held is None or self._session.busy:
            return
        self._given_back = held
        for runner in self._session.runners:
            runner.release()
        self._ending.start()
        self._show()

    def _look(self) -> None:
        if any(runner.ending for runner in self._session.runners):
            return
        self._ending.stop()
        given, self._given_back = self._given_back, None
        if given is not None:
            self._session.said.emit(self._sentence(given))

    def _sentence(self, given: Held) -> str:
        if not given.memory_mb:
            return self.tr("The models are unloaded; their memory is given back.")
        text = self.tr("Given back: {memory}.").format(memory=words.megabytes(given.memory_mb))
        if not given.gpu_mb:
            return text
        return self.tr("Given back: {memory}, and {gpu} of the GPU's.").format(
            memory=words.megabytes(given.memory_mb), gpu=words.megabytes(given.gpu_mb)
        )

    def _show(self) -> None:
        running = next((one.current for one in self._session.runners if one.current is not None), None)
        held = self._session.held
        self._action.setEnabled(running is None and held is not None)
        if running is not None:
            tip = self.tr("“{work}” is running; what it needs is given back when it ends.").format(work=running.title)
        elif held is None:
            tip = self.tr("No model is loaded, so there is nothing to free.")
        else:
            tip = self.tr("Models stay loaded for a while, so that the next search is quick. This ends that now.")
        self._action.setToolTip(tip)
