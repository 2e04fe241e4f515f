"""Finding photos through the encoder: by words, or like a photo. In a worker that keeps its model loaded."""

from __future__ import annotations

from PySide6.QtCore import QObject, QTimer, Signal

from gui.bridge import RunningJob
from gui.services import Photo
from gui.session import Session
from gui.tasks import SearchOrder, SearchResult, SimilarOrder, SimilarResult, search_words, similar_photos

SEARCH_AGAIN_MS = 100
COUNT = 200


class Finding(QObject):
    """Only the newest wish is answered. ``like``: the photo whose like was asked for last."""

    found = Signal(object)  # the photos' ids, best first

    def __init__(self, session: Session) -> None:
        super().__init__()
        self._session = session
        self._words = ""
        self.like: Photo | None = None
        self._waiting = QTimer(self, singleShot=True, interval=SEARCH_AGAIN_MS)
        self._waiting.timeout.connect(self._begin)

    def by_words(self, text: str) -> None:
        self._words, self.like = text.strip(), None
        self._begin()

    def similar(self, photo: Photo) -> None:
        self._words, self.like = "", photo
        self._begin()

    def forget(self) -> None:
        """Nothing is wanted any more; what is under way is not shown."""
        self._words, self.like = "", None
        self._waiting.stop()

    def _begin(self) -> None:
        service, runner = self._session.service, self._session.words
        if service is None or not (self._words or self.like):
            return
        if runner.current is not None:
            if runner.current.kind == "search":  # for something else; photos being chosen in Seed are waited for
                runner.current.cancel()
            self._waiting.start()
            return
        if self.like is not None:
            like = SimilarOrder(service.path, self.like.image.id, COUNT)
            job = self._session.start(runner, similar_photos, like, title=self.tr("Comparing"), kind="search")
        else:
            order = SearchOrder(service.path, self._words, COUNT)
            job = self._session.start(runner, search_words, order, title=self.tr("Searching"), kind="search")
        self._follow(job)

    def _follow(self, job: RunningJob | None) -> None:
        if job is not None:
            job.finished.connect(self._answered)

    def _answered(self, result: SearchResult | SimilarResult) -> None:
        if isinstance(result, SearchResult):
            wanted = self.like is None and result.text == self._words
        else:
            wanted = self.like is not None and result.image_id == self.like.image.id
        if wanted:
            self.found.emit(result.image_ids)
