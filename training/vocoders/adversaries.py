"""The adversaries of neural vocoders: a segment (batch, samples) -> features of each layer, then verdicts.

References: K. Kumar et al., "MelGAN", 2019 (arXiv:1910.06711: on samples); J. Kong et al., "HiFi-GAN", 2020
(arXiv:2010.05646: on samples folded by a period); W. Jang et al., "UnivNet", 2021 (arXiv:2106.07889: on spectrograms of
several resolutions). All are narrower than theirs.
"""

import keras
from keras import layers, ops

from training.vocoders.frames import magnitudes
from training.vocoders.methods import Adversaries

_PERIODS = (2, 3, 5, 7, 11)
_RESOLUTIONS = (256, 512, 1024)  # samples in a window; a quarter between two
_FLOOR = 1e-5


def build(adversaries: Adversaries, *, segment: int) -> list[keras.Model]:
    """Those of a variant, for segments of so many samples."""
    match adversaries:
        case "none":
            return []
        case "small":
            return [_on_samples(segment), _on_spectra(segment)]
        case "large":
            periods = [_on_period(segment, period) for period in _PERIODS]
            return [*periods, *(_on_resolution(segment, size) for size in _RESOLUTIONS)]


def _on_samples(segment: int) -> keras.Model:
    """Hears samples."""
    samples = keras.Input((segment,))
    x, features = layers.Reshape((segment, 1))(samples), []
    for width, stride in ((16, 4), (32, 4), (64, 4)):
        x = layers.LeakyReLU(0.2)(layers.Conv1D(width, 4 * stride + 1, strides=stride, padding="same")(x))
        features.append(x)
    return keras.Model(samples, [*features, layers.Conv1D(1, 3, padding="same")(x)])


def _on_spectra(segment: int) -> keras.Model:
    """Sees logarithmic magnitudes of one resolution."""
    samples = keras.Input((segment,))
    x, features = _log_magnitude(samples, 512), []
    for width in (16, 32, 32):
        x = layers.LeakyReLU(0.2)(layers.Conv2D(width, (3, 5), strides=(1, 3), padding="same")(x))
        features.append(x)
    return keras.Model(samples, [*features, layers.Conv2D(1, 3, padding="same")(x)])


def _on_period(segment: int, period: int) -> keras.Model:
    """Hears every so manyth sample."""
    samples = keras.Input((segment,))
    padded = ops.pad(samples, [[0, 0], [0, -segment % period]], mode="reflect")
    x, features = layers.Reshape((-1, period, 1))(padded), []
    for width, stride in ((32, 3), (64, 3), (128, 3), (256, 3), (256, 1)):
        x = layers.LeakyReLU(0.1)(layers.Conv2D(width, (5, 1), strides=(stride, 1), padding="same")(x))
        features.append(x)
    return keras.Model(samples, [*features, layers.Conv2D(1, (3, 1), padding="same")(x)])


def _on_resolution(segment: int, size: int) -> keras.Model:
    """Sees logarithmic magnitudes of windows of so many samples."""
    samples = keras.Input((segment,))
    x, features = _log_magnitude(samples, size), []
    for _ in range(4):
        x = layers.LeakyReLU(0.1)(layers.Conv2D(32, (3, 7), strides=(1, 2), padding="same")(x))
        features.append(x)
    return keras.Model(samples, [*features, layers.Conv2D(1, 3, padding="same")(x)])


def _log_magnitude(samples: keras.KerasTensor, size: int) -> keras.KerasTensor:
    return ops.expand_dims(ops.log(magnitudes(samples, size=size, hop=size // 4, floor=_FLOOR)), -1)
