"""Which provider runs a bundle: tried on its graphs, compared with the processor, and the reason in words."""

from __future__ import annotations

import numpy as np
import onnxruntime as ort
import pytest

from core.errors import UserError
from core.onnx.decoder import BoundDecoder, OnnxDecoder
from core.onnx.provider_table import CPU, NAMES, PROVIDERS, by_plain_name
from core.onnx.providers import Machine, Trial, provider_options, session_options, start_sessions
from core.onnx.session import open_bundle

EXPECTED = np.linspace(-3, 3, 12, dtype=np.float32).reshape(3, 4)
WHOLE = {one.name for one in PROVIDERS}


class FakeSession:
    """Gives ``output``, or raises it."""

    def __init__(self, providers, output):
        self._providers, self._output = providers, output

    def get_providers(self):
        return self._providers

    def run(self, _names, _inputs):
        if isinstance(self._output, Exception):
            raise self._output
        return [self._output]


def graph(**outputs) -> Trial:
    """A graph with an output, or an error, per provider; where none is given, the processor's. ``loaded`` of it notes
    what was loaded."""
    loaded: list[str] = []

    def load(provider):
        loaded.append(provider.plain)
        output = outputs.get(provider.plain, EXPECTED)
        if isinstance(output, MemoryError):
            raise output
        names = [CPU.name] if isinstance(output, str) else [provider.name, CPU.name]
        return FakeSession(names, output)

    trial = Trial(load, ({"x": EXPECTED},))
    load.loaded = loaded
    return trial


def start(*trials, wanted="auto", offered=WHOLE, fault=lambda provider: None, tolerance=1e-3):
    machine = Machine(lambda: sorted(offered), fault)
    sessions, choice, provider = start_sessions(trials, wanted, tolerance=tolerance, machine=machine)
    assert len(sessions) == len(trials) and choice.name == provider.name
    assert choice.reason[0].isupper() or choice.reason.startswith(provider.words)
    assert choice.reason.endswith(".") and ".." not in choice.reason
    return provider.plain, choice.reason


def test_a_graphics_card_that_gives_the_same_numbers_is_taken():
    first, second = graph(cuda=EXPECTED + np.float32(1e-4)), graph()
    plain, reason = start(first, second)
    assert plain == "cuda" and "processor's numbers" in reason
    assert first.load.loaded == ["cpu", "cuda"] and second.load.loaded == ["cpu", "cuda"]  # and nothing else was tried


@pytest.mark.parametrize(
    ("output", "words"),
    [
        (EXPECTED * np.float32(1.01), "other numbers"),
        (np.where(EXPECTED > 2, np.nan, EXPECTED), "other numbers"),
        (EXPECTED[:2], "other numbers"),
        (RuntimeError("CUDNN failure 4\nand much more"), "CUDNN failure 4"),
        (MemoryError("the card is full"), "the card is full"),
        ("no provider", "libraries"),
    ],
    ids=["wrong", "not a number", "shape", "run", "load", "silent"],
)
def test_one_fault_in_one_graph_and_the_processor_runs_all(output, words):
    sound, faulty = graph(), graph(cuda=output)
    plain, reason = start(sound, faulty, offered={"CUDAExecutionProvider", CPU.name})
    assert plain == "cpu" and words in reason and reason.startswith("CUDA cannot be used: ") and "\n" not in reason
    assert sound.load.loaded[-1] == faulty.load.loaded[-1] == "cpu"


def test_the_next_one_is_tried_and_every_fault_is_told():
    plain, reason = start(graph(cuda=EXPECTED + 1, rocm=EXPECTED + 2))
    assert plain == "directml"
    assert reason.index("CUDA cannot") < reason.index("ROCm cannot") < reason.index("DirectML runs")


def test_what_compiles_for_minutes_is_tried_by_name_only():
    faulty = graph(cuda=EXPECTED + 1, rocm=EXPECTED + 1, directml=EXPECTED + 1)
    assert start(faulty)[0] == "cpu"
    assert set(faulty.load.loaded) == {"cpu", "cuda", "rocm", "directml"}
    for plain in ("tensorrt", "migraphx", "coreml", "openvino"):
        assert start(graph(), wanted=plain)[0] == plain


def test_tensorrt_falls_back_to_cuda_and_that_to_the_processor():
    plain, reason = start(graph(tensorrt="no provider"), wanted="tensorrt")
    assert plain == "cuda" and reason.startswith("TensorRT cannot be used")
    plain, reason = start(graph(tensorrt="no provider", cuda=EXPECTED + 1), wanted="tensorrt")
    assert plain == "cpu" and reason.index("TensorRT cannot") < reason.index("CUDA cannot")
    assert [name for name, _ in provider_options(by_plain_name("tensorrt"))] == [
        "TensorrtExecutionProvider", "CUDAExecutionProvider", "CPUExecutionProvider",
    ]  # fmt: skip


def test_the_card_is_the_one_that_training_would_take(monkeypatch):
    """Of several: torch's number is CUDA's own, so that one variable counts for both."""
    options = lambda plain: dict(provider_options(by_plain_name(plain)))  # noqa: E731
    assert "device_id" not in options("cuda")["CUDAExecutionProvider"]
    for said, number in (("cuda", "0"), ("cuda:1", "1")):
        monkeypatch.setenv("SEEDCAP_DEVICE", said)
        found = options("tensorrt")
        assert found["TensorrtExecutionProvider"]["device_id"] == found["CUDAExecutionProvider"]["device_id"] == number
        assert found["CUDAExecutionProvider"]["use_tf32"] == "0" and found[CPU.name] == {}
        assert "device_id" not in options("directml")["DmlExecutionProvider"]
    plain, reason = start(graph())
    assert plain == "cuda" and reason.startswith("CUDA on card 1 runs the model")
    monkeypatch.setenv("SEEDCAP_DEVICE", "cuda:first")
    with pytest.raises(UserError, match="no device 'cuda:first'"):
        provider_options(by_plain_name("cuda"))


def test_the_processor_is_taken_where_the_variable_says_so(monkeypatch):
    monkeypatch.setenv("SEEDCAP_DEVICE", "cpu")
    assert start(graph()) == ("cpu", "The processor was asked for.")
    assert start(graph(), wanted="cuda")[0] == "cuda"  # who names one means it
    monkeypatch.setenv("SEEDCAP_DEVICE", "auto")
    assert start(graph())[0] == "cuda"


def test_without_one_that_is_offered_nothing_is_tried():
    quiet = graph()
    plain, reason = start(quiet, offered={CPU.name})
    assert plain == "cpu" and quiet.load.loaded == ["cpu"] and "onnxruntime-gpu" in reason
    plain, reason = start(graph(), wanted="directml", offered={CPU.name})
    assert plain == "cpu" and "onnxruntime-directml" in reason


def test_a_missing_driver_is_told_before_anything_is_loaded():
    quiet = graph()
    plain, reason = start(quiet, offered={"CUDAExecutionProvider"}, fault=lambda provider: "there is no card")
    assert plain == "cpu" and quiet.load.loaded == ["cpu"] and "CUDA cannot be used: there is no card. " in reason


def test_the_processor_is_not_compared_with_itself():
    only = graph()
    assert start(only, wanted="cpu")[0] == "cpu" and only.load.loaded == ["cpu"]


def test_a_graph_that_the_processor_cannot_load_is_no_providers_fault():
    with pytest.raises(MemoryError):
        start(graph(cpu=MemoryError("broken graph")))


def test_another_name_is_refused(tiny_bundle):
    with pytest.raises(UserError, match="no provider 'gpu'") as refused:
        open_bundle(tiny_bundle, threads=1, provider="gpu")
    assert all(name in refused.value.next_step for name in NAMES)


def test_the_tolerance_is_the_callers():
    outputs = {"cuda": EXPECTED + np.float32(0.05)}
    assert start(graph(**outputs), tolerance=3e-2)[0] == "cuda"
    assert start(graph(**outputs), offered={"CUDAExecutionProvider"}, tolerance=1e-3)[0] == "cpu"


def test_every_provider_is_known_to_onnxruntime_or_was():
    """Names are easily mistyped, and one that is would never be offered."""
    gone = {"ROCMExecutionProvider"}  # until 1.22
    assert {one.name for one in PROVIDERS} <= {*ort.get_all_providers(), *gone}
    assert len({one.plain for one in PROVIDERS}) == len(PROVIDERS)
    for one in PROVIDERS:
        assert set(one.otherwise) <= set(NAMES) and session_options(one, 3).intra_op_num_threads == 3


@pytest.mark.parametrize("wanted", ["auto", "cpu", "openvino", "tensorrt"])
def test_a_real_bundle_always_opens(tiny_bundle, wanted):
    """Whatever this machine has: captions come, and a sentence says on what."""
    bundle = open_bundle(tiny_bundle, threads=1, provider=wanted)
    assert bundle.provider.name in WHOLE and bundle.provider.reason.endswith(".")
    if CPU.name == bundle.provider.name and wanted not in ("auto", "cpu"):
        assert by_plain_name(wanted).words + " cannot be used" in bundle.provider.reason


def test_the_trial_on_real_graphs_finds_other_numbers(tiny_bundle, monkeypatch):
    """A second provider that is the processor in disguise runs them; one whose numbers are off does not."""
    from core.onnx import providers, session

    new_session = session._new_session
    monkeypatch.setattr(providers, "_driver_fault", lambda provider: None)
    monkeypatch.setattr(ort, "get_available_providers", lambda: ["CUDAExecutionProvider", CPU.name])

    class Disguised:
        def __init__(self, real, off):
            self._real, self._off = real, off

        def __getattr__(self, name):
            return getattr(self._real, name)

        def get_providers(self):
            return ["CUDAExecutionProvider"]

        def run(self, names, inputs):
            return [values + np.float32(self._off) for values in self._real.run(names, inputs)]

    for off, expected in ((0.0, "CUDAExecutionProvider"), (0.5, CPU.name)):

        def load(graph, threads, provider, off=off):
            real = new_session(graph, threads, CPU)
            return real if provider is CPU else Disguised(real, off)

        monkeypatch.setattr(session, "_new_session", load)
        bundle = open_bundle(tiny_bundle, threads=1)
        assert bundle.provider.name == expected, bundle.provider.reason
        assert isinstance(bundle.decoder, BoundDecoder if expected != CPU.name else OnnxDecoder)
