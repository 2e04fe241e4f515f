"""Before a training downloads a model that nothing was told about: its size, memory and licence, and a second press."""

from __future__ import annotations

from core.known_models import known_models
from core.training.messages import TrainRequest
from gui import methods
from gui.model_tasks import ask_about_models
from gui.session import Session
from gui.widgets.message_bar import MessageBar


class DownloadQuestion(MessageBar):
    """Models of the list have said all that where they were chosen; of others the hub is asked."""

    def __init__(self, session: Session) -> None:
        super().__init__()
        self._session = session
        self._asking = False
        self._told: tuple[str, ...] = ()

    def waits(self, request: TrainRequest) -> bool:
        """Whether ``request`` waits for another press of the button; what there is to know is being asked, or shown."""
        names = _untold(request)
        if self._asking:
            return True
        if names == self._told:
            self.clear()
            return False
        title = self.tr("Asking about models")
        job = self._session.start(self._session.light, ask_about_models, names, title=title, kind="ask")
        if job is not None:
            self._asking = True
            self.show_message(self.tr("Asking what there is to download…"))
            job.finished.connect(lambda said: self._tell(names, said))
            job.failed.connect(lambda _failure: self.clear())
            job.cancelled.connect(self.clear)
            job.ended.connect(self._ended)
        return True

    def forget(self) -> None:
        """Other models have been chosen."""
        self._told = ()
        if not self._asking:
            self.clear()

    def _tell(self, names: tuple[str, ...], said: tuple[str, ...]) -> None:
        self._told = names
        self.show_message(" ".join(said), self.tr("Press the button again to download and train."))

    def _ended(self) -> None:
        self._asking = False


def _untold(request: TrainRequest) -> tuple[str, ...]:
    listed = {one.name for one in known_models()}
    return tuple(name for name in (request.encoder, request.lm) if name not in listed and not methods.is_here(name))
