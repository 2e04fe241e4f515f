"""Smaller numbers: what is converted, what that loses, and who is told."""

from __future__ import annotations

import argparse
import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from onnx import TensorProto, helper, numpy_helper

from core.commands import bundle as command
from core.errors import UserError
from core.jobs import QuietContext
from core.onnx import outliers, quantize, smaller
from core.onnx.bundle import BundleError, load_manifest, write_manifest
from core.onnx.export import ExportRequest, export_job
from core.onnx.half import halved
from core.onnx.precision_loss import Change, PrecisionLoss, measure_loss, read_loss
from core.onnx.samples import library_of, rendered_scenes, samples_of
from core.onnx.session import BundleEncoder, open_bundle

SCENES = 24


@pytest.fixture(scope="module")
def photos(tmp_path_factory) -> Path:
    """A folder of rendered photos with a captions file, of which one line is of no photo here."""
    folder = tmp_path_factory.mktemp("photos")
    lines = ["image,caption", "elsewhere.png,a ball"]
    for at, scene in enumerate(rendered_scenes(SCENES)):
        scene.save(folder / f"{at:02}.png")
        lines += [f"{at:02}.png,a brown dog runs", f"{at:02}.png,two cubes and a ball"]
    (folder / "captions.csv").write_text("\n".join(lines))
    return folder


def evidence(photos: int = 8) -> smaller.Evidence:
    return smaller.Evidence(rendered_scenes(photos), ((),) * photos, "rendered scenes")


def made_smaller(exported: Path, folder: Path, precision: str) -> Path:
    shutil.copytree(exported, folder)
    smaller.make_smaller(QuietContext(), folder, load_manifest(folder), precision, evidence())
    return folder


# -- int8 --


def test_int8_is_smaller_and_says_how_much_it_differs(tmp_path, exported, quick_graphs, photos):
    found = samples_of(photos, captions=photos / "captions.csv")
    request = ExportRequest("starter", tmp_path / "int8", "int8", found.photos, captions=found.captions, on=found.on)
    report = export_job(QuietContext(), request)
    assert report.bytes < exported[0].bytes and report.model_hash != exported[0].model_hash
    manifest = open_bundle(tmp_path / "int8").manifest
    assert manifest.precision == "int8"
    assert report.parity.text_difference < 1e-5 and report.parity.image_difference < 1e-5  # scores stay what they were
    assert manifest.encoder.fingerprint == open_bundle(exported[1]).manifest.encoder.fingerprint
    decoder = onnx.load(tmp_path / "int8" / "decoder.onnx")
    quantised = sum(node.op_type == "MatMulInteger" for node in decoder.graph.node)
    assert quantised == 2 + 2 * 4 + 1  # mapper, four matrices a layer, the output matrix
    small = [numpy_helper.to_array(one) for one in decoder.graph.initializer if one.data_type == TensorProto.INT8]
    assert len([one for one in small if one.ndim == 2]) == quantised
    assert all(np.abs(one.astype(int)).max() <= 64 for one in small)  # more overflows where there is no VNNI
    loss = report.loss
    assert loss is not None and loss.photos == SCENES and loss.on == "photos given" and loss.cosine > 0.99999
    assert SCENES // 2 <= loss.identical <= SCENES  # the tiny model is sure of itself
    assert loss.cider is not None and loss.cider.low <= loss.cider.value <= loss.cider.high
    assert read_loss(manifest.precision_loss) == loss and manifest.parity == report.parity.to_dict()
    assert [path.name for path in tmp_path.iterdir()] == ["int8"]  # the exact one it was compared with is gone


@pytest.fixture
def with_an_outlier(tmp_path) -> Path:
    """Two products with their weights beside the graph; one number of the second's input is 400 times the others."""
    rng = np.random.default_rng(0)
    first, second = (rng.normal(size=(16, 16)).astype(np.float32) for _ in range(2))
    first[:, 3] *= 400
    nodes = [
        helper.make_node("MatMul", ["x", "first"], ["between"], name="calm"),
        helper.make_node("Gemm", ["between", "second"], ["y"], name="spoilt", transB=1),
    ]
    second[:, 3] = 0  # nothing of the outlier itself is wanted
    ends = [[helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n", 16])] for name in ("x", "y")]
    graph = helper.make_graph(nodes, "two", *ends, initializers({"first": first, "second": second}))
    onnx.save(model_of(graph), tmp_path / "two.onnx", save_as_external_data=True, location="two.data", size_threshold=0)
    return tmp_path / "two.onnx"


def test_a_product_whose_input_has_an_outlier_is_found(with_an_outlier):
    x = np.random.default_rng(1).normal(size=(8, 16)).astype(np.float32)
    assert outliers.spoilt(with_an_outlier, {"x": x}) == ["spoilt"]
    assert sorted(path.name for path in with_an_outlier.parent.iterdir()) == ["two.data", "two.onnx"]


def test_of_what_is_no_number_everything_is_lost():
    eye = np.eye(2, dtype=np.float32)
    assert outliers.lost(np.array([[1, np.nan]], np.float32), eye) == outliers.lost(np.array([[np.inf, 1]]), eye) == 1
    assert outliers.lost(np.array([[1, 255]], np.float32), eye) == outliers.lost(np.zeros((1, 2)), eye) == 0


def test_what_is_found_stays_exact_in_int8(tmp_path, tiny_bundle, monkeypatch):
    read: list[dict[str, np.ndarray]] = []

    def found(path: Path, inputs: dict[str, np.ndarray]) -> list[str]:
        read.append(inputs)
        graph = onnx.load(path).graph
        weights = {weight.name for weight in graph.initializer}
        products = [node for node in graph.node if node.op_type in outliers.PRODUCTS and node.input[1] in weights]
        return [products[0].name, products[-1].name]

    without = made_smaller(tiny_bundle, tmp_path / "without", "int8")
    monkeypatch.setattr(quantize, "spoilt", found)
    made = made_smaller(tiny_bundle, tmp_path / "b", "int8")
    assert products(made, "decoder.onnx") == products(without, "decoder.onnx") - 2 > 0
    (one,) = read
    assert one["embeddings"].shape[:2] == (1, 1) and one["input_ids"].shape[1] > 4


def test_int8_of_a_large_model_has_its_weights_beside_it(tmp_path, tiny_bundle, monkeypatch):
    monkeypatch.setattr(quantize, "_LARGEST_SINGLE_FILE", 1000)
    folder = made_smaller(tiny_bundle, tmp_path / "b", "int8")
    assert (folder / "decoder.onnx.data").stat().st_size > 1000
    assert sorted(path.name for path in folder.glob("decoder*")) == ["decoder.onnx", "decoder.onnx.data"]
    captions, plain = (bundle_caption(open_bundle(one), rendered_scenes(1)[0]) for one in (folder, tiny_bundle))
    assert captions and plain


def test_an_encoder_of_convolutions_stays_exact_in_int8(tmp_path, tiny_bundle):
    folder = made_smaller(tiny_bundle, tmp_path / "b", "int8")
    name = "image_encoder.onnx"
    assert (folder / name).read_bytes() == (tiny_bundle / name).read_bytes()


@pytest.fixture(scope="module")
def dense_bundle(tmp_path_factory, tiny_bundle) -> Path:
    """The tiny bundle with an image encoder of two matrix products instead of convolutions."""
    folder = Path(shutil.copytree(tiny_bundle, tmp_path_factory.mktemp("dense") / "bundle"))
    manifest = load_manifest(folder)
    size, dim, hidden = manifest.encoder.preprocess.size, manifest.encoder.dim, 64
    rng = np.random.default_rng(0)
    values = {
        "first": rng.standard_normal((3 * size * size, hidden)).astype(np.float32) / size,
        "second": rng.standard_normal((hidden, dim)).astype(np.float32),
        "axes": np.array([1]),
    }
    nodes = [
        helper.make_node("Flatten", ["pixels"], ["flat"], "flatten"),
        helper.make_node("MatMul", ["flat", "first"], ["hidden"], "first_product"),
        helper.make_node("Tanh", ["hidden"], ["bent"], "tanh"),
        helper.make_node("MatMul", ["bent", "second"], ["out"], "second_product"),
        helper.make_node("ReduceL2", ["out", "axes"], ["norm"], "norm", keepdims=1),
        helper.make_node("Div", ["out", "norm"], ["embedding"], "unit"),
    ]
    pixels = helper.make_tensor_value_info("pixels", TensorProto.FLOAT, ["n", 3, size, size])
    embedding = helper.make_tensor_value_info("embedding", TensorProto.FLOAT, ["n", dim])
    graph = helper.make_graph(nodes, "dense", [pixels], [embedding], initializers(values))
    onnx.save(model_of(graph), folder / "image_encoder.onnx")
    write_manifest(manifest, folder)
    return folder


def initializers(values: dict[str, np.ndarray]) -> list[TensorProto]:
    return [numpy_helper.from_array(value, name) for name, value in values.items()]


def model_of(graph: onnx.GraphProto) -> onnx.ModelProto:
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)


def products(folder: Path, graph_of: str = "image_encoder.onnx") -> int:
    graph = onnx.load(folder / graph_of).graph
    return sum(node.op_type == "MatMulInteger" for node in graph.node)


def test_an_encoder_of_matrix_products_has_them_in_int8_and_another_fingerprint(tmp_path, dense_bundle, monkeypatch):
    monkeypatch.setattr(smaller, "LEAST_COSINE", 0.5)
    monkeypatch.setattr(smaller, "SAME_VECTOR", 0.9999999)
    folder = made_smaller(dense_bundle, tmp_path / "b", "int8")
    assert products(dense_bundle) == 0 and products(folder) == 2
    assert load_manifest(folder).encoder.fingerprint != load_manifest(dense_bundle).encoder.fingerprint
    loss = read_loss(load_manifest(folder).precision_loss)
    assert loss is not None and 0.5 < loss.cosine < 0.9999999


def test_vectors_that_hardly_move_are_the_same_encoders(tmp_path, dense_bundle, monkeypatch):
    monkeypatch.setattr(smaller, "LEAST_COSINE", 0.5)
    monkeypatch.setattr(smaller, "SAME_VECTOR", 0.5)
    folder = made_smaller(dense_bundle, tmp_path / "b", "int8")
    assert products(folder) == 2
    assert load_manifest(folder).encoder.fingerprint == load_manifest(dense_bundle).encoder.fingerprint


def test_an_encoder_that_loses_too_much_is_taken_back(tmp_path, dense_bundle, monkeypatch):
    monkeypatch.setattr(smaller, "LEAST_COSINE", 0.9999999)
    folder = made_smaller(dense_bundle, tmp_path / "b", "int8")
    name = "image_encoder.onnx"
    assert (folder / name).read_bytes() == (dense_bundle / name).read_bytes()
    manifest = load_manifest(folder)  # whole, with the right hashes
    assert manifest.encoder.fingerprint == load_manifest(dense_bundle).encoder.fingerprint
    loss = read_loss(manifest.precision_loss)
    assert loss is not None and loss.cosine > 0.99999


# -- fp16 --


class Fixed:
    """An open bundle whose encoder gives the same vector for whatever it is told."""

    def __init__(self, vector):
        self.encoder = self
        self._vector = np.array(vector, np.float32)

    def encode_texts(self, texts):
        return np.tile(self._vector, (len(texts), 1))


def test_an_encoder_of_no_numbers_is_taken_back(tmp_path, dense_bundle, monkeypatch):
    encode, graph = BundleEncoder.encode_images, (dense_bundle / "image_encoder.onnx").read_bytes()

    def overflowing(self, pixels):
        smaller_one = "exact." not in self._images._model_path
        return encode(self, pixels) * (np.nan if smaller_one and len(given) < 1 else 1)

    given: list[float] = []
    real = smaller.measure_loss

    def measured(*bundles, **how):
        found = real(*bundles, **how)
        given.append(found.cosine)
        return found

    monkeypatch.setattr(BundleEncoder, "encode_images", overflowing)
    monkeypatch.setattr(smaller, "measure_loss", measured)
    folder = made_smaller(dense_bundle, tmp_path / "b", "int8")
    assert np.isnan(given[0]) and given[1] > 0.99999
    assert (folder / "image_encoder.onnx").read_bytes() == graph


@pytest.mark.parametrize(("vector", "taken_back"), [([1, 0], False), ([0.9, 0.4], True), ([np.nan, 0], True)])
def test_a_text_encoder_whose_vectors_move_is_taken_back(own_bundle, tmp_path, monkeypatch, vector, taken_back):
    original = Path(shutil.copytree(own_bundle, tmp_path / "exact"))
    another = (own_bundle / "image_encoder.onnx").read_bytes()
    (own_bundle / "text_encoder.onnx").write_bytes(another)
    found = {"exact": Fixed([1, 0]), own_bundle.name: Fixed(vector)}
    monkeypatch.setattr(smaller, "open_bundle", lambda folder, provider: found[folder.name])
    manifest = smaller._settle_texts(load_manifest(original), original, own_bundle)
    assert ((own_bundle / "text_encoder.onnx").read_bytes() != another) is taken_back
    assert load_manifest(own_bundle) == manifest  # the manifest knows the file that is there


def test_fp16_runs_on_the_processor_and_says_nearly_the_same(tmp_path, tiny_bundle):
    folder = made_smaller(tiny_bundle, tmp_path / "b", "fp16")
    exact, half = open_bundle(tiny_bundle, provider="cpu"), open_bundle(folder, provider="cpu")
    pixels = np.random.default_rng(0).standard_normal((3, 3, *[exact.encoder.preprocess.size] * 2)).astype("f")
    ours, theirs = exact.encoder.encode_images(pixels), half.encoder.encode_images(pixels)
    assert theirs.dtype == np.float32
    np.testing.assert_allclose(theirs, ours, atol=5e-3)
    np.testing.assert_allclose(np.linalg.norm(theirs, axis=1), 1, atol=1e-5)
    texts = ["a dog", "two cubes and a ball"]
    np.testing.assert_allclose(half.encoder.encode_texts(texts), exact.encoder.encode_texts(texts), atol=5e-3)
    (expected, cache), (found, half_cache) = exact.decoder.prefill(ours), half.decoder.prefill(ours)
    np.testing.assert_allclose(found, expected, atol=0.02)
    tokens = expected.argmax(axis=1)
    step, half_step = exact.decoder.step(cache, tokens)[0], half.decoder.step(half_cache, tokens)[0]
    np.testing.assert_allclose(half_step, step, atol=0.02)
    for name in ("image_encoder.onnx", "decoder.onnx"):
        weights = onnx.load(folder / name).graph.initializer
        assert any(one.data_type == TensorProto.FLOAT16 for one in weights)
    assert half.manifest.precision == "fp16"
    assert half.manifest.encoder.fingerprint == exact.manifest.encoder.fingerprint


def graph_of_a_norm() -> onnx.ModelProto:
    """``y = x·W / |x·W|`` with numbers whose squares are beyond float16; the norm is read by two nodes."""
    nodes = [
        helper.make_node("MatMul", ["x", "w"], ["z"], "product"),
        helper.make_node("ReduceL2", ["z", "axes"], ["norm"], "norm", keepdims=1),
        helper.make_node("Max", ["norm", "small"], ["floor"], "floor"),
        helper.make_node("Div", ["z", "floor"], ["unit"], "div"),
        helper.make_node("Div", ["unit", "floor"], ["smaller"], "again"),
        helper.make_node("Mul", ["smaller", "floor"], ["y"], "back"),
    ]
    values = {"w": np.eye(4, dtype=np.float32) * 900, "axes": np.array([1]), "small": np.array([1e-12], np.float32)}
    wide = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n", 4]) for name in ("x", "y")]
    return model_of(helper.make_graph(nodes, "norm", wide[:1], wide[1:], initializers(values)))


def test_a_norm_keeps_its_range_and_its_rows_their_length():
    session = ort.InferenceSession(halved(graph_of_a_norm()).SerializeToString(), providers=["CPUExecutionProvider"])
    found = session.run(None, {"x": np.array([[0.3, -0.7, 0.1, 0.9], [1, 1, 1, 1]], np.float32)})[0]
    np.testing.assert_allclose(np.linalg.norm(found, axis=1), 1, atol=1e-6)  # 3e-4 away through a rounded norm


def test_weights_beside_a_graph_go_with_it(tmp_path):
    path = tmp_path / "g.onnx"
    onnx.save(graph_of_a_norm(), path, save_as_external_data=True, location="g.onnx.data", size_threshold=0)
    assert (tmp_path / "g.onnx.data").is_file()
    quantize._rewrite(path, halved)
    assert [one.name for one in tmp_path.iterdir()] == ["g.onnx"]
    ort.InferenceSession(str(path), providers=["CPUExecutionProvider"])


def test_weights_beside_a_graph_do_not_outlast_int8(own_bundle):
    path = own_bundle / "decoder.onnx"
    model = onnx.load(path)
    path.unlink()  # otherwise it is appended to
    onnx.save(model, path, save_as_external_data=True, location="decoder.onnx.data", size_threshold=1024)
    quantize._to_int8(path)
    assert not (own_bundle / "decoder.onnx.data").exists()
    ort.InferenceSession(str(path), providers=["CPUExecutionProvider"])


# -- what is lost --


def test_nothing_is_lost_against_itself(tiny_bundle):
    bundle = open_bundle(tiny_bundle, provider="cpu")
    found = measure_loss(
        bundle, bundle, rendered_scenes(6), captions=((),) * 6, on="rendered scenes", ctx=QuietContext()
    )
    assert found.identical == found.photos == 6 and found.cider is None
    assert found.clip_s.value == found.clip_s.low == found.r1.value == found.r1.high == 0
    assert found.acceptable and found.sentence == "6 of 6 captions are the same; CLIP-S the same."


class OffByOne:
    """A decoder whose every word is its neighbour in the vocabulary."""

    def __init__(self, decoder) -> None:
        self._decoder, self.end_token_id = decoder, decoder.end_token_id
        self.select = decoder.select

    def prefill(self, embeddings):
        logits, cache = self._decoder.prefill(embeddings)
        return np.roll(logits, 1, axis=1), cache

    def step(self, cache, tokens):
        logits, cache = self._decoder.step(cache, tokens)
        return np.roll(logits, 1, axis=1), cache


def test_a_loss_is_seen(tiny_bundle):
    bundle = open_bundle(tiny_bundle, provider="cpu")
    spoiled = replace(bundle, decoder=OffByOne(bundle.decoder))
    scenes = rendered_scenes(20)
    own = [(bundle_caption(bundle, scene),) for scene in scenes]
    found = measure_loss(bundle, spoiled, scenes, captions=own, on="rendered scenes", ctx=QuietContext())
    assert found.identical == 0 and found.cider is not None
    assert found.cider.exact > 0 > -0.5 > found.cider.value and not found.acceptable
    assert "0 of 20 captions are the same" in found.sentence and "loses too much" in found.verdict
    few = measure_loss(bundle, spoiled, scenes, captions=[*own[:19], ()], on="x", ctx=QuietContext())
    assert few.cider is None  # too few photos are described to judge by


def bundle_caption(bundle, scene) -> str:
    from core.captioner.decoding import decode
    from core.images.preprocess import preprocess

    vectors = bundle.encoder.encode_images(preprocess(scene, bundle.encoder.preprocess)[None])
    return bundle.text(decode(bundle.decoder, vectors, bundle.decoding(method="greedy"), QuietContext())[0][0].tokens)


def loss(clip_s_low: float = -0.001, cider_low: float | None = None) -> PrecisionLoss:
    cider = None if cider_low is None else Change(0.5, -0.004, cider_low, 0.01)
    still = Change(0.3, 0.0, -0.01, 0.01)
    return PrecisionLoss(100, 94, "photos given", 1.0, Change(0.7, -0.002, clip_s_low, 0.004), still, cider)


@pytest.mark.parametrize(
    ("found", "acceptable"),
    [
        (loss(-0.0199), True),
        (loss(-0.0201), False),
        (loss(-0.5, cider_low=-0.0199), True),  # what people said decides, where there is enough of it
        (loss(-0.001, cider_low=-0.0201), False),
        (replace(loss(), clip_s=Change(0.0, 0.0, 0.0, 0.0)), False),  # where nothing fits, nothing is seen to be lost
    ],
)
def test_it_is_offered_only_where_little_can_be_lost(found, acceptable):
    assert found.acceptable is acceptable
    assert read_loss(json.loads(json.dumps(found.to_dict()))) == found
    assert ("may be used" in found.verdict) is acceptable


def test_the_loss_in_words():
    assert loss().sentence == "94 of 100 captions are the same; CLIP-S 0.2% lower."
    assert loss(cider_low=-0.03).sentence == "94 of 100 captions are the same; CLIP-S 0.2% lower; CIDEr-D 0.4% lower."
    assert "CIDEr-D changes by -3.0% to +1.0% on photos given" in loss(cider_low=-0.03).verdict


@pytest.mark.parametrize("values", [{}, {"photos": 3}, {**loss().to_dict(), "clip_s": 4}])
def test_a_loss_that_is_not_understood_is_none(values):
    assert read_loss(values) is None


def test_a_manifest_of_before_has_no_loss_and_one_of_a_wrong_kind_is_refused(own_bundle):
    file = own_bundle / "manifest.json"
    values = json.loads(file.read_text())
    del values["precision_loss"]
    file.write_text(json.dumps(values))
    assert load_manifest(own_bundle).precision_loss == {}
    file.write_text(json.dumps({**values, "precision_loss": [1]}))
    with pytest.raises(BundleError, match="precision_loss"):
        load_manifest(own_bundle)


# -- on which photos, and who is told --


def test_photos_of_a_folder_with_what_people_said(photos, tmp_path):
    found = samples_of(photos, most=3, captions=photos / "captions.csv")
    assert [path.name for path in found.photos] == ["00.png", "01.png", "02.png"]
    assert found.captions[0] == ("a brown dog runs", "two cubes and a ball")
    assert samples_of(photos, most=2).captions == ((), ())
    (tmp_path / "other.csv").write_text("image,caption\nelsewhere.png,a ball\n")
    with pytest.raises(UserError, match="no caption of a photo"):
        samples_of(photos, captions=tmp_path / "other.csv")
    with pytest.raises(UserError, match="no photo"):
        samples_of(tmp_path)


def test_photos_of_a_library_those_with_captions_by_people_first(photos, tmp_path):
    from core.library.edits import add_seed
    from core.library.library import Library
    from core.library.queries import images_of
    from core.library.scan import scan

    with Library.create(tmp_path / "l.seedcap") as library:
        scan(library, photos, QuietContext())
        first = images_of(library)[0]
        shutil.copy(first.path, photos / "a copy.png")
        scan(library, photos, QuietContext())
        last = next(row for row in images_of(library) if row.path.name == "a copy.png")
        add_seed(library, last.id, "two cubes")
    found = samples_of(tmp_path / "l.seedcap", most=2)
    assert found.photos[0] == last.path and found.captions == (("two cubes",), ())
    assert found.on == "photos of the library"
    every = samples_of(tmp_path / "l.seedcap").photos
    assert first.path not in every and len(every) == len(set(every)) > 2  # the copy that is described stands for it
    run = tmp_path / "l.seedcap" / "runs" / "r1"
    assert library_of(str(run)) == library_of(str(run / "stage1")) == tmp_path / "l.seedcap"
    assert library_of("starter") is None and library_of(str(photos)) is None


def said_by_the_command(monkeypatch, tmp_path, found: PrecisionLoss) -> str:
    from core.onnx import export
    from core.onnx.parity import Count, ParityReport

    parity = ParityReport(4, 4, Count(4, 4), Count(4, 4), 0.0, 0.0, 0.0, "rendered scenes")
    report = export.ExportReport(tmp_path, "int8", 5, "x", parity, found)
    monkeypatch.setattr(export, "export_job", lambda ctx, request: report)
    parser = argparse.ArgumentParser()
    command.add_arguments(parser)
    result = command.run(parser.parse_args(["starter", "out", "--precision", "int8"]), QuietContext())
    assert result.data["loss"] == found and result.data["acceptable"] is found.acceptable
    return result.text


def test_the_command_tells_what_is_lost(monkeypatch, tmp_path):
    little = said_by_the_command(monkeypatch, tmp_path, loss())
    assert "94 of 100 captions are the same; CLIP-S 0.2% lower." in little and "Use fp32" not in little
    much = said_by_the_command(monkeypatch, tmp_path, loss(-0.2))
    assert "It loses too much" in much and "Use fp32" in much


def test_captions_without_photos_are_a_mistake(tmp_path):
    parser = argparse.ArgumentParser()
    command.add_arguments(parser)
    with pytest.raises(UserError, match="no photos are named"):
        command.run(parser.parse_args(["starter", "out", "--captions", "c.csv"]), QuietContext())
