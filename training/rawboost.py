"""RawBoost (Tak et al. 2022, arXiv:2111.04433): the nuisance of telephony from noise alone, no recordings needed.

Three kinds of noise and their combinations, with the ranges of the paper: 1, convolutive, linear and not: what coders,
amplifiers and loudspeakers do; 2, impulsive and as strong as the signal: clipping and bad contacts; 3, stationary,
coloured and independent of the signal: cables and ambience.
"""

from typing import Literal, get_args

import numpy as np
import numpy.typing as npt
from scipy import signal

Waveform = npt.NDArray[np.float32]
Kind = Literal["1", "2", "3", "1+2", "1+3", "2+3", "1+2+3", "1|2"]  # + in series, | in parallel

KINDS: tuple[Kind, ...] = get_args(Kind)

_NOTCHES = 5
_CENTRE_HZ = (20, 8_000)  # and no higher than half the sample rate
_WIDTH_HZ = (100, 1_000)
_TAPS = (10, 100)
_HIGHEST_POWER = 5
_GAIN_OF_POWERS_DB = (-20, -5)
_IMPULSES_AT_MOST = 0.10  # of the samples
_IMPULSE_GAIN = 2
_SNR_DB = (10, 40)


def rawboost(waveform: Waveform, rng: np.random.Generator, *, sample_rate: int, kind: Kind = "1+2") -> Waveform:
    """Add RawBoost's noise.

    Parameters
    ----------
    waveform : float32 (n,), left as it is
    kind : Kind
        ``1+2`` is what the paper found best on the telephone channels of ASVspoof 2021 LA.

    Returns
    -------
    float32 (n,); scaled to a peak of 1 where it would be above

    Raises
    ------
    ValueError
        A kind that does not exist.
    """
    if kind not in KINDS:
        raise ValueError(f"A kind of RawBoost is one of {', '.join(KINDS)}. Received: {kind}.")
    if kind == "1|2":
        return _within_full_scale(convolutive(waveform, rng, sample_rate=sample_rate) + impulsive(waveform, rng))
    if "1" in kind:
        waveform = convolutive(waveform, rng, sample_rate=sample_rate)
    if "2" in kind:
        waveform = impulsive(waveform, rng)
    if "3" in kind:
        waveform = stationary(waveform, rng, sample_rate=sample_rate)
    return waveform


def convolutive(waveform: Waveform, rng: np.random.Generator, *, sample_rate: int) -> Waveform:
    """Kind 1: the waveform and its powers up to 5, each through notches of its own and the powers 5 to 20 dB down."""
    gains = 10 ** (rng.uniform(*_GAIN_OF_POWERS_DB, _HIGHEST_POWER) / 20)
    gains[0] = 1
    heard, power = np.zeros_like(waveform), np.ones_like(waveform)
    for gain, taps in zip(gains.astype(np.float32), notches(rng, _HIGHEST_POWER, sample_rate=sample_rate), strict=True):
        power = power * waveform
        heard += signal.oaconvolve(power, gain * taps, mode="same")
    return _within_full_scale(heard - heard.mean())


def impulsive(waveform: Waveform, rng: np.random.Generator) -> Waveform:
    """Kind 2: up to a tenth of the samples changed by up to twice their value, either way."""
    count = int(waveform.size * rng.uniform(0, _IMPULSES_AT_MOST))
    where = rng.choice(waveform.size, count, replace=False, shuffle=False)
    strength = rng.uniform(-1, 1, count) * rng.uniform(-1, 1, count)
    heard = waveform.copy()
    heard[where] *= (1 + _IMPULSE_GAIN * strength).astype(np.float32)
    return _within_full_scale(heard)


def stationary(waveform: Waveform, rng: np.random.Generator, *, sample_rate: int) -> Waveform:
    """Kind 3: white noise through notches, at a signal-to-noise ratio of 10 to 40 dB."""
    white = rng.standard_normal(waveform.size, np.float32)
    noise: Waveform = signal.oaconvolve(white, notches(rng, 1, sample_rate=sample_rate)[0], mode="same")
    ratio = 10 ** (-rng.uniform(*_SNR_DB) / 20)
    gain = ratio * np.linalg.norm(waveform) / (np.linalg.norm(noise) + 1e-12)
    return waveform + np.float32(gain) * noise


def notches(rng: np.random.Generator, filters: int, *, sample_rate: int) -> Waveform:
    """Five notches at random places and widths, one after another, for each filter: float32 (filters, 501).

    Each notch is the band-stop of 11 to 101 taps that a Hamming window makes; each filter symmetric, its peak gain 1.
    """
    shape = (filters, _NOTCHES, 1)
    lowest, highest = _CENTRE_HZ
    centre = rng.uniform(lowest, min(highest, sample_rate / 2), shape)
    width = rng.uniform(*_WIDTH_HZ, shape)
    half = rng.integers(_TAPS[0], _TAPS[1] + 1, shape) // 2
    low = np.maximum(centre - width / 2, 1e-3) / (sample_rate / 2)
    high = np.minimum(centre + width / 2, sample_rate / 2 - 1e-3) / (sample_rate / 2)
    n = np.arange(-(_TAPS[1] // 2), _TAPS[1] // 2 + 1)
    hamming = np.where(np.abs(n) <= half, 0.54 + 0.46 * np.cos(np.pi * n / half), 0)
    taps = (low * np.sinc(low * n) - high * np.sinc(high * n) + (n == 0)) * hamming
    taps /= taps.sum(axis=2, keepdims=True)
    response = np.fft.rfft(taps, 1_024).prod(axis=1)
    response /= np.abs(response).max(axis=1, keepdims=True)
    return np.fft.irfft(response)[:, : _NOTCHES * (n.size - 1) + 1].astype(np.float32)


def _within_full_scale(waveform: Waveform) -> Waveform:
    peak = np.abs(waveform).max(initial=0)
    return waveform / peak if peak > 1 else waveform
