"""What a line leaves of the spectrum: another sample rate and back, and filters without delay."""

from collections.abc import Callable
from functools import cache
from typing import Literal

import numpy as np
import numpy.typing as npt
import soxr
from scipy import signal

Waveform = npt.NDArray[np.float32]
Quality = Literal["lines", "QQ", "LQ", "MQ", "HQ", "VHQ"]  # straight ones, or soxr's, from a cubic to 28 bits

_TRANSITION_HZ = 200
_STOPBAND_DB = 62


def resample(waveform: Waveform, from_hz: int, to_hz: int, *, quality: Quality = "HQ") -> Waveform:
    """At another rate, float32 (ceil or floor of n * to_hz / from_hz,), without delay."""
    if from_hz == to_hz:
        return waveform
    if quality == "lines":
        places = np.arange(round(waveform.size * to_hz / from_hz)) * (from_hz / to_hz)
        return np.asarray(np.interp(places, np.arange(waveform.size), waveform), np.float32)
    return np.asarray(soxr.resample(waveform, from_hz, to_hz, quality=quality), np.float32)


def there_and_back(
    waveform: Waveform,
    change: Callable[[Waveform], Waveform] | None = None,
    *,
    sample_rate: int,
    at_hz: int,
    quality: Quality = "HQ",
) -> Waveform:
    """To another rate, changed there, and back.

    Parameters
    ----------
    waveform : float32 (n,)
    change : callable, optional
        Of the waveform at `at_hz`; keeps its length.

    Returns
    -------
    float32 (n,), aligned with `waveform`
    """
    there = resample(waveform, sample_rate, at_hz, quality=quality)
    changed = there if change is None else change(there)
    return fit(resample(changed, at_hz, sample_rate, quality=quality), waveform.size)


def fit(waveform: Waveform, samples: int) -> Waveform:
    """Cut, or filled up with silence, to a number of samples."""
    if waveform.size < samples:
        return np.pad(waveform, (0, samples - waveform.size))
    return waveform[:samples]


def band_limit(waveform: Waveform, *, sample_rate: int, low_hz: float = 0, high_hz: float) -> Waveform:
    """Keep a band: down by 6 dB at its edges, by 60 dB or more from 100 Hz outside of them.

    Parameters
    ----------
    waveform : float32 (n,)
    low_hz : float
        0 keeps everything below `high_hz`.
    high_hz : float
        At least half of the sample rate keeps everything above `low_hz`.

    Returns
    -------
    float32 (n,), aligned with `waveform`: the filter is symmetric
    """
    if low_hz <= 0 and high_hz >= sample_rate / 2:
        return waveform
    taps = _band_taps(sample_rate, low_hz, high_hz)
    return fit(signal.oaconvolve(waveform, taps)[taps.size // 2 :], waveform.size)


@cache
def _band_taps(sample_rate: int, low_hz: float, high_hz: float) -> Waveform:
    count, beta = signal.kaiserord(_STOPBAND_DB, _TRANSITION_HZ / (sample_rate / 2))
    edges = [edge for edge in (low_hz, high_hz) if 0 < edge < sample_rate / 2]
    kind: Literal["lowpass", "bandpass", "highpass"] = "lowpass" if low_hz <= 0 else "bandpass"
    if high_hz >= sample_rate / 2:
        kind = "highpass"
    taps = signal.firwin(count | 1, edges, window=("kaiser", beta), pass_zero=kind, fs=sample_rate)
    return np.asarray(taps, np.float32)
