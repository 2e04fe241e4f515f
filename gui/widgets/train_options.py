"""Behind "More" in Train: method, models, sentences of one's own, time; each with what it does and costs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from PySide6.QtCore import Signal
from PySide6.QtWidgets import QGridLayout, QLabel, QWidget

from core.devices import AUTO, CPU, Device
from core.training.messages import TrainRequest
from core.training.presets import PRESETS
from gui import methods, theme, words
from gui.choosing import choose_file
from gui.device_list import DeviceList
from gui.widgets.basics import MIDDLE, ComboBox, Disclosure, ElidedLabel, button, column, label, row, tool_button
from gui.widgets.model_choice import ModelChoice

LIMITS_MINUTES = (5, 10, 15, 30, 60, 180, 480)


class DeviceChoice(QWidget):
    """What to train on; shown where there is more than one to choose from."""

    def __init__(self) -> None:
        super().__init__()
        self.box = ComboBox()
        self.box.addItem(self.tr("Whatever is fastest"), AUTO)
        self.box.setAccessibleName(self.tr("Trains on"))
        told = self.tr("A graphics card where there is one; of several, the one with most free memory.")
        self.about = label(told, "muted", wrap=True)
        self.setLayout(column(row(self.box, None), self.about, spacing=theme.XS))

    @property
    def value(self) -> str:
        return self.box.currentData()

    def choose(self, name: str) -> None:
        """Also before it is known what this computer has."""
        if self.box.findData(name) < 0:
            self.box.addItem(name, name)
        self.box.setCurrentIndex(self.box.findData(name))

    def show_devices(self, devices: Sequence[Device]) -> None:
        """Those of this computer, as :func:`core.devices.devices` has them; what was chosen stays."""
        for one in devices:
            if (at := self.box.findData(one.name)) < 0:
                self.box.addItem(self._said(one), one.name)
            else:
                self.box.setItemText(at, self._said(one))

    def _said(self, device: Device) -> str:
        if device.name == CPU:
            return self.tr("Processor: {title}").format(title=device.title)
        if device.free is None or device.total is None:
            return device.title
        told = self.tr("{title}: {free} of {total} GB free")
        return told.format(title=device.title, free=round(device.free / 1e9), total=round(device.total / 1e9))


class TrainOptions(QWidget):
    changed = Signal()

    def __init__(self) -> None:
        super().__init__()
        self._took: dict[str, float] = {}  # seconds that trainings with a preset have taken here
        self.text_file: Path | None = None
        self.preset = ComboBox()
        for preset in PRESETS.values():
            self.preset.addItem(words.tr(preset.title), preset.name)
        self.preset.setAccessibleName(self.tr("Method"))
        self.about_preset = label("", "muted", wrap=True)
        self.encoder = ModelChoice("encoder", self.tr("Encoder"), methods.encoder())
        self.lm = ModelChoice("language_model", self.tr("Language model"), methods.language_model())
        self.device = DeviceChoice()
        self.more = Disclosure(self.tr("More"), self._form())
        self.more.setObjectName("train-more")
        self.show_devices(())
        self.device_list = DeviceList(self)
        self.device_list.found.connect(self.show_devices)
        self.more.toggle.clicked.connect(lambda _checked=False: self.device_list.ask())
        self.setLayout(column(self.more))
        self.preset.currentIndexChanged.connect(lambda _index: self._describe())
        self.encoder.changed.connect(self.changed)
        self.lm.changed.connect(self.changed)
        self._describe()

    def _form(self) -> QWidget:
        """All choices, each beside its name, below what is said where a training waits."""
        waits = self.tr(
            "A training waits. Going on with it keeps its own method, models and sentences: what is chosen of these"
            " here is for one that begins anew. “End after” counts for both."
        )
        self.waits = label(waits, "", wrap=True)
        self.waits.hide()
        form = QWidget()
        grid = QGridLayout()
        inside = column(self.waits, grid, spacing=theme.M)
        inside.setContentsMargins(theme.L, 0, 0, 0)
        form.setLayout(inside)
        grid.setHorizontalSpacing(theme.L)
        grid.setVerticalSpacing(theme.M)
        lines: tuple[tuple[str, QWidget], ...] = (
            (self.tr("Method"), self._under(self.preset, self.about_preset)),
            (self.tr("Encoder"), self.encoder),
            (self.tr("Language model"), self.lm),
            (self.tr("Sentences"), self._sentences()),
            (self.tr("End after"), self._end_after()),
            (self.tr("Trains on"), self.device),
        )
        for at, (text, widget) in enumerate(lines):
            grid.addWidget(_beside(text), at, 0)
            grid.addWidget(widget, at, 1)
        self._device_line = grid, len(lines) - 1
        grid.setColumnStretch(1, 1)
        return form

    def _end_after(self) -> QWidget:
        self.minutes = ComboBox()
        self.minutes.addItem(self.tr("No limit"), None)
        for limit in LIMITS_MINUTES:
            self.minutes.addItem(words.duration(limit * 60), float(limit))
        self.minutes.setAccessibleName(self.tr("End after"))
        told = self.tr(
            "Both stages then fit into this time; when it is over, what was learned is compared with the model in use"
            " and takes its place if it wins. The time begins with the first step, and again after each pause."
        )
        self.about_limit = label(told, "muted", wrap=True)
        self.minutes.setAccessibleDescription(told)
        self.minutes.currentIndexChanged.connect(lambda _index: self.changed.emit())
        return self._under(self.minutes, self.about_limit)

    def request(self, library: Path, overrides: Mapping[str, object]) -> TrainRequest:
        """A training with what is chosen here."""
        return TrainRequest(
            library,
            self.preset.currentData(),
            encoder=self.encoder.value,
            lm=self.lm.value,
            text_file=self.text_file if self._reads_sentences else None,
            limit_minutes=self.minutes.currentData(),
            device=self.device.value,
            overrides=overrides,
        )

    def take_up(self, stopped: TrainRequest) -> None:
        """Choose what a stopped training had of that which going on can change: its time limit and its device."""
        limit = stopped.limit_minutes
        if self.minutes.findData(limit) < 0 and limit is not None:
            self.minutes.addItem(words.duration(60 * limit), limit)  # given on the command line
        self.minutes.setCurrentIndex(self.minutes.findData(limit))
        self.device.choose(stopped.device)

    @property
    def own_models(self) -> bool:
        """Whether both models are Seedcap's own, whose time is known."""
        return self.encoder.value == self.lm.value == methods.OWN

    def show_devices(self, devices: Sequence[Device]) -> None:
        """What this computer can train on; with a single one there is nothing to choose."""
        self.device.show_devices(devices)
        grid, line = self._device_line
        for at in range(2):
            item = grid.itemAtPosition(line, at)
            if item is not None and (widget := item.widget()) is not None:
                widget.setVisible(len(devices) > 1)

    def set_took(self, seconds: Mapping[str, float]) -> None:
        """How long the last training with each preset has taken here."""
        self._took = dict(seconds)
        self._describe()

    def set_text_file(self, file: Path | None) -> None:
        self.text_file = file
        self._describe()

    @property
    def _reads_sentences(self) -> bool:
        return PRESETS[self.preset.currentData()].stage1.texts > 0

    def _under(self, box: QWidget, text: QLabel) -> QWidget:
        holder = QWidget()
        holder.setLayout(column(row(box, None), text, spacing=theme.XS))
        return holder

    def _sentences(self) -> QWidget:
        self.choose_text = button(self.tr("Choose a text file…"), self._choose_text, icon_name="folder")
        self.text_name = ElidedLabel("", "", cut=MIDDLE)
        self.drop_text = tool_button("close", self.tr("No text file"), lambda: self.set_text_file(None))
        self.about_text = label("", "muted", wrap=True)
        line = row(self.choose_text, self.text_name, self.drop_text)
        line.setStretch(1, 1)
        holder = QWidget()
        holder.setLayout(column(line, self.about_text, spacing=theme.XS))
        return holder

    def _choose_text(self) -> None:
        title, kinds = self.tr("Choose a text file"), self.tr("Text (*.txt);;All files (*)")
        choose_file(self, title, kinds, self.set_text_file)

    def _describe(self) -> None:
        name = self.preset.currentData()
        told = methods.method(name)
        took = self._took.get(name)
        last = "" if took is None else self.tr("Last time here: {time}.").format(time=words.duration(took))
        self.about_preset.setText(" ".join(part for part in (told.sentence, told.cost, last) if part))
        self.about_preset.setToolTip(words.tr(PRESETS[name].about))
        self.choose_text.setEnabled(self._reads_sentences)
        self.text_name.set_text("" if self.text_file is None else self.text_file.name)
        self.drop_text.setVisible(self.text_file is not None)
        self.about_text.setText(
            methods.sentences()
            if self._reads_sentences
            else self.tr("This method learns from captions of photos alone.")
        )
        self.changed.emit()


def _beside(text: str) -> QLabel:
    """At the height of the first line of what it names."""
    made = label(text)
    made.setContentsMargins(0, theme.S, 0, 0)
    made.setAlignment(made.alignment().AlignTop | made.alignment().AlignLeft)
    return made
