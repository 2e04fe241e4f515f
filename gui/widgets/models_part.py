"""Models, in the settings: what was downloaded and where it lies, removing it, and where downloads come from."""

from __future__ import annotations

from PySide6.QtCore import Qt
from PySide6.QtWidgets import QLineEdit, QPushButton, QScrollArea, QWidget

from core import paths
from core.errors import UserError
from core.hub.cache import Downloaded, downloaded, megabytes
from gui import theme, words
from gui.hub_settings import HubSettings
from gui.model_tasks import remove_model
from gui.revealing import show_folder
from gui.session import Session
from gui.widgets.basics import MIDDLE, CheckBox, ElidedLabel, button, column, label, row, set_role

_MOST_HIGH = 17  # of the list, in letters: three models, then it scrolls
_HUB = "https://huggingface.co"


class ModelsPart(QWidget):
    def __init__(self, session: Session, hub: HubSettings) -> None:
        super().__init__()
        self._session, self._hub = session, hub
        self.remove_buttons: dict[str, QPushButton] = {}
        self._asked = self._removing = ""  # the model whose Remove waits for a second press, and the one that goes
        self.where = ElidedLabel("", "muted", cut=MIDDLE)
        show = button(self.tr("Show the folder"), self._show_folder, icon_name="folder")
        place = row(self.where, show)
        place.setStretch(0, 1)
        self.list = QScrollArea()
        self.list.setWidgetResizable(True)
        self.list.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.list.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        self.about = label("", "muted", wrap=True)
        self.mirror = QLineEdit(hub.mirror)
        self.mirror.setPlaceholderText(hub.mirror_at_start or _HUB)
        self.mirror.setAccessibleName(self.tr("Address of a mirror to download from"))
        self.mirror.setToolTip(self.tr("Empty: the hub itself. A proxy is the one that HTTPS_PROXY names."))
        self.mirror.editingFinished.connect(self._keep_mirror)
        self.offline = CheckBox(self.tr("Download nothing"))
        self.offline.setChecked(hub.offline)
        self.offline.setEnabled(not hub.offline_at_start)
        if hub.offline_at_start:
            self.offline.setToolTip(self.tr("HF_HUB_OFFLINE says so, as Seedcap was started with it."))
        self.offline.clicked.connect(hub.set_offline)
        source = row(label(self.tr("Download from")), self.mirror, self.offline)
        source.setStretch(1, 1)
        self.setLayout(column(place, self.list, self.about, source, spacing=theme.S))
        self._fill()

    def _fill(self) -> None:
        try:
            here, wrong = downloaded(), ""
        except UserError as error:
            here, wrong = (), str(error)
        size = megabytes(sum(one.bytes_here for one in here))
        folder = words.place(paths.models_dir())
        self.where.set_text(self.tr("{folder}: {size}").format(folder=folder, size=size) if here else folder)
        self.about.setText(wrong or self.tr("No model has been downloaded."))
        self.about.setVisible(not here)
        self.remove_buttons = {}
        lines = QWidget()
        lines.setLayout(column(*(self._line(one) for one in here), spacing=theme.XS))
        self.list.setWidget(lines)
        self.list.setFixedHeight(min(theme.letters(_MOST_HIGH), lines.sizeHint().height() + 2 * self.list.frameWidth()))
        self.list.setVisible(bool(here))

    def _line(self, model: Downloaded) -> QWidget:
        name = ElidedLabel(model.name)
        size = megabytes(model.bytes)
        if not model.whole:
            size = self.tr("{part} of {size}").format(part=megabytes(model.bytes_here), size=size)
        made = self.remove_buttons[model.name] = button(self.tr("Remove"), lambda: self._remove(model))
        made.setAccessibleName(self.tr("Remove {name}").format(name=model.name))
        line = QWidget()
        layout = row(name, label(size, "muted"), made)
        layout.setStretch(0, 1)
        line.setLayout(layout)
        return line

    def _remove(self, model: Downloaded) -> None:
        """At the second press: gigabytes take their time to come back."""
        if self._session.training:
            self._session.said.emit(self.tr("A training runs, and may need it. Remove it when that has ended."))
            return
        if self._asked != model.name:
            self._ask_about(model.name)
            return
        self._ask_about("")
        title = self.tr("Removing {name}").format(name=model.name)
        job = self._session.start(self._session.light, remove_model, model.name, title=title, kind="remove model")
        if job is not None:
            for made in self.remove_buttons.values():
                made.setEnabled(False)
            self._removing = model.name
            job.finished.connect(self._removed)  # methods, and no lambdas: the dialog may be closed meanwhile
            job.ended.connect(self._fill)

    def _ask_about(self, name: str) -> None:
        self._asked = name
        for key, made in self.remove_buttons.items():
            made.setText(self.tr("Really remove?") if key == name else self.tr("Remove"))
            set_role(made, "danger" if key == name else "")

    def _removed(self, freed: int) -> None:
        text = self.tr("Removed {name}: {size} are free again.")
        self._session.said.emit(text.format(name=self._removing, size=megabytes(freed)))

    def _keep_mirror(self) -> None:
        good = self._hub.set_mirror(self.mirror.text())
        self.mirror.setProperty("invalid", not good)
        self.mirror.style().unpolish(self.mirror)
        self.mirror.style().polish(self.mirror)
        self.mirror.setAccessibleDescription("" if good else self.tr("Write an address: https://…"))
        if not good:
            self._session.said.emit(self.tr("A mirror is an address that begins with https://"))

    def _show_folder(self) -> None:
        folder = paths.models_dir()
        folder.mkdir(parents=True, exist_ok=True)
        show_folder(folder, self._session.said.emit)
