"""What a codec and a neural upsampler leave: coarse bands, noise filled in, spectral images, a pattern of strides.

References: J. Princen, A. Johnson, A. Bradley, "Subband/transform coding using filter bank designs based on time domain
aliasing cancellation", ICASSP 1987 (the MDCT); J. Pons et al., "Upsampling artifacts in neural audio synthesis", 2020
(arXiv:2010.14356).
"""

from itertools import pairwise

import numpy as np
import numpy.typing as npt
import soxr
from scipy.fft import dct

Waveform = npt.NDArray[np.float32]
Array = npt.NDArray[np.float64]


def transform_codec(waveform: Waveform, *, sample_rate: int, rng: np.random.Generator) -> Waveform:
    """Quantise an MDCT, in bands that widen with frequency: each a level in steps of 1 to 4 dB, and a few signs.

    Of a band's coefficients only the strong ones survive, in 1 to 3 sizes; from 3 to 8 kHz upwards, and where none
    does, noise of the band's level is filled in.
    """
    half = int(rng.choice([160, 256, 320, 512])) * sample_rate // 16_000
    spectrum = mdct(waveform.astype(np.float64), half=half)
    edges = np.unique(np.rint(half * np.linspace(0, 1, int(rng.integers(14, 30))) ** rng.uniform(1.3, 2)).astype(int))
    sizes, step_db = int(rng.integers(1, 4)), rng.uniform(1, 4)
    noisy_from = half * rng.uniform(3000, 8000) / (sample_rate / 2)
    noise = rng.standard_normal(spectrum.shape)
    for low, high in pairwise(edges):
        band = spectrum[:, low:high]
        level = np.sqrt(np.mean(np.square(band), axis=1, keepdims=True)) + 1e-9
        level = 10 ** (np.rint(20 * np.log10(level) / step_db) * step_db / 20)
        coded = np.clip(np.rint(band / level), -sizes, sizes) * level
        silent = ~coded.any(axis=1, keepdims=True) | (low >= noisy_from)
        spectrum[:, low:high] = np.where(silent, noise[:, low:high] * level, coded)
    return np.asarray(inverse_mdct(spectrum)[: waveform.size], np.float32)


def upsampled(waveform: Waveform, *, sample_rate: int, rng: np.random.Generator) -> Waveform:
    """Imprint what transposed convolutions leave: images of the spectrum below, and a pattern that repeats.

    The waveform at a 2nd, 4th or 8th of its rate, zeros put between, an interpolation that is too short and a bit off:
    its images are added 12 to 30 dB below their due. Then a gain of up to 2 to 10 % for each place in a stride.
    """
    for factor in rng.choice([2, 4, 8], size=rng.integers(1, 3), replace=False):
        slow = soxr.resample(waveform, sample_rate, sample_rate / factor)
        raw = np.zeros(waveform.size + 8 * factor)
        raw[: slow.size * factor : factor] = slow[: raw[::factor].size]
        taps = np.bartlett(2 * factor + 1)[1:-1] * rng.uniform(0.8, 1.2, 2 * factor - 1)
        rough = np.convolve(raw, taps, mode="same")[: waveform.size]
        smooth = np.resize(soxr.resample(slow, sample_rate / factor, sample_rate), waveform.size)
        waveform = np.asarray(waveform + 10 ** (-rng.uniform(12, 30) / 20) * (rough - smooth), np.float32)
    stride = int(rng.choice([4, 8, 16, 64, 256]))
    pattern = 1 + rng.uniform(0.02, 0.1) * rng.uniform(-1, 1, stride)
    return np.asarray(waveform * np.resize(pattern, waveform.size), np.float32)


def mdct(samples: Array, *, half: int) -> Array:
    """The modified discrete cosine transform, sine window: (n,) -> (frames, half)."""
    count = -(-samples.size // half) + 1
    padded = np.pad(samples, (half, count * half - samples.size))
    frames = np.lib.stride_tricks.sliding_window_view(padded, 2 * half)[::half] * _sine(half)
    a, b, c, d = np.split(frames, 4, axis=1)
    return np.asarray(dct(np.concatenate([-c[:, ::-1] - d, a - b[:, ::-1]], axis=1), type=4, norm="ortho"))


def inverse_mdct(spectrum: Array) -> Array:
    """Undo `mdct`, (frames, half), up to zeros at the end."""
    half = spectrum.shape[1]
    first, second = np.split(dct(spectrum, type=4, norm="ortho"), 2, axis=1)
    frames = np.concatenate([second, -second[:, ::-1], -first[:, ::-1], -first], axis=1) * _sine(half)
    return np.asarray((frames[1:, :half] + frames[:-1, half:]).ravel())


def _sine(half: int) -> Array:
    return np.sin(np.pi * (np.arange(2 * half) + 0.5) / (2 * half))
