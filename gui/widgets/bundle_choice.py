"""Which model captions are made with, in which numbers, and what is known of both: part of Deliver."""

from __future__ import annotations

from pathlib import Path

from PySide6.QtCore import Signal
from PySide6.QtWidgets import QGridLayout, QWidget

from gui import theme, words
from gui.bundles import STARTER, Checked, checked, checked_bundle
from gui.choosing import choose_folder
from gui.history import RunLine
from gui.services import LibraryService, Overview
from gui.session import Session
from gui.widgets.basics import ComboBox, button, label
from gui.widgets.flow import Flow
from gui.worker import Failure

EXACT, SMALLER = 0, 1


class BundleChoice(QWidget):
    """``changed`` when something else is to caption, or more is known of what is."""

    changed = Signal()

    def __init__(self, session: Session) -> None:
        super().__init__()
        self._session = session
        self._listed: object = None  # the library as it was when its models were listed
        self._own: dict[Path, Checked] = {}  # bundles of the person's own
        self._mixed = False
        self.checked = Checked()
        self.models = ComboBox()
        self.models.setAccessibleName(self.tr("Model"))
        self.models.setSizeAdjustPolicy(ComboBox.SizeAdjustPolicy.AdjustToContents)
        self.models.addItem(self.tr("The one in use"), None)
        self.other = button(self.tr("Another bundle…"), self.choose, role="link", icon_name="folder")
        self.numbers = ComboBox()
        self.numbers.setAccessibleName(self.tr("Speed"))
        self.numbers.addItems([self.tr("As it was trained"), self.tr("Faster, with a rounded copy of it")])
        self.told = label("", "muted", wrap=True)
        grid = QGridLayout()
        grid.setContentsMargins(theme.XS + 1, theme.XS, 0, theme.XS)  # begins where circles and boxes do
        grid.setHorizontalSpacing(theme.M)
        grid.setVerticalSpacing(theme.S)
        grid.setColumnStretch(1, 1)
        grid.addWidget(label(self.tr("Model")), 0, 0)
        grid.addLayout(Flow().put(self.models, self.other), 0, 1)
        grid.addWidget(label(self.tr("Speed")), 1, 0)
        grid.addLayout(Flow().put(self.numbers), 1, 1)
        grid.addWidget(self.told, 2, 1)
        self.setLayout(grid)
        self.models.currentIndexChanged.connect(lambda _index: self._choose_again())
        self.numbers.currentIndexChanged.connect(lambda _index: self._tell())
        session.opened.connect(self._new_library)
        self._tell()

    # -- what is chosen ---------------------------------------------------------------------------------------------

    @property
    def model(self) -> str | None:
        """``starter`` or the id of a run; None for the model in use."""
        chosen = self.models.currentData()
        return chosen if isinstance(chosen, str) else None

    @property
    def bundle(self) -> Path | None:
        chosen = self.models.currentData()
        return chosen if isinstance(chosen, Path) else None

    @property
    def in_use(self) -> bool:
        return self.models.currentData() is None

    @property
    def faster(self) -> bool:
        return self.numbers.currentIndex() == SMALLER and self.numbers.isEnabled()

    @property
    def paced(self) -> str:
        """What the pace of a captioning is remembered by."""
        overview = self._session.overview
        used = None if overview is None else overview.run_id
        return str(self.bundle or self.model or used or STARTER)

    @property
    def sentence(self) -> str:
        """What captions, and whether it says what its model says."""
        overview = self._session.overview
        if self.bundle is not None:
            said = self.tr("The bundle “{name}” writes these captions.").format(name=self.bundle.name)
        elif self.in_use:
            said = words.model_sentence(None if overview is None else overview.run_date)
        else:
            said = self.tr("These captions are written by {model}.").format(model=self.models.currentText())
        return " ".join(part for part in (said, words.parity_sentence(self.checked.same)) if part)

    # -- what there is ----------------------------------------------------------------------------------------------

    def apply(self, overview: Overview) -> None:
        """List the library's models anew where a training has ended, or another model is in use."""
        seen = (overview.run_id, overview.report)
        if seen == self._listed:
            self._look()
            return
        self._listed = seen
        self._session.look_up(LibraryService.history, self._list, key="models")

    def _list(self, lines: tuple[RunLine, ...]) -> None:
        others = [line for line in lines if line.usable and not line.in_use]
        used = next((line.created_at for line in lines if line.in_use), None)
        chosen = self.models.currentData()
        self.models.blockSignals(True)
        self.models.clear()
        self.models.addItem(self.tr("The one in use: {model}").format(model=words.model_name(used)), None)
        for line in others:
            self.models.addItem(words.model_name(line.created_at), line.run_id or STARTER)
        for own in self._own:
            self._add_own(own)
        self.models.setCurrentIndex(max(0, self._at(chosen)))
        self.models.blockSignals(False)
        self._choose_again()

    def _add_own(self, bundle: Path) -> None:
        self.models.addItem(self.tr("The bundle “{name}”").format(name=bundle.name), bundle)

    def _at(self, chosen: object) -> int:
        """Where a model is in the list, −1 where it is not: Qt would compare paths by what they are in C++."""
        return next((at for at in range(self.models.count()) if self.models.itemData(at) == chosen), -1)

    def choose(self) -> None:
        choose_folder(self, self.tr("A bundle, as “seedcap bundle” writes it"), self.take)

    def take(self, folder: Path) -> None:
        """Caption with the bundle in ``folder``, if it is one."""

        def found(known: Checked) -> None:
            if known.refused:
                self._session.failed.emit(Failure(known.refused, self.tr("Choose the folder of a bundle.")))
                return
            if folder not in self._own:
                self._own[folder] = known
                self._add_own(folder)
            self._own[folder] = known
            self.models.setCurrentIndex(self._at(folder))

        self._session.look_up(lambda _service: checked_bundle(folder), found, key="bundle")

    def _new_library(self) -> None:
        self._listed = None
        self.models.setCurrentIndex(0)

    # -- what is known of it ----------------------------------------------------------------------------------------

    def set_mixed(self, mixed: bool) -> None:
        """A choice of wording is made with the exact model."""
        self._mixed = mixed
        self._tell()

    def _choose_again(self) -> None:
        self.checked = Checked()
        self._tell()
        self._look()

    def _look(self) -> None:
        if self.bundle is not None:
            self._know(self._own[self.bundle])
            return
        overview = self._session.overview
        used = None if overview is None else overview.run_id
        run_id = used if self.in_use else None if self.model == STARTER else self.model
        self._session.look_up(lambda service: checked(service.path, run_id), self._know, key="checked")

    def _know(self, known: Checked) -> None:
        if known != self.checked:
            self.checked = known
            self._tell()

    def _tell(self) -> None:
        loss = self.checked.loss
        offered = self.bundle is None and not self._mixed and (loss is None or loss.acceptable)
        self.numbers.setEnabled(offered)
        if not offered:
            self.numbers.setCurrentIndex(EXACT)
        self.told.setText(self._said())
        self.numbers.setAccessibleDescription(self.told.text())
        self.changed.emit()

    def _said(self) -> str:
        loss = self.checked.loss
        if self.bundle is not None:
            return words.faster_sentence(loss) if loss is not None else self.tr("As it was made.")
        if self._mixed:
            return self.tr("Not together with a choice of wording: that is made with the exact model.")
        return words.faster_sentence(loss)
