"""A waveform from magnitudes alone: Griffin-Lim, and phases that are made up.

Most synthesis before neural vocoders ends here, and what is lost is the same: the phase.

References: D. Griffin, J. Lim, "Signal estimation from modified short-time Fourier transform", IEEE Trans. ASSP 32
(1984); N. Perraudin, P. Balazs, P. Søndergaard, "A fast Griffin-Lim algorithm", WASPAA 2013 (the momentum).
"""

from functools import cache
from typing import Literal

import librosa
import numpy as np
import numpy.typing as npt
from scipy.ndimage import gaussian_filter

Waveform = npt.NDArray[np.float32]
Magnitude = npt.NDArray[np.float32]
Phase = Literal["random", "zero", "steady", "minimum"]

_WINDOWS = ("hann", "hamming", "blackman")
_FLOOR = 1e-7


def from_linear(waveform: Waveform, *, sample_rate: int, rng: np.random.Generator) -> Waveform:
    """Griffin-Lim from a linear spectrogram: windows of 16 to 128 ms, 1 to 60 iterations."""
    size = int(rng.choice([256, 512, 1024, 2048])) * sample_rate // 16_000
    hop = size // int(rng.choice([2, 4, 8], p=[0.2, 0.6, 0.2]))
    window = str(rng.choice(_WINDOWS))
    magnitude = np.abs(librosa.stft(waveform, n_fft=size, hop_length=hop, window=window))
    return griffin_lim(magnitude, hop=hop, window=window, iterations=_iterations(rng), rng=rng, length=waveform.size)


def from_mel(waveform: Waveform, *, sample_rate: int, rng: np.random.Generator) -> Waveform:
    """Griffin-Lim from 40 to 128 mel bands, as the first neural TTS ended (Tacotron, 2017)."""
    size = 1024 * sample_rate // 16_000
    hop = int(rng.choice([size // 8, size // 4]))
    magnitude = np.abs(librosa.stft(waveform, n_fft=size, hop_length=hop))
    bank, inverse = _mel(
        int(rng.choice([40, 64, 80, 100, 128])),
        low_hz=float(rng.choice([0, 20, 80])),
        high_hz=float(rng.choice([0.475, 0.5])) * sample_rate,
        size=size,
        sample_rate=sample_rate,
    )
    mel = bank @ magnitude
    linear = np.maximum(inverse @ mel, _FLOOR)
    for _ in range(int(rng.choice([0, 20]))):  # multiplicative steps to the least squares that are not negative
        linear *= (bank.T @ mel) / (bank.T @ (bank @ linear) + _FLOOR)
    return griffin_lim(linear, hop=hop, window="hann", iterations=_iterations(rng), rng=rng, length=waveform.size)


def blurred(waveform: Waveform, *, sample_rate: int, rng: np.random.Generator) -> Waveform:
    """Magnitudes as a model that learned means predicts them: blurred in time or frequency or both.

    Half of the time with the phase of the original, else by Griffin-Lim.
    """
    size = int(rng.choice([512, 1024])) * sample_rate // 16_000
    hop = size // 4
    spectrum = librosa.stft(waveform, n_fft=size, hop_length=hop)
    magnitude = np.abs(spectrum)
    sigmas = rng.uniform(0.5, 2.5), rng.uniform(0.3, 1.5)  # bins, frames
    kept = np.array([(1, 1), (1, 0), (0, 1)])[rng.integers(3)]
    smooth = np.exp(gaussian_filter(np.log(magnitude + _FLOOR), sigmas * kept)).astype(np.float32)
    if rng.random() < 0.5:
        smoothed = smooth * spectrum / (magnitude + _FLOOR)
        return np.asarray(librosa.istft(smoothed, hop_length=hop, length=waveform.size), np.float32)
    return griffin_lim(smooth, hop=hop, window="hann", iterations=_iterations(rng), rng=rng, length=waveform.size)


def rephased(waveform: Waveform, *, sample_rate: int, rng: np.random.Generator) -> Waveform:
    """Keep magnitudes, make up phases: of any of the kinds of `replace_phase`."""
    size = int(rng.choice([256, 512, 1024])) * sample_rate // 16_000
    kinds: tuple[Phase, ...] = ("random", "zero", "steady", "minimum")
    return replace_phase(waveform, kind=kinds[rng.integers(len(kinds))], size=size, rng=rng)


def replace_phase(waveform: Waveform, *, kind: Phase, size: int, rng: np.random.Generator) -> Waveform:
    """Put other phases to the magnitudes of a waveform, in windows of `size` samples that overlap by 3/4.

    Parameters
    ----------
    kind : ``random``; ``zero`` at the middle of each window; ``steady``, every bin at its own frequency from a random
        start; or ``minimum``, that of the causal filter with these magnitudes
    """
    hop = size // 4
    spectrum = librosa.stft(waveform, n_fft=size, hop_length=hop)
    magnitude, bins = np.abs(spectrum), np.arange(spectrum.shape[0])[:, np.newaxis]
    middle = np.pi * bins  # a window's phases count from its first sample; this moves zero to its middle
    match kind:
        case "random":
            phase = rng.uniform(-np.pi, np.pi, spectrum.shape)
        case "zero":
            phase = np.broadcast_to(middle, spectrum.shape)
        case "steady":
            advance = 2 * np.pi * hop / size * bins * np.arange(spectrum.shape[1])
            phase = rng.uniform(-np.pi, np.pi, (bins.size, 1)) + advance
        case "minimum":
            phase = _minimum_phase(magnitude) + middle
    turned = (magnitude * np.exp(1j * phase)).astype(np.complex64)
    return np.asarray(librosa.istft(turned, hop_length=hop, length=waveform.size), np.float32)


def griffin_lim(
    magnitude: Magnitude, *, hop: int, window: str, iterations: int, rng: np.random.Generator, length: int
) -> Waveform:
    """Find a waveform, float32 (length,), with these magnitudes, (bins, frames); momentum 0, 0.5 or 0.99."""
    return np.asarray(
        librosa.griffinlim(
            magnitude,
            n_iter=iterations,
            hop_length=hop,
            n_fft=2 * (magnitude.shape[0] - 1),
            window=window,
            momentum=float(rng.choice([0.0, 0.5, 0.99])),
            random_state=int(rng.integers(2**31)),
            length=length,
        ),
        np.float32,
    )


def _iterations(rng: np.random.Generator) -> int:
    """From 1 to 60, as many below 8 as above."""
    return round(float(60 ** rng.random()))


def _minimum_phase(magnitude: Magnitude) -> npt.NDArray[np.float64]:
    """From the cepstrum, folded onto its causal half (Oppenheim and Schafer)."""
    cepstrum = np.fft.irfft(np.log(magnitude + _FLOOR), axis=0)
    half = cepstrum.shape[0] // 2
    cepstrum[1:half] *= 2
    cepstrum[half + 1 :] = 0
    return np.asarray(np.fft.rfft(cepstrum, axis=0).imag)


@cache
def _mel(
    bands: int, *, low_hz: float, high_hz: float, size: int, sample_rate: int
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """A filterbank, (bands, bins), and its pseudo-inverse."""
    bank = librosa.filters.mel(sr=sample_rate, n_fft=size, n_mels=bands, fmin=low_hz, fmax=high_hz)
    return bank, np.linalg.pinv(bank)
