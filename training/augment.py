"""Changes to a training window that must not change its label, drawn alike for both classes.

What they imitate is the way from a mouth to the service: the telephone's band and its G.711 codec, rooms,
handsets and networks that colour a spectrum, noise, gaps. Whatever they do to one class they do as often to the
other, so that none becomes a way to tell the classes apart.
"""

from functools import cache

import numpy as np
import numpy.typing as npt
import soxr

from training.config import AugmentConfig

Waveform = npt.NDArray[np.float32]

_TELEPHONE_RATE = 8_000


def augment(waveform: Waveform, config: AugmentConfig, rng: np.random.Generator, *, sample_rate: int) -> Waveform:
    """Change a window at random.

    Parameters
    ----------
    waveform : float32 (n,), left as it is

    Returns
    -------
    float32 (n,), finite; of another level than the waveform, which no front end here sees
    """
    if rng.random() < config.filter:
        waveform = random_filter(waveform, rng)
    if rng.random() < config.noise:
        waveform = add_noise(waveform, rng)
    if rng.random() < config.narrowband:
        waveform = narrowband(waveform, rng, sample_rate=sample_rate)
    if rng.random() < config.mask:
        waveform = mask(waveform, rng)
    return waveform


def random_filter(waveform: Waveform, rng: np.random.Generator) -> Waveform:
    """A smooth random frequency response: a handset, a room's colour, a network's equaliser."""
    spectrum = np.fft.rfft(waveform)
    points = rng.integers(3, 10)
    decibels = np.interp(np.linspace(0, 1, spectrum.size), np.linspace(0, 1, points), rng.uniform(-12, 12, points))
    gain = np.power(10, np.divide(decibels, 20, dtype=np.float32), dtype=np.float32)
    return np.asarray(np.fft.irfft(spectrum * gain, waveform.size), np.float32)


def add_noise(waveform: Waveform, rng: np.random.Generator) -> Waveform:
    """Noise of a random colour (from white to brown) at a random signal-to-noise ratio of 10 to 40 dB."""
    spectrum = np.fft.rfft(rng.standard_normal(waveform.size, np.float32))
    slope = np.power(np.arange(1, spectrum.size + 1, dtype=np.float32), np.float32(-rng.uniform(0, 1)))
    noise = np.fft.irfft(spectrum * slope, waveform.size)
    ratio = 10 ** (-rng.uniform(10, 40) / 20)
    gain = ratio * np.sqrt(np.mean(waveform**2) / (np.mean(noise**2) + 1e-20))
    return np.add(waveform, np.float32(gain) * noise, dtype=np.float32)


def narrowband(waveform: Waveform, rng: np.random.Generator, *, sample_rate: int) -> Waveform:
    """To 8 kHz and back; half of the time through G.711 mu-law at a random level in between."""
    narrow = soxr.resample(waveform, sample_rate, _TELEPHONE_RATE)
    if rng.random() < 0.5:
        gain = 10 ** (rng.uniform(-30, -3) / 20) / (np.abs(narrow).max() + 1e-9)
        narrow = mu_law(narrow * gain)
    wide = soxr.resample(narrow, _TELEPHONE_RATE, sample_rate).astype(np.float32)
    return np.resize(wide, waveform.size)


def mask(waveform: Waveform, rng: np.random.Generator) -> Waveform:
    """Silence a random band of the spectrum (1/5 of it at most) and a random stretch of time (1/5 at most)."""
    spectrum = np.fft.rfft(waveform)
    width = int(rng.uniform(0, 0.2) * spectrum.size)
    first = rng.integers(0, spectrum.size - width)
    spectrum[first : first + width] = 0
    masked = np.fft.irfft(spectrum, waveform.size).astype(np.float32)
    width = int(rng.uniform(0, 0.2) * waveform.size)
    first = rng.integers(0, waveform.size - width)
    masked[first : first + width] = 0
    return masked


def mu_law(waveform: Waveform) -> Waveform:
    """Through the G.711 mu-law codec (ITU-T G.711, 1988): each sample to the nearest of its 255 levels."""
    levels, edges = _mu_law_levels()
    return np.take(levels, np.searchsorted(edges, waveform))


@cache
def _mu_law_levels() -> tuple[Waveform, Waveform]:
    """The decoder's levels in ascending order, float32 (255,), full scale 1, and the decisions between them."""
    code = np.arange(128)
    segment, step = code >> 4, code & 15
    magnitude = ((2 * step + 33) << segment) - 33
    levels = np.asarray(np.unique(np.concatenate([-magnitude, magnitude])) / 8192, np.float32)
    return levels, np.asarray((levels[1:] + levels[:-1]) / 2, np.float32)
