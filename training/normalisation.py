"""Batch normalisation in one operation, where Keras takes a dozen."""

from typing import Any

import keras
from keras import ops


class FusedBatchNormalization(keras.layers.BatchNormalization):  # type: ignore[misc]  # Keras has no types
    """Keras' own layer, which on TensorFlow learns by the operation that is made for it.

    Keras composes mean, variance and scale of operations that each pass over all activations, in float32 whatever the
    network computes in. The fused one takes bfloat16 too, with statistics in float32. What comes of it is the same.

    For activations (batch, height, width, channels); of others, and on other backends, Keras' own.
    """

    def call(self, inputs: Any, training: bool | None = None, mask: Any = None) -> Any:
        """Normalise by the batch's own statistics and let the moving ones follow, or by those."""
        fused = training and self.trainable and len(inputs.shape) == 4 and keras.config.backend() == "tensorflow"
        if not fused:
            return super().call(inputs, training=training, mask=mask)
        import tensorflow as tf  # noqa: PLC0415  # a machine that trains with JAX has none

        outputs, mean, variance, *_ = tf.raw_ops.FusedBatchNormV3(
            x=inputs,
            scale=ops.convert_to_tensor(self.gamma),
            offset=ops.convert_to_tensor(self.beta),
            mean=[],
            variance=[],
            epsilon=self.epsilon,
        )
        count = ops.cast(ops.prod(ops.shape(inputs)[:-1]), "float32")
        variance = variance * (1 - 1 / count)  # the operation's is of a population that the batch is a sample of
        for moving, value in ((self.moving_mean, mean), (self.moving_variance, variance)):
            moving.assign(moving * self.momentum + value * (1 - self.momentum))
        return outputs
