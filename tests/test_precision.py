"""Mixed precision: where it is asked for and there is a GPU, in the networks alone, and never in an artifact."""

from pathlib import Path

import keras
import numpy as np
import pytest

from tests.test_fit import CONFIG, corpus  # noqa: F401 (a fixture)
from training import fit, model
from training.config import BranchConfig, FrontEndConfig
from training.model import branches_of, make_branches, make_learner

MIXED = CONFIG.model_copy(update={"fit": CONFIG.fit.model_copy(update={"mixed_precision": True, "epochs": 1})})


@pytest.fixture(autouse=True)
def processor(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """What Linux says of a processor without AMX."""
    monkeypatch.setattr(model, "_CPU", tmp_path / "cpuinfo")
    model._CPU.write_text("flags\t\t: fpu avx512f avx512_bf16\n")
    return model._CPU


@pytest.fixture
def gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """A GPU, so far as Keras says."""
    monkeypatch.setattr(keras.distribution, "list_devices", lambda kind: [f"{kind}:0"])


def computing(model: keras.Model) -> dict[str, set[str]]:
    """What the layers of a kind compute in, those of models within included."""
    found: dict[str, set[str]] = {}
    for layer in model._flatten_layers(include_self=False):
        found.setdefault(type(layer).__name__, set()).add(layer.compute_dtype)
    return found


def test_a_cpu_learns_in_float32_though_asked_for_less() -> None:
    assert keras.distribution.list_devices("gpu") == []
    assert set.union(*computing(make_learner(MIXED, make_branches(MIXED))).values()) == {"float32"}


def test_a_cpu_that_multiplies_bfloat16_learns_in_it(processor: Path) -> None:
    processor.write_text("flags\t\t: fpu avx512f amx_bf16 amx_tile\n")
    assert "bfloat16" in set.union(*computing(make_learner(MIXED, make_branches(MIXED))).values())
    processor.unlink()  # of a system that has no such file nothing is known
    assert set.union(*computing(make_learner(MIXED, make_branches(MIXED))).values()) == {"float32"}


@pytest.mark.usefixtures("gpu")
def test_on_a_gpu_nothing_is_mixed_unasked() -> None:
    assert set.union(*computing(make_learner(CONFIG, make_branches(CONFIG))).values()) == {"float32"}


@pytest.mark.usefixtures("gpu")
@pytest.mark.parametrize(
    "branch",
    [
        BranchConfig(
            family="se_resnet", options={"filters": [4, 4], "blocks": [1, 1]}, front_end=FrontEndConfig(bands=20)
        ),
        BranchConfig(family="lcnn", options={"filters": [2, 2]}, front_end=FrontEndConfig(kind="lfcc", bands=20)),
        BranchConfig(family="aasist_l", front_end=FrontEndConfig(kind="waveform")),
    ],
    ids=lambda branch: branch.family,
)
def test_on_a_gpu_networks_compute_in_bfloat16_and_all_else_in_float32(branch: BranchConfig) -> None:
    config = MIXED.model_copy(update={"branches": {"one": branch, "two": branch}})
    learner = make_learner(config, make_branches(config))
    inside = [learner.get_layer(name) for name in config.branches]
    around = [layer for layer in learner.layers if layer not in inside]
    assert all(layer.compute_dtype == "float32" for layer in around)
    assert learner.compute_dtype == learner.output.dtype == "float32"
    for network in inside:
        assert network.layers[-1].compute_dtype == network.output.dtype == "float32"  # the head
        assert all(layer.compute_dtype == "bfloat16" for layer in network.layers if "conv" in layer.name)
        assert any("conv" in layer.name for layer in network.layers)
        assert {weight.dtype for weight in network.weights} <= {"float32", "uint32"}
        statistics = [layer for layer in network.layers if isinstance(layer, keras.layers.Reshape)]
        assert branch.family == "aasist_l" or {layer.compute_dtype for layer in statistics} == {"float32"}
    assert keras.config.dtype_policy().name == "float32"  # of what others make afterwards
    watched = branches_of(learner, config)
    assert set.union(*(set.union(*computing(network).values()) for network in watched.values())) == {"float32"}


@pytest.mark.usefixtures("gpu", "corpus")
def test_a_run_in_mixed_precision_makes_an_artifact_in_float32(tmp_path: Path) -> None:
    model = keras.saving.load_model(fit.fit(MIXED, [], tmp_path), compile=False)
    assert set.union(*computing(model).values()) == {"float32"}
    learner = fit.read_learner(tmp_path / "last.keras", MIXED)
    assert "bfloat16" in computing(learner)["Conv2D"]
    features = np.random.default_rng(0).standard_normal((8, *learner.get_layer("main").input_shape[1:]), np.float32)
    exact = np.asarray(branches_of(learner, MIXED)["main"](features))
    mixed = np.asarray(learner.get_layer("main")(features))
    assert 0 < np.abs(exact - mixed).max() < 0.05 * np.abs(exact).max()
    assert 0 < fit.read_history(tmp_path)["loss"][0] < 1
