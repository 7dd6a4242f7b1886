from pathlib import Path

import keras
import numpy as np
import pytest

from training.config import BranchConfig, Config, FitConfig, FrontEndConfig, InputConfig
from training.families import FAMILIES, POOLINGS
from training.filters import filterbank
from training.losses import LOSSES
from training.masks import Mask
from training.model import FUSION, build, make_artifact, make_branches, make_learner, make_logits

NOISE = (np.random.default_rng(0).standard_normal((3, 16_000)) * 0.1).astype(np.float32)
INPUT = InputConfig(window_seconds=1, hop_seconds=1)
SMALL = {
    "simple_cnn": {"filters": [2, 2, 2, 2], "dense": 4},
    "se_resnet": {"filters": [2, 4], "blocks": [1, 2]},
    "local_resnet": {"filters": [2, 4], "blocks": [1, 2]},
    "lcnn": {"filters": [2, 4]},
    "aasist": {"channels": [4] * 6, "gat_dims": [4, 4]},
    "aasist_l": {"channels": [4] * 6, "gat_dims": [4, 4]},
}
MEL = FrontEndConfig(bands=40)
TWO = {
    "mel": BranchConfig(family="se_resnet", options=SMALL["se_resnet"], front_end=MEL),
    "cepstra": BranchConfig(family="lcnn", options=SMALL["lcnn"], front_end=FrontEndConfig(kind="lfcc")),
}


SEEN = {
    "aasist": FrontEndConfig(kind="waveform"),
    "aasist_l": FrontEndConfig(kind="waveform"),
    "rates": FrontEndConfig(kind="frame_lines"),
}


def of(family: str, options: dict[str, object] | None = None, **fit: object) -> Config:
    seen = SEEN.get(family, MEL)
    branch = BranchConfig(family=family, options=SMALL.get(family, {}) if options is None else options, front_end=seen)
    return Config(branches={"main": branch}, input=INPUT, fit=FitConfig(**fit))


@pytest.mark.parametrize("family", FAMILIES)
def test_a_family_maps_waveforms_to_logits_and_reloads_without_our_code(family: str, tmp_path: Path) -> None:
    model = build(of(family))
    logits = np.asarray(model(NOISE, training=False))
    assert logits.shape == (3,)
    layers = list(model._flatten_layers())
    assert not [type(layer) for layer in layers if type(layer).__module__.startswith("training")]
    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras", compile=False, safe_mode=True)
    assert np.abs(np.asarray(again(NOISE, training=False)) - logits).max() < 1e-5
    if family not in SEEN:
        assert np.array_equal(again.get_layer("filterbank").get_weights()[0], filterbank(MEL, sample_rate=16_000))


@pytest.mark.parametrize("loss", LOSSES)
def test_a_loss_falls_as_its_logit_rises_for_bonafide_and_as_it_falls_for_spoofs(loss: str) -> None:
    way = LOSSES[loss]
    size = 1 if loss in ("cross_entropy", "oc_softmax") else 2
    for label, sign in ((1.0, 1), (0.0, -1)):
        steps = [np.array([[sign * x, -sign * x][:size]], np.float32) for x in (-0.8, -0.2, 0.2, 0.5)]
        labels = np.array([[label]], np.float32)
        losses = [float(np.asarray(way.loss(labels, step)).item()) for step in steps]
        logits = [sign * float(np.asarray(way.logit(step)).item()) for step in steps]
        assert losses == sorted(set(losses), reverse=True)
        assert logits == sorted(set(logits))


def test_a_logit_is_0_midway_between_the_margins() -> None:
    for loss, midway in (("oc_softmax", [(0.9 + 0.2) / 2]), ("am_softmax", [0.3, 0.3]), ("p2sgrad", [0.3, 0.3])):
        assert np.asarray(LOSSES[loss].logit(np.array([midway], np.float32))) == pytest.approx(0, abs=1e-5)


def test_margins_ask_for_more_than_being_right() -> None:
    right = np.array([[0.6]], np.float32), np.array([[0.6, 0.5]], np.float32)
    one = np.ones((1, 1), np.float32)
    assert float(np.asarray(LOSSES["oc_softmax"].loss(one, right[0])).item()) > 5  # 0.6 is right, and not 0.9
    assert float(np.asarray(LOSSES["am_softmax"].loss(one, right[1])).item()) > 1.5  # ahead by 0.1, and not by 0.2
    assert float(np.asarray(LOSSES["p2sgrad"].loss(one, right[1])).item()) == pytest.approx((0.4**2 + 0.5**2) / 2)


@pytest.mark.parametrize("loss", LOSSES)
def test_outputs_of_a_margin_loss_are_cosines(loss: str) -> None:
    outputs = np.asarray(make_learner(of("se_resnet", loss=loss), make_branches(of("se_resnet", loss=loss)))(NOISE))
    assert outputs.shape == (3, 1 if loss in ("cross_entropy", "oc_softmax") else 2)
    assert loss == "cross_entropy" or np.abs(outputs).max() <= 1.5  # the constraint holds after the first step


def test_a_margin_loss_has_directions_and_nothing_else() -> None:
    """After a step of the optimiser, which applies the constraint, outputs are cosines with the columns."""
    embedding = np.random.default_rng(0).standard_normal((5, 4)).astype(np.float32)
    inputs = keras.Input((4,))
    head = keras.Model(inputs, LOSSES["am_softmax"].head(inputs))
    (kernel,) = head.weights
    before = np.asarray(kernel) * 3
    kernel.assign(head.layers[-1].kernel_constraint(before))
    cosines = embedding @ before / np.linalg.norm(embedding, axis=1, keepdims=True) / np.linalg.norm(before, axis=0)
    assert np.asarray(head(embedding)) == pytest.approx(cosines, abs=1e-5)


def test_a_local_network_adds_up_what_distant_frames_say() -> None:
    rng = np.random.default_rng(0)
    silent = np.zeros((1, 200, 40, 1), np.float32)
    early, late = silent.copy(), silent.copy()
    early[:, 20:60], late[:, 140:180] = rng.standard_normal((2, 1, 40, 40, 1))

    def moved(family: str) -> tuple[np.ndarray, np.ndarray]:
        start = keras.Input(silent.shape[1:])
        model = keras.Model(start, FAMILIES[family](start))
        of_none, of_early, of_late, of_both = (np.asarray(model(x)) for x in (silent, early, late, early + late))
        return of_both - of_none, of_early + of_late - 2 * of_none

    together, apart = moved("local_resnet")
    assert np.abs(together).max() > 0.01
    assert np.abs(together - apart).max() < 1e-4
    together, apart = moved("se_resnet")  # whose excitation hears the whole window
    assert np.abs(together - apart).max() > 1e-3


@pytest.mark.parametrize("pooling", POOLINGS)
def test_pooling_over_time_does_not_hear_the_order(pooling: str) -> None:
    x = np.random.default_rng(0).standard_normal((2, 7, 3, 4)).astype(np.float32)
    start = keras.Input(x.shape[1:])
    model = keras.Model(start, POOLINGS[pooling](start))
    assert np.allclose(np.asarray(model(x)), np.asarray(model(x[:, ::-1])), atol=1e-5)
    if pooling == "statistics":
        frames = x.reshape(2, 7, 12)
        assert np.allclose(np.asarray(model(x)), np.hstack([frames.mean(axis=1), frames.std(axis=1)]), atol=1e-4)


def test_an_artifact_is_the_weighted_sum_of_its_branches() -> None:
    config = Config(branches=TWO, input=INPUT)
    branches = make_branches(config)
    both = np.asarray(make_logits(config, branches)(NOISE))
    fused = np.asarray(make_artifact(config, branches, weights=[0.25, 2.0])(NOISE))
    assert both.shape == (3, 2)
    assert np.allclose(fused, both @ [0.25, 2.0], atol=1e-5)


def test_a_bounded_branch_says_no_more_than_its_bounds() -> None:
    free = Config(branches=TWO, input=INPUT)
    branches = make_branches(free)
    said = np.asarray(make_logits(free, branches)(NOISE))
    low, high = np.quantile(said[:, 0], [0.4, 0.6])
    bounded = Config(branches=TWO | {"mel": TWO["mel"].model_copy(update={"bounds": (low, high)})}, input=INPUT)
    cut = np.asarray(make_logits(bounded, branches)(NOISE))
    assert np.allclose(cut[:, 0], np.clip(said[:, 0], low, high), atol=1e-6)
    assert not np.allclose(cut[:, 0], said[:, 0], atol=1e-6)
    assert np.allclose(cut[:, 1], said[:, 1])
    learned = [np.asarray(make_learner(config, branches)(NOISE)) for config in (free, bounded)]
    assert np.array_equal(*learned)  # it learns as if it had none


def test_a_learner_teaches_the_branches_of_the_artifact() -> None:
    config = Config(branches=TWO, input=INPUT)
    branches = make_branches(config)
    artifact, learner = make_artifact(config, branches, weights=[1, 1]), make_learner(config, branches)
    before = np.asarray(artifact(NOISE))
    for variable in learner.trainable_variables:
        variable.assign(variable + 0.1)
    assert not np.allclose(before, np.asarray(artifact(NOISE)))
    frozen = {name for name in ("filterbank", "filterbank_1", "cosines_2") if not learner.get_layer(name).trainable}
    assert len(frozen) == 3


def test_a_mask_hides_one_stretch_of_frames_and_one_of_bands_in_training_alone() -> None:
    layer, ones = Mask(0.5, seed=1), np.ones((200, 20, 10, 2), np.float32)
    assert np.array_equal(np.asarray(layer(ones)), ones)
    hidden = np.asarray(layer(ones, training=True)) == 0
    assert hidden.any(axis=(1, 2, 3)).mean() > 0.9
    frames, bands = hidden.all(axis=(2, 3)), hidden.all(axis=(1, 3))
    assert np.array_equal(hidden[..., 0], frames[:, :, None] | bands[:, None, :])
    assert frames.sum(axis=1).max() <= 10
    assert (np.abs(np.diff(frames.astype(int), axis=1)).sum(axis=1) <= 2).all()  # one stretch
    assert np.ptp(frames.argmax(axis=1)) > 5  # anywhere


def test_the_seeds_network_is_four_convolutions_with_max_pooling_then_flatten_and_dense() -> None:
    model = build(Config())
    kinds = [type(layer).__name__ for layer in model.get_layer("main").layers]
    assert kinds.count("Conv2D") == kinds.count("MaxPooling2D") == 4
    assert kinds.index("Flatten") < kinds.index("Dense", kinds.index("Flatten"))
    assert model.get_layer(FUSION).get_weights()[0].tolist() == [[1.0]]


@pytest.mark.parametrize(
    ("family", "options"),
    [
        ("simple_cnn", {"depth": 3}),
        ("simple_cnn", {"filters": [2, 2]}),
        ("local_resnet", {"filters": [2, 4]}),
        ("local_resnet", {"filters": "wide"}),
        ("se_resnet", {"pooling": "loudest"}),
        ("se_resnet", {"stem_stride": [0, 2]}),
        ("lcnn", {"dropout": 2}),
    ],
    ids=str,
)
def test_options_that_a_family_cannot_be_built_with_are_refused_by_a_sentence(
    family: str, options: dict[str, object]
) -> None:
    with pytest.raises(ValueError, match=f"family {family} is built with options that it has.*Received: {{'"):
        build(of(family, options))


def test_what_does_not_exist_is_refused() -> None:
    with pytest.raises(ValueError, match="A family is one of simple_cnn, .*Received: 'vgg'"):
        build(of("vgg"))
    with pytest.raises(ValueError, match="A loss is one of cross_entropy, .*Received: 'hinge'"):
        build(of("simple_cnn", loss="hinge"))
    with pytest.raises(ValueError, match="A front end is one of log_mel, .*Received: 'bark'"):
        build(Config(branches={"main": BranchConfig(front_end=FrontEndConfig(kind="bark"))}))
