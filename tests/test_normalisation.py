"""The fused operation gives what Keras' own layer gives: outputs, gradients, and what it remembers."""

from pathlib import Path

import keras
import numpy as np
import numpy.typing as npt
import pytest

from training.fold import fold
from training.normalisation import FusedBatchNormalization

pytestmark = pytest.mark.skipif(keras.config.backend() != "tensorflow", reason="Keras' own layer on other backends.")
MOMENTUM = 0.7


def learned(kind: type[keras.layers.Layer], x: npt.NDArray[np.float32], dtype: str) -> list[npt.NDArray[np.float32]]:
    """Outputs, gradients of input, scale and offset, and the moving statistics, after two steps."""
    import tensorflow as tf  # noqa: PLC0415  # not where the backend is another

    layer = kind(momentum=MOMENTUM, epsilon=1e-3, dtype=dtype)
    layer.build(x.shape)
    rng = np.random.default_rng(1)
    layer.gamma.assign(rng.uniform(0.5, 2, x.shape[-1]))
    layer.beta.assign(rng.standard_normal(x.shape[-1]))
    weights = tf.constant(rng.standard_normal(x.shape), tf.float32)
    for scale in (1.0, 2.0):
        with tf.GradientTape() as tape:
            given = tf.constant(scale * x)
            tape.watch(given)
            outputs = layer(given, training=True)
            loss = tf.reduce_sum(weights * tf.cast(outputs, tf.float32))
    gradients = tape.gradient(loss, [given, layer.gamma.value, layer.beta.value])
    found = [outputs, *gradients, layer.moving_mean, layer.moving_variance, layer(given, training=False)]
    return [np.asarray(keras.ops.cast(value, "float32")) for value in found]


@pytest.mark.parametrize(("dtype", "tolerance"), [("float32", 1e-4), ("mixed_bfloat16", 0.05)])
@pytest.mark.parametrize("shape", [(8, 5, 7, 6), (2, 1, 1, 3)], ids=str)  # a few values: their variance is two of them
def test_it_is_keras_own(shape: tuple[int, ...], dtype: str, tolerance: float) -> None:
    x = np.random.default_rng(0).normal(3, 2, shape).astype(np.float32)
    for fused, own in zip(
        learned(FusedBatchNormalization, x, dtype),
        learned(keras.layers.BatchNormalization, x, dtype),
        strict=True,
    ):
        assert np.allclose(fused, own, rtol=tolerance, atol=tolerance * max(1, np.abs(own).max()))


def test_of_a_vector_it_is_keras_own_too() -> None:
    x = np.random.default_rng(0).normal(3, 2, (16, 4)).astype(np.float32)
    found, own = (learned(kind, x, "float32") for kind in (FusedBatchNormalization, keras.layers.BatchNormalization))
    assert all(np.array_equal(a, b) for a, b in zip(found, own, strict=True))


def test_an_artifact_loads_without_it(tmp_path: Path) -> None:
    """One normalisation that folds into its convolution, and one that does not."""
    features = keras.Input((6, 6, 1))
    x = FusedBatchNormalization()(keras.layers.Conv2D(3, 3)(features))
    x = FusedBatchNormalization()(keras.layers.MaxPooling2D()(x))
    fold(keras.Model(features, keras.layers.GlobalAveragePooling2D()(x))).save(tmp_path / "m.keras")
    loaded = keras.saving.load_model(tmp_path / "m.keras")
    kinds = [type(layer) for layer in loaded.layers]
    assert kinds.count(keras.layers.BatchNormalization) == 1
    assert FusedBatchNormalization not in kinds
