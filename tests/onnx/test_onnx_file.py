"""The walk over ONNX files: finds every outside file, wherever it is named, and refuses what is no ONNX model."""

from __future__ import annotations

import contextlib

import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from core.onnx.onnx_file import MalformedOnnxError, external_locations


def outside_tensor(name: str, location: str) -> TensorProto:
    tensor = TensorProto(name=name, data_type=TensorProto.FLOAT, dims=[4], data_location=TensorProto.EXTERNAL)
    for key, value in (("location", location), ("offset", "0"), ("length", "16")):
        tensor.external_data.add(key=key, value=value)
    return tensor


def inside_tensor(name: str) -> TensorProto:
    import numpy as np

    return numpy_helper.from_array(np.arange(4, dtype=np.float32), name)


def graph(name: str, nodes=(), initializers=()):
    return helper.make_graph(list(nodes), name, [], [], list(initializers))


def save(path, main, functions=()):
    onnx.save(helper.make_model(main, functions=list(functions)), path)
    return path


def test_no_outside_file(tmp_path, tiny_bundle):
    assert external_locations(save(tmp_path / "m.onnx", graph("g", initializers=[inside_tensor("w")]))) == []
    assert external_locations(tiny_bundle / "decoder.onnx") == []


def test_finds_initializers_attributes_subgraphs_and_functions(tmp_path):
    inner = graph("inner", initializers=[outside_tensor("w2", "two.bin")])
    constant = helper.make_node("Constant", [], ["c"], value=outside_tensor("w3", "../three.bin"))
    branch = helper.make_node("If", ["x"], ["y"], then_branch=inner, else_branch=graph("e", [constant]))
    listed = helper.make_node("Custom", [], ["z"], values=[outside_tensor("w4", "/etc/four")])
    function = helper.make_function(
        "own", "f", [], ["q"], [helper.make_node("Constant", [], ["q"], value=outside_tensor("w5", "five.bin"))], []
    )
    sparse = onnx.SparseTensorProto(values=outside_tensor("w6", "six.bin"), dims=[8])
    main = graph("main", [branch, listed], [outside_tensor("w1", "one.bin"), outside_tensor("w1b", "one.bin")])
    main.sparse_initializer.append(sparse)
    path = save(tmp_path / "m.onnx", main, [function])
    found = sorted(external_locations(path))
    assert found == [
        "../three.bin",
        "/etc/four",
        "five.bin",
        "one.bin",
        "six.bin",
        "two.bin",
    ]


def test_a_field_number_that_is_another_one_in_32_bits_is_refused(tmp_path):
    """External data of a tensor, field 13, whose number says 13 in its lower 32 bits alone."""
    hidden = outside_tensor("w", "unlisted.bin").SerializeToString().replace(b"\x6a", b"\xea\x80\x80\x80\x10")
    for field in (5, 7):  # a tensor of a graph of a model
        hidden = bytes([field << 3 | 2, len(hidden) % 128 | 128, len(hidden) // 128]) + hidden
    path = tmp_path / "m.onnx"
    path.write_bytes(hidden)
    with pytest.raises(MalformedOnnxError, match="impossible number"):
        external_locations(path)


@pytest.mark.parametrize("content", [b"", b"\x00", b"hello, world", b"\x3a\xff\xff\xff\xff\x0f", b"\x08\x0a"])
def test_refuses_what_is_no_model(tmp_path, content):
    path = tmp_path / "m.onnx"
    path.write_bytes(content)
    with pytest.raises(MalformedOnnxError):
        external_locations(path)


def test_refuses_a_model_cut_off_anywhere(tmp_path):
    whole = save(tmp_path / "m.onnx", graph("g", initializers=[inside_tensor("w")])).read_bytes()
    cut = tmp_path / "cut.onnx"
    start = whole.index(b"\x3a")  # the graph; a file cut before it, or inside it, is not whole
    for size in range(start + 2, len(whole) - 1):
        cut.write_bytes(whole[:size])
        try:
            found = external_locations(cut)
        except MalformedOnnxError:
            continue
        # Cut exactly behind the graph, a message is whole again; only the fields after it are missing.
        assert found == [] and size >= start + 2 + whole[start + 1]


def test_deep_nesting_is_refused_not_followed(tmp_path):
    data = b""
    for _ in range(400):  # graph in attribute in node in graph …
        attribute = b"\x32" + _length(data) + data
        node = b"\x2a" + _length(attribute) + attribute
        data = b"\x0a" + _length(node) + node
    path = tmp_path / "m.onnx"
    path.write_bytes(b"\x3a" + _length(data) + data)
    with pytest.raises(MalformedOnnxError, match="deep"):
        external_locations(path)


@given(st.binary(max_size=200))
def test_any_bytes_are_understood_or_refused(tmp_path_factory, content):
    path = tmp_path_factory.mktemp("fuzz") / "m.onnx"
    path.write_bytes(content)
    with contextlib.suppress(MalformedOnnxError):
        assert isinstance(external_locations(path), list)


def _length(data: bytes) -> bytes:
    value, out = len(data), b""
    while value > 127:
        out += bytes([value & 127 | 128])
        value >>= 7
    return out + bytes([value])
