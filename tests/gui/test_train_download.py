"""Train: what a model takes is said before anything of it is downloaded."""

from __future__ import annotations

import pytest

from core.hub.cache import find
from core.hub.get import get, pinned_or_asked
from core.jobs import QuietContext
from core.known_models import known_models
from gui import methods
from gui.tasks import train as train_task
from gui.widgets.model_choice import ModelChoice
from tests.gui.conftest import settle

LM = "hf:tiny/lm"


@pytest.fixture
def train(qtbot, open_window, photos, monkeypatch):
    """The place, with trainings that would begin noted in ``train.begun`` instead."""
    window = open_window(photos)
    window.go("train")
    settle(qtbot, window)
    view = window.view("train")
    view.begun = []
    start = view._session.start

    def noted(runner, job, request, **how):
        if job is train_task:
            view.begun.append(request)
            return None
        return start(runner, job, request, **how)

    monkeypatch.setattr(view._session, "start", noted)
    return view


def name_another(choice: ModelChoice, name: str) -> None:
    choice.box.setCurrentIndex(choice.box.count() - 1)
    choice.other.setText(name)


@pytest.mark.parametrize("model", known_models(), ids=lambda one: f"{one.kind}-{one.name}")
def test_each_model_that_is_offered_says_size_memory_and_licence(model):
    told = methods.model(model.kind, model.name)
    assert methods.models(model.kind)[model.name] == model.title != ""
    assert told.sentence == model.sentence and model.licence in told.cost and "of memory" in told.cost
    assert told.cost.startswith("Downloads about " if model.download else "No download")


def test_a_model_that_is_here_says_so(qtbot, hub, models_on_hub, monkeypatch):
    listed = next(one for one in known_models() if one.name.startswith("hf:"))
    hub.repositories[listed.name.removeprefix("hf:")] = hub.repositories["tiny/lm"]
    choice = ModelChoice("language_model", "Language model")
    qtbot.addWidget(choice)
    choice.box.setCurrentIndex(choice.box.findData(listed.name))
    assert "Downloads about" in choice.about.text()
    get(QuietContext(), pinned_or_asked(listed.name))
    choice.show()
    assert "Downloaded already" in choice.about.text()


def test_of_another_model_the_hub_is_asked_before_the_download(qtbot, train, hub, models_on_hub):
    name_another(train.options.lm, LM)
    train.begin()
    settle(qtbot, train.window())
    assert train.begun == [] and find(LM) is None
    said = train.question.message
    assert f"{LM}: " in said and "to download" in said and "of memory to train with, licence mit" in said
    assert "Press the button again" in said
    train.begin()
    assert [one.lm for one in train.begun] == [LM] and train.question.message == ""
    assert not any("/resolve/" in path for path in hub.asked)


def test_whoever_names_a_third_model_is_told_about_that(qtbot, train, hub, models_on_hub):
    name_another(train.options.lm, LM)
    train.begin()
    settle(qtbot, train.window())
    hub.repositories["tiny/other"] = hub.repositories["tiny/lm"]
    train.options.lm.other.setText("hf:tiny/other")
    assert train.question.message == ""
    train.begin()
    settle(qtbot, train.window())
    assert train.begun == [] and "hf:tiny/other: " in train.question.message


def test_what_the_hub_does_not_have_is_said_and_nothing_begins(qtbot, train, hub):
    name_another(train.options.lm, "hf:tiny/nothing")
    train.begin()
    settle(qtbot, train.window())
    assert train.begun == [] and train.question.message == ""
    assert "There is no repository tiny/nothing" in train.window().messages.message


def test_models_that_need_no_download_ask_nobody(train, tmp_path):
    name_another(train.options.lm, f"dir:{tmp_path}")
    train.begin()
    assert len(train.begun) == 1
