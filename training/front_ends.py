"""Front ends: the part of the model that turns a waveform into a spectrogram.

They are stock layers and `keras.ops`, so that the artifact reloads under Keras' safe mode without any code of
ours, and their constants are frozen weights inside the artifact. The oracle of the mel scale is librosa.
"""

import keras
import librosa
import numpy as np
import numpy.typing as npt
from keras import ops

from training.config import FrontEndConfig

FILTERBANK = "filterbank"  # the name of the frozen layer, by which a test and `fit` find it again

_RELATIVE_FLOOR = 1e-5  # of the mean power in a band: 50 dB below it, about the noise of an 8-bit G.711 channel


def filterbank(config: FrontEndConfig, *, sample_rate: int) -> npt.NDArray[np.float32]:
    """Triangular filters as a matrix, float32 (fft_samples // 2 + 1, bands), each of unit area in Hz.

    ``mel`` is Slaney's scale and normalisation, librosa's default. ``linear`` spaces the bands evenly, which
    keeps the upper half of the spectrum, where vocoders err, as fine as the lower (Müller et al. 2022,
    arXiv:2203.16263).
    """
    if config.scale == "mel":
        weights = librosa.filters.mel(
            sr=sample_rate,
            n_fft=config.fft_samples,
            n_mels=config.bands,
            fmin=config.min_hz,
            fmax=config.max_hz,
        )
    else:
        edges = np.linspace(config.min_hz, config.max_hz, config.bands + 2)
        bins = np.fft.rfftfreq(config.fft_samples, 1 / sample_rate)
        rising = (bins - edges[:-2, None]) / np.diff(edges)[:-1, None]
        falling = (edges[2:, None] - bins) / np.diff(edges)[1:, None]
        weights = np.maximum(0.0, np.minimum(rising, falling)) * 2 / (edges[2:] - edges[:-2])[:, None]
    empty = np.flatnonzero(weights.sum(axis=1) == 0)
    if empty.size:
        raise ValueError(
            f"Each band covers at least one of {config.fft_samples // 2 + 1} bins. "
            f"Received: {config.bands} bands, of which {empty.size} are empty; use fewer, or a longer FFT."
        )
    return np.ascontiguousarray(weights.T, dtype=np.float32)


def front_end(waveform: keras.KerasTensor, config: FrontEndConfig, *, sample_rate: int) -> keras.KerasTensor:
    """Log power in bands over time.

    Parameters
    ----------
    waveform : (batch, window_samples)

    Returns
    -------
    (batch, frames, bands, 1), in nats, without level: each window's waveform is brought to unit power first, so
    that loudness can tell the model nothing, and the mean is taken away after the logarithm. Nothing is
    computed over the batch: a clip alone and among others gives the same.
    """
    level = ops.sqrt(ops.mean(ops.square(waveform), axis=-1, keepdims=True))
    real, imaginary = ops.stft(
        waveform / (level + 1e-7),
        sequence_length=round(config.frame_seconds * sample_rate),
        sequence_stride=round(config.step_seconds * sample_rate),
        fft_length=config.fft_samples,
        window="hann",
        center=False,
    )
    matrix = filterbank(config, sample_rate=sample_rate)
    bands = keras.layers.Dense(config.bands, use_bias=False, trainable=False, name=FILTERBANK)
    power = bands(ops.square(real) + ops.square(imaginary))
    bands.set_weights([matrix])
    # White noise of unit power has a power of sum(window ** 2) in each bin, which the filters average.
    frame_power = 0.375 * round(config.frame_seconds * sample_rate) * float(matrix.sum(axis=0).mean())
    logarithm = ops.log(power / frame_power + _RELATIVE_FLOOR)
    axes = (1, 2) if config.normalise == "clip" else (1,)
    return ops.expand_dims(logarithm - ops.mean(logarithm, axis=axes, keepdims=True), axis=-1)
