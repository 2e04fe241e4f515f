"""The pieces of the starter build that need no data: vocabulary, corpus, noise, retrieval, views, text tower."""

import numpy as np
import pytest
import torch

from core.errors import UserError
from core.jobs import QuietContext
from core.starter import text_tower
from core.starter.captioner_training import CaptionCorpus, _epoch, noise_variance, noisy
from core.starter.corpus import read_sentences, read_split, tidy
from core.starter.image_tower import views_of
from core.starter.joint_space import contrastive_loss, recall_at, warm_cosine
from core.starter.text_tower import Sentences, TextTowerConfig, train_text_tower
from core.starter.vocabulary import END, PAD, save_tokenizer, train_tokenizer

WORDS = ["red", "ball", "green", "table", "a", "dog", "runs", "on", "the", "sand", "near", "two", "cubes"]


@pytest.fixture(scope="module")
def tokenizer():
    rng = np.random.default_rng(0)
    return train_tokenizer([" ".join(rng.choice(WORDS, 6)) for _ in range(300)], size=290)


def test_vocabulary_pads_with_zero_and_ends_with_the_highest_id(tokenizer):
    assert tokenizer.token_to_id(PAD) == 0
    assert tokenizer.token_to_id(END) == tokenizer.get_vocab_size() - 1 == 289
    ids = tokenizer.encode("A red ball!").ids
    assert ids[-1] == 289 == max(ids)
    assert 0 not in ids
    assert tokenizer.decode(ids) == "A red ball!"


def test_vocabulary_spells_what_it_never_saw(tokenizer):
    text = "Zwölf 🦊 übergroß"
    assert tokenizer.decode(tokenizer.encode(text).ids) == text


def test_a_corpus_too_small_for_the_vocabulary_is_an_error():
    with pytest.raises(RuntimeError, match="too small"):
        train_tokenizer(["a b"], size=5000)


def test_saved_tokenizer_is_loaded_by_transformers(tokenizer, tmp_path):
    from transformers import AutoTokenizer

    save_tokenizer(tokenizer, tmp_path)
    loaded = AutoTokenizer.from_pretrained(tmp_path)
    assert loaded("red ball")["input_ids"] == tokenizer.encode("red ball").ids
    assert loaded.pad_token_id == 0


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        ("a dog runs .", "A dog runs."),
        ('a  man in a " red " hat , smiling', "A man in a red hat, smiling."),
        ("the boy 's dog", "The boy's dog."),
    ],
)
def test_tidy_writes_a_caption_as_a_person_would(raw, expected):
    assert tidy(raw) == expected


def test_reading_takes_one_split_and_leaves_out_named_photos(tmp_path):
    (tmp_path / "flickr8k").mkdir()
    rows = "split,image,caption\ntrain,1_a.jpg,a dog .\ntrain,1_a.jpg,the dog .\ndev,2_b.jpg,a cat .\n"
    (tmp_path / "flickr8k" / "captions.csv").write_text(rows, encoding="utf-8")
    (photo,) = read_split(tmp_path, "flickr8k", "train")
    assert photo.captions == ("A dog.", "The dog.")
    (tmp_path / "text").mkdir()
    (tmp_path / "text" / "multi30k_en.tsv").write_text("photo\tsentence\n1\tone\n2\ttwo\n", encoding="utf-8")
    assert read_sentences(tmp_path, exclude_photos={"1"}) == ["Two."]
    with pytest.raises(UserError, match=r"captions\.csv"):
        read_split(tmp_path, "rsicd", "train")


def test_noise_brings_vectors_to_the_cosine_asked_for():
    torch.manual_seed(0)
    vectors = torch.nn.functional.normalize(torch.randn(2000, 512), dim=-1)
    moved = noisy(vectors, noise_variance(0.36, 512))
    assert torch.allclose(moved.norm(dim=-1), torch.ones(2000), atol=1e-5)
    assert (moved * vectors).sum(-1).mean().item() == pytest.approx(0.36, rel=0.02)
    assert torch.equal(noisy(vectors, 0.0), torch.nn.functional.normalize(vectors, dim=-1))


def test_recall_counts_a_photo_found_by_any_of_its_captions():
    images = np.eye(3, dtype=np.float32)
    texts = np.array([[1, 0, 0], [0, 0.2, 0.9], [0, 1, 0], [0.9, 0, 0.5]], np.float32)
    owner = np.array([0, 1, 1, 2])
    recall = recall_at(images, texts, owner, ks=(1,))
    assert recall["r1_t2i"] == pytest.approx(50)  # the 2nd finds photo 2, the 4th photo 0
    assert recall["r1_i2t"] == pytest.approx(100 * 2 / 3)


def test_contrastive_loss_prefers_the_right_pairs():
    rows = torch.eye(4)
    scale = torch.tensor(10.0)
    assert contrastive_loss(rows, rows, scale) < contrastive_loss(rows, rows.roll(1, 0), scale)


def test_views_are_repeatable_start_with_the_whole_photo_and_stay_inside_it():
    views = views_of(5, 6)
    assert views == views_of(5, 6) != views_of(6, 6)
    assert (views[0].side, views[0].mirrored, views[1].mirrored) == (1.0, False, True)
    assert all(0 <= v.left <= 1 - v.side and 0 <= v.top <= 1 - v.side for v in views)
    assert not any(v.mirrored for v in views_of(5, 6, mirror=False))


def test_learning_rate_rises_then_falls_to_zero():
    factors = [warm_cosine(s, 100, 10) for s in range(101)]
    assert factors[9] == 1.0 == max(factors)
    assert factors[100] == pytest.approx(0, abs=1e-6)


def test_an_epoch_draws_a_sentence_as_often_as_its_weight_says():
    corpus = CaptionCorpus([np.array([1, 2])] * 40, np.zeros((40, 4)), np.array([0.0] * 20 + [2.0] * 20))
    rows = np.concatenate(_epoch(corpus, 8, np.random.default_rng(0)))
    assert (np.bincount(rows, minlength=40) == [0] * 20 + [2] * 20).all()


def test_text_tower_learns_its_targets_and_reads_only_what_is_there(tokenizer, monkeypatch):
    monkeypatch.setattr(text_tower, "WIDTH", 32)
    monkeypatch.setattr(text_tower, "LAYERS", 1)
    monkeypatch.setattr(text_tower, "HEADS", 2)
    monkeypatch.setattr(text_tower, "VOCABULARY_SIZE", 290)
    torch.manual_seed(0)
    tower = text_tower.new_text_tower().eval()
    sentences = Sentences(tokenizer, [f"{w} {v}" for w in WORDS for v in WORDS])
    rng = np.random.default_rng(0)
    targets = rng.normal(size=(len(sentences), 512)).astype(np.float32)
    targets /= np.linalg.norm(targets, axis=1, keepdims=True)
    ids = sentences.batch(np.arange(5), np.zeros(5, bool))
    padded = torch.nn.functional.pad(ids, (0, text_tower.CONTEXT_LENGTH - ids.shape[1]))
    assert torch.allclose(text_tower.encode(tower, ids), text_tower.encode(tower, padded), atol=2e-2)
    full = torch.nn.functional.normalize(tower(padded), dim=-1)
    assert torch.allclose(text_tower.encode(tower, ids), full, atol=2e-2)
    everything = sentences.batch(np.arange(len(sentences)), np.zeros(len(sentences), bool))
    before = (text_tower.encode(tower, everything).detach().numpy() * targets).sum(1).mean()
    config = TextTowerConfig(steps=250, batch=64, lr=3e-3, warm_up=5)
    trained = train_text_tower(tower, sentences, targets, [], config, QuietContext())
    after = (text_tower.encode(trained, everything).detach().numpy() * targets).sum(1).mean()
    assert after > before + 0.1
