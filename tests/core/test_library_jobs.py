"""What jobs write into a library: candidates, scores, splits, runs and the ledger."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import func, select

from core.errors import UserError
from core.library import edits, ledger, queries, runs, scores, splits
from core.library.candidates import add_candidates, set_error
from core.library.library import Library
from core.library.records import ScoreRow
from core.library.tables import Caption, Score
from tests.core.photos import copy_of_library, library_with, look


@pytest.fixture
def library(tmp_path):
    with library_with(tmp_path, 5) as library:
        yield library


def _texts(library, image_id: int = 1) -> list[str]:
    return [caption.text for caption in queries.captions_of(library, [image_id])[image_id]]


# -- candidates -------------------------------------------------------------------------------------------------------


def test_candidates_carry_their_run(library):
    run = runs.create_run(library, "recommended", {})
    written = add_candidates(library, run.id, {1: ["one", " two ", "one", ""], 2: []})
    assert {image: len(ids) for image, ids in written.items()} == {1: 2, 2: 0}
    captions = queries.captions_of(library, [1])[1]
    assert [(c.text, c.author, c.run_id, c.state) for c in captions] == [
        ("one", "run", run.id, "candidate"),
        ("two", "run", run.id, "candidate"),
    ]
    assert [caption.id for caption in captions] == written[1]


def test_skip_leaves_captioned_photos_alone(library):
    edits.add_seed(library, 1, "mine")
    add_candidates(library, None, {2: ["model"]})
    edits.reject(library, add_candidates(library, None, {3: ["bad"]})[3])
    written = add_candidates(library, None, {1: ["a"], 2: ["b"], 3: ["c", "bad"], 4: ["d"]}, "skip")
    assert {image: len(ids) for image, ids in written.items()} == {3: 1, 4: 1}, "left alone is not: nothing new"
    assert _texts(library, 1) == ["mine"] and _texts(library, 2) == ["model"]
    assert _texts(library, 3) == ["c", "bad"]  # what was rejected does not come back


def test_add_puts_new_texts_beside_the_others(library):
    edits.add_seed(library, 1, "mine")
    assert len(add_candidates(library, None, {1: ["mine", "x"]}, "add")[1]) == 1
    assert len(add_candidates(library, None, {1: ["x", "y"]}, "add")[1]) == 1
    assert _texts(library) == ["mine", "x", "y"]


def test_replace_touches_only_what_the_model_proposed_and_keeps_it_in_the_history(library):
    edits.add_seed(library, 1, "mine")
    old = add_candidates(library, None, {1: ["stays accepted", "old", "stays rejected"]}, "add")[1]
    edits.accept(library, old[:1])
    edits.reject(library, old[2:])
    new = add_candidates(library, None, {1: ["new", "mine", "stays rejected"]}, "replace-model")[1]
    assert _texts(library) == ["mine", "stays accepted", "new", "stays rejected"]
    with library.session() as session:
        row = session.get_one(Caption, new[0])
        assert row.supersedes_id == old[1]
        assert not session.get_one(Caption, old[1]).live
    assert len(new) == 1


def test_replacing_with_nothing_new_keeps_what_was_there(library):
    edits.add_seed(library, 1, "mine")
    add_candidates(library, None, {1: ["old"]}, "add")
    assert add_candidates(library, None, {1: ["mine"]}, "replace-model") == {1: []}
    assert _texts(library) == ["mine", "old"]
    with pytest.raises(ValueError):
        add_candidates(library, None, {1: ["x"]}, "overwrite")


@pytest.fixture(scope="module")
def template(tmp_path_factory):
    with library_with(tmp_path_factory.mktemp("template"), 1) as library:
        return library.path


@settings(max_examples=15, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.sampled_from(["skip", "add", "replace-model"]),
            st.lists(st.sampled_from("abcd"), max_size=3),
            st.sampled_from(["none", "accept", "reject", "edit"]),
        ),
        max_size=6,
    )
)
def test_no_job_ever_changes_what_a_person_decided(tmp_path_factory, template, steps):
    with copy_of_library(template, tmp_path_factory.mktemp("library")) as library:
        edits.add_seed(library, 1, "human")
        decided: dict[str, str] = {"human": "accepted"}
        for existing, texts, action in steps:
            add_candidates(library, None, {1: texts}, existing)
            rows = queries.captions_of(library, [1])[1]
            assert {row.text: row.state for row in rows if row.text in decided} == decided
            assert len({row.text for row in rows}) == len(rows)
            open_ = [row for row in rows if row.state == "candidate"]
            if not open_:
                continue
            if action in ("accept", "reject"):
                getattr(edits, action)(library, [open_[0].id])
                decided[open_[0].text] = f"{action}ed"
            elif action == "edit":
                edits.edit_caption(library, open_[0].id, f"edited {len(decided)}")
                decided[f"edited {len(decided)}"] = "accepted"


def test_a_photo_that_turned_out_unreadable_is_listed_until_it_is_scanned_well(library, tmp_path):
    set_error(library, 2, "The picture is damaged.")
    assert [(row.id, row.error) for row in queries.failed_images(library)] == [(2, "The picture is damaged.")]
    assert queries.image_ids(library).tolist() == [1, 3, 4, 5]
    look(library, tmp_path / "photos")
    assert queries.failed_images(library) == []


# -- scores -----------------------------------------------------------------------------------------------------------


def _score(value: float) -> ScoreRow:
    return ScoreRow(value, 1.0, 5, 3.0, 0.1)


def _shown(library) -> dict[int, float | None]:
    rows = queries.captions_of(library, queries.image_ids(library))
    return {c.id: None if c.score is None else c.score.clip_s for captions in rows.values() for c in captions}


def test_scores_order_captions_and_photos(library):
    written = add_candidates(library, None, {1: ["a", "b", "c"], 2: ["d"], 3: ["e"]})
    values = dict(zip([*written[1], *written[2]], (0.2, 0.9, 0.5, 0.7), strict=True))
    scores.write_scores(library, "e1", {one: _score(value) for one, value in values.items()}, gallery_version="v1")
    assert _texts(library, 1) == ["b", "c", "a"]
    assert queries.captions_of(library, [2])[2][0].score == _score(0.7)
    assert queries.image_ids(library, sort="score").tolist() == [1, 2, 3, 4, 5]
    assert queries.image_ids(library, sort="weakest").tolist() == [2, 1, 3, 4, 5]
    assert queries.image_ids(library, sort="distinctiveness").tolist()[:2] == [1, 2]


def test_numbers_of_two_galleries_never_stand_side_by_side(library):
    a, b = (add_candidates(library, None, {image: ["x"]})[image][0] for image in (1, 2))
    scores.write_scores(library, "e1", {a: _score(0.1), b: _score(0.2)}, gallery_version="v1")
    scores.write_scores(library, "e1", {a: _score(0.3)}, gallery_version="v2")
    assert _shown(library) == {a: 0.3, b: None}
    scores.write_scores(library, "e2", {b: _score(0.4)}, gallery_version="v2")
    assert _shown(library) == {a: None, b: 0.4}
    with library.session() as session:
        assert session.scalar(select(func.count()).select_from(Score)) == 1
    assert scores.shown_version(library) == ("e2", "v2")


def test_scores_that_are_added_must_belong_to_those_shown(library):
    a, b = (add_candidates(library, None, {image: ["x"]})[image][0] for image in (1, 2))
    scores.write_scores(library, "e1", {b: _score(0.2)}, gallery_version="v1", complete=False)
    assert _shown(library) == {a: None, b: None}
    scores.write_scores(library, "e1", {a: _score(0.1)}, gallery_version="v1")
    for encoder, version in (("e2", "v1"), ("e1", "v2")):
        scores.write_scores(library, encoder, {b: _score(0.9)}, gallery_version=version, complete=False)
    assert _shown(library) == {a: 0.1, b: None}
    scores.write_scores(library, "e1", {b: _score(0.2), a: _score(0.15)}, gallery_version="v1", complete=False)
    assert _shown(library) == {a: 0.15, b: 0.2}


def test_old_scores_stay_whole_while_new_ones_are_being_written(library, monkeypatch):
    written = add_candidates(library, None, {1: ["a", "b"], 2: ["c"]})
    ids = [one for captions in written.values() for one in captions]
    scores.write_scores(library, "e1", dict.fromkeys(ids, _score(0.1)), gallery_version="v1")
    monkeypatch.setattr(scores, "_ROWS_A_TRANSACTION", 1)

    class Stops(dict):
        def items(self):
            yield from list(super().items())[:2]
            assert set(_shown(library).values()) == {0.1}
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        scores.write_scores(library, "e1", Stops.fromkeys(ids, _score(0.9)), gallery_version="v2")
    assert set(_shown(library).values()) == {0.1}
    scores.write_scores(library, "e1", dict.fromkeys(ids, _score(0.5)), gallery_version="v3")
    assert set(_shown(library).values()) == {0.5}
    with library.session() as session:
        assert session.scalar(select(func.count()).select_from(Score)) == 3


def test_an_edited_caption_has_no_score_and_one_that_is_gone_does_not_stop_the_others(library):
    (a,) = add_candidates(library, None, {1: ["x"]})[1]
    scores.write_scores(library, "e1", {a: _score(0.1), 999: _score(0.2)}, gallery_version="v1")
    revision = edits.edit_caption(library, a, "y")
    assert _shown(library) == {revision: None}
    edits.undo(library)
    assert _shown(library) == {a: 0.1}


def test_the_gallery_version_follows_the_photos(library, tmp_path):
    first = scores.gallery_version(library)
    assert scores.gallery_version(library) == first
    edits.add_seed(library, 1, "no new photo")
    (tmp_path / "photos" / "04.png").rename(tmp_path / "photos" / "renamed.png")
    look(library, tmp_path / "photos")
    assert scores.gallery_version(library) == first
    (tmp_path / "photos" / "renamed.png").unlink()
    look(library, tmp_path / "photos")
    assert scores.gallery_version(library) != first


# -- splits -----------------------------------------------------------------------------------------------------------


def test_held_out_photos_stay_held_out_as_seeds_come_and_go(library):
    for image in (1, 2, 3, 4):
        edits.add_seed(library, image, f"caption {image}")
    first = splits.split_seeds(library, fraction=0.5)
    assert (len(first.train), len(first.held_out)) == (2, 2)
    assert splits.split_seeds(library, fraction=0.5) == first
    assert splits.split_seeds(library, fraction=0.0, seed=7) == first
    edits.add_seed(library, 5, "caption 5")
    later = splits.split_seeds(library, fraction=0.5, seed=3)
    assert {seed.image_id for seed in first.held_out} <= {seed.image_id for seed in later.held_out}
    assert {seed.image_id for seed in first.train} <= {seed.image_id for seed in later.train}
    out = first.held_out[0]
    edits.remove_caption(library, queries.captions_of(library, [out.image_id])[out.image_id][0].id)
    assert out.content_hash in splits.held_out(library)
    assert out.image_id not in [image for image, _ in queries.unlabelled(library)]
    edits.add_seed(library, out.image_id, "another caption")
    assert out.image_id in [seed.image_id for seed in splits.split_seeds(library, fraction=0.5).held_out]


def test_a_copy_of_a_held_out_photo_is_held_out(library, tmp_path):
    for image in (1, 2, 3):
        edits.add_seed(library, image, f"caption {image}")
    out = splits.split_seeds(library, fraction=0.4).held_out[0]
    path = queries.image_rows(library, [out.image_id])[0].path
    (tmp_path / "photos" / "copy.png").write_bytes(path.read_bytes())
    look(library, tmp_path / "photos")
    copy = queries.image_ids(library, text="copy.png")[0]
    edits.add_seed(library, copy, "the same photo again")
    parts = splits.split_seeds(library, fraction=0.0)
    assert copy in [seed.image_id for seed in parts.held_out]
    assert not {seed.content_hash for seed in parts.train} & {seed.content_hash for seed in parts.held_out}


def test_enough_is_left_to_train_on(library):
    for image in (1, 2, 3):
        edits.add_seed(library, image, f"caption {image}")
    assert len(splits.split_seeds(library, fraction=0.9, minimum=2).held_out) == 1
    assert splits.split_seeds(library, fraction=0.9, minimum=3).train != ()
    with pytest.raises(ValueError):
        splits.split_seeds(library, fraction=1.0)


def test_no_seeds_no_split(library):
    assert splits.split_seeds(library) == splits.SeedSplit((), ())


# -- runs -------------------------------------------------------------------------------------------------------------


def test_a_run_is_a_row_and_a_folder(library):
    run = runs.create_run(library, "recommended", {"steps": [1, 2]}, seed=7, data_hash="d")
    assert run.folder.is_dir() and run.folder.parent == library.runs_dir
    assert (run.status, run.config, run.seed, run.data_hash, run.finished_at) == (
        "running",
        {"steps": [1, 2]},
        7,
        "d",
        None,
    )
    run = runs.update_run(library, run.id, metrics={"cider": 0.4}, gates=[{"name": "length", "state": "green"}])
    assert run.status == "running"
    run = runs.update_run(library, run.id, status="done", checkpoint_hash="c")
    assert run == runs.find_run(library, run.id)
    assert (run.metrics, run.checkpoint_hash) == ({"cider": 0.4}, "c") and run.finished_at >= run.created_at
    for wrong in ({"status": "fine"}, {"preset": "x"}, {"id": "y"}):
        with pytest.raises(ValueError):
            runs.update_run(library, run.id, **wrong)


def test_the_current_run(library):
    assert runs.current_run(library) is None
    first, second = (runs.create_run(library, "recommended", {}) for _ in range(2))
    assert {run.id for run in runs.runs(library)} == {first.id, second.id}
    runs.set_current_run(library, first.id)
    assert runs.current_run(library) == first
    runs.set_current_run(library, None)
    assert runs.current_run(library) is None
    with pytest.raises(UserError, match="no run 'nonsense'"):
        runs.set_current_run(library, "nonsense")


# -- ledger -----------------------------------------------------------------------------------------------------------


def test_the_ledger_says_what_is_left_and_what_failed(library):
    job = ledger.start_job(library, "caption", {"existing": "skip"}, [3, 1, 2, 3, 5])
    assert ledger.next_items(library, job, 2) == [1, 2]
    add_candidates(library, None, {1: ["x"], 2: ["y"]}, job_id=job)
    assert ledger.next_items(library, job, 9) == [3, 5]
    ledger.finish_items(library, job, {3: None, 5: "The file is empty."})
    row = ledger.find_job(library, job)
    assert (row.todo, row.done, row.failed, row.params) == (0, 3, 1, {"existing": "skip"})
    (failed,) = ledger.failed_items(library, job)
    assert (failed.image_id, failed.path.name, failed.error, failed.attempts) == (5, "04.png", "The file is empty.", 1)
    assert ledger.unfinished_job(library, "caption") is None
    assert ledger.retry_failed(library, job) == 1
    assert ledger.next_items(library, job, 9) == [5]
    ledger.finish_item(library, job, 5, "still empty")
    assert ledger.failed_items(library, job)[0].attempts == 2
    ledger.close_job(library, job)
    assert ledger.find_job(library, job).state == "done"


def test_a_job_that_was_cut_off_is_found_again(library):
    done = ledger.start_job(library, "caption", {}, [1])
    ledger.finish_item(library, done, 1)
    ledger.close_job(library, done)
    other = ledger.start_job(library, "rank", {}, [1])
    cut = ledger.start_job(library, "caption", {"n": 2}, [1, 2])
    ledger.finish_item(library, cut, 1)
    found = ledger.unfinished_job(library, "caption")
    assert (found.id, found.todo, found.params) == (cut, 1, {"n": 2})
    ledger.close_job(library, cut, "cancelled")
    assert ledger.unfinished_job(library, "caption").id == cut
    assert ledger.unfinished_job(library, "rank").id == other


def test_a_job_whose_list_was_cut_off_is_never_resumed(library, monkeypatch):
    """Resuming it would do a part of the photos and say that all is done."""
    monkeypatch.setattr(ledger, "_ROWS_A_TRANSACTION", 1)

    def ids():
        yield 1
        yield 2
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        ledger.start_job(library, "caption", {}, ids())
    assert ledger.unfinished_job(library, "caption") is None


def test_a_list_that_was_cut_off_is_cleared_by_the_next_application(library, monkeypatch):
    monkeypatch.setattr(ledger, "_ROWS_A_TRANSACTION", 1)

    def ids():
        yield 1
        raise KeyboardInterrupt

    kept = ledger.start_job(library, "caption", {}, [1])
    with pytest.raises(KeyboardInterrupt):
        ledger.start_job(library, "caption", {}, ids())
    cut = ledger.last_job(library, "caption")
    assert cut.id != kept and cut.state == "preparing"
    Library.open(library.path, exclusive=True).close()
    assert ledger.last_job(library, "caption").id == kept and ledger.find_job(library, cut.id) is None


def test_captions_and_the_ledger_are_written_together_or_not_at_all(library, monkeypatch):
    from core.library import candidates

    job = ledger.start_job(library, "caption", {}, [1])

    def fails(*args):
        raise KeyboardInterrupt

    monkeypatch.setattr(candidates, "mark_done", fails)
    with pytest.raises(KeyboardInterrupt):
        add_candidates(library, None, {1: ["x"]}, job_id=job)
    assert _texts(library) == [] and ledger.next_items(library, job, 5) == [1]
