"""A bundle runs like the models it was exported from: vectors, cache, tokens, texts."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from core.captioner.decoding import DecodingOptions, decode
from core.encoders.encoder import TooLong, too_long
from core.onnx.session import open_bundle
from core.onnx.text import clean_text
from tests.tiny import DIM, IMAGE_SIZE, SENTENCES, random_pixels

TEXTS = (
    *SENTENCES,
    "",
    "dog",
    "two  spaces,\ta tab\nand a line",
    "curly “quotes” and it’s",
    "Tom &amp; Jerry &lt;3",
    "ﬁsh in the oﬃce",
    "cafe\u0301",  # composed by cleaning
    "日本語 and emoji 🐈",
    "word " * 300,
)


@pytest.fixture(scope="module")
def bundle(tiny_bundle):
    return open_bundle(tiny_bundle, threads=1)


@pytest.fixture(scope="module")
def encoder(tiny_starter_folder):
    from core.encoders.open_clip_encoder import load_encoder

    return load_encoder(f"open_clip:local-dir:{tiny_starter_folder / 'encoder'}")


@pytest.fixture(scope="module")
def captioner(tiny_starter_folder):
    from safetensors.torch import load_file

    from core.captioner.captioner import Captioner
    from core.captioner.checkpoint import read_info
    from core.captioner.language_model import load_model_folder, load_tokenizer_folder
    from core.captioner.mapper import make_mapper
    from core.captioner.mapper_settings import MapperSettings

    info, lm = read_info(tiny_starter_folder / "captioner"), tiny_starter_folder / "lm"
    mapper = make_mapper(info.dim, 32, MapperSettings(hidden=info.mapper_hidden, prefix_length=info.prefix_length))
    mapper.load_state_dict(load_file(tiny_starter_folder / "captioner" / "mapper.safetensors"))
    return Captioner(mapper, load_model_folder(lm), load_tokenizer_folder(lm), info).eval()


@pytest.fixture(scope="module")
def torch_decoder(captioner):
    from core.captioner.torch_decoder import TorchDecoder

    return TorchDecoder(captioner)


def unit_rows(number, seed=0):
    rows = np.random.default_rng(seed).normal(size=(number, DIM)).astype(np.float32)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


# -- the encoder --


def test_the_encoder_says_who_it_is(bundle, encoder):
    ours, theirs = bundle.encoder, encoder
    assert (ours.fingerprint, ours.dim, ours.prompt) == (theirs.fingerprint, theirs.dim, theirs.prompt)
    assert ours.preprocess == theirs.preprocess and ours.id == "starter"


@pytest.mark.parametrize("number", [0, 1, 3, 17])
def test_images_of_any_number(bundle, encoder, number):
    pixels = random_pixels(number)
    vectors = bundle.encoder.encode_images(pixels)
    assert vectors.shape == (number, DIM) and vectors.dtype == np.float32
    np.testing.assert_allclose(vectors, encoder.encode_images(pixels), atol=1e-5)


@pytest.mark.parametrize("prompt", [True, False])
def test_texts_as_open_clip_reads_them(bundle, encoder, prompt):
    vectors = bundle.encoder.encode_texts(TEXTS, prompt)
    np.testing.assert_allclose(vectors, encoder.encode_texts(TEXTS, prompt), atol=1e-5)
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)


@pytest.mark.parametrize("prompt", [True, False])
def test_captions_too_long_are_counted_as_the_model_counts_them(bundle, encoder, prompt):
    texts = ["a " * count for count in range(1, 40)]
    counted = [bundle.encoder.count_too_long([text], prompt) for text in texts]
    assert counted == [encoder.count_too_long([text], prompt) for text in texts] and set(counted) == {0, 1}
    assert too_long(bundle.encoder, texts[-3:]) == TooLong(3, encoder.context_length)
    assert too_long(bundle.encoder, []) == too_long(bundle.encoder, texts[:1]) == TooLong()


def test_a_text_does_not_depend_on_its_neighbours(bundle):
    alone = np.concatenate([bundle.encoder.encode_texts([text]) for text in TEXTS])
    np.testing.assert_allclose(bundle.encoder.encode_texts(TEXTS), alone, atol=1e-5)
    many = bundle.encoder.encode_texts(TEXTS * 20)  # more than one batch
    np.testing.assert_allclose(many, np.tile(alone, (20, 1)), atol=1e-5)
    assert bundle.encoder.encode_texts([]).shape == (0, DIM)


def test_token_ids_are_those_of_the_trained_tokenizer(bundle, encoder):
    ids = bundle.encoder._tokenizer(TEXTS)
    theirs = encoder.tokenizer(list(TEXTS)).numpy()
    assert ids.shape[1] == 32  # one text fills the context
    np.testing.assert_array_equal(ids, theirs[:, : ids.shape[1]])
    assert not theirs[:, ids.shape[1] :].any()


@pytest.mark.parametrize("text", TEXTS)
def test_cleaning_is_open_clips(text):
    from open_clip.tokenizer import get_clean_fn

    assert clean_text(text) == get_clean_fn("whitespace")(text)


# -- the decoder --


@pytest.mark.parametrize("rows", [1, 2, 5])
def test_prefill_and_steps_give_the_models_logits(bundle, torch_decoder, rows):
    """The graph's three sizes are each 0 at some time: no past in the prefill, no words there, no vector in a step."""
    vectors = unit_rows(rows)
    ours, our_cache = bundle.decoder.prefill(vectors)
    theirs, their_cache = torch_decoder.prefill(vectors)
    assert our_cache.shape == (2, 2, rows, 2, 4, 16)
    for position in range(6):
        np.testing.assert_allclose(ours, theirs, atol=2e-4)
        tokens = theirs.argmax(axis=1)
        ours, our_cache = bundle.decoder.step(our_cache, tokens)
        theirs, their_cache = torch_decoder.step(their_cache, tokens)
        assert our_cache.shape[4] == 5 + position


def test_no_rows_at_all(bundle):
    logits, cache = bundle.decoder.prefill(unit_rows(0))
    assert logits.shape == (0, 300) and cache.shape[2] == 0


def test_selecting_rows_of_the_cache(bundle):
    _, cache = bundle.decoder.prefill(unit_rows(3))
    assert bundle.decoder.select(cache, np.arange(3)) is cache
    logits, _ = bundle.decoder.step(bundle.decoder.select(cache, np.array([2, 0, 2])), np.array([5, 6, 5]))
    _, cache = bundle.decoder.prefill(unit_rows(3))  # the first one is used up
    expected, _ = bundle.decoder.step(cache, np.array([6, 9, 5]))
    np.testing.assert_allclose(logits[[1, 0]], expected[[0, 2]], atol=1e-5)
    np.testing.assert_array_equal(logits[0], logits[2])


@pytest.mark.parametrize(
    "options",
    [
        DecodingOptions(),
        DecodingOptions(max_tokens=5),
        DecodingOptions(method="beam"),
        DecodingOptions(method="beam", beams=7, candidates=5),
        DecodingOptions(method="sample", candidates=3, seed=4),
        DecodingOptions(method="beam", no_repeat_ngram=0, max_rows=8),
    ],
    ids=str,
)
def test_same_tokens_as_torch(bundle, torch_decoder, options):
    vectors = unit_rows(40, seed=1)
    ours, theirs = decode(bundle.decoder, vectors, options), decode(torch_decoder, vectors, options)
    assert [[h.tokens for h in photo] for photo in ours] == [[h.tokens for h in photo] for photo in theirs]
    assert len({photo[0].tokens for photo in ours}) > 5  # or equality would say little
    np.testing.assert_allclose(
        [h.log_prob for photo in ours for h in photo], [h.log_prob for photo in theirs for h in photo], atol=1e-3
    )


def test_words_are_spelled_as_the_captioner_spells_them(bundle, captioner):
    for sentence in (*SENTENCES, "Is it 3 o'clock , or  4 ?"):
        tokens = captioner.encode([sentence])[0]
        assert bundle.text(tokens) == captioner.decode(tokens)
    assert bundle.text([299, 0]) == ""


def test_decoding_options_come_from_the_manifest_and_the_caller(bundle):
    usual = DecodingOptions(bad_endings=tuple(bundle.manifest.decoding["bad_endings"]))
    assert bundle.decoding() == usual
    assert bundle.decoding(method="beam", candidates=2) == replace(usual, method="beam", candidates=2)


def test_the_processor_is_used_here_and_why(bundle):
    assert bundle.provider.name == "CPUExecutionProvider"
    assert bundle.provider.reason.endswith(".") and bundle.provider.reason[0].isupper()
    assert bundle.encoder.preprocess.size == IMAGE_SIZE
