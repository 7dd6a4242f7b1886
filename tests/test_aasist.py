from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from tests.aasist_by_hand import ByHand
from tests.checkpoints import made_aasist
from training import import_aasist
from training.aasist import AASIST, AASIST_L, SINC, aasist
from training.sinc import sinc_filters

TINY: dict[str, Any] = {
    "channels": (2, 2, 3, 3, 3, 3),
    "gat_dims": (4, 5),
    "pool_ratios": (0.5, 0.7, 0.5),
    "temperatures": (2.0, 3.0, 10.0),
}
SAMPLES = 27_000  # 12 frames for the graph
RISING = np.linspace(0, 2_000, SAMPLES) ** 2 / 200
WAVEFORMS = np.stack([0.1 * np.random.default_rng(0).standard_normal(SAMPLES), 0.3 * np.sin(RISING)]).astype("f4")


@pytest.fixture(scope="module")
def tensors() -> dict[str, Any]:
    return made_aasist(TINY)


@pytest.fixture(scope="module")
def model(tensors: dict[str, Any]) -> keras.Model:
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(import_aasist.SIZES, "aasist", TINY)
        patch.setattr(import_aasist, "WINDOW_SAMPLES", SAMPLES)
        return import_aasist.recognise(tensors)[1]


def test_it_is_the_network_of_the_paper(model: keras.Model, tensors: dict[str, Any]) -> None:
    by_hand = ByHand(tensors, TINY)
    encoded = [by_hand.encoded(waveform) for waveform in WAVEFORMS]
    expected = np.array([by_hand.decided(e)[1] for e in encoded])
    assert abs(expected[0] - expected[1]) > 1e-2  # the waveform matters
    assert np.asarray(model(WAVEFORMS, training=False)) == pytest.approx(expected, abs=1e-4)
    # As does each part of the graphs: with other weights, what the two agree on would be seen to differ.
    for name in ("pos_S", "master2", "HtrgGAT_layer_ST21.att_weight12", "pool_hT1.proj.weight"):
        other = ByHand({**tensors, name: 3 * tensors[name] + 1}, TINY)
        assert abs(other.decided(encoded[1])[1] - expected[1]) > 1e-3


def test_alone_is_as_in_a_batch_and_it_reloads_without_our_code(model: keras.Model, tmp_path: Path) -> None:
    logits = np.asarray(model(WAVEFORMS, training=False))
    assert logits.shape == (2,)
    assert np.abs(np.asarray(model(WAVEFORMS[1:], training=False)) - logits[1]).max() < 1e-4
    assert not [type(layer) for layer in model.layers if type(layer).__module__.startswith("training")]
    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras", compile=False, safe_mode=True)
    assert np.abs(np.asarray(again(WAVEFORMS, training=False)) - logits).max() < 1e-5


def test_every_weight_learns_but_the_filters(model: keras.Model) -> None:
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(model(WAVEFORMS, training=False) ** 2)
    gradients = tape.gradient(loss, model.trainable_weights)
    slopes = [float(tf.reduce_sum(abs(tf.convert_to_tensor(gradient)))) for gradient in gradients]
    assert [w.path for w, slope in zip(model.trainable_weights, slopes, strict=True) if not slope > 0] == []
    filters = model.get_layer(SINC)
    assert not filters.trainable_weights
    assert np.array_equal(filters.get_weights()[0][:, 0], sinc_filters(bands=70, taps=129, sample_rate=16_000))


def test_dropout_is_for_training_alone(model: keras.Model) -> None:
    rates = sorted(layer.rate for layer in model.layers if isinstance(layer, keras.layers.Dropout))
    # Attention's input in 2 graphs of one kind and 4 of both; 3 parts of both branches; 6 poolings; the readout.
    assert rates == [0.2] * (6 + 6) + [0.3] * 6 + [0.5]
    assert np.array_equal(*(model(WAVEFORMS, training=False) for _ in range(2)))
    assert not np.array_equal(*(model(WAVEFORMS, training=True) for _ in range(2)))


@pytest.mark.parametrize(("options", "parameters"), [(AASIST, 297_866), (AASIST_L, 85_306)])
def test_the_sizes_are_the_authors(options: dict[str, Any], parameters: int) -> None:
    waveform = keras.Input((64_600,))
    learned = keras.Model(waveform, aasist(waveform, **options)).trainable_weights
    # Theirs count the normalisations that they do not use, and an output for spoof beside that for bonafide.
    unused = 2 * sum(options["channels"][:-1]) + 5 * options["gat_dims"][1] + 1
    assert sum(int(np.prod(w.shape)) for w in learned) + unused == parameters
