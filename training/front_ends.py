"""Front ends: the part of the model that turns a waveform into a picture of it over time.

They are stock layers and `keras.ops`, so that the artifact reloads under Keras' safe mode without any code of
ours, and their constants are frozen weights inside the artifact. `training.filters` has the constants and names their
oracles.
"""

from collections.abc import Callable

import keras
import numpy as np
from keras import ops

from training import filters
from training.config import FrontEndConfig
from training.sinc import sinc_filters

_RELATIVE_FLOOR = 1e-5  # of the mean power in a band: 50 dB below it, about the noise of an 8-bit G.711 channel
_SPREAD = 0.5  # of log power, roughly: brings features to a standard deviation near 1


class FrontEnds:
    """The front ends of one waveform: they share its spectra, and no two frozen layers share a name.

    Parameters
    ----------
    waveform : (batch, window_samples)
        Brought to unit power first, so that loudness can tell the model nothing.
    """

    def __init__(self, waveform: keras.KerasTensor, *, sample_rate: int) -> None:
        level = ops.sqrt(ops.mean(ops.square(waveform), axis=-1, keepdims=True))
        self.waveform = waveform / (level + 1e-7)
        self.sample_rate = sample_rate
        self._spectra: dict[tuple[float, float, int], keras.KerasTensor] = {}
        self.frozen: dict[str, np.ndarray] = {}  # layer's name -> its kernel, which training must not change

    def __call__(self, config: FrontEndConfig) -> keras.KerasTensor:
        """Features (batch, frames, bands, channels), around 0 with a spread near 1.

        The mean is taken away after the logarithm. Nothing is computed over the batch: a clip alone and among others
        gives the same.
        """
        return FRONT_ENDS[config.kind](self, config)

    def power(self, config: FrontEndConfig) -> keras.KerasTensor:
        """The power spectrum, (batch, frames, fft_samples // 2 + 1); 1 in each bin for white noise of unit power."""
        key = (config.frame_seconds, config.step_seconds, config.fft_samples)
        if key not in self._spectra:
            frame_samples = round(config.frame_seconds * self.sample_rate)
            real, imaginary = ops.stft(
                self.waveform,
                sequence_length=frame_samples,
                sequence_stride=round(config.step_seconds * self.sample_rate),
                fft_length=config.fft_samples,
                window="hann",
                center=False,
            )
            window_power = 0.375 * frame_samples  # the sum of a Hann window's squares
            self._spectra[key] = (ops.square(real) + ops.square(imaginary)) / window_power
        return self._spectra[key]

    def frozen_product(self, features: keras.KerasTensor, matrix: np.ndarray, name: str) -> keras.KerasTensor:
        """`features` times a constant `matrix`, as a layer of the artifact that training leaves alone."""
        unique = f"{name}_{len(self.frozen)}" if self.frozen else name
        layer = keras.layers.Dense(matrix.shape[1], use_bias=False, trainable=False, name=unique)
        product = layer(features)
        layer.set_weights([matrix])
        self.frozen[unique] = matrix
        return product

    def filtered(self, config: FrontEndConfig) -> keras.KerasTensor:
        """The waveform behind each of the sinc filters, (batch, window_samples - taps + 1, bands)."""
        taps = 2 * (round(config.frame_seconds * self.sample_rate) // 2) + 1
        kernels = sinc_filters(bands=config.bands, taps=taps, sample_rate=self.sample_rate)
        layer = keras.layers.Conv1D(config.bands, taps, use_bias=False, trainable=False)
        filtered = layer(ops.expand_dims(self.waveform, -1))
        layer.set_weights([kernels[:, None, :]])
        return filtered

    def bands(self, config: FrontEndConfig) -> keras.KerasTensor:
        """Log power in the bands of a filterbank, nats, (batch, frames, bands)."""
        matrix = filters.filterbank(config, sample_rate=self.sample_rate)
        power = self.frozen_product(self.power(config), matrix, "filterbank")
        return ops.log(power / float(matrix.sum(axis=0).mean()) + _RELATIVE_FLOOR)


def log_mel(front_ends: FrontEnds, config: FrontEndConfig) -> keras.KerasTensor:
    """Log power in bands of Slaney's mel scale; the oracle is librosa."""
    return _centred(front_ends.bands(config), config)


def log_linear(front_ends: FrontEnds, config: FrontEndConfig) -> keras.KerasTensor:
    """Log power in bands spaced evenly: the upper half of the spectrum, where vocoders err, as fine as the lower."""
    return _centred(front_ends.bands(config), config)


def log_spectrum(front_ends: FrontEnds, config: FrontEndConfig) -> keras.KerasTensor:
    """Log power in the first `bands` bins of the spectrum, as they are."""
    return _centred(ops.log(front_ends.power(config)[:, :, : config.bands] + _RELATIVE_FLOOR), config)


def lfcc(front_ends: FrontEnds, config: FrontEndConfig) -> keras.KerasTensor:
    """Linear-frequency cepstral coefficients, with deltas and double deltas as further channels.

    M. Sahidullah, T. Kinnunen, C. Hanilçi, "A comparison of features for synthetic speech detection", Interspeech 2015.

    Returns
    -------
    (batch, frames, coefficients, 3)
    """
    cosines = filters.cosine_transform(config.bands, coefficients=config.coefficients)
    static = front_ends.frozen_product(front_ends.bands(config), cosines, "cosines")
    delta = _delta(static)
    stacked = ops.stack([static, delta, _delta(delta)], axis=-1)
    # Each coefficient and derivative without its mean over the window: what is left does not depend on the channel.
    return stacked - ops.mean(stacked, axis=1, keepdims=True)


def sinc(front_ends: FrontEnds, config: FrontEndConfig) -> keras.KerasTensor:
    """Log level at the output of band-pass filters on a mel scale, as RawNet2's and AASIST's (`training.sinc`).

    The largest magnitude of each step; `bands` filters of a `frame_seconds` each. Dear: they run at the full rate.
    """
    filtered = front_ends.filtered(config)
    step_samples = round(config.step_seconds * front_ends.sample_rate)
    level = keras.layers.MaxPooling1D(step_samples)(ops.abs(filtered))
    return _centred(ops.log(ops.square(level) + _RELATIVE_FLOOR), config)


def waveform(front_ends: FrontEnds, config: FrontEndConfig) -> keras.KerasTensor:  # noqa: ARG001
    """The waveform itself, (batch, window_samples), for families that begin with it."""
    return front_ends.waveform


FRONT_ENDS: dict[str, Callable[[FrontEnds, FrontEndConfig], keras.KerasTensor]] = {
    "log_mel": log_mel,
    "log_linear": log_linear,
    "log_spectrum": log_spectrum,
    "lfcc": lfcc,
    "sinc": sinc,
    "waveform": waveform,
}


def _centred(logarithm: keras.KerasTensor, config: FrontEndConfig) -> keras.KerasTensor:
    axes = (1, 2) if config.normalise == "clip" else (1,)
    return ops.expand_dims(_SPREAD * (logarithm - ops.mean(logarithm, axis=axes, keepdims=True)), axis=-1)


def _delta(features: keras.KerasTensor) -> keras.KerasTensor:
    """The slope over five frames by least squares; frames beyond the ends repeat the last one."""
    first, last = features[:, :1], features[:, -1:]
    padded = ops.concatenate([first, first, features, last, last], axis=1)
    count = features.shape[1]
    shifted = [padded[:, n : n + count] for n in range(5)]
    return (2 * (shifted[4] - shifted[0]) + shifted[3] - shifted[1]) / 10
