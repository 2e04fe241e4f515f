"""The pieces of training, each against what it must be: noise, rewards, advantages, gradients, guards, data."""

from __future__ import annotations

import json
from dataclasses import asdict, replace

import numpy as np
import pytest
import torch
from torch import nn

from core.captioner.checkpoint import load_captioner
from core.errors import UserError
from core.training.compute import numpy_rng
from core.training.data import CaptionedVectors, hard_neighbours, make_training_data
from core.training.gates import Own, check_gates
from core.training.lengths import token_limits
from core.training.presets import PRESETS, Stage2Settings, find_preset, gentler, read_preset, with_overrides
from core.training.runfolder import RunFolder, read_rows, to_toml
from core.training.stage1 import cycle, warm_up_cosine
from core.training.state import Progress, copy_of, load_state, save_state, trained_weights
from core.training.texts import text_vectors
from tests.tiny import SENTENCES


def unit(*shape, seed=0):
    values = np.random.default_rng(seed).normal(size=shape).astype(np.float32)
    return values / np.linalg.norm(values, axis=-1, keepdims=True)


# -- guards -----------------------------------------------------------------------------------------------------------

GOOD = {
    "rep2": 0.0, "immediate_repeat": 0.0, "bad_ending": 0.0, "no_end": 0.0, "strung": 0.0,
    "length": 9.0, "fluency_nll": 2.0, "unique_ratio": 0.9,
}  # fmt: skip


def states(kl=1.0, photos=200, before=GOOD, **changes):
    return {gate.name: gate.state for gate in check_gates({**GOOD, **changes}, before, Own(9.0), kl, photos)}


def test_a_good_model_is_green_everywhere():
    assert set(states().values()) == {"green"}


@pytest.mark.parametrize(
    ("gate", "changes"),
    [
        ("repetition", {"rep2": 0.03}),
        ("stutter", {"immediate_repeat": 0.03}),
        ("ending", {"bad_ending": 0.08}),
        ("unfinished", {"no_end": 0.05}),
        ("length", {"length": 14.0}),
        ("length", {"length": 5.0}),
        ("fluency", {"fluency_nll": 2.6}),
        ("strung", {"strung": 0.05}),
        ("variety", {"unique_ratio": 0.4}),
        ("drift", {"kl": 9.0}),
    ],
)
def test_each_guard_turns_red_alone(gate, changes):
    found = states(**changes)
    assert found.pop(gate) == "red"
    assert set(found.values()) == {"green"}


def test_guards_warn_before_they_are_red():
    assert states(fluency_nll=2.3)["fluency"] == "amber"
    assert states(kl=7.0)["drift"] == "amber"
    assert states(length=11.5)["length"] == "amber"


def test_wording_may_become_as_unusual_as_half_the_way_to_the_persons_own():
    def fluency(now, own):
        rows = {gate.name: gate for gate in check_gates({**GOOD, "fluency_nll": now}, GOOD, Own(9.0, own), 1.0, 200)}
        return rows["fluency"]

    assert [fluency(now, 4.0).state for now in (2.7, 2.9, 3.1)] == ["green", "amber", "red"]
    assert "and yours is 4.00" in fluency(2.7, 4.0).sentence
    for own in (None, 1.0, 2.9):  # nothing known, or nothing gained: half a nat, as ever
        assert [fluency(now, own).state for now in (2.2, 2.3, 2.6)] == ["green", "amber", "red"]


def test_a_share_of_nothing_and_of_all_is_said_without_a_number():
    def sentences(**changes):
        return {gate.name: gate.sentence for gate in check_gates({**GOOD, **changes}, GOOD, Own(9.0), 1.0, 200)}

    good = sentences(unique_ratio=1.0)
    assert good["stutter"] == "No caption says a word twice in a row."
    assert good["variety"] == "All captions differ from one another."
    assert sentences(immediate_repeat=0.03)["stutter"] == "3.0% of captions say a word twice in a row."
    assert sentences(unique_ratio=0.998)["variety"] == "99% of captions differ from one another."


def test_where_no_wording_was_learned_stage_2_goes_gently_but_a_published_one_as_published():
    recommended, published = find_preset("recommended").stage2, find_preset("clip-reward").stage2
    after = gentler(recommended)
    assert after.lr < 0.5 * recommended.lr and after.kl_target < 0.5 * recommended.kl_target
    assert after.seed_weight == 0 and after.steps == recommended.steps
    assert gentler(replace(recommended, lr=1e-5)).lr == 1e-5, "slow already"
    each = recommended.photos
    steps = [gentler(recommended, photos).steps for photos in (0, 50 * each, 100 * each, 10_000 * each)]
    assert steps == [100, 100, 200, 300] and recommended.steps == 100
    assert gentler(replace(recommended, steps=40), 10_000).steps == 40, "as it was asked for"
    assert gentler(published, 10_000).steps == published.steps
    assert gentler(published) == replace(published, seed_weight=0)


def test_long_practice_is_rewarded_for_its_wording_as_well_unless_a_person_set_any_of_it():
    recommended = find_preset("recommended").stage2
    few, many = 50 * recommended.photos, 150 * recommended.photos
    short, long = gentler(recommended, few), gentler(recommended, many)
    assert short.rewards == recommended.rewards and not short.calibration_photos
    assert min(long.rewards.fluency, long.rewards.grammar) > 0 and long.calibration_photos
    for own in ({"rewards": replace(recommended.rewards, clip_s=2.0)}, {"calibration_photos": 8}, {"steps": 250}):
        after = gentler(replace(recommended, **own), many)
        assert after.rewards.fluency == 0 and {name: getattr(after, name) for name in own} == own


def test_words_may_be_strung_together_as_half_of_the_persons_own_are():
    def state(share, own):
        rows = check_gates({**GOOD, "strung": share}, {**GOOD, "strung": 0.02}, Own(9.0, strung=own), 1.0, 200)
        return next(gate.state for gate in rows if gate.name == "strung")

    assert [state(share, 0.3) for share in (0.05, 0.1, 0.2)] == ["green", "amber", "red"]
    assert [state(share, None) for share in (0.02, 0.04, 0.06)] == ["green", "amber", "red"]
    assert state(0.06, 0.0) == "red", "a person who never does gives no room"
    one_more = check_gates({**GOOD, "strung": 0.15}, {**GOOD, "strung": 0.1}, Own(9.0), 1.0, 20)
    assert next(gate.state for gate in one_more if gate.name == "strung") != "red", "one photo of twenty"


def test_long_captions_may_move_further():
    def drift(kl, words):
        rows = check_gates({**GOOD, "length": words}, {**GOOD, "length": words}, Own(words), kl, 200)
        return {gate.name: gate.state for gate in rows}["drift"]

    assert [drift(kl, 5.0) for kl in (5.0, 7.0, 9.0)] == ["green", "amber", "red"]
    assert [drift(kl, 20.0) for kl in (10.0, 14.0, 18.0)] == ["green", "amber", "red"]


def test_a_model_that_began_shorter_than_the_seeds_may_stay_so_but_not_shrink():
    began = {**GOOD, "length": 5.0}  # of nine words
    assert states(before=began, length=5.0)["length"] == "green"
    assert states(before=began, length=7.0)["length"] == "green"
    assert states(before=began, length=4.5)["length"] == "amber"
    assert states(before=began, length=3.5)["length"] == "red"


def test_what_stage_1_did_already_is_not_held_against_stage_2():
    poor = {**GOOD, "bad_ending": 0.2, "unique_ratio": 0.3}
    assert states(before=poor, bad_ending=0.2, unique_ratio=0.3)["ending"] != "red"
    assert states(before=poor, bad_ending=0.2, unique_ratio=0.3)["variety"] != "red"


def test_one_odd_caption_among_few_is_no_alarm():
    assert states(photos=8, bad_ending=1 / 8)["ending"] != "red"
    assert states(photos=200, bad_ending=1 / 8)["ending"] == "red"


# -- data -------------------------------------------------------------------------------------------------------------


def captioned(first, count, seed):
    captions = tuple((f"caption {i}",) for i in range(count))
    return CaptionedVectors(np.arange(first, first + count), unit(count, 8, seed=seed), captions)


def data_of(number, hashes=None):
    ids = np.arange(100, 100 + number)
    return make_training_data(
        captioned(0, 6, 0),
        captioned(6, 2, 1),
        (ids, unit(number, 8, seed=2), hashes or [str(i) for i in range(number)]),
    )


def test_photos_are_in_one_part_only():
    data = data_of(50)
    parts = [data.seeds.ids, data.held_seeds.ids, data.unlabelled_ids, data.gallery_ids]
    assert len(np.unique(np.concatenate(parts))) == sum(map(len, parts)) == 58
    assert 5 <= len(data.gallery) <= 15
    assert set(data.sample_photos()[0]) <= set(data.gallery_ids)


def test_held_out_photos_stay_held_out_when_more_come():
    few, many = data_of(50), data_of(80)
    assert set(few.gallery_ids) < set(many.gallery_ids)
    assert not set(few.unlabelled_ids) & set(many.gallery_ids)


def test_a_small_library_has_a_gallery_too():
    for number in (10, 15, 20):
        assert len(data_of(number).gallery) >= number // 10
    assert len(data_of(0).gallery) == 0


def test_the_data_hash_knows_captions_and_photos():
    one = data_of(20)
    assert one.sha256() == data_of(20).sha256()
    assert one.sha256() != data_of(21).sha256()
    other = make_training_data(
        CaptionedVectors(one.seeds.ids, one.seeds.images, (("another",), *one.seeds.captions[1:])),
        one.held_seeds,
        (one.unlabelled_ids, one.unlabelled, [str(i) for i in range(len(one.unlabelled))]),
    )
    assert one.sha256() != other.sha256()


def test_hard_neighbours_leave_out_the_very_nearest():
    images = unit(30, 6)
    near = hard_neighbours(images, (3, 6))
    order = np.argsort(-(images @ images.T), axis=1)[:, 1:]
    cosine = np.take_along_axis(images @ images.T, order, axis=1)
    for i in range(30):
        allowed = order[i][cosine[i] <= 0.97]
        assert near[i].tolist() == allowed[2:6].tolist()


def test_cycle_gives_everything_once_an_epoch():
    drawn = [cycle(10, 4, step, seed=1, purpose="x") for step in range(10)]
    assert all(len(one) == 4 for one in drawn)
    flat = [i for one in drawn for i in one]
    for epoch in range(4):
        assert sorted(flat[10 * epoch : 10 * epoch + 10]) == list(range(10))
    assert flat[:10] != flat[10:20]
    assert sorted(np.bincount(cycle(3, 7, 0, seed=1, purpose="x"))) == [2, 2, 3]
    assert cycle(0, 4, 0, seed=1, purpose="x") == []


def test_random_numbers_depend_on_seed_purpose_and_step():
    one = numpy_rng(1, "a", 5).random()
    assert one == numpy_rng(1, "a", 5).random()
    assert len({one, numpy_rng(2, "a", 5).random(), numpy_rng(1, "b", 5).random(), numpy_rng(1, "a", 6).random()}) == 4


def test_the_learning_rate_warms_up_and_falls():
    scales = [warm_up_cosine(step, 200) for step in range(200)]
    peak = int(np.argmax(scales))
    assert scales[0] < 0.2
    assert 5 <= peak <= 20
    assert scales == sorted(scales[:peak]) + sorted(scales[peak:], reverse=True)
    assert 0 < scales[-1] < 0.1


def test_a_caption_is_encoded_once():
    class Counting:
        seen = 0

        def encode_texts(self, texts, prompt=True):
            self.seen += len(texts)
            return np.array([[len(text), prompt, 0, 1] for text in texts], np.float32).reshape(-1, 4)

    encoder = Counting()
    assert text_vectors(encoder, ["a", "bb", "a"], prompt=True)[:, 0].tolist() == [1, 2, 1]
    assert encoder.seen == 2
    assert text_vectors(encoder, [], prompt=True).shape == (0, 4)


# -- presets, files ---------------------------------------------------------------------------------------------------


def test_settings_are_changed_by_name():
    preset = with_overrides(
        find_preset("recommended"),
        {
            "stage2.steps": "7",
            "stage2.rewards.clip_s": 2,
            "stage1.noise": 0.01,
            "lm.train": "lora",
            "stage2.gated": "0",
        },
    )
    assert (preset.stage2.steps, preset.stage2.rewards.clip_s, preset.stage1.noise) == (7, 2.0, 0.01)
    assert preset.lm.train == "lora"
    assert preset.stage2.gated is False
    assert PRESETS["recommended"].stage2.steps != 7


@pytest.mark.parametrize(
    "changes",
    [{"stage3.steps": 1}, {"stage2.step": 1}, {"stage2.steps": "many"}, {"stage2": 1}, {"stage2.steps.x": 1}, {"": 1}],
)
def test_settings_that_are_not_there_are_refused(changes):
    with pytest.raises(UserError) as refused:
        with_overrides(find_preset("recommended"), changes)
    assert refused.value.next_step


def test_an_unknown_preset_is_refused_with_the_names_there_are():
    with pytest.raises(UserError) as refused:
        find_preset("best")
    assert "recommended" in refused.value.next_step


def test_toml_is_read_back_as_it_was():
    import tomllib

    values = {"a": 1, "b": [1.5, 2e-5], "c": True, "none": None, "sub": {"text": 'with "quotes"\n', "deep": {"x": "é"}}}
    assert tomllib.loads(to_toml(values)) == {k: v for k, v in values.items() if v is not None}
    preset = PRESETS["recommended"]
    assert preset.stage2 is not None
    assert tomllib.loads(to_toml({"preset": preset}))["preset"]["stage2"]["lr"] == preset.stage2.lr


def test_rows_after_a_state_are_forgotten(tmp_path):
    run = RunFolder(tmp_path)
    for stage, step in [(1, 10), (1, 20), (2, 5), (2, 10)]:
        run.add_row("metrics.jsonl", {"stage": stage, "step": step})
    with (tmp_path / "metrics.jsonl").open("a") as file:
        file.write('{"stage": 2, "st')  # cut off by a crash
    run.forget_rows_after(2, 5)
    assert [(row["stage"], row["step"]) for row in read_rows(tmp_path / "metrics.jsonl")] == [(1, 10), (1, 20), (2, 5)]


def test_a_row_that_was_cut_off_within_a_letter_harms_no_other(tmp_path):
    """Captions are anything: letters of several bytes, and signs that some call the end of a line."""
    run = RunFolder(tmp_path)
    first, second = ({"stage": 1, "step": n, "captions": {"7": f"café{chr(0x2028)}au lait {n}"}} for n in (1, 2))
    run.add_row("samples.jsonl", first)
    with (tmp_path / "samples.jsonl").open("ab") as file:
        file.write('{"stage": 1, "step": 2, "captions": {"7": "café'.encode()[:-1])
    assert read_rows(tmp_path / "samples.jsonl") == [first]
    run.forget_rows_after(1, 1)
    run.add_row("samples.jsonl", second)
    assert read_rows(tmp_path / "samples.jsonl") == [first, second]


def test_a_state_brings_back_weights_moments_and_counters(tmp_path):
    def model():
        torch.manual_seed(0)
        net = nn.Sequential(nn.Linear(3, 4), nn.Linear(4, 1))
        net[0].bias.requires_grad_(False)
        return net, torch.optim.AdamW([p for p in net.parameters() if p.requires_grad], lr=0.1)

    def train(net, optimiser, steps):
        for _ in range(steps):
            optimiser.zero_grad()
            (net(torch.ones(2, 3)) - 3).square().sum().backward()
            optimiser.step()

    whole, optimiser = model()
    train(whole, optimiser, 8)
    first, optimiser = model()
    train(first, optimiser, 5)
    progress = Progress(step=5, best_score=-1.5, values={"beta": 0.1})
    save_state(tmp_path / "s" / "state.safetensors", first, optimiser, copy_of(trained_weights(first)), progress)
    second, optimiser = model()
    best, found = load_state(tmp_path / "s" / "state.safetensors", second, optimiser)
    assert found == progress
    assert all(torch.equal(best[name], value) for name, value in trained_weights(first).items())
    train(second, optimiser, 3)
    assert all(torch.equal(a, b) for a, b in zip(whole.parameters(), second.parameters(), strict=True))


def test_a_damaged_state_is_refused(tmp_path):
    net = nn.Linear(2, 2)
    optimiser = torch.optim.AdamW(net.parameters())
    file = tmp_path / "state.safetensors"
    save_state(file, net, optimiser, copy_of(trained_weights(net)), Progress())
    other = nn.Linear(3, 3)
    with pytest.raises(UserError, match="state"):
        load_state(file, other, torch.optim.AdamW(other.parameters()))
    file.write_bytes(file.read_bytes()[:50])
    with pytest.raises(UserError, match="state"):
        load_state(file, net, optimiser)


# -- how long captions may be -----------------------------------------------------------------------------------------


def test_short_captions_leave_the_limits_as_they_are(tiny_starter):
    captioner = load_captioner(tiny_starter / "captioner")
    limits = token_limits(["A dog.", "A cat."] * 10, captioner, PRESETS["recommended"])
    assert (limits.learned, limits.sampled, limits.judged, limits.delivered, limits.cut) == (48, 22, 30, 32, 0)
    assert limits.fitted(PRESETS["recommended"]) == PRESETS["recommended"]
    assert token_limits([], captioner, PRESETS["clipcap-mlp"]).fitted(PRESETS["clipcap-mlp"]).stage2 is None


def test_long_captions_get_room_everywhere(tiny_starter):
    captioner = load_captioner(tiny_starter / "captioner")
    long = " ".join(SENTENCES[:2])
    [ids] = captioner.encode([long])
    assert 32 < len(ids) < captioner.max_tokens - 6
    limits = token_limits([long, "A dog."], captioner, PRESETS["recommended"])
    assert {limits.sampled, limits.judged, limits.delivered} == {len(ids) + 6}
    assert limits.learned >= len(ids)
    assert limits.cut == 0


def test_the_models_room_is_the_most_and_what_is_cut_is_counted(tiny_starter):
    captioner = load_captioner(tiny_starter / "captioner")
    limits = token_limits([" ".join(SENTENCES)] * 3 + ["A dog."], captioner, PRESETS["recommended"])
    assert {limits.learned, limits.sampled, limits.judged, limits.delivered} == {captioner.max_tokens}
    assert limits.cut == 3


def test_one_caption_in_a_hundred_does_not_set_the_limits(tiny_starter):
    captioner = load_captioner(tiny_starter / "captioner")
    limits = token_limits(["A dog."] * 99 + [" ".join(SENTENCES)], captioner, PRESETS["recommended"])
    assert (limits.sampled, limits.cut) == (22, 1)


@pytest.mark.parametrize("name", PRESETS)
def test_a_preset_is_read_back_as_it_was_written(name):
    preset = PRESETS[name]
    assert read_preset(json.loads(json.dumps(asdict(preset)))) == preset


def test_settings_that_are_new_or_gone_do_not_keep_a_preset_from_being_read():
    document = json.loads(json.dumps(asdict(PRESETS["recommended"])))
    del document["stage2"]["lr_floor"]
    document["stage1"]["forgotten"] = 3
    document["stage2"]["temperature"] = 0.9
    read = read_preset(document)
    assert read.stage2 is not None
    assert (read.stage2.temperature, read.stage2.lr_floor) == (0.9, Stage2Settings().lr_floor)


@pytest.mark.parametrize(
    ("kept", "before"), [('{"seconds": 60.0}', 60), ("{torn", 0), ('{"seconds": null}', 0), (None, 0)]
)
def test_work_is_counted_over_pauses_and_a_damaged_count_begins_anew(tmp_path, kept, before):
    run = RunFolder(tmp_path)
    if kept is not None:
        (tmp_path / "work.json").write_text(kept, "utf-8")
    with pytest.raises(KeyboardInterrupt), run.counting_work(going_on=True) as worked:
        assert before <= worked() < before + 30
        raise KeyboardInterrupt
    with run.counting_work(going_on=True) as worked:
        assert before <= worked() < before + 60
    with run.counting_work(going_on=False) as worked:
        assert worked() < 30
