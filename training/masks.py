"""Parts of the features, hidden while a network learns: it has to find more than one trace."""

import keras
from keras import ops


@keras.saving.register_keras_serializable("bonafide")
class Mask(keras.layers.Layer):  # type: ignore[misc]
    """Replace one stretch of frames and one of bands by 0, their mean (SpecAugment, Park et al. 2019).

    Each is of a random width, up to `widest` of all, at a random place, for each window anew. In inference, and for
    features that are not a picture, nothing is hidden. No artifact has this layer: it belongs to the learner.

    Input and output: (batch, frames, bands, channels).
    """

    def __init__(self, widest: float, *, seed: int | None = None, **keywords: object) -> None:
        super().__init__(**keywords)
        self.widest = widest
        self.seed_generator = keras.random.SeedGenerator(seed)

    def call(self, features: keras.KerasTensor, training: bool = False) -> keras.KerasTensor:
        if not training or self.widest == 0 or len(features.shape) != 4:
            return features
        for axis in (1, 2):
            features = features * self._kept(features, axis)
        return features

    def _kept(self, features: keras.KerasTensor, axis: int) -> keras.KerasTensor:
        """1 where something is to be seen, 0 where not; of the shape (batch, n, 1, 1) or (batch, 1, n, 1)."""
        batch, size = ops.shape(features)[0], features.shape[axis]
        width = keras.random.uniform((batch, 1), 0, self.widest * size, seed=self.seed_generator)
        start = keras.random.uniform((batch, 1), seed=self.seed_generator) * (size - width)
        place = ops.arange(size, dtype="float32")[None]
        kept = 1 - ops.cast((place >= start) & (place < start + width), features.dtype)
        return ops.reshape(kept, (-1, size, 1, 1) if axis == 1 else (-1, 1, size, 1))

    def get_config(self) -> dict[str, object]:
        return {**super().get_config(), "widest": self.widest}
